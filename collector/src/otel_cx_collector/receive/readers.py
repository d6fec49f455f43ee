"""Whose body is read now: a few connections at a time, so that every head is heard at once. Not what they hold.

All connections share one thread. With hundreds that send large bodies, one turn of it over all of them took seconds,
and so did the answer to a request that could have been refused by its head alone. Those without a turn are held by TCP,
and bodies that are begun end sooner.
"""

import asyncio
from typing import Final, Protocol

ROTATE_S: Final = 0.02
"""Who has a turn and sent nothing for this long gives it to one that waits."""


class Reader(Protocol):
    """A connection in the middle of a body."""

    def go_on(self) -> None:
        """Read on: it has a turn."""

    def hold(self) -> None:
        """Read no more until told."""


class Readers:
    """Turns, in the order they were asked for. For one event loop's thread.

    Args:
        turns: How many read at once.
        loop: Calls back when turns are to be looked at.
    """

    def __init__(self, turns: int, loop: asyncio.AbstractEventLoop) -> None:
        self._turns = turns
        self._loop = loop
        self._reading: dict[Reader, bool] = {}
        """Those that have a turn, and whether they sent something since they were last looked at."""
        self._waiting: dict[Reader, None] = {}
        self._look: asyncio.TimerHandle | None = None

    def heard(self, reader: Reader) -> None:
        """A part of its body came: it keeps its turn, gets one, or is held until there is one."""
        if reader in self._reading:
            self._reading[reader] = True
        elif reader not in self._waiting:
            if len(self._reading) < self._turns:
                self._reading[reader] = True
            else:
                self._waiting[reader] = None
                reader.hold()
                self._watch()

    def done(self, reader: Reader) -> None:
        """Its body has ended, or it has; the next gets its turn."""
        if self._reading.pop(reader, None) is not None:
            self._admit()
        elif reader in self._waiting:
            del self._waiting[reader]
            reader.go_on()

    def _admit(self) -> None:
        while self._waiting and len(self._reading) < self._turns:
            reader = next(iter(self._waiting))
            del self._waiting[reader]
            self._reading[reader] = True
            reader.go_on()

    def _watch(self) -> None:
        if self._look is None:
            self._look = self._loop.call_later(ROTATE_S, self._rotate)

    def _rotate(self) -> None:
        """Put those that sent nothing behind those that wait."""
        self._look = None
        silent = [reader for reader, sent in self._reading.items() if not sent][: len(self._waiting)]
        for reader in silent:
            del self._reading[reader]
        self._admit()
        for reader in silent:
            self._waiting[reader] = None
            reader.hold()
        self._reading = dict.fromkeys(self._reading, False)
        if self._waiting:
            self._watch()
