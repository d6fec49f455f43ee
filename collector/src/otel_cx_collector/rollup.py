"""Closes minutes, hours and days of every journey, and closes again what late rows touched. Not what is counted.

What is due is decided purely, from two kinds of moments: when rows were last inserted into a minute, and as of when the
minute was closed. Nothing else is remembered, so a crash at any point costs at most work done again, and whatever the
order and lateness of rows, what is closed in the end is what would have been closed from all of them at once.

- A minute is due when it has ended by the watermark and rows of it are newer than its closing.
- An hour's minutes are due together once more when all that may belong to their attempts is there: the hour has ended
  as long ago as its journey's attempts reach, and rows of the hours around it are newer than its closing.
- An hour is added up when one of its minutes was closed, a day when one of its hours was: one that is not over holds
  what there is of it, and the last minute completes it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from otel_cx_collector.config import StoreLimits
from otel_cx_collector.events import MINUTE_S, NS
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.store import StoreError
from otel_cx_collector.store.rollups import DAY_S, HOUR_S, Definition, Moments, definition

CLOSINGS: Final = 100
"""Hours whose minutes are closed in one call; what is more waits for the next one, the oldest longest."""


class RollupStore(Protocol):
    """What is needed of the store."""

    @property
    def limits(self) -> StoreLimits:
        """How long rows are kept."""
        ...

    def minutes_touched(self, environments: tuple[str, ...], cursor_us: int) -> tuple[dict[str, Moments], int]:
        """By journey the minutes in which rows were inserted after the cursor, and the next cursor."""
        ...

    def closed(self, step_s: int, from_s: int) -> dict[str, Moments]:
        """By journey the spans from ``from_s`` on that were closed, and as of when."""
        ...

    def close_minutes(self, asked: Definition, minutes: list[int]) -> int:
        """Count minutes of one hour again; as of when that was."""
        ...

    def close_hour(self, journey: str, hour_s: int, as_of: int) -> None:
        """Add an hour's minutes up."""
        ...

    def close_day(self, journey: str, day_s: int, as_of: int) -> None:
        """Add a day's hours up."""
        ...


@dataclass(slots=True)
class Closed:
    """What is known of one journey. Keys are seconds since the epoch, values stamps of the store."""

    touched: Moments = field(default_factory=dict)
    """Minute -> when rows were last inserted into it."""
    minutes: Moments = field(default_factory=dict)
    """Minute, hour, day -> as of when it was closed."""
    hours: Moments = field(default_factory=dict)
    days: Moments = field(default_factory=dict)

    def forget(self, before_s: int) -> None:
        """Drop what no row can touch any more."""
        for moments in (self.touched, self.minutes, self.hours, self.days):
            for old in [start for start in moments if start < before_s]:
                del moments[old]


def due_minutes(known: Closed, reach_s: int, watermark_s: int, whole_s: int = 0) -> dict[int, list[int]]:
    """Hour -> its minutes that are to be closed.

    Args:
        known: Of one journey.
        reach_s: How far an attempt reaches, whole hours.
        watermark_s: Everything before it has been judged.
        whole_s: Rows before it may be gone: an hour that needs them stays as it was closed.
    """
    due: dict[int, list[int]] = {}
    hours = _by_hour(known.touched)
    latest = {hour: max(known.touched[minute] for minute in minutes) for hour, minutes in hours.items()}
    for hour, minutes in hours.items():
        if hour - reach_s < whole_s and all(minute in known.minutes for minute in minutes):
            continue
        if hour + HOUR_S + reach_s <= watermark_s:
            around = range(hour - reach_s, hour + reach_s + HOUR_S, HOUR_S)
            newest = max(latest.get(each, 0) for each in around)
            chosen = minutes if newest > min(known.minutes.get(minute, 0) for minute in minutes) else []
        else:
            ended = [minute for minute in minutes if minute + MINUTE_S <= watermark_s]
            chosen = [minute for minute in ended if known.touched[minute] > known.minutes.get(minute, 0)]
        if chosen:
            due[hour] = sorted(chosen)
    return due


def stale(parts: Moments, whole: Moments, step_s: int) -> Moments:
    """Start of a span of ``step_s`` -> the stamp it is to be closed with: one of its parts is newer than it is."""
    newest: Moments = {}
    for start, as_of in parts.items():
        begin = start // step_s * step_s
        newest[begin] = max(newest.get(begin, 0), as_of)
    return {begin: as_of for begin, as_of in newest.items() if as_of > whole.get(begin, 0)}


def _by_hour(minutes: Iterable[int]) -> dict[int, list[int]]:
    hours: dict[int, list[int]] = {}
    for minute in minutes:
        hours.setdefault(minute // HOUR_S * HOUR_S, []).append(minute)
    return hours


class Rollups:
    """The roll-ups of every journey of an inventory. Not for several threads at once; raises StoreError.

    ``inventory`` may be set anew: what is closed from then on goes by it.
    """

    def __init__(self, store: RollupStore, inventory: Inventory, closings: int = CLOSINGS) -> None:
        self.inventory = inventory
        self._store = store
        self._closings = closings
        self._known: dict[str, Closed] | None = None
        self._cursor_us = 0
        self._failed: tuple[str, int] | None = None
        """Whose turn comes last, so that one hour that cannot be closed does not keep others from it."""

    def close(self, watermark_s: int) -> int:
        """Close what is due at the watermark, a bounded part of it, the newest first; how many minutes that were."""
        whole_s = self._whole_s(watermark_s)
        known = self._look(whole_s)
        asked = {name: definition(journey, self.inventory) for name, journey in self.inventory.journeys.items()}
        try:
            return sum(
                self._close(asked[name], known[name], hour, minutes)
                for name, hour, minutes in self._due(asked, known, watermark_s, whole_s)
            )
        finally:
            self._add_up(known)
            for each in known.values():
                each.forget(whole_s - DAY_S)

    def pending(self, watermark_s: int) -> int:
        """How many hours ``close`` would have to look at, as far as is known since it was last called."""
        known = self._known or {}
        whole_s = self._whole_s(watermark_s)
        return sum(
            len(due_minutes(known[name], definition(journey, self.inventory).reach_s, watermark_s, whole_s))
            for name, journey in self.inventory.journeys.items()
            if name in known
        )

    def _whole_s(self, watermark_s: int) -> int:
        """Rows are dropped by whole days: of the oldest one nothing may be left."""
        keep_ns = self._store.limits.keep_ns
        return 0 if keep_ns is None else watermark_s - keep_ns // NS + DAY_S

    def _look(self, whole_s: int) -> dict[str, Closed]:
        """Take note of what was inserted since the last call; at first, of all that is there."""
        touched, cursor_us = self._store.minutes_touched(self.inventory.environments, self._cursor_us)
        known = self._known
        if known is None:
            from_s = max(0, whole_s - DAY_S) // DAY_S * DAY_S
            minutes, hours, days = (self._store.closed(step_s, from_s) for step_s in (MINUTE_S, HOUR_S, DAY_S))
            names = [*self.inventory.journeys, *touched]
            known = {n: Closed({}, minutes.get(n, {}), hours.get(n, {}), days.get(n, {})) for n in names}
        for name, moments in touched.items():
            known.setdefault(name, Closed()).touched.update(moments)
        for name in self.inventory.journeys:
            known.setdefault(name, Closed())
        self._known, self._cursor_us = known, cursor_us
        return known

    def _due(
        self, asked: Mapping[str, Definition], known: Mapping[str, Closed], watermark_s: int, whole_s: int
    ) -> Iterator[tuple[str, int, list[int]]]:
        """Journey, hour, minutes: the newest hours first, what failed last time after all others."""
        due = [
            (name, hour, minutes)
            for name, of in asked.items()
            for hour, minutes in due_minutes(known[name], of.reach_s, watermark_s, whole_s).items()
        ]
        due.sort(key=lambda each: (each[:2] == self._failed, -each[1], each[0]))
        yield from due[: self._closings]

    def _close(self, asked: Definition, known: Closed, hour: int, minutes: list[int]) -> int:
        try:
            as_of = self._store.close_minutes(asked, minutes)
        except StoreError:
            self._failed = (asked.journey, hour)
            raise
        known.minutes.update(dict.fromkeys(minutes, as_of))
        return len(minutes)

    def _add_up(self, known: Mapping[str, Closed]) -> None:
        for name, of in known.items():
            for hour, as_of in sorted(stale(of.minutes, of.hours, HOUR_S).items()):
                self._store.close_hour(name, hour, as_of)
                of.hours[hour] = as_of
            for day, as_of in sorted(stale(of.hours, of.days, DAY_S).items()):
                self._store.close_day(name, day, as_of)
                of.days[day] = as_of
