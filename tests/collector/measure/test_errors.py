"""Error classes (row M6): counts, shares, customers, harm and consequence of each."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import START_S, Row, table

from otel_cx_collector import inventory
from otel_cx_collector.events import NS
from otel_cx_collector.measure import errors as measure
from otel_cx_collector.measure.evaluation import evaluate
from otel_cx_collector.measure.figures import ErrorClass

FILE = inventory.parse(
    """
maintenance: [{journey: checkout, from: 2026-01-05T09:30:00Z, to: 2026-01-05T09:40:00Z}]
dimensions: {segment: {enterprise: 1.0, trial: 0.4}}
journeys:
  checkout:
    steps: [{name: cart, stage: 0.4}, payment]
    errors:
      - {class: payment-declined, step: payment, error_type: card_declined, consequence: lost order}
      - {class: gateway-timeout, step: payment, error_type: timeout, consequence: support ticket}
      - {class: gateway-timeout, error_type: timeout, consequence: tries again}
"""
)


def found(rows: Sequence[Row], from_s: int = 0, to_s: int = 3600, limit: int = 100) -> list[ErrorClass]:
    evaluation = evaluate(table(rows), FILE.journeys["checkout"], FILE, (START_S + 3600) * NS)
    return measure.errors(evaluation, (START_S + from_s) * NS, (START_S + to_s) * NS, limit)


def failed(at_s: float, attempt: str, error_class: str = "gateway-timeout", **how: object) -> Row:
    return Row(at_s, attempt, outcome="failed", error_class=error_class, **how)  # type: ignore[arg-type]


def test_a_class_says_where_how_often_and_what_it_costs() -> None:
    rows = [
        failed(0, "a", recoverable=True, customer="k.1"),
        failed(1, "b", recoverable=True, customer="k.1"),
        failed(2, "c", customer="k.2"),
        Row(9, "a", customer="k.1"),
        *[Row(10 + i, f"ok-{i}") for i in range(6)],
    ]
    (only,) = found(rows)
    assert only == ErrorClass(
        error_class="gateway-timeout",
        step="payment",
        stage=1.0,
        outcome="failed",
        count=3,
        per_thousand=300,
        customers=2,
        recoverable=True,
        recovered=1 / 3,
        harm=2.3,
        consequence="support ticket",
    )


def test_the_same_class_at_another_step_is_another_line_with_its_own_consequence() -> None:
    rows = [failed(0, "a"), failed(1, "b", step="cart"), failed(2, "c", "unknown", step="cart")]
    assert [(e.error_class, e.step, e.harm, e.consequence) for e in found(rows)] == [
        ("gateway-timeout", "payment", 1.0, "support ticket"),
        ("gateway-timeout", "cart", 0.4, "tries again"),
        ("unknown", "cart", 0.4, None),
    ]


def test_a_failure_without_a_class_is_called_by_its_outcome() -> None:
    assert [e.error_class for e in found([failed(0, "a", "")])] == ["failed"]


def test_rejections_are_told_apart_from_failures() -> None:
    rows = [failed(0, "a", "x"), Row(1, "b", outcome="rejected", error_class="x")]
    assert [(e.outcome, e.harm) for e in found(rows)] == [("failed", 1.0), ("rejected", pytest.approx(0.3))]


def test_harm_is_that_of_the_attempts_it_hurt_most() -> None:
    """Attempt a is hurt most by its payment; its cart's failure counts as an execution and not as harm."""
    rows = [failed(0, "a", "cart-gone", step="cart"), failed(5, "a"), failed(9, "b", segment="trial")]
    assert [(e.error_class, e.count, e.harm) for e in found(rows)] == [
        ("gateway-timeout", 2, pytest.approx(1.4)), ("cart-gone", 1, 0),
    ]  # fmt: skip


def test_only_an_ok_of_the_same_step_after_it_is_a_recovery() -> None:
    rows = [Row(0, "a"), failed(1, "a"), Row(2, "a", "cart"), failed(3, "b"), failed(4, "b"), Row(999, "b")]
    assert found(rows)[0].recovered == pytest.approx(2 / 3)


def test_most_of_a_class_must_be_recoverable_by_weight() -> None:
    rows = [failed(0, "a", recoverable=True, weight=3), failed(1, "b"), failed(2, "c")]
    assert found(rows)[0].recoverable
    assert not found([failed(0, "a", recoverable=True), failed(1, "b")])[0].recoverable


def test_counts_are_weighted_and_customers_are_not() -> None:
    (only,) = found([failed(0, "a", weight=4), Row(1, "b", weight=12)])
    assert (only.count, only.per_thousand, only.customers) == (4, 250, 1)


def test_the_window_is_half_open_and_maintenance_left_out() -> None:
    rows = [failed(10, "a"), failed(20, "b"), failed(1800, "in maintenance")]
    assert [e.count for e in found(rows, 10, 20)] == [1]
    assert [e.count for e in found(rows, 1000, 3600)] == []


def test_no_more_classes_are_listed_than_the_limit_and_the_worst_come_first() -> None:
    rows = [failed(i, f"{i}", f"class-{i:03}") for i in range(120)] + [failed(500, "z", "class-007")]
    assert len(found(rows, limit=10**6)) == measure.ERRORS_LIMIT
    assert [e.error_class for e in found(rows, limit=2)] == ["class-007", "class-000"]


executions = st.builds(
    Row, at_s=st.integers(0, 1700), attempt=st.sampled_from("abcdef"), step=st.sampled_from(["cart", "payment"]),
    outcome=st.sampled_from(["ok", "failed", "rejected", "cancelled"]), error_class=st.sampled_from(["", "x", "y"]),
    weight=st.sampled_from([1.0, 2.5]),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(executions, max_size=30))
def test_every_failure_and_rejection_is_in_exactly_one_class(rows: list[Row]) -> None:
    wrong = [row for row in rows if row.outcome in ("failed", "rejected")]
    assert sum(e.count for e in found(rows)) == sum(row.weight for row in wrong)
    per_attempt = {row.attempt for row in wrong}
    assert sum(e.harm for e in found(rows)) <= len(per_attempt) + 1e-9
    assert all(e.customers <= len(per_attempt) and 0 <= e.recovered <= 1 for e in found(rows))
