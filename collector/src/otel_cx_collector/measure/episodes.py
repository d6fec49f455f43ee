"""Episodes (measures.md 4.8): when a journey is hurt, found minute by minute with the reference of 4.4. No figures."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from otel_cx_collector.measure import impact
from otel_cx_collector.measure.columns import Bools, Columns, Floats
from otel_cx_collector.measure.impact import Q_FLOOR, Reference
from otel_cx_collector.measure.minutes import TEST_MINUTES, Minutes
from otel_cx_collector.measure.stats import TEST, jeffreys_array

MIN_HARMED: Final = 3
OVER_AFTER: Final = 10
"""Measured minutes without a true test after which an episode is over."""
REFERENCE_MINUTES: Final = 60
REFERENCE_MIN: Final = 10
REFERENCE_REACH: Final = 24 * 60
"""Reference minutes lie at most 24 h back."""
YOUNG_MINUTES: Final = 10
NORMAL_REACH: Final = 30 * 24 * 60
"""Normal traffic is read from the last 30 days."""


@dataclass(slots=True)
class Span:
    """One episode on the minute grid: ``start`` to ``end``, both inclusive."""

    start: int
    end: int
    confirmed: int
    young: bool
    reference: Reference
    over: bool = False
    quiet: int = 0

    def harmed(self, minutes: Minutes, minute: int) -> bool:
        """Whether the minute's harmed attempts exceed 2q times its attempts."""
        return _harmed(minutes, minute, self.reference)


@dataclass(slots=True)
class Walk:
    """Where the walk over the minutes stands: what is found, and which minutes behind it are clean."""

    minutes: Minutes
    columns: Columns
    spans: list[Span] = field(default_factory=list)
    clean: list[int] = field(default_factory=list)
    """Measured minutes in no episode and no maintenance, ascending, up to the window under test."""
    seen: int = 0
    """Minutes below it are sorted into clean or episode."""

    @property
    def open(self) -> Span | None:
        """The episode under way."""
        return self.spans[-1] if self.spans and not self.spans[-1].over else None

    def settle(self, until: int) -> None:
        """Sort the minutes below ``until`` that no episode holds into the clean ones."""
        usable = self.minutes.measured & ~self.minutes.maintenance
        self.clean += [i for i in range(self.seen, until) if usable[i]]
        self.seen = max(self.seen, until)

    def reference(self, start: int) -> Reference:
        """Everyday harm before minute ``start`` (4.4)."""
        chosen = [i for i in self.clean[-REFERENCE_MINUTES:] if i >= start - REFERENCE_REACH]
        if len(chosen) < REFERENCE_MIN:
            return impact.reference(self.columns, None)
        return impact.reference(self.columns, self.minutes.rows_of(chosen))

    def has_baseline(self, start: int) -> bool:
        """Whether ``reference(start)`` would find enough minutes."""
        return len(self.clean) >= REFERENCE_MIN and self.clean[-REFERENCE_MIN] >= start - REFERENCE_REACH


def find(columns: Columns, minutes: Minutes) -> Walk:
    """Every episode of the closed minutes, in order of time; the last may still be open."""
    walk = Walk(minutes, columns)
    lower = {
        rejections: jeffreys_array(np.minimum(counts.window, minutes.active.window), minutes.active.window, TEST)
        for rejections, counts in minutes.harmed.items()
    }
    for minute in range(len(minutes)):
        if minutes.measured[minute]:
            _test(walk, minute, lower)
    return walk


def _test(walk: Walk, minute: int, lower: dict[bool, Floats]) -> None:
    """The test at the end of one measured minute."""
    window = max(0, minute - TEST_MINUTES + 1)
    episode = walk.open
    if episode is None:
        walk.settle(window)
        rejections = walk.has_baseline(window)
        # q is never below its floor: most minutes are dismissed without a look at their reference.
        if _exceeds(walk.minutes, minute, lower, rejections=rejections, q=Q_FLOOR):
            reference = walk.reference(window)
            if _exceeds(walk.minutes, minute, lower, rejections=rejections, q=reference.q):
                _confirm(walk, window, minute, reference)
        return
    reference = episode.reference
    if _exceeds(walk.minutes, minute, lower, rejections=reference.rejections, q=reference.q):
        episode.quiet = 0
        hurt = [i for i in range(window, minute + 1) if episode.harmed(walk.minutes, i)]
        episode.end = max([episode.end, *hurt])
        return
    episode.quiet += 1
    if episode.quiet >= OVER_AFTER:
        episode.over = True
        walk.seen = episode.end + 1


def _confirm(walk: Walk, window: int, minute: int, reference: Reference) -> None:
    """Open an episode at the first harmed minute of the window; freeze the reference as it stands there."""
    looked_at = range(window, minute + 1)
    harmed = [i for i in looked_at if _harmed(walk.minutes, i, reference)]
    # Attempts that span minutes can make the window's share larger than each minute's own.
    harmed = harmed or [i for i in looked_at if walk.minutes.harmed[reference.rejections].minute[i]]
    start = harmed[0]
    walk.settle(start)
    walk.spans.append(
        Span(
            start=start,
            end=harmed[-1],
            confirmed=minute,
            young=len([i for i in walk.clean if i >= minute - NORMAL_REACH]) < YOUNG_MINUTES,
            reference=walk.reference(start) if start > window else reference,
        )
    )


def _exceeds(minutes: Minutes, minute: int, lower: dict[bool, Floats], *, rejections: bool, q: float) -> bool:
    return bool(minutes.harmed[rejections].window[minute] >= MIN_HARMED and lower[rejections][minute] > 2 * q)


def _harmed(minutes: Minutes, minute: int, reference: Reference) -> bool:
    harmed = minutes.harmed[reference.rejections].minute[minute]
    return bool(harmed > 2 * reference.q * minutes.active.minute[minute])


def clean(minutes: Minutes, spans: list[Span]) -> Bools:
    """Minutes of the last 30 days that normal traffic is read from: measured, in no episode, no maintenance (4.3)."""
    found = minutes.measured & ~minutes.maintenance
    found[: max(0, len(minutes) - NORMAL_REACH)] = False
    for span in spans:
        found[span.start : span.end + 1] = False
    return found
