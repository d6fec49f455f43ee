"""Episodes (measures.md 4.8): when a journey is hurt, found minute by minute with the reference of 4.4. No figures.

The walk goes over closed minutes in order and keeps what it found, so that the next minute costs only itself; it can
go back to an earlier minute when late rows changed what lay there.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import numpy as np

from otel_cx_collector.inventory import Journey
from otel_cx_collector.measure import impact
from otel_cx_collector.measure.columns import Bools, Ints, Window
from otel_cx_collector.measure.impact import Q_FLOOR, Reference, Usual
from otel_cx_collector.measure.minutes import (
    ACTIVE,
    ACTIVE_WINDOW,
    STARTED,
    STEPS,
    TEST_MINUTES,
    Normal,
    harmed_column,
    nanoseconds,
)
from otel_cx_collector.measure.stats import TEST, jeffreys

MIN_HARMED: Final = 3
OVER_AFTER: Final = 10
"""Measured minutes without a true test after which an episode is over."""
REFERENCE_MINUTES: Final = 60
REFERENCE_MIN: Final = 10
REFERENCE_REACH: Final = 24 * 60
"""Reference minutes lie at most 24 h back."""
SEASON_WEEKS: Final = 6
SEASON_WEEKS_MIN: Final = 3
WEEK_HOURS: Final = 7 * 24
YOUNG_MINUTES: Final = 10
NORMAL_REACH: Final = 30 * 24 * 60
"""Normal traffic is read from the last 30 days."""
MISSING_MINUTES: Final = 5
MISSING_BELOW: Final = 0.5
MISSING_EXPECTED: Final = 60
"""Customers are missing when fewer than half came of at least 60 expected in five minutes (4.5)."""
MISSING_SHORT: Final = 10
NEW_NORMAL: Final = 60
"""Minutes after which, without seasons, the lower level is the new normal."""
FINE_MARKS: Final = 180
COARSE: Final = 30
"""The walk can go back to each of the last 180 minutes, and to every thirtieth before."""


class Traffic(Protocol):
    """What a walk is about: minutes from the first data on, of which the closed ones are walked."""

    @property
    def journey(self) -> Journey:
        """Whose executions they are."""
        ...

    @property
    def first(self) -> int:
        """Minute of row 0, since the epoch."""
        ...

    @property
    def counts(self) -> Ints:
        """The grid's counts, one row a minute; see ``minutes``."""
        ...

    @property
    def measured(self) -> Bools:
        """Of every minute."""
        ...

    @property
    def maintenance(self) -> Bools:
        """Of every minute."""
        ...

    @property
    def oldest(self) -> int:
        """Earliest minute of which ``usual`` may know something, since the epoch."""
        ...

    def usual(self, hour: int) -> Usual | None:
        """Everyday harm of one hour since the epoch; None when too little of it is known."""
        ...

    def window(self, minutes: Iterable[int], known_ns: int) -> Window:
        """Executions of minutes since the epoch, as known before a moment."""
        ...


@dataclass(slots=True)
class Span:
    """One episode: ``start`` to ``end``, minutes since the epoch, both inclusive."""

    start: int
    end: int
    confirmed: int
    young: bool
    reference: Reference
    over: bool = False
    quiet: int = 0


class _Mark(NamedTuple):
    """Where the walk stood before a minute."""

    minute: int
    spans: int
    last: Span | None
    clean: int
    seen: int
    missing: int
    low_since: int | None
    normal_from: int
    levels: int


@dataclass(slots=True)
class Walk:
    """What is found so far. Minutes are since the epoch."""

    traffic: Traffic
    next: int = 0
    """The first minute that is not walked yet."""
    spans: list[Span] = field(default_factory=list)
    clean: list[int] = field(default_factory=list)
    """Measured minutes in no episode and no maintenance, ascending, up to the window under test."""
    seen: int = 0
    """Minutes below it are sorted into clean or episode."""
    missing: dict[int, float] = field(default_factory=dict)
    """X_m: attempts that did not come, in order of discovery."""
    levels: list[int] = field(default_factory=list)
    """Minutes from which on a lower level of traffic is taken for normal."""
    _low_since: int | None = None
    _normal_from: int = 0
    _marks: list[_Mark] = field(default_factory=list)

    @property
    def open(self) -> Span | None:
        """The episode under way."""
        return self.spans[-1] if self.spans and not self.spans[-1].over else None

    def advance(self, until: int) -> None:
        """Walk the minutes below ``until``."""
        first = self.traffic.first
        self.next, self.seen = max(self.next, first), max(self.seen, first)
        while self.next < until:
            self._mark()
            if self.traffic.measured[self.next - first]:
                self._find_missing(self.next)
                self._test(self.next)
            self.next += 1

    def back(self, to: int) -> None:
        """Forget what was found from minute ``to`` on, and as little before it as the marks allow."""
        while self._marks and self.next > to:
            mark = self._marks.pop()
            self.next, self.seen = mark.minute, mark.seen
            del self.spans[mark.spans :], self.clean[mark.clean :], self.levels[mark.levels :]
            if mark.last is not None and self.spans:  # else it was dropped since
                self.spans[-1] = mark.last
            for minute in list(self.missing)[mark.missing :]:
                del self.missing[minute]
            self._low_since, self._normal_from = mark.low_since, mark.normal_from
        if self.next > to:
            self.next = self.seen = self._normal_from = 0
            self._low_since = None
            for found in (self.spans, self.clean, self.levels, self.missing):
                found.clear()

    def _mark(self) -> None:
        """Note where the walk stands. Marks of long ago are thinned out."""
        last = self.spans[-1] if self.spans else None
        self._marks.append(
            _Mark(
                minute=self.next,
                spans=len(self.spans),
                last=copy(last) if last is not None and not last.over else last,
                clean=len(self.clean),
                seen=self.seen,
                missing=len(self.missing),
                low_since=self._low_since,
                normal_from=self._normal_from,
                levels=len(self.levels),
            )
        )
        old = len(self._marks) - FINE_MARKS
        if old >= 0 and self._marks[old].minute % COARSE:
            del self._marks[old]

    # ------------------------------------------------------------------ the test

    def _test(self, minute: int) -> None:
        """The test at the end of one measured minute."""
        window = max(self.traffic.first, minute - TEST_MINUTES + 1)
        gone = self._missing_twice(minute)
        episode = self.open
        if episode is None:
            self._settle(window)
            # q is never below its floor: most minutes are dismissed without a look at their reference.
            if gone or self._exceeds(minute, rejections=self.has_baseline(window), q=Q_FLOOR):
                reference = self.reference(window, minute)
                if gone or self._exceeds(minute, rejections=reference.rejections, q=reference.q):
                    self._confirm(window, minute, reference)
            return
        reference = episode.reference
        if gone or self._exceeds(minute, rejections=reference.rejections, q=reference.q):
            episode.quiet = 0
            episode.end = max([episode.end, *(i for i in range(window, minute + 1) if self.harmed(i, reference))])
            return
        episode.quiet += 1
        if episode.quiet >= OVER_AFTER:
            episode.over = True
            self.seen = episode.end + 1

    def _confirm(self, window: int, minute: int, reference: Reference) -> None:
        """Open an episode at the first harmed minute of the window; freeze the reference as it stands there."""
        looked_at = range(window, minute + 1)
        harmed = [i for i in looked_at if self.harmed(i, reference)]
        # Attempts that span minutes can make the window's share larger than each minute's own.
        harmed = harmed or [i for i in looked_at if self._at(i, harmed_column(rejections=reference.rejections))]
        start = harmed[0]
        self._settle(start)
        self.spans.append(
            Span(
                start=start,
                end=harmed[-1],
                confirmed=minute,
                young=self._clean_minutes(minute + 1) < YOUNG_MINUTES,
                reference=self.reference(start, minute) if start > window else reference,
            )
        )

    def _at(self, minute: int, column: int) -> int:
        return int(self.traffic.counts[minute - self.traffic.first, column])

    def _exceeds(self, minute: int, *, rejections: bool, q: float) -> bool:
        harmed = self._at(minute, harmed_column(rejections=rejections, window=True))
        active = max(self._at(minute, ACTIVE_WINDOW), harmed)
        # The bound lies below the share itself, which is cheaper to look at.
        return harmed >= MIN_HARMED and harmed > 2 * q * active and jeffreys(harmed, active, TEST) > 2 * q

    def harmed(self, minute: int, reference: Reference) -> bool:
        """Whether the minute's harmed attempts exceed 2q times its attempts, or some are missing."""
        harmed = self._at(minute, harmed_column(rejections=reference.rejections))
        return harmed > 2 * reference.q * self._at(minute, ACTIVE) or self.missing.get(minute, 0) > 0

    # -------------------------------------------------------------- clean minutes

    def _settle(self, until: int) -> None:
        """Sort the minutes below ``until`` that no episode holds into the clean ones."""
        if self.seen >= until:
            return
        first = self.traffic.first
        usable = self.traffic.measured[self.seen - first : until - first]
        usable = usable & ~self.traffic.maintenance[self.seen - first : until - first]
        self.clean += (np.flatnonzero(usable) + self.seen).tolist()
        self.seen = until

    def clean_before(self, limit: int, count: int = REFERENCE_MINUTES) -> list[int]:
        """The last clean minutes before ``limit``, at most ``count`` and at most 24 h back, ascending."""
        end = bisect_left(self.clean, limit)
        return [i for i in self.clean[max(0, end - count) : end] if i >= limit - REFERENCE_REACH]

    def _clean_minutes(self, until: int) -> int:
        """Clean minutes of the last 30 days that are found so far."""
        return sum(1 for i in self.clean[-2 * YOUNG_MINUTES :] if i >= until - NORMAL_REACH)

    def has_baseline(self, start: int) -> bool:
        """Whether ``reference(start)`` would find enough minutes."""
        return bool(self.weeks(start)) or len(self.clean_before(start)) >= REFERENCE_MIN

    def reference(self, start: int, minute: int) -> Reference:
        """Everyday harm before minute ``start`` (4.4), as known at the end of ``minute``."""
        journey, steps = self.traffic.journey, len(self.traffic.journey.steps)
        weeks = self.weeks(start)
        if weeks:
            return impact.reference(journey, weeks, "seasonal")
        chosen = self.clean_before(start)
        if len(chosen) < REFERENCE_MIN:
            return impact.reference(journey, [], "none")
        rows = self.traffic.window(chosen, nanoseconds(minute + 1))
        return impact.reference(journey, [impact.usual(rows, steps, minutes=len(chosen), started=0)], "recent")

    def weeks(self, minute: int) -> Sequence[Usual]:
        """The same hour of week in the last six weeks; empty with fewer than three."""
        hour = minute // 60
        if hour - SEASON_WEEKS_MIN * WEEK_HOURS < self.traffic.oldest // 60:
            return ()
        found = [self.traffic.usual(hour - week * WEEK_HOURS) for week in range(1, SEASON_WEEKS + 1)]
        kept = [week for week in found if week is not None]
        return kept if len(kept) >= SEASON_WEEKS_MIN else ()

    def clean_between(self, start: int, end: int) -> list[int]:
        """The clean minutes of ``[start, end)``, ascending."""
        return self.clean[bisect_left(self.clean, start) : bisect_left(self.clean, end)]

    def drop(self, before: int) -> None:
        """Forget the minutes before ``before``."""
        cut = bisect_left(self.clean, before)
        gone = sum(1 for span in self.spans if span.end < before)
        lost = sum(1 for minute in self.missing if minute < before)
        del self.clean[:cut], self.spans[:gone]
        for minute in list(self.missing)[:lost]:
            del self.missing[minute]
        self._marks = [
            mark._replace(clean=mark.clean - cut, spans=mark.spans - gone, missing=mark.missing - lost)
            for mark in self._marks
            if mark.clean >= cut and mark.spans >= gone and mark.missing >= lost
        ]

    # ---------------------------------------------------------- missing customers

    def _find_missing(self, minute: int) -> None:
        """X of 4.5, for the five minutes that end with ``minute``."""
        start = minute - MISSING_MINUTES + 1
        first = self.traffic.first
        if start < first:
            return
        rows = slice(start - first, minute + 1 - first)
        if self.traffic.maintenance[rows].any() or not self.traffic.measured[rows].all():
            self._low_since = None
            return
        started = self.traffic.counts[rows, STARTED]
        expected, seasonal = self._expected(start, minute)
        if sum(expected) < MISSING_EXPECTED or started.sum() >= MISSING_BELOW * sum(expected):
            self._low_since = None
            return
        self._low_since = minute if self._low_since is None else self._low_since
        if not seasonal and minute - self._low_since >= NEW_NORMAL:
            self._low_since, self._normal_from = None, minute + 1
            self.levels.append(minute + 1)
            return
        for at, due, came in zip(range(start, minute + 1), expected, started.tolist(), strict=True):
            if at not in self.missing and due > came:
                self.missing[at] = due - came

    def _expected(self, start: int, end: int) -> tuple[list[float], bool]:
        """Attempts that each of the minutes ``start`` to ``end`` should have brought, and whether seasons say so."""
        weeks = [self.weeks(at) for at in (start, end)]
        if all(weeks):
            first, last = (float(np.median([week.started / week.minutes for week in of])) for of in weeks)
            return [first if at // 60 == start // 60 else last for at in range(start, end + 1)], True
        return [self._expected_lately(start)] * (end + 1 - start), False

    def _expected_lately(self, start: int) -> float:
        """Without seasons: the smaller mean of the last 60 and the last 10 clean minutes before ``start``."""
        if self.open is None:
            self._settle(start)
        chosen = [i for i in self.clean_before(start) if i >= self._normal_from and i not in self.missing]
        if len(chosen) < REFERENCE_MIN:
            return 0.0
        came = self.traffic.counts[np.array(chosen) - self.traffic.first, STARTED]
        return float(min(came.mean(), came[-MISSING_SHORT:].mean()))

    def _missing_twice(self, minute: int) -> bool:
        return self.missing.get(minute, 0) > 0 and self.missing.get(minute - 1, 0) > 0

    # ------------------------------------------------------------- normal traffic

    def normal(self, until: int, *, young: bool) -> Normal:
        """N of 4.3 from the minutes below ``until``: the mean over clean ones, or of a young journey the largest.

        A step that was never executed in a clean minute takes its largest minute, so that its first harm has a measure.
        """
        counts = self.traffic.counts[: max(0, until - self.traffic.first)]
        largest = np.maximum(counts[:, STEPS:].max(axis=0, initial=1), 1).astype(np.float64)
        most_started = float(counts[:, STARTED].max(initial=1))
        usable = self._usable(until)
        if young or not usable.any():
            return Normal(largest, max(most_started, 1.0))
        looked_at = counts[: len(usable)]  # newer minutes hold rows already and are judged in a later round
        sums = looked_at[usable].sum(axis=0) / np.count_nonzero(usable)
        means, started = sums[STEPS:], float(sums[STARTED])
        return Normal(np.where(means > 0, means, largest), started if started > 0 else most_started)

    def _usable(self, until: int) -> Bools:
        """Of the minutes below ``until``: measured, in no episode and no maintenance, at most 30 days back."""
        first = self.traffic.first
        size = max(0, until - first)
        found = self.traffic.measured[:size] & ~self.traffic.maintenance[:size]
        found[: max(0, size - NORMAL_REACH)] = False
        for span in self.spans:
            found[max(0, span.start - first) : max(0, span.end + 1 - first)] = False
        return found
