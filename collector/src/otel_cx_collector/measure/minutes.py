"""Distinct attempts by minute: the grid that episodes and normal traffic are read from. Nothing is judged here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from otel_cx_collector.events import NS
from otel_cx_collector.measure.columns import MINUTE_NS, Bools, Columns, Floats, Ints

TEST_MINUTES = 3
"""Width of the window that the episode test looks at (4.8)."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Harmed attempts under one rule about rejections: of each minute, and of the test's window that ends with it."""

    minute: Ints
    window: Ints


@dataclass(frozen=True, slots=True)
class Minutes:
    """Closed minutes of one journey, from its first data on. Index 0 is ``first``."""

    first: int
    """Minutes since the epoch."""
    measured: Bools
    maintenance: Bools
    active: Counts
    harmed: dict[bool, Counts]
    """By whether rejections carry harm."""
    by_step: Ints
    """Shape (minutes, steps): distinct attempts with an execution of the step."""
    started: Ints
    """Attempts whose earliest end lies in the minute."""
    rows: Ints
    """Row numbers ordered by minute; those of minute i are ``rows[offsets[i]:offsets[i+1]]``."""
    offsets: Ints

    def __len__(self) -> int:
        """How many closed minutes there are."""
        return len(self.measured)

    def rows_of(self, chosen: Ints | list[int]) -> Ints:
        """Rows of the chosen minutes (indices), in the order of the columns."""
        parts = [self.rows[self.offsets[i] : self.offsets[i + 1]] for i in chosen]
        return np.sort(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)


def grid(columns: Columns, as_of_ns: int, measured: Bools | None = None) -> Minutes:
    """The closed minutes before ``as_of_ns``.

    Args:
        columns: The journey's executions.
        as_of_ns: Minutes that end after it are not closed.
        measured: Of each closed minute from the first data on; None when every slice is measured, as in replay.
    """
    closed = as_of_ns // MINUTE_NS
    first = int(columns.minute.min()) if len(columns) else closed
    count = max(0, closed - first)
    inside = np.flatnonzero(columns.minute < closed)
    inside = inside[np.argsort(columns.minute[inside], kind="stable")]
    minute = columns.minute[inside] - first
    attempt, steps = columns.attempt[inside], len(columns.journey.steps)
    cells = np.unique((attempt * max(count, 1) + minute) * steps + columns.step[inside])
    by_step = np.zeros((count, steps), dtype=np.int64)
    np.add.at(by_step, ((cells // steps) % max(count, 1), cells % steps), 1)
    starts = columns.attempts.start // MINUTE_NS - first
    harmed = {}
    for rejections in (False, True):
        hurt = columns.harm_with(rejections=rejections)[inside] > 0
        harmed[rejections] = _counts(attempt[hurt], minute[hurt], count)
    return Minutes(
        first=first,
        measured=np.ones(count, dtype=np.bool_) if measured is None else measured[:count],
        maintenance=np.bincount(minute, columns.maintenance[inside], minlength=count)[:count] > 0,
        active=_counts(attempt, minute, count),
        harmed=harmed,
        by_step=by_step,
        started=np.bincount(starts[starts < count], minlength=count).astype(np.int64),
        rows=inside,
        offsets=np.searchsorted(minute, np.arange(count + 1)),
    )


def _counts(attempt: Ints, minute: Ints, count: int) -> Counts:
    return Counts(distinct(attempt, minute, 1, count), distinct(attempt, minute, TEST_MINUTES, count))


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
    change: NDArray[np.int64] = np.zeros(count + width + 1, dtype=np.int64)
    np.add.at(change, begin, 1)
    np.add.at(change, end, -1)
    return np.cumsum(change)[:count]


@dataclass(frozen=True, slots=True)
class Normal:
    """N of 4.3: distinct attempts a minute at each step, and started."""

    steps: Floats
    started: float


def normal(minutes: Minutes, clean: Bools, *, young: bool) -> Normal:
    """Normal traffic: the mean over clean minutes, or for a young journey the largest minute so far.

    A step that was never executed in a clean minute takes its largest minute, so that its first harm has a measure.
    """
    largest = minutes.by_step.max(axis=0, initial=1).astype(np.float64)
    most_started = float(minutes.started.max(initial=1))
    if young or not clean.any():
        return Normal(np.maximum(largest, 1.0), max(most_started, 1.0))
    means = minutes.by_step[clean].mean(axis=0)
    started = float(minutes.started[clean].mean())
    return Normal(np.where(means > 0, means, largest), started if started > 0 else most_started)


def seconds(minutes: Minutes, index: int) -> int:
    """Start of minute ``index`` of the grid, seconds since the epoch."""
    return (minutes.first + index) * MINUTE_NS // NS
