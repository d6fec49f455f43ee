"""How long the log lasts at the rate of the last minutes. Pure: the caller brings the time and what was appended."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

WINDOW_S: Final = 300.0
"""The rate is that of the last five minutes: long enough for exporters that send by the minute."""
STEP_S: Final = 1.0
"""Looked at more often than this, the last look is moved and none added."""
LEAST_S: Final = 5.0
"""Shorter than this is no rate yet."""


@dataclass(slots=True)
class Pace:
    """Bytes appended over a window that slides. Holds at most ``WINDOW_S / STEP_S + 3`` looks."""

    looks: deque[tuple[float, int]] = field(default_factory=deque)
    """Seconds, and all bytes appended until then."""

    def look(self, now_s: float, appended: int) -> None:
        """Note how much was appended until now; ``appended`` counts from the start and never falls."""
        looks = self.looks
        if len(looks) > 1 and looks[-1][0] - looks[-2][0] < STEP_S:
            looks.pop()
        looks.append((now_s, appended))
        while len(looks) > 2 and now_s - looks[1][0] >= WINDOW_S:
            looks.popleft()

    def bytes_per_s(self) -> float | None:
        """Mean between the oldest look of the window and the newest; None before there is enough to say."""
        if not self.looks:
            return None
        (from_s, before), (to_s, after) = self.looks[0], self.looks[-1]
        return (after - before) / (to_s - from_s) if to_s - from_s >= LEAST_S else None

    def minutes(self, room_bytes: int) -> float | None:
        """How long ``room_bytes`` last if nothing is taken out; None while nothing comes in."""
        rate = self.bytes_per_s()
        return max(room_bytes, 0) / rate / 60 if rate else None
