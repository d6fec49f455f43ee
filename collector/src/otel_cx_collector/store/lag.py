"""How long the oldest batch has waited that the store does not have: two positions, and a clock. Starts no thread."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from otel_cx_collector.events import NS

EVERY_S: Final = 1
"""How often to look; the lag is exact to this."""
SAMPLES: Final = 600
"""Kept; when the store is away for longer, every other one goes, and the lag is exact to half a percent."""


class Lag:
    """The age of what is on its way.

    Args:
        last: Position of the newest batch in the log.
        stored: Position up to which the store has them.
        now_ns: A clock.
    """

    def __init__(self, last: Callable[[], int], stored: Callable[[], int], now_ns: Callable[[], int]) -> None:
        self._last = last
        self._stored = stored
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._seen: deque[tuple[int, int]] = deque([(now_ns(), stored())])
        """When, and how far the log went then: the last time before what the store does not have, and since."""
        self._apart_ns = 0

    def look(self) -> None:
        """Note how far the log goes now."""
        stored, now_ns, last = self._stored(), self._now_ns(), self._last()
        with self._lock:
            self._forget(stored)
            if last == self._seen[-1][1] or self._is_close(now_ns):
                self._seen[-1] = (now_ns, last)
            else:
                self._seen.append((now_ns, last))
            if len(self._seen) > SAMPLES:
                self._seen = deque(each for number, each in enumerate(self._seen) if number % 2 == 0)
                self._apart_ns = max(self._apart_ns, EVERY_S * NS) * 2

    def seconds(self) -> float:
        """The age of the oldest batch that the store does not have, rounded up to when the log was looked at."""
        self.look()
        stored, last = self._stored(), self._last()
        if stored >= last:
            return 0.0
        with self._lock:
            self._forget(stored)
            return max(0, self._now_ns() - self._seen[0][0]) / NS

    def _forget(self, stored: int) -> None:
        """Drop what is stored, but for the newest such: what is not came after it."""
        while len(self._seen) > 1 and self._seen[1][1] <= stored:
            self._seen.popleft()
        if len(self._seen) == 1:
            self._apart_ns = 0

    def _is_close(self, now_ns: int) -> bool:
        """Whether the newest may give way; the first, after which all came that is not stored, may not."""
        return len(self._seen) > 1 and now_ns - self._seen[-2][0] < self._apart_ns
