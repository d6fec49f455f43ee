"""Closed minutes, hours and days: equal to what the rows say, whatever came in which order and however late."""

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from step_rows import T0, step_row, table

from otel_cx_collector.events import MINUTE_S, NS, WEIGHT_ONE, Grade, Outcome, StepRow
from otel_cx_collector.inventory import Inventory, parse
from otel_cx_collector.measure import histogram, rolled
from otel_cx_collector.measure.columns import CANCELLED, FAILED, OK, REJECTED, Columns, build
from otel_cx_collector.measure.evaluation import evaluate, figures
from otel_cx_collector.measure.track import merged
from otel_cx_collector.rollup import Closed, Rollups, due_minutes
from otel_cx_collector.store import Store, StoreError
from otel_cx_collector.store.rollups import DAY_S, HOUR_S, Definition, definition

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


def test_buckets_of_the_engine_are_those_of_the_histogram_at_every_edge() -> None:
    """Both are step functions: equal on both sides of every edge, they are equal everywhere."""
    edges = np.floor(np.exp2(np.arange(63 * histogram.PER_OCTAVE) / histogram.PER_OCTAVE)).astype(np.int64)
    durations = np.unique(np.concatenate([edges, edges + 1, np.array([0, 2**63 - 1])]))
    file = inventory()
    rows = table(*(step_row(number, end=T0 * NS, step="confirm") for number in range(len(durations))))
    at = rows.schema.get_field_index("duration_ns")
    with Store.temporary() as store:
        store.insert_steps(rows.set_column(at, rows.schema.field(at), [durations]))
        Rollups(store, file).close(LATER)
        (row,) = (row for row in store.rollups("checkout", T0, T0 + 60, 60).to_pylist() if row["step"] == "confirm")
    ones = np.full(len(durations), WEIGHT_ONE)
    assert dict(row["latency"]) == histogram.of(durations, ones)


def test_figures_from_roll_ups_are_those_of_the_rows_but_for_the_histograms_error(store: Store) -> None:
    rng = np.random.default_rng(5)
    file = inventory()
    rows = [
        step_row(
            number,
            attempt=f"a{number // 2}",
            customer=f"k1.{number // 4}",
            step=["payment", "confirm"][number % 2],
            outcome=Outcome.FAILED if rng.random() < 0.1 else Outcome.OK,
            end=FROM * NS + int(number * 3599 / 3000) * NS,
            duration_ns=int(rng.lognormal(19.5, 1)),
            segment=["enterprise", "trial", "other"][number % 3],
        )
        for number in range(3000)
    ]
    store.insert_steps(table(*rows))
    Rollups(store, file).close(LATER)
    exact = figures(evaluate(table(*rows), file.journeys["checkout"], file, LATER * NS), FROM * NS, (FROM + 3600) * NS)
    found = rolled.figures(store.rollups("checkout", FROM, FROM + 3600, 3600), file.journeys["checkout"])
    assert (found.started, found.completed) == (exact.attempts.started, exact.attempts.completed)
    assert (found.customers, found.affected) == pytest.approx(
        (exact.customers.active, exact.customers.affected), rel=0.02
    )
    for name, step in exact.steps.items():
        rough = found.steps[name]
        for column in ("ok", "failed", "rejected", "cancelled", "slow"):
            assert getattr(rough, column) == getattr(step, column)
        for column in ("p50_ms", "p95_ms", "p99_ms") if step.ok else ():
            assert getattr(rough, column) == pytest.approx(getattr(step, column), rel=0.0055)
    shares = rolled.shares(store.rollups("checkout", FROM, FROM + 3600, 3600, "segment"))
    assert {name: (share.ok, share.failed) for name, share in shares.items()} == {
        name: (share.ok, share.failed) for name, share in exact.by["segment"].items()
    }
    series = rolled.series(store.rollups("checkout", FROM, FROM + 3600, 600), FROM, FROM + 3600, 600)
    assert sum(series.ok) == sum(step.ok for step in exact.steps.values())
    assert sum(series.started) == exact.attempts.started
    assert all(value is not None for value in series.success)


def test_a_series_says_where_nothing_was(store: Store) -> None:
    store.insert_steps(table(step_row(end=T0 * NS)))
    Rollups(store, inventory()).close(LATER)
    found = rolled.series(store.rollups("checkout", T0 - HOUR_S, T0 + HOUR_S, HOUR_S), T0 - HOUR_S, T0 + HOUR_S, HOUR_S)
    assert (found.ok, found.success, found.customers) == ([0, 1], [None, 1], [0, 1])
    assert found.p95_ms == [None, pytest.approx(250, rel=0.0055)]


def test_a_minute_is_closed_when_the_watermark_has_passed_it_and_its_hour_holds_what_is_closed(store: Store) -> None:
    file = inventory()
    rollups = Rollups(store, file)
    store.insert_steps(table(*(step_row(number, end=(T0 + 60 * number) * NS) for number in range(3))))
    assert rollups.close(T0 + 59) == 0
    assert rollups.close(T0 + 125) == 2
    assert rollups.close(T0 + 125) == 0
    for step_s in (MINUTE_S, HOUR_S, DAY_S):
        answer = store.rollups("checkout", T0 // DAY_S * DAY_S, LATER // DAY_S * DAY_S, step_s)
        assert sum(row["ok_rows"] for row in answer.to_pylist() if not row["step"]) == 2


def test_work_of_one_call_is_bounded_and_the_newest_is_done_first(store: Store) -> None:
    file = inventory()
    store.insert_steps(table(*(step_row(number, end=(T0 + HOUR_S * number) * NS) for number in range(5))))
    rollups = Rollups(store, file, closings=2)
    closed = []
    while rollups.close(LATER):
        answer = store.rollups("checkout", T0, T0 + 5 * HOUR_S, HOUR_S).to_pylist()
        closed.append([(row["start_s"] - T0) // HOUR_S for row in answer if not row["step"]])
        assert rollups.pending(LATER) == 5 - len(closed[-1])
    assert closed == [[3, 4], [1, 2, 3, 4], [0, 1, 2, 3, 4]]


def test_an_hour_that_cannot_be_closed_is_told_and_keeps_no_other_from_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = inventory()
    store.insert_steps(table(*(step_row(number, end=(T0 + HOUR_S * number) * NS) for number in range(2))))
    rollups, close = Rollups(store, file), store.close_minutes

    def failing(asked: Definition, minutes: list[int]) -> int:
        if minutes == [T0 + HOUR_S]:
            raise StoreError("memory limit exceeded")
        return close(asked, minutes)

    monkeypatch.setattr(store, "close_minutes", failing)
    with pytest.raises(StoreError, match="memory limit"):
        rollups.close(LATER)
    with pytest.raises(StoreError, match="memory limit"):
        rollups.close(LATER)
    assert [row["start_s"] for row in store.rollups("checkout", T0, LATER, HOUR_S).to_pylist() if not row["step"]] == [
        T0
    ]
    monkeypatch.undo()
    assert rollups.close(LATER) == 1


def test_what_a_crash_left_half_closed_is_added_up_by_the_next_process(store: Store) -> None:
    file = inventory()
    store.insert_steps(table(step_row(end=T0 * NS)))
    store.close_minutes(definition(file.journeys["checkout"], file), [T0])
    assert store.rollups("checkout", T0, T0 + HOUR_S, HOUR_S).num_rows == 0
    assert Rollups(store, file).close(LATER) == 0
    assert store.rollups("checkout", T0, T0 + HOUR_S, HOUR_S).num_rows == 2


def test_an_hour_whose_rows_are_going_stays_as_it_was_closed() -> None:
    known = Closed(touched={T0: 9}, minutes={T0: 5})
    assert due_minutes(known, HOUR_S, LATER, whole_s=T0 - HOUR_S) == {T0: [T0]}
    assert due_minutes(known, HOUR_S, LATER, whole_s=T0) == {}
    assert due_minutes(Closed(touched={T0: 9}), HOUR_S, LATER, whole_s=T0) == {T0: [T0]}


def test_rows_that_say_more_of_an_hours_attempts_close_it_again_once_all_are_there() -> None:
    known = Closed(touched={T0: 1, T0 + HOUR_S: 7}, minutes={T0: 5, T0 + HOUR_S: 8})
    assert due_minutes(known, HOUR_S, T0 + 2 * HOUR_S - 1) == {}
    assert due_minutes(known, HOUR_S, T0 + 2 * HOUR_S) == {T0: [T0]}


def test_only_whole_minutes_can_be_asked_for(store: Store) -> None:
    for span in ((T0 + 1, T0 + 60, 60), (T0, T0 + 60, 30), (T0, T0 + 60, 0)):
        with pytest.raises(ValueError, match="whole minutes"):
            store.rollups("checkout", *span)


@pytest.fixture(scope="module")
def shared() -> Iterator[Store]:
    """One store for all examples of a law; each has a journey of its own."""
    with Store.temporary() as store:
        yield store


@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
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
        copies = [row._replace(journey=name, version=next(_versions)) for row in rows]
        shared.insert_steps(table(*copies))
        kept |= {(copy.environment, copy.attempt, copy.minute, copy.span_id): copy for copy in copies}
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
