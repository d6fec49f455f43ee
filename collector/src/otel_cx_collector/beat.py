"""An ingest node's word for each slice: what came was taken and is stored (measures.md 1.4). Judges nothing."""

import threading
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from otel_cx_collector.events import NS, SLICE_S
from otel_cx_collector.logbook import Repeated

LONGEST_S: Final = 3600
"""Slices told at once after the store was away: the last hour's; what lies before stays unmeasured."""

log = structlog.get_logger(__name__)


class Beats(Protocol):
    """Where heartbeats go."""

    def heartbeat(self, node: str, slices_s: list[int]) -> None:
        """Say that the node was up, and that what it took during these slices is stored."""
        ...


class Beater:
    """Beats once a slice: by a ticker on an ingest node, before each round where control is the same process.

    Args:
        node: This process's name among the ingest nodes.
        store: Takes the heartbeats.
        clock: Nanoseconds since the epoch.
        flushed: Blocks until what was acknowledged before the call is stored; raises Unavailable when it is not.
        took_all: Whether everything that came since the last call was accepted: a slice with refusals gets no beat.
    """

    def __init__(
        self,
        node: str,
        store: Beats,
        clock: Callable[[], int],
        flushed: Callable[[], None],
        took_all: Callable[[], bool],
    ) -> None:
        self._node = node
        self._store = store
        self._clock = clock
        self._flushed = flushed
        self._took_all = took_all
        self._told_s = self._boundary()
        self._clean = True

    def beat(self) -> None:
        """Wait until what came is stored, then say so for every slice that ended since the last beat.

        Raises:
            Unavailable: It is not stored yet; the slices are told once it is.
        """
        now_s = self._boundary()
        self._clean = self._took_all() and self._clean
        self._flushed()
        ended = list(range(max(self._told_s, now_s - LONGEST_S), now_s, SLICE_S))
        if ended:
            if self._clean:
                self._store.heartbeat(self._node, ended)
            self._told_s, self._clean = now_s, True

    def _boundary(self) -> int:
        return self._clock() // NS // SLICE_S * SLICE_S


class Ticker:
    """Does something at every multiple of so many seconds, in a thread of its own.

    Args:
        name: Of the thread.
        do: What; a failure is said and the next turn comes all the same.
        every_s: Seconds.
        clock: Nanoseconds since the epoch.
    """

    def __init__(self, name: str, do: Callable[[], object], every_s: int, clock: Callable[[], int]) -> None:
        self._do = do
        self._every_s = every_s
        self._clock = clock
        self._failures = Repeated(log, f"{name}.failed", clock)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the turn under way."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s - (self._clock() / NS) % self._every_s):
            try:
                self._do()
                self._failures.worked()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next turn may succeed
                self._failures.failed(error)
