"""Closed minutes, hours and days: how they are made of rows, and read. Not when they are closed: that is rollup.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from otel_cx_collector.events import MINUTE_S, NS
from otel_cx_collector.inventory import Inventory, Journey
from otel_cx_collector.measure import histogram
from otel_cx_collector.store import sql
from otel_cx_collector.store.database import Database

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
REACH_LIMIT_S: Final = DAY_S
"""Rows further than this from an hour say nothing about it: what is later is refused, and keys are cut after a day."""
_EDGES: Final = [float(edge) for edge in np.exp2(np.arange(histogram.PER_OCTAVE) / histogram.PER_OCTAVE)]
"""Lower edges of one octave's buckets, given to the engine: its own power of two differs in the last bit."""

Moments = dict[int, int]
"""Start of a span of time, seconds -> a stamp of the store, microseconds."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What the closing of a journey's minutes goes by: the inventory in force, in the store's terms."""

    journey: str
    environments: tuple[str, ...]
    steps: tuple[str, ...]
    slow_after: tuple[int, ...]
    """Nanoseconds, by step."""
    terminal: tuple[str, ...]
    timeout: int
    """Nanoseconds, as ``recovery``."""
    recovery: int
    per_second: float
    max_slow: float
    maintenance: tuple[tuple[int, int], ...]
    """``[from, to)`` in nanoseconds."""
    own: tuple[str, ...]
    """The inventory's own dimensions."""

    @property
    def reach_s(self) -> int:
        """How far around an hour its attempts and recoveries are looked for: whole hours, at most REACH_LIMIT_S."""
        needed_s = max(self.timeout, self.recovery) / NS
        return min(REACH_LIMIT_S, max(1, -int(-needed_s // HOUR_S)) * HOUR_S)


def definition(journey: Journey, inventory: Inventory) -> Definition:
    """The definition of one journey; maintenance facts have joined the inventory's windows."""
    return Definition(
        journey=journey.name,
        environments=inventory.environments,
        steps=tuple(step.name for step in journey.steps),
        slow_after=tuple(step.slow_after_ns for step in journey.steps),
        terminal=tuple(sorted(journey.terminal)),
        timeout=journey.timeout_ns,
        recovery=journey.recovery_ns,
        per_second=journey.per_second,
        max_slow=journey.max_slow,
        maintenance=inventory.maintenance_of(journey.name),
        own=tuple(name for name, dimension in inventory.dimensions.items() if dimension.own),
    )


class RollupTables:
    """What a store is asked of the tables ``rollup_1m``, ``rollup_1h`` and ``rollup_1d``: a part of ``Store``."""

    _engine: Database

    def _stamp(self) -> int:
        """A stamp, microseconds: after every insert that is visible, before every later one, and not given again."""
        raise NotImplementedError

    def _since(self, cursor_us: int, query: str, asked: dict[str, object]) -> tuple[pa.Table, int]:
        """What a query finds that was inserted after a cursor, and the next cursor."""
        raise NotImplementedError

    def rollups(self, journey: str, from_s: int, to_s: int, step_s: int, dimension: str | None = None) -> pa.Table:
        """Closed figures of one journey in [from_s, to_s) by steps of time: for spans whose rows may be gone.

        One row for each step of time (``start_s``, counted from ``from_s``), step of the journey (``step``, '' for the
        whole journey) and value (``value``) of the dimension, '' without one; what had no traffic is left out.
        ``ok``, ``failed``, ``rejected``, ``cancelled``, ``slow``, ``started``, ``completed`` are weights in units of
        2^-20, ``*_rows`` raw counts, ``harm`` millionths of an execution, ``active`` and ``affected`` customers,
        estimated, ``latency`` a map from bucket (measure/histogram.py) to weight. See measure/rolled.py.

        Spans and steps of whole days and hours (UTC) reach back further than those of minutes. Hours and days
        that are not over hold the minutes that are closed.

        Raises:
            ValueError: Not of whole minutes.
        """
        if step_s <= 0 or any(each % MINUTE_S for each in (from_s, to_s, step_s)):
            raise ValueError(f"from {from_s} to {to_s} by {step_s}: roll-ups are of whole minutes; ask for those")
        table = next(name for of_s, name in TABLES.items() if not any(each % of_s for each in (from_s, to_s, step_s)))
        span = {"from_s": from_s, "to_s": to_s, "step_s": step_s}
        asked = {"table": table, "journey": journey, "dimension": dimension or "", **span}
        return self._engine.query(sql.query("rollups"), asked)

    def minutes_touched(self, environments: Sequence[str], cursor_us: int) -> tuple[dict[str, Moments], int]:
        """By journey the minutes in which rows were inserted after the cursor and when last, and the next cursor."""
        asked: dict[str, object] = {"environments": list(environments)}
        rows, next_us = self._since(cursor_us, sql.query("minutes_touched"), asked)
        return _moments(rows), next_us

    def closed(self, step_s: int, from_s: int) -> dict[str, Moments]:
        """By journey the spans of ``step_s`` (60, 3600, 86400) from ``from_s`` on that were closed, and as of when."""
        return _moments(self._engine.query(sql.query("closed"), {"table": TABLES[step_s], "from_s": from_s}))

    def close_minutes(self, asked: Definition, minutes: Sequence[int]) -> int:
        """Count minutes (seconds since the epoch) of one hour again, from the rows; as of which stamp that was."""
        hour_s = minutes[0] // HOUR_S * HOUR_S
        as_of = self._stamp()
        parameters: dict[str, object] = {
            name: list(value) if isinstance(value, tuple) else value
            for name in Definition.__dataclass_fields__
            for value in (getattr(asked, name),)
        }
        bounds = {"from_s": max(0, hour_s - asked.reach_s), "to_s": hour_s + HOUR_S + asked.reach_s}
        parameters |= {"minutes": list(minutes), "edges": _EDGES, "as_of": as_of, **bounds}
        self._engine.command(sql.query("close_minutes"), parameters)
        return as_of

    def close_hour(self, journey: str, hour_s: int, as_of: int) -> None:
        """Add an hour's minutes up; ``as_of`` is the stamp of the latest of them."""
        self._close(journey, hour_s, as_of, HOUR_S, MINUTE_S)

    def close_day(self, journey: str, day_s: int, as_of: int) -> None:
        """Add a day's hours up; ``as_of`` is the stamp of the latest of them."""
        self._close(journey, day_s, as_of, DAY_S, HOUR_S)

    def _close(self, journey: str, start_s: int, as_of: int, length_s: int, part_s: int) -> None:
        span = {"journey": journey, "start_s": start_s, "end_s": start_s + length_s, "as_of": as_of}
        tables = {"into": TABLES[length_s], "parts": TABLES[part_s]}
        self._engine.command(sql.query("close_span"), {**span, **tables})


TABLES: Final[Mapping[int, str]] = {DAY_S: "rollup_1d", HOUR_S: "rollup_1h", MINUTE_S: "rollup_1m"}
"""Seconds of a span -> table, the coarsest first."""


def _moments(answer: pa.Table) -> dict[str, Moments]:
    found: dict[str, Moments] = {}
    columns = (answer[name].to_pylist() for name in ("journey", "start_s", "at_us"))
    for journey, start_s, at_us in zip(*columns, strict=True):
        found.setdefault(journey, {})[start_s] = at_us
    return found
