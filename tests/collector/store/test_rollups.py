"""Closed minutes, hours and days: equal to what the rows say, whatever came in which order and however late."""

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from step_rows import T0, step_row, table

from otel_cx_collector.events import MINUTE_S, NS, STEP_SCHEMA, WEIGHT_ONE, Grade, Outcome, StepRow
from otel_cx_collector.inventory import Inventory, parse
from otel_cx_collector.measure import histogram, rolled
from otel_cx_collector.measure.columns import CANCELLED, FAILED, OK, REJECTED, Columns, build
from otel_cx_collector.measure.evaluation import evaluate, figures
from otel_cx_collector.measure.track import merged
from otel_cx_collector.rollup import Rollups
from otel_cx_collector.store import Store
from otel_cx_collector.store.rollups import DAY_S, HOUR_S

INVENTORY = """
version: 1
dimensions:
  segment: {enterprise: 1.0, trial: 0.4}
  market: {attribute: shop.market, values: [de, fr]}
maintenance: [{journey: %(name)s, from: 2026-01-05T09:50:00Z, to: 2026-01-05T09:55:00Z}]
journeys:
  %(name)s:
    title: Checkout
    owner: shop
    criticality: 1.0
    timeout: 30m
    steps:
      - {name: cart, slow_after: 1s}
      - {name: payment, slow_after: 500ms}
      - {name: confirm, terminal: true}
    objectives: [{sli: availability, target: 99%%}]
"""
FROM = T0 + 30 * MINUTE_S
"""Rows lie in the hour that begins here, across two hours of the clock."""
LATER = T0 + 3 * DAY_S


def inventory(name: str = "checkout") -> Inventory:
    return parse(INVENTORY % {"name": name})


@pytest.fixture(scope="module")
def shared() -> Iterator[Store]:
    """One store for all examples of a law; each has a journey of its own."""
    with Store.temporary() as store:
        yield store


Key = tuple[str, str, str, int]
"""Dimension, value, step, start."""


def from_rows(rows: list[StepRow], file: Inventory, name: str) -> dict[Key, dict[str, Any]]:
    """The minutes' roll-ups as measure counts them, from all rows at once."""
    columns = build(merged(None, table(*rows)), file.journeys[name], file)
    marginals = {"": (np.zeros(len(columns), np.int64), [""])} | {
        dimension: (labelled.codes, labelled.labels) for dimension, labelled in columns.dimensions.items()
    }
    found = {}
    for dimension, (codes, labels) in marginals.items():
        for code, value in enumerate(labels):
            for step in ("", *(each.name for each in columns.journey.steps)):
                for minute in np.unique(columns.minute).tolist():
                    chosen = (codes == code) & (columns.minute == minute)
                    if step:
                        chosen &= columns.step == [each.name for each in columns.journey.steps].index(step)
                    if chosen.any():
                        found[dimension, value, step, minute * MINUTE_S] = counted(columns, chosen)
    return found


def counted(columns: Columns, chosen: np.ndarray[Any, np.dtype[np.bool_]]) -> dict[str, Any]:
    outcomes = {"ok": OK, "failed": FAILED, "rejected": REJECTED, "cancelled": CANCELLED}
    which = {name: chosen & (columns.outcome == code) for name, code in outcomes.items()}
    which["slow"] = chosen & columns.slow
    first = np.flatnonzero(np.diff(columns.attempt, prepend=-1))
    starts = np.zeros(len(columns), np.bool_)
    starts[first] = True
    done = columns.attempts.completed[columns.attempt]
    unit = columns.attempts.unit[columns.attempt]
    affected = ((columns.outcome == FAILED) | columns.slow) & ~columns.maintenance
    ok = which["ok"]
    return {
        **{name: int(columns.weight[rows].sum()) for name, rows in which.items()},
        **{f"{name}_rows": int(rows.sum()) for name, rows in which.items()},
        "harm": int(np.rint(columns.harm[chosen] * 1e6).sum()),
        "started": int(columns.weight[chosen & starts].sum()),
        "completed": int(columns.weight[chosen & starts & done].sum()),
        "active": len(np.unique(unit[chosen])),
        "affected": len(np.unique(unit[chosen & affected])),
        "latency": dict(histogram.of(columns.duration[ok], columns.weight[ok])),
    }


def from_store(
    store: Store, name: str, dimensions: tuple[str, ...], step_s: int = MINUTE_S
) -> dict[Key, dict[str, Any]]:
    found = {}
    for dimension in ("", *dimensions):
        answer = store.rollups(name, T0 // DAY_S * DAY_S, LATER // DAY_S * DAY_S, step_s, dimension or None)
        for row in answer.to_pylist():
            key = dimension, row.pop("value"), row.pop("step"), row.pop("start_s")
            found[key] = row | {"latency": dict(row["latency"])}
    return found


_journeys = itertools.count()
_versions = itertools.count(1)


@st.composite
def _rows(draw: st.DrawFn) -> StepRow:
    grade = draw(st.sampled_from(list(Grade)))
    outcome = draw(st.sampled_from(list(Outcome)))
    return step_row(
        draw(st.integers(1, 40)),
        attempt=f"{grade}-{draw(st.integers(1, 3))}",
        grade=grade,
        step=draw(st.sampled_from(["cart", "payment", "confirm", "gone"])),
        outcome=outcome,
        end=FROM * NS
        + draw(st.sampled_from([0, 60, 599, 1200, 1790, 1801, 2400, 3599])) * NS
        + draw(st.integers(0, 9)),
        duration_ns=draw(st.one_of(st.integers(0, 2_000_000_000), st.sampled_from([1 << k for k in range(63)]))),
        weight=draw(st.sampled_from([WEIGHT_ONE, 3 * WEIGHT_ONE + 7])),
        customer=draw(st.sampled_from(["", "", "k1.a", "k1.b"])),
        session=draw(st.sampled_from(["", "s1", "s2"])),
        environment=draw(st.sampled_from(["production", "unset", "staging"])),
        segment=draw(st.sampled_from(["enterprise", "other"])),
        own=draw(st.sampled_from([{}, {"market": "de"}, {"market": "fr"}])),
    )


@settings(max_examples=15, deadline=None)
@given(
    sent=st.lists(st.tuples(st.lists(_rows(), min_size=1, max_size=12), st.integers(0, 5000)), min_size=1, max_size=4)
)
def test_whatever_came_when_closed_minutes_equal_what_all_rows_say_at_once(
    shared: Store, sent: list[tuple[list[StepRow], int]]
) -> None:
    name = f"law-{next(_journeys)}"
    file = inventory(name)
    rollups = Rollups(shared, file)
    kept: dict[tuple[object, ...], StepRow] = {}
    for rows, watermark in sent:
        for row in rows:
            copy = row._replace(journey=name, version=next(_versions))
            shared.insert_steps(table(copy))
            kept[copy.environment, copy.attempt, copy.minute, copy.span_id] = copy
        rollups.close(FROM + watermark)
    rollups.close(LATER)
    assert rollups.pending(LATER) == 0
    seen = [row for row in kept.values() if row.environment != "staging"]
    # Copies of one span in two environments are no traffic there is: of these the store has two rows, a track one.
    unique = {(row.attempt, row.minute, row.span_id) for row in seen}
    if len(unique) < len(seen):
        return
    assert from_store(shared, name, tuple(file.dimensions)) == from_rows(seen, file, name)
    again = Rollups(shared, file)
    assert again.close(LATER) == 0
    for step_s in (HOUR_S, DAY_S):
        _add_up(shared, name, step_s, from_rows(seen, file, name))


def _add_up(store: Store, name: str, step_s: int, minutes: dict[Key, dict[str, Any]]) -> None:
    """Hours and days are their minutes added up."""
    for key, row in from_store(store, name, ("segment",), step_s).items():
        parts = [of for at, of in minutes.items() if at[:3] == key[:3] and at[3] // step_s * step_s == key[3]]
        for column in ("ok", "failed_rows", "harm", "started", "completed"):
            assert row[column] == sum(part[column] for part in parts)
        merged_latency: Counter[int] = Counter()
        for part in parts:
            merged_latency.update(part["latency"])
        assert row["latency"] == merged_latency
        assert max(part["active"] for part in parts) <= row["active"] <= sum(part["active"] for part in parts)
