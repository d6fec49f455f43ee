"""Distinct attempts by minute: the grid that episodes and normal traffic are read from. Nothing is judged here.

A grid adds up over disjoint sets of attempts, so one that is kept grows by what is new.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from otel_cx_collector.events import MINUTE_S, NS
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.measure.columns import MINUTE_NS, NEVER, Bools, Columns, Floats, Ints, Window
from otel_cx_collector.measure.tally import Tally

TEST_MINUTES: Final = 3
"""Width of the window that the episode test looks at (4.8)."""

ACTIVE, ACTIVE_WINDOW, STARTED = 0, 1, 2
_HARMED: Final = 3
STEPS: Final = 7
"""Columns of a grid: attempts active in the minute and in the test's window, started, harmed, then active by step."""


def harmed_column(*, rejections: bool, window: bool = False) -> int:
    """The column of harmed attempts, with or without those that were only rejected."""
    return _HARMED + 2 * rejections + window


def grid(columns: Columns) -> Tally:
    """Counts of all the executions; the test's windows make it two minutes longer than they reach."""
    steps = len(columns.journey.steps)
    if not len(columns):
        return Tally.empty(STEPS + steps)
    first = int(columns.minute.min())
    count = int(columns.minute.max()) - first + TEST_MINUTES
    minute, attempt = columns.minute - first, columns.attempt
    counts = np.zeros((count, STEPS + steps), dtype=np.int64)
    counts[:, ACTIVE] = distinct(attempt, minute, 1, count)
    counts[:, ACTIVE_WINDOW] = distinct(attempt, minute, TEST_MINUTES, count)
    counts[:, STARTED] = np.bincount(columns.attempts.start // MINUTE_NS - first, minlength=count)
    for rejections in (False, True):
        hurt = columns.hurtful(rejections=rejections)
        who, when = attempt[hurt], minute[hurt]
        counts[:, harmed_column(rejections=rejections)] = distinct(who, when, 1, count)
        counts[:, harmed_column(rejections=rejections, window=True)] = distinct(who, when, TEST_MINUTES, count)
    cells = np.unique((attempt * count + minute) * steps + columns.step)
    np.add.at(counts, ((cells // steps) % count, STEPS + cells % steps), 1)
    return Tally(first, counts)


def distinct(attempt: Ints, minute: Ints, width: int, count: int) -> Ints:
    """For each of ``count`` minutes, the distinct attempts seen in it and the ``width - 1`` minutes before it.

    Every pair of attempt and minute covers the windows that end in ``[minute, minute + width)``, but not those that
    the attempt's next minute covers already.
    """
    if not len(attempt):
        return np.zeros(count, dtype=np.int64)
    pairs = np.unique(attempt * count + minute)
    who, begin = pairs // count, pairs % count
    end = begin + width
    same = who[1:] == who[:-1]
    end[:-1][same] = np.minimum(end[:-1][same], begin[1:][same])
    size = count + width + 1
    change = np.bincount(begin, minlength=size) - np.bincount(end, minlength=size)
    return np.cumsum(change)[:count].astype(np.int64)


class ByMinute:
    """Executions found by the minute they ended in."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.first = int(columns.minute.min()) if len(columns) else 0
        self.last = int(columns.minute.max()) if len(columns) else -1
        self._order = np.argsort(columns.minute, kind="stable")
        minutes = np.arange(self.first, self.last + 2)
        self._offsets: list[int] = np.searchsorted(columns.minute[self._order], minutes).tolist()

    def window(self, minutes: Iterable[int], known_ns: int = NEVER) -> Window:
        """Executions of the chosen minutes (since the epoch), as known before ``known_ns``."""
        offsets, first = self._offsets, self.first
        parts = [
            self._order[offsets[at - first] : offsets[at - first + 1]] for at in minutes if first <= at <= self.last
        ]
        rows = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
        return self.columns.window(rows, known_ns)


def in_maintenance(inventory: Inventory, journey: str, first: int, count: int) -> Bools:
    """Of ``count`` minutes from ``first`` on, those that a maintenance window touches."""
    found = np.zeros(count, dtype=np.bool_)
    for from_ns, to_ns in inventory.maintenance_of(journey):
        low, high = from_ns // MINUTE_NS, -(-to_ns // MINUTE_NS)
        found[max(0, low - first) : max(0, high - first)] = True
    return found


@dataclass(frozen=True, slots=True)
class Normal:
    """N of 4.3: distinct attempts a minute at each step, and started."""

    steps: Floats
    started: float


def seconds(minute: int) -> int:
    """Start of a minute, seconds since the epoch."""
    return minute * MINUTE_S


def nanoseconds(minute: int) -> int:
    """Start of a minute, nanoseconds since the epoch."""
    return minute * MINUTE_S * NS
