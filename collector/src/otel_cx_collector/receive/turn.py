"""A turn to decode: few at once, for all share one interpreter lock. Not who is next: line."""

import threading
from types import TracebackType
from typing import Self


class Turn:
    """Waits for one on entry; over at ``end``, or at the latest on exit."""

    def __init__(self, turns: threading.Semaphore) -> None:
        self._turns = turns
        self._has = False

    def __enter__(self) -> Self:
        self._turns.acquire()
        self._has = True
        return self

    def end(self) -> None:
        """Let another decode: what is left to do is to wait. A second time does nothing."""
        if self._has:
            self._has = False
            self._turns.release()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
