"""Error budgets (measures.md 2.4, 2.5, 3.4) and the accounts of 4.9: sums, pace, exhaustion, generations, laws."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import START_S, Row, table

from otel_cx_collector import inventory
from otel_cx_collector.events import NS
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.measure import budgets as measure
from otel_cx_collector.measure.budgets import Carried, budgets, by_account, by_segment, closed, hurt_accounts
from otel_cx_collector.measure.evaluation import Evaluation, evaluate
from otel_cx_collector.measure.figures import Budget
from otel_cx_collector.measure.slis import slis

TEXT = """
journeys:
  checkout:
    timeout: 10m
    steps: [cart, {name: payment, slow_after: 2s}]
    objectives:
      - {sli: availability, target: 99%, window: 3h}
      - {sli: latency, step: payment, threshold: 1s, target: 90%, window: 1d}
      - {sli: completion, target: 60%, window: 1d}
"""
FILE = inventory.parse(TEXT)
MAINTAINED = inventory.parse(
    f"{TEXT}maintenance: [{{journey: checkout, from: 2026-01-05T10:10:00Z, to: 2026-01-05T10:20:00Z}}]"
)
HOUR_S = 3600
MOMENT_S = 4800


def judged(rows: Sequence[Row], at_s: int, file: Inventory = FILE) -> Evaluation:
    return evaluate(table(rows), file.journeys["checkout"], file, (START_S + at_s) * NS)


def steady(from_s: int, to_s: int, every_s: int, failed: int = 0, **how: object) -> list[Row]:
    """An execution every so many seconds, each its own attempt; of every hundred, the first ``failed`` fail."""
    return [
        Row(at, f"{at}", outcome="failed" if i % 100 < failed else "ok", **how)  # type: ignore[arg-type]
        for i, at in enumerate(range(from_s, to_s, every_s))
    ]


def availability(found: Evaluation, carried: Sequence[Carried] = ()) -> Budget:
    return budgets(found, carried)[0]


# ---------------------------------------------------------------- spent and left


def test_spent_is_the_share_of_failures_over_what_the_target_allows() -> None:
    budget = availability(judged(steady(0, 2 * HOUR_S, 10, failed=2), 2 * HOUR_S))
    assert (budget.good, budget.total) == (704.0, 720.0)
    assert budget.spent == pytest.approx(16 / 720 / 0.01)
    assert budget.remaining == pytest.approx(1 - 16 / 7.2)


def test_a_window_that_reaches_before_the_data_says_since_when() -> None:
    rows = steady(0, 4 * HOUR_S, 10)
    assert availability(judged(rows, 2 * HOUR_S)).since_ns == START_S * NS
    assert availability(judged(rows, 4 * HOUR_S)).since_ns is None


def test_without_traffic_there_is_nothing_to_say() -> None:
    budget = availability(judged([], HOUR_S))
    assert (budget.total, budget.spent, budget.remaining, budget.pace, budget.exhausted_in_s) == (
        0, None, None, None, None,
    )  # fmt: skip
    assert budget.since_ns is None


def test_pace_is_the_burn_of_the_last_hour() -> None:
    rows = [*steady(0, HOUR_S, 10), *steady(HOUR_S, 2 * HOUR_S, 10, failed=2)]
    assert availability(judged(rows, 2 * HOUR_S)).pace == pytest.approx(8 / 360 / 0.01)
    assert availability(judged(rows, HOUR_S)).pace == 0
    assert availability(judged(rows, 4 * HOUR_S)).pace is None


def test_what_remains_lasts_as_long_as_the_pace_allows() -> None:
    rows = [*steady(0, 2 * HOUR_S, 10), Row(2 * HOUR_S - 5, "late", outcome="failed")]
    budget = availability(judged(rows, 2 * HOUR_S))
    assert budget.remaining is not None
    assert budget.pace is not None
    assert budget.exhausted_in_s == pytest.approx(budget.remaining / budget.pace * 3 * HOUR_S)
    # 1 of 721 failed of 1 %: 86 % left; 1 of 361 in the hour burns 0.277 windows of 3 h a window.
    assert budget.exhausted_in_s == pytest.approx(0.8613 / 0.277 * 3 * HOUR_S, rel=1e-3)


def test_a_spent_budget_is_exhausted_now_and_one_that_does_not_burn_never() -> None:
    assert availability(judged(steady(0, HOUR_S, 10, failed=2), HOUR_S)).exhausted_in_s == 0
    assert availability(judged(steady(0, HOUR_S, 10), HOUR_S)).exhausted_in_s is None


def test_maintenance_is_in_no_budget() -> None:
    rows = [*steady(0, 4200, 10), *steady(4200, 4800, 10, failed=100), *steady(4800, 7200, 10)]
    budget = availability(judged(rows, 7200, MAINTAINED))
    assert (budget.good, budget.total) == (660, 660)


def test_completion_counts_by_cohort_and_its_hour_ends_a_timeout_ago() -> None:
    rows = [
        *[Row(at, f"done-{at}", outcome="ok") for at in range(0, 7200, 60)],
        *[Row(at, f"lost-{at}", "cart") for at in range(3600, 7200, 60)],
    ]
    budget = budgets(judged(rows, 7200))[2]
    # Attempts that started by 6600 count: 0, 60 ... 6600 and 3600, 3660 ... 6600.
    assert (budget.good, budget.total) == (111, 162)
    # The hour from 3000 to 6600: 61 completed of 61 + 51.
    assert budget.pace == pytest.approx((51 / 112) / 0.4)


executions = st.builds(
    Row, at_s=st.integers(0, 5400), attempt=st.sampled_from("abcdefgh"), step=st.sampled_from(["cart", "payment"]),
    outcome=st.sampled_from(["ok", "failed", "rejected", "cancelled"]), duration_s=st.sampled_from([0.1, 1.5]),
    segment=st.sampled_from(["unset", "trial", "enterprise"]), account=st.sampled_from(["", "k.acme", "k.zeta"]),
    weight=st.sampled_from([1.0, 2.5]),
)  # fmt: skip
recordings = st.lists(executions, min_size=1, max_size=30)


@settings(deadline=None)
@given(recordings)
def test_the_journeys_budgets_are_its_slis(rows: list[Row]) -> None:
    found = judged(rows, MOMENT_S)
    expected = [
        (s.good, s.total, s.budget_spent, s.since_ns) for s in slis(found.columns, found.journey, found.as_of_ns)
    ]
    assert [(b.good, b.total, b.spent, b.since_ns) for b in budgets(found)] == expected


@settings(deadline=None)
@given(recordings)
def test_budgets_add_up_over_segments_and_over_accounts(rows: list[Row]) -> None:
    found = judged(rows, MOMENT_S)
    whole = budgets(found)
    segments = by_segment(found)
    for at, budget in enumerate(whole):
        assert sum(each[at].good for each in segments.values()) == budget.good
        assert sum(each[at].total for each in segments.values()) == budget.total
    named = judged([replace(row, account=row.account or "k.none") for row in rows], MOMENT_S)
    accounts = by_account(named)
    # An account is listed when it was active in the longest window, of which every other window is a part.
    for at, budget in enumerate(whole):
        assert sum(each[at].good for _, each, _, _ in accounts) == budget.good
        assert sum(each[at].total for _, each, _, _ in accounts) == budget.total


@settings(deadline=None)
@given(recordings, st.data())
def test_one_more_failure_never_leaves_more_budget(rows: list[Row], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    healthy = [replace(row, outcome="ok") if i == at else row for i, row in enumerate(rows)]
    failing = [replace(row, outcome="failed") if i == at else row for i, row in enumerate(rows)]
    better, worse = (availability(judged(each, MOMENT_S)) for each in (healthy, failing))
    if better.remaining is not None and worse.remaining is not None:
        assert worse.remaining <= better.remaining


# -------------------------------------------------------------- segments, accounts


def test_each_segment_has_its_own_budgets() -> None:
    rows = [*steady(0, HOUR_S, 20, segment="trial", failed=50), *steady(1, HOUR_S, 20, segment="enterprise")]
    found = by_segment(judged(rows, HOUR_S))
    assert found["enterprise"][0].spent == 0
    assert found["trial"][0].spent == pytest.approx(0.5 / 0.01, rel=0.2)


def test_an_attempt_belongs_to_the_first_account_it_names() -> None:
    """A login is nobody's until it succeeds."""
    rows = [Row(0, "a", "cart"), Row(5, "a", account="k.acme"), Row(9, "b", "cart", account="k.zeta")]
    found = {name: each[2] for name, each, _, _ in by_account(judged(rows, 3600))}
    assert {name: (budget.good, budget.total) for name, budget in found.items()} == {
        "k.acme": (1, 1), "k.zeta": (0, 1),
    }  # fmt: skip


def test_accounts_are_listed_by_what_failed_beyond_their_budget() -> None:
    rows = [
        *steady(0, 3600, 2, account="k.large"),
        *[Row(i, f"large-{i}", outcome="failed", account="k.large") for i in range(4)],
        *[Row(i, f"hit-{i}", outcome="failed", account="k.hit") for i in range(6)],
        Row(7, "rare", outcome="failed", account="k.rare"),
        Row(8, "nobody", outcome="failed"),
    ]
    found = by_account(judged(rows, 3600))
    assert [(name, attempts, failed) for name, _, attempts, failed in found] == [
        ("k.hit", 6, 6), ("k.rare", 1, 1), ("k.large", 1804, 4),
    ]  # fmt: skip
    assert [name for name, *_ in by_account(judged(rows, 3600), limit=1)] == ["k.hit"]


def test_no_more_accounts_are_listed_than_the_limit_allows() -> None:
    rows = [Row(i, f"{i}", account=f"k.{i}") for i in range(measure.ACCOUNTS_LIMIT + 1)]
    assert len(by_account(judged(rows, 3600), limit=10**6)) == measure.ACCOUNTS_LIMIT


def account(name: str, attempts: int, failed: int, at_s: int = 3000) -> list[Row]:
    return [
        Row(at_s + i, f"{name}-{i}", account=name, outcome="failed" if i < failed else "ok") for i in range(attempts)
    ]


def test_the_floor_is_five_attempts_of_which_nine_tenths_failed() -> None:
    rows = [*account("k.four", 4, 4), *account("k.five", 5, 5), *account("k.most", 10, 9), *account("k.some", 10, 8)]
    assert hurt_accounts(judged(rows, 3600)) == [("k.most", 10, 9), ("k.five", 5, 5)]


def test_the_floor_looks_at_closed_minutes_and_at_what_is_known_of_their_attempts() -> None:
    rows = account("k.acme", 5, 5, at_s=3000)
    assert hurt_accounts(judged(rows, 3900)) == [("k.acme", 5, 5)]
    assert hurt_accounts(judged(rows, 3950)) == [("k.acme", 5, 5)]
    assert hurt_accounts(judged(rows, 3960)) == []
    # The minute they end in is not closed.
    assert hurt_accounts(judged(rows, 3050)) == []
    mended = [*rows, Row(3590, "k.acme-0", account="k.acme")]
    assert hurt_accounts(judged(mended, 3580)) == [("k.acme", 5, 5)]
    assert hurt_accounts(judged(mended, 3600)) == []


def test_an_attempt_has_failed_when_some_step_of_it_ended_failed() -> None:
    later = [Row(3100 + i, f"k.acme-{i}", "cart", account="k.acme") for i in range(5)]
    assert hurt_accounts(judged([*account("k.acme", 5, 5), *later], 3600)) == [("k.acme", 5, 5)]


def test_maintenance_hurts_no_account() -> None:
    """It lasts from 4200 s to 4800 s."""
    broken = account("k.acme", 9, 9, at_s=4300)
    assert hurt_accounts(judged(broken, 4500, MAINTAINED)) == []
    # Nor by a step of an attempt that went on after it, nor does it dilute what failed before it.
    went_on = [Row(4810 + i, f"k.acme-{i}", "cart", account="k.acme") for i in range(9)]
    assert hurt_accounts(judged([*broken, *went_on], 4860, MAINTAINED)) == []
    healthy = account("k.zeta", 9, 0, at_s=4300)
    before = [replace(row, attempt=f"before-{row.attempt}") for row in account("k.zeta", 5, 5, at_s=4100)]
    assert hurt_accounts(judged([*healthy, *before], 4500, MAINTAINED)) == [("k.zeta", 5, 5)]


def test_who_has_no_account_is_no_account() -> None:
    assert hurt_accounts(judged(account("", 9, 9), 3600)) == []


# -------------------------------------------------------------------- generations


def changed(old: str, new: str) -> Inventory:
    assert old in TEXT
    return inventory.parse(TEXT.replace(old, new))


def test_the_generation_follows_what_is_good_and_not_the_target() -> None:
    def generations(file: Inventory) -> list[str]:
        journey = file.journeys["checkout"]
        return [measure.generation(objective, journey) for objective in journey.objectives]

    now = generations(FILE)
    assert len(set(now)) == 3
    assert generations(changed("target: 99%", "target: 95%")) == now
    assert generations(changed("threshold: 1s", "threshold: 2s")) == [now[0], generations(changed(
        "threshold: 1s", "threshold: 2s"))[1], now[2]]  # fmt: skip
    assert generations(changed("threshold: 1s", "threshold: 2s"))[1] != now[1]
    slower = generations(changed("slow_after: 2s", "slow_after: 3s"))
    assert slower[0] != now[0]
    assert slower[1:] == now[1:]
    patient = generations(changed("timeout: 10m", "timeout: 20m"))
    assert patient[:2] == now[:2]
    assert patient[2] != now[2]


def test_a_closed_span_is_carried_over_when_its_rows_are_gone() -> None:
    rows = steady(0, 2 * HOUR_S, 10, failed=2)
    whole = judged(rows, 2 * HOUR_S)
    spans = closed(whole, START_S, START_S + HOUR_S)
    left = judged([row for row in rows if row.at_s >= HOUR_S], 2 * HOUR_S)
    assert availability(left, spans) == availability(whole)
    # Rows that are still there are not counted twice.
    assert availability(whole, spans) == availability(whole)
    assert availability(left).total == 360


def test_what_was_closed_under_another_definition_is_carried_over_and_marked() -> None:
    rows = steady(0, 2 * HOUR_S, 10, failed=2, duration_s=1.5)
    spans = closed(judged(rows, 2 * HOUR_S), START_S, START_S + HOUR_S)
    file = changed("threshold: 1s", "threshold: 2s")
    left = judged([row for row in rows if row.at_s >= HOUR_S], 2 * HOUR_S, file)
    found_availability, found_latency, _ = budgets(left, spans)
    assert not found_availability.approximate
    assert found_latency.approximate
    # All of the first hour was slow then, none of the second is now.
    assert (found_latency.good, found_latency.total) == (352, 352 + 352)


def test_a_span_outside_the_window_is_not_carried_and_one_it_cuts_in_part() -> None:
    rows = steady(0, 4 * HOUR_S, 10)
    spans = closed(judged(rows, 4 * HOUR_S), START_S, START_S + HOUR_S)
    left = [row for row in rows if row.at_s >= HOUR_S]
    later = availability(judged(left, 4 * HOUR_S), spans)
    assert (later.total, later.approximate) == (1080, False)
    cut = availability(judged(left, 3 * HOUR_S + 1800), spans)
    assert (cut.total, cut.approximate) == (180 + 900, True)


def test_objectives_that_differ_in_their_threshold_alone_are_kept_apart() -> None:
    file = changed(
        "      - {sli: completion",
        "      - {sli: latency, step: payment, threshold: 2s, target: 99%, window: 1d}\n      - {sli: completion",
    )
    journey = file.journeys["checkout"]
    assert [measure.key(objective, journey) for objective in journey.objectives] == [
        "availability over 10800s",
        "latency/payment over 86400s",
        "latency/payment over 86400s #2",
        "completion over 86400s",
    ]
