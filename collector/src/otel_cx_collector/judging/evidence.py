"""What one journey offers as evidence at one slice boundary: windows of its track. Judges nothing (decide does)."""

from collections.abc import Callable
from typing import Final

import numpy as np

from otel_cx_collector.decide.words import Completions, Failures, Ranks, Severity
from otel_cx_collector.events import MINUTE_S, NS, SLICE_S
from otel_cx_collector.judging.world import World, every_slice
from otel_cx_collector.measure.burn import COVERAGE_MIN
from otel_cx_collector.measure.columns import OK
from otel_cx_collector.measure.episodes import SEASON_WEEKS, SEASON_WEEKS_MIN
from otel_cx_collector.measure.slices import COMPLETED, SLICE_NS, STARTED
from otel_cx_collector.measure.track import Track

WEEK_S: Final = 7 * 24 * 3600
SLICES_A_MINUTE: Final = MINUTE_S // SLICE_S


class At:
    """A journey at T; ``decide.words.Evidence``. It looks at the track when asked, so ask before the track goes on."""

    def __init__(self, track: Track, at_s: int, score: float, severity: Callable[[], Severity], world: World) -> None:
        self._track = track
        self.at_s = at_s
        self._score = score
        self._severity = severity
        self._world = world

    def covered(self, over_ns: int) -> bool:
        """Whether at least 0.9 of the window's expected slices were measured (1.4)."""
        return self.coverage(over_ns) >= COVERAGE_MIN

    def coverage(self, over_ns: int) -> float:
        """Measured of expected slices, which begin with the journey's first data; 0 when none was expected."""
        since = self._track.since_s
        if since is None:
            return 0.0
        begin = max(self.at_s - over_ns // NS, since)
        if self._world.measured_slices is every_slice:
            return 1.0 if begin < self.at_s else 0.0
        measured = self._world.measured_slices(begin, self.at_s)
        return float(measured.mean()) if len(measured) else 0.0

    def ranks(self, step: str | None, over_ns: int, above_ns: int) -> Ranks:
        """Ok executions of the window, and those that lasted at most the threshold."""
        column = self._track.asked.ranks[step, above_ns]
        low, high = self._slices(over_ns)
        tally = self._track.slices
        return Ranks(tally.total(column, low, high), tally.total(column + 1, low, high))

    def durations(self, step: str | None, over_ns: int) -> list[int]:
        """Durations of the window's ok executions, ascending."""
        low_ns, high_ns = self.at_s * NS - over_ns, self.at_s * NS
        columns = self._track.columns(high_ns, low_ns)
        chosen = columns.of_step(step) & (columns.time >= low_ns) & (columns.outcome == OK)
        found: list[int] = np.sort(columns.duration[chosen]).tolist()
        return found

    def completions(self, over_ns: int) -> Completions:
        """The live form of completion and its baseline, counted at the same age (2.1, 5.3)."""
        mature_ns = self._track.journey.mature_ns
        high_ns = self.at_s * NS - mature_ns
        low, high = (high_ns - over_ns) // SLICE_NS, high_ns // SLICE_NS
        tally = self._track.slices
        started, completed = tally.total(STARTED, low, high), tally.total(COMPLETED, low, high)
        baseline, minutes = self._baseline(low, high)
        base_started, base_completed = self._counted(minutes)
        return Completions(
            completed=completed,
            started=started,
            baseline=baseline,
            base_minutes=len(minutes),
            base_completed=base_completed,
            base_started=base_started,
            per_minute=started / max(1, high - low) * SLICES_A_MINUTE,
        )

    def failures(self, step: str | None, over_ns: int) -> Failures | None:
        """Failed of all executions that count; None without an availability objective."""
        target = self._target(step)
        if target is None:
            return None
        column = self._track.asked.failures[step]
        low, high = self._slices(over_ns)
        tally = self._track.slices
        return Failures(tally.total(column, low, high), tally.total(column + 1, low, high), target)

    def saturation(self, resource: str) -> float | None:
        """Share of the limit."""
        level = self._world.levels.get(resource)
        return level.share(self.at_s) if level else None

    def score(self) -> float:
        """S_live as of the last closed minute."""
        return self._score

    def severity(self) -> Severity:
        """By score, floors included."""
        return self._severity()

    def _slices(self, over_ns: int) -> tuple[int, int]:
        high = self.at_s // SLICE_S
        return high - over_ns // SLICE_NS, high

    def _target(self, step: str | None) -> float | None:
        targets = {o.step: o.target for o in self._track.journey.objectives if o.sli == "availability"}
        return targets.get(step, targets.get(None, min(targets.values(), default=None)))

    def _baseline(self, low: int, high: int) -> tuple[str, list[int]]:
        """Clean minutes to compare with: the same ones of past weeks, else the last before episode and window."""
        weeks = self._weeks(low, high)
        if weeks:
            return "seasonal", weeks
        span = self._track.walk.open
        before = min(low // SLICES_A_MINUTE if span is None else span.start, high // SLICES_A_MINUTE)
        recent = self._track.walk.clean_before(before)
        return ("recent" if recent else "none"), recent

    def _weeks(self, low: int, high: int) -> list[int]:
        """Clean minutes of the same window in each of the last six weeks; none with fewer than three such weeks."""
        week = WEEK_S // SLICE_S
        if low - SEASON_WEEKS_MIN * week < self._track.slices.first:
            return []
        clean = self._track.walk.clean_between
        found = [
            clean(-(-(low - back * week) // SLICES_A_MINUTE), (high - back * week) // SLICES_A_MINUTE)
            for back in range(1, SEASON_WEEKS + 1)
        ]
        kept = [minutes for minutes in found if minutes]
        return [minute for minutes in kept for minute in minutes] if len(kept) >= SEASON_WEEKS_MIN else []

    def _counted(self, minutes: list[int]) -> tuple[int, int]:
        """Attempts started in the minutes, and those of them that were completed in time."""
        tally = self._track.slices
        rows = (np.array(minutes, dtype=np.int64)[:, None] * SLICES_A_MINUTE + np.arange(SLICES_A_MINUTE)).ravel()
        rows = rows[(rows >= tally.first) & (rows < tally.end)] - tally.first
        started, completed = tally.counts[rows][:, [STARTED, COMPLETED]].sum(axis=0).tolist()
        return int(started), int(completed)
