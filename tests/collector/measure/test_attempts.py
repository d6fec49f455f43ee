"""Attempts: how keys are cut, which state they are in, whom they count for (wire.md, measures.md 2.2)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import START_S, Row, table

from otel_cx_collector import inventory
from otel_cx_collector.events import NS
from otel_cx_collector.measure.columns import Columns, build
from otel_cx_collector.measure.evaluation import evaluate, figures
from otel_cx_collector.measure.figures import AttemptCounts, Figures
from otel_cx_collector.measure.slis import quantile

INVENTORY = inventory.parse("journeys: {checkout: {timeout: 30m, steps: [cart, payment, confirm]}}")
HOUR_S = 3600


def columns(*rows: Row) -> Columns:
    return build(table(rows), INVENTORY.journeys["checkout"], INVENTORY)


def figures_at(as_of_s: float, *rows: Row) -> Figures:
    found = evaluate(table(rows), INVENTORY.journeys["checkout"], INVENTORY, START_S * NS + round(as_of_s * NS))
    return figures(found, START_S * NS)


def attempts_at(as_of_s: float, *rows: Row) -> AttemptCounts:
    return figures_at(as_of_s, *rows).attempts


def test_an_explicit_key_is_one_attempt_however_long_it_is_silent() -> None:
    assert len(columns(Row(0, "a", "cart"), Row(20 * HOUR_S, "a", "payment")).attempts) == 1


@pytest.mark.parametrize("grade", ["session", "customer"])
def test_a_loose_key_is_cut_by_more_silence_than_the_timeout(grade: str) -> None:
    on_time = columns(Row(0, "s", "cart", grade=grade), Row(1800, "s", "payment", grade=grade))
    too_late = columns(Row(0, "s", "cart", grade=grade), Row(1801, "s", "payment", grade=grade))
    assert (len(on_time.attempts), len(too_late.attempts)) == (1, 2)


def test_a_loose_key_is_cut_by_a_first_step_after_completion_but_not_by_another_step() -> None:
    done = (Row(0, "s", "cart", grade="session"), Row(10, "s", "confirm", grade="session"))
    assert len(columns(*done, Row(20, "s", "payment", grade="session")).attempts) == 1
    assert len(columns(*done, Row(20, "s", "cart", grade="session")).attempts) == 2


def test_a_first_step_before_completion_is_the_same_attempt() -> None:
    assert len(columns(Row(0, "s", "cart", grade="session"), Row(20, "s", "cart", grade="session")).attempts) == 1


def test_a_loose_key_is_cut_after_24_hours() -> None:
    rows = [Row(number * 1200, "s", "cart", grade="session") for number in range(74)]
    assert len(columns(*rows[:73]).attempts) == 1
    assert len(columns(*rows).attempts) == 2


def test_an_attempt_is_completed_by_its_terminal_step_alone() -> None:
    assert attempts_at(60, Row(0, "a", "confirm")).completed == 1
    assert attempts_at(60, Row(0, "a", "payment")).pending == 1


def test_an_attempt_is_pending_while_something_happened_within_the_timeout() -> None:
    row = Row(0, "a", "payment", outcome="failed")
    assert attempts_at(1800, row).pending == 1
    assert attempts_at(1810, row).failed == 1


def test_the_last_execution_of_each_step_decides_how_an_attempt_ended() -> None:
    failed, ok = Row(0, "a", "payment", outcome="failed"), Row(10, "a", "payment")
    rejected, cancelled = Row(5, "a", "cart", outcome="rejected"), Row(5, "a", "payment", outcome="cancelled")
    assert attempts_at(HOUR_S, failed).failed == 1
    assert attempts_at(HOUR_S, failed, ok).abandoned == 1
    assert attempts_at(HOUR_S, failed, ok, rejected).rejected == 1
    assert attempts_at(HOUR_S, failed, rejected).failed == 1
    assert attempts_at(HOUR_S, cancelled).abandoned == 1


def test_an_attempt_that_failed_and_was_ok_later_is_recovered_whatever_its_state() -> None:
    counts = attempts_at(60, Row(0, "a", outcome="failed"), Row(1, "a"), Row(2, "a", "confirm"))
    assert (counts.recovered, counts.completed) == (1, 1)
    assert attempts_at(60, Row(0, "a"), Row(1, "a", outcome="failed")).recovered == 0


def test_the_states_add_up_to_the_attempts_started() -> None:
    rows = [
        Row(i, f"a{i}", step, outcome=o)
        for i, (step, o) in enumerate(
            [("cart", "ok"), ("payment", "failed"), ("payment", "rejected"), ("confirm", "ok"), ("cart", "cancelled")]
        )
    ]
    for as_of in (60, 2 * HOUR_S):
        counts = attempts_at(as_of, *rows)
        states = counts.completed + counts.failed + counts.rejected + counts.abandoned + counts.pending
        assert states == counts.started == 5


def test_a_customer_is_counted_once_by_pseudonym_else_session_else_attempt() -> None:
    named = figures_at(60, Row(0, "a", customer="k.1"), Row(1, "b", customer="k.1", outcome="failed"), Row(2, "b"))
    assert (named.customers.active, named.customers.affected) == (1, 1)
    assert figures_at(60, Row(0, "a", session="s"), Row(1, "b", session="s")).customers.active == 1
    assert figures_at(60, Row(0, "a"), Row(1, "b")).customers.active == 2


def test_the_customer_of_an_attempt_comes_from_any_of_its_executions_the_smallest_if_several() -> None:
    rows = [Row(0, "a"), Row(1, "a", customer="k.2"), Row(2, "a", customer="k.1"), Row(3, "b", customer="k.1")]
    assert figures_at(60, *rows).customers.active == 1


def test_the_grade_of_a_mixture_is_the_weakest_that_holds_one_percent() -> None:
    strong = [Row(i / 10, f"a{i}") for i in range(99)]
    assert figures_at(60, *strong, Row(50, "t", grade="trace")).grade == "trace"
    more = [Row(20 + i / 10, f"b{i}") for i in range(99)]
    assert figures_at(60, *strong, *more, Row(50, "t", grade="trace")).grade == "explicit"


def test_counts_carry_sampling_weights_and_customers_do_not() -> None:
    found = figures_at(60, Row(0, "a", weight=10.0), Row(1, "b", outcome="failed", weight=2.5))
    assert (found.steps["payment"].ok, found.steps["payment"].failed) == (10, 2.5)
    assert (found.attempts.started, found.customers.active) == (12.5, 2)


def test_rows_of_a_step_that_the_journey_no_longer_has_are_left_out() -> None:
    assert len(columns(Row(0, "a", "gone"), Row(1, "a"))) == 1


@given(st.permutations(range(12)), st.data())
def test_figures_do_not_depend_on_the_order_of_arrival(order: list[int], data: st.DataObject) -> None:
    outcome = st.sampled_from(["ok", "failed", "rejected", "cancelled"])
    step = st.sampled_from(["cart", "payment", "confirm"])
    rows = [
        Row(
            i * 61,
            f"a{i % 4}",
            data.draw(step),
            data.draw(outcome),
            grade=data.draw(st.sampled_from(["explicit", "session"])),
        )
        for i in range(12)
    ]
    batch = table(rows)
    shuffled = batch.take(order).sort_by([("attempt", "ascending"), ("end", "ascending"), ("span_id", "ascending")])
    as_of = (START_S + HOUR_S) * NS
    journey = INVENTORY.journeys["checkout"]
    first, second = (figures(evaluate(t, journey, INVENTORY, as_of), START_S * NS) for t in (batch, shuffled))
    assert first == second


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=60), st.integers(1, 99))
def test_an_exact_quantile_is_the_value_at_its_rank(values: list[int], percent: int) -> None:
    weights = np.full(len(values), 1 << 20)
    rank = -(-percent * len(values) // 100)
    assert quantile(np.array(values), weights, percent) == sorted(values)[rank - 1]


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 5)), min_size=1, max_size=40), st.integers(1, 99))
def test_a_weighted_quantile_is_that_of_the_repeated_values(pairs: list[tuple[int, int]], percent: int) -> None:
    values, weights = (np.array([pair[i] for pair in pairs]) for i in (0, 1))
    repeated = np.repeat(values, weights)
    expected = quantile(repeated, np.full(len(repeated), 1 << 20), percent)
    assert quantile(values, weights * (1 << 20), percent) == expected
