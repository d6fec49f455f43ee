"""One journey's executions as they come: kept by attempt, counted by minute and slice, walked for episodes.

A track costs what is new: attempts are kept in parts by when they were first seen, all that is counted adds up over
parts, and the walk goes back no further than the earliest new row. Live and replay judge by the same track. It holds
no thresholds of its own and decides nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otel_cx_collector.events import MINUTE_S, NS, SLICE_S, STEP_SCHEMA
from otel_cx_collector.inventory import Inventory, Journey
from otel_cx_collector.measure.columns import (
    FAILED,
    MINUTE_NS,
    NEVER,
    REJECTED,
    Bools,
    Columns,
    Ints,
    Window,
    build,
    joined,
)
from otel_cx_collector.measure.episodes import NORMAL_REACH, REFERENCE_MIN, Walk
from otel_cx_collector.measure.impact import Usual, usual
from otel_cx_collector.measure.minutes import STARTED, STEPS, ByMinute, grid, in_maintenance
from otel_cx_collector.measure.slices import Questions, questions, slices
from otel_cx_collector.measure.tally import Tally

PART_S: Final = 900
"""Attempts first seen within so many seconds of event time make one part."""
HISTORY_PARTS: Final = 32
"""Rows over more parts than these come from the store or a recording, not from the last seconds;"""
PART_ROWS: Final = 2_000
"""they are laid together until a part holds about so many."""
HOMES_FRESH: Final = 20_000
"""New attempts remembered before they join the sorted ones."""

Measured = Callable[[int, int], Bools]
"""Of each of ``count`` minutes from minute ``first`` on, whether it was measured."""


def always(first: int, count: int) -> Bools:  # noqa: ARG001 - the signature of Measured
    """Every slice is measured, as in replay."""
    return np.ones(count, dtype=np.bool_)


@dataclass(slots=True)
class Part:
    """Some attempts, whole: their rows, and what is counted of them."""

    table: pa.Table
    """Sorted by attempt key, end, span id."""
    columns: Columns
    minutes: Tally
    slices: Tally
    by_minute: ByMinute
    last_ns: int
    """End of the latest row; -1 without one."""


class Homes:
    """Which part each attempt key lives in. Keys are known by a 64-bit hash: a collision costs nothing but place."""

    def __init__(self) -> None:
        self._keys = np.zeros(0, dtype=np.int64)
        self._parts = np.zeros(0, dtype=np.int64)
        self._fresh: dict[int, int] = {}

    def of(self, keys: list[str], default: list[int]) -> list[int]:
        """The part of each key; a new key goes where ``default`` says, all its rows of one call to the smallest."""
        hashed = [hash(key) for key in keys]
        found = self._known(np.array(hashed, dtype=np.int64))
        for at, key in enumerate(hashed):
            if found[at] < 0:
                self._fresh[key] = min(self._fresh.get(key, default[at]), default[at])
        homes = [found[at] if found[at] >= 0 else self._fresh[key] for at, key in enumerate(hashed)]
        if len(self._fresh) > HOMES_FRESH:
            self._settle()
        return homes

    def _known(self, keys: Ints) -> list[int]:
        at = np.searchsorted(self._keys, keys)
        inside = np.minimum(at, max(len(self._keys) - 1, 0))
        same = (self._keys[inside] == keys) if len(self._keys) else np.zeros(len(keys), dtype=np.bool_)
        found = np.where(same, self._parts[inside] if len(self._keys) else -1, -1).tolist()
        return [
            self._fresh.get(key, home) if home < 0 else home for key, home in zip(keys.tolist(), found, strict=True)
        ]

    def _settle(self) -> None:
        keys = np.concatenate([self._keys, np.fromiter(self._fresh, dtype=np.int64)])
        parts = np.concatenate([self._parts, np.fromiter(self._fresh.values(), dtype=np.int64)])
        order = np.argsort(keys, kind="stable")
        self._keys, self._parts, self._fresh = keys[order], parts[order], {}

    def drop(self, before: int) -> None:
        """Forget the keys of parts before ``before``."""
        self._settle()
        kept = self._parts >= before
        self._keys, self._parts = self._keys[kept], self._parts[kept]


class Track:
    """What is known of one journey. Not for several threads at once.

    Args:
        journey: The journey.
        inventory: The file in force; maintenance facts have joined its windows.
        seasons: Everyday harm by hour since the epoch, of hours whose rows may be gone.
        part_s: Attempts first seen within so many seconds make one part; None: all are one, as suits a recording.
    """

    def __init__(
        self,
        journey: Journey,
        inventory: Inventory,
        seasons: Mapping[int, Usual] | None = None,
        part_s: int | None = PART_S,
    ) -> None:
        self.journey = journey
        self.inventory = inventory
        self._seasons: Mapping[int, Usual] = seasons if seasons is not None else {}
        self._hours: dict[int, Usual | None] = {}
        self.asked: Questions = questions(inventory, journey)
        self.measured: Bools = np.zeros(0, dtype=np.bool_)
        self.maintenance: Bools = np.zeros(0, dtype=np.bool_)
        self.walk = Walk(self)
        self.slices = Tally.empty(self.asked.width)
        self._minutes = Tally.empty(STEPS + len(journey.steps))
        self._part_s = part_s
        self._parts: dict[int, Part] = {}
        self._homes = Homes()
        self._looked_at = (0, 0)
        self._order: list[Part] = []
        self._spans: Ints = np.zeros((0, 2), dtype=np.int64)
        self.rows = 0

    # ---------------------------------------------------------------- rows come

    def add(self, table: pa.Table) -> None:
        """Take rows of ``STEP_SCHEMA`` in any order: new ones, later versions of known ones, or known ones again."""
        if not table.num_rows:
            return
        for home, rows in self._routed(table):
            known = self._parts.get(home)
            if known:
                self._count(known, -1)
            part = self._part(merged(known.table if known else None, rows))
            self._parts[home] = part
            self._count(part, 1)
        self._index()
        earliest = int(pc.min(table["end"]).as_py()) // MINUTE_NS
        self.walk.back(earliest)
        self._hours = {hour: found for hour, found in self._hours.items() if hour < earliest // 60 - 1}

    def _routed(self, table: pa.Table) -> list[tuple[int, pa.Table]]:
        if self._part_s is None:
            return [(0, table)]
        default = _coarse(table["end"].to_numpy() // (self._part_s * NS)).tolist()
        keys = table["attempt"].cast(pa.string()).to_pylist()
        home = np.array(self._homes.of(keys, default), dtype=np.int64)
        order = np.argsort(home, kind="stable")
        homes, begins = np.unique(home[order], return_index=True)
        table = table.take(pa.array(order))
        ends = [*begins[1:].tolist(), len(order)]
        return [
            (int(at), table.slice(begin, end - begin))
            for at, begin, end in zip(homes, begins.tolist(), ends, strict=True)
        ]

    def _part(self, table: pa.Table) -> Part:
        columns = build(table, self.journey, self.inventory)
        last_ns = int(columns.time.max(initial=-1))
        return Part(table, columns, grid(columns), slices(columns, self.asked), ByMinute(columns), last_ns)

    def _count(self, part: Part, sign: int) -> None:
        self._minutes.add(part.minutes, sign)
        self.slices.add(part.slices, sign)

    def drop(self, before_s: int) -> None:
        """Forget the rows of parts that ended before ``before_s``; what was counted of their minutes stays."""
        if self._part_s is None:
            return
        old = [at for at, part in self._parts.items() if part.last_ns < before_s * NS]
        for at in old:
            del self._parts[at]
        if old:
            self._homes.drop(min(self._parts, default=0))
        self.slices.drop(min(before_s, self.slices.end * SLICE_S - self.asked.reach_s) // SLICE_S)
        self._minutes.drop(max(self._minutes.first, self._minutes.end - NORMAL_REACH))
        self.walk.drop(self._minutes.first)
        self._index()

    def thin(self, rows: int) -> None:
        """Forget the oldest parts until at most ``rows`` rows are left."""
        parts = sorted(self._order, key=lambda part: part.last_ns)
        left = self.rows
        for part in parts:
            if left <= rows:
                break
            left -= part.table.num_rows
            self.drop(part.last_ns // NS + 1)

    def _index(self) -> None:
        """Where in time each part lies."""
        self._order = list(self._parts.values())
        self._spans = np.array(
            [(part.by_minute.first, part.by_minute.last) for part in self._order] or [(0, -1)], dtype=np.int64
        )
        self.rows = sum(part.table.num_rows for part in self._order)

    def _between(self, start: int, end: int) -> list[Part]:
        """The parts with an execution in or around the minutes ``[start, end)``."""
        found = np.flatnonzero((self._spans[:, 0] < end) & (self._spans[:, 1] >= start))
        return [self._order[at] for at in found.tolist()] if self._order else []

    # ------------------------------------------------------------ minutes close

    def close(self, at_s: int, measured: Measured = always) -> None:
        """Walk the minutes that have ended by ``at_s``; before the first data there is nothing to walk."""
        if not len(self._minutes):
            return
        closed = at_s // MINUTE_S
        if closed <= self.first:
            return
        if closed > self._minutes.end:
            self._minutes.reach(self.first, closed)
        if self._looked_at != (self.first, len(self._minutes)) or measured is not always:
            self._look(measured)
        self.walk.advance(closed)

    def _look(self, measured: Measured) -> None:
        """Say of every minute whether it was measured and whether it is in maintenance; go back where that changed."""
        first, count = self.first, len(self._minutes)
        before, known = self._looked_at, self.measured
        self.measured = measured(first, count)
        self.maintenance = in_maintenance(self.inventory, self.journey.name, first, count)
        self._looked_at = first, count
        if before[0] == first:
            shared = min(len(known), count)
            changed = np.flatnonzero(known[:shared] != self.measured[:shared])
            if len(changed):
                self.walk.back(first + int(changed[0]))

    @property
    def first(self) -> int:
        """Minute of the first data, since the epoch."""
        return self._minutes.first

    @property
    def counts(self) -> Ints:
        """The grid, one row a minute."""
        return self._minutes.counts

    @property
    def since_s(self) -> int | None:
        """Start of the slice of the first data; None before there is any."""
        return self.slices.first * SLICE_S if len(self.slices) else None

    @property
    def whole_s(self) -> int:
        """From here on the rows are all there: start of the oldest part's first minute."""
        return MINUTE_S * min((part.by_minute.first for part in self._order), default=NEVER // NS)

    @property
    def oldest(self) -> int:
        """Earliest minute of which something is known, also where only its hour's sums are left."""
        return min(self.first, 60 * min(self._seasons, default=NEVER // 60))

    def usual(self, hour: int) -> Usual | None:
        """Everyday harm of one hour since the epoch; None when fewer than ten of its minutes are clean."""
        kept = self._seasons.get(hour)
        return kept if kept is not None else self.counted(hour)

    def counted(self, hour: int) -> Usual | None:
        """The same from the rows, whatever was kept of that hour."""
        if hour not in self._hours:
            self._hours[hour] = self._usual(self.walk.clean_between(hour * 60, (hour + 1) * 60))
        return self._hours[hour]

    def _usual(self, clean: list[int]) -> Usual | None:
        if len(clean) < REFERENCE_MIN:
            return None
        started = int(self.counts[np.array(clean) - self.first, STARTED].sum())
        return usual(self.window(clean, NEVER), len(self.journey.steps), minutes=len(clean), started=started)

    # ------------------------------------------------------------ rows are asked

    def window(self, minutes: Iterable[int], known_ns: int) -> Window:
        """Executions of minutes since the epoch, as known before a moment."""
        chosen = list(minutes)
        low, high = (chosen[0], chosen[-1]) if chosen else (0, -1)
        parts = [
            (part.by_minute.window(chosen, known_ns), len(part.columns.attempts))
            for part in self._between(low, high + 1)
        ]
        if not parts:
            parts = [(build(STEP_SCHEMA.empty_table(), self.journey, self.inventory).window(_NONE), 0)]
        return parts[0][0] if len(parts) == 1 else Window.joined(parts)

    def table(self) -> pa.Table:
        """All rows."""
        tables = [part.table for part in self._order] or [STEP_SCHEMA.empty_table()]
        return pa.concat_tables(tables, promote_options="permissive")

    def customers(self, start: int, end: int) -> tuple[int, int]:
        """Distinct customers affected of active in the minutes ``[start, end)`` of an episode, as known at its end.

        Affected: an execution failed, gave up, was slow, or was rejected (4.10).
        """
        columns = self.columns(end * MINUTE_NS, start * MINUTE_NS)
        inside = columns.minute >= start
        affected = (columns.outcome == FAILED) | columns.slow | (columns.outcome == REJECTED)
        unit = columns.attempts.unit[columns.attempt]
        return len(np.unique(unit[inside & affected & ~columns.maintenance])), len(np.unique(unit[inside]))

    def columns(self, as_of_ns: int, from_ns: int = 0) -> Columns:
        """Every execution that ended before ``as_of_ns``, as known then, of the attempts active since ``from_ns``.

        The attempts are whole; other attempts of the same parts come with them.
        """
        parts = self._between(from_ns // MINUTE_NS, -(-as_of_ns // MINUTE_NS))
        found = [
            part.columns if part.last_ns < as_of_ns else build(part.table, self.journey, self.inventory, as_of_ns)
            for part in parts
        ]
        found = found or [build(STEP_SCHEMA.empty_table(), self.journey, self.inventory)]
        return joined(found)


def _coarse(parts: Ints) -> Ints:
    """Fewer parts for the history of a quiet journey: each costs a few milliseconds, however little it holds."""
    many = len(np.unique(parts))
    together = -(-many * PART_ROWS // len(parts)) if many > HISTORY_PARTS else 1
    return parts // together * together


_NONE: Final = np.zeros(0, dtype=np.int64)
ORDER: Final = [("attempt", "ascending"), ("end", "ascending"), ("span_id", "ascending")]


def merged(known: pa.Table | None, fresh: pa.Table) -> pa.Table:
    """Rows of both, of each execution the copy with the highest version, sorted by attempt key, end, span id."""
    both = fresh if known is None else pa.concat_tables([known, fresh], promote_options="permissive")
    both = both.unify_dictionaries()
    order = pc.sort_indices(
        both.select(["attempt", "minute", "span_id", "version"]),
        [("attempt", "ascending"), ("minute", "ascending"), ("span_id", "ascending"), ("version", "descending")],
    )
    both = both.take(order)
    same = np.ones(both.num_rows, dtype=np.bool_)
    for name in ("attempt", "minute", "span_id"):
        column = both[name].combine_chunks()
        same[1:] &= pc.equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    same[:1] = False
    return both.filter(pa.array(~same)).sort_by(ORDER)
