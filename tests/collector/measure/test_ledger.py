"""The ledger (row M19): causes, paper cuts, customers hurt again; and that harm reconciles with the budget (4.6)."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import START_S, Row, table

from otel_cx_collector import inventory
from otel_cx_collector.events import NS
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.measure import ledger
from otel_cx_collector.measure.budgets import budgets
from otel_cx_collector.measure.evaluation import Evaluation, evaluate, figures
from otel_cx_collector.measure.figures import Episode, HurtAgain
from otel_cx_collector.measure.ledger import Entry, cause, entry, harmed_customers, hurt_again, paper_cuts

FILE = inventory.parse(
    """
journeys:
  checkout:
    steps: [{name: cart, stage: 0.4}, {name: payment, slow_after: 1s}]
    impact: {per_second: 0.1, max_slow: 0.5}
    objectives: [{sli: availability, target: 99%, window: 30d}]
  login:
    steps: [sign-in]
"""
)
DAY_S = 24 * 3600
NOW_S = START_S + 30 * DAY_S


def judged(rows: Sequence[Row], minutes: int, journey: str = "checkout", file: Inventory = FILE) -> Evaluation:
    return evaluate(table(rows), file.journeys[journey], file, (START_S + minutes * 60) * NS)


def traffic(minutes: range, a_minute: int, harmed: int = 0, **how: object) -> list[Row]:
    return [
        Row(m * 60 + i * 60 / a_minute, f"{m}-{i}", **(how if i < harmed else {}))  # type: ignore[arg-type]
        for m in minutes
        for i in range(a_minute)
    ]


def episode_of(rows: Sequence[Row], minutes: int = 70) -> tuple[Evaluation, Episode]:
    found = judged([*traffic(range(60), 50), *rows, *traffic(range(65, minutes), 50)], minutes)
    (only,) = figures(found, START_S * NS).episodes
    return found, only


def failing(minutes: range, error_class: str, attempts: int = 20, **how: object) -> list[Row]:
    return traffic(minutes, 50, attempts, outcome="failed", error_class=error_class, **how)


# ------------------------------------------------------------------------ causes


def test_the_cause_is_the_step_and_class_of_most_of_the_harm() -> None:
    rows = [*failing(range(60, 62), "timeout"), *failing(range(62, 65), "card")]
    found, episode = episode_of(rows)
    assert cause(found, episode) == "payment/card"


def test_slow_executions_are_called_slow_and_nameless_failures_failed() -> None:
    found, episode = episode_of(traffic(range(60, 65), 50, 40, duration_s=9))
    assert cause(found, episode) == "payment/slow"
    found, episode = episode_of(failing(range(60, 65), ""))
    assert cause(found, episode) == "payment/failed"


def test_many_lightly_hurt_do_not_outweigh_a_few_hurt_badly() -> None:
    """Twenty failures are 20, twenty-five slow ones 0.1 each are 2.5."""
    slow = [Row(row.at_s, f"s{row.attempt}", duration_s=2) for row in traffic(range(60, 65), 25)]
    found, episode = episode_of([*failing(range(60, 65), "timeout"), *slow])
    assert cause(found, episode) == "payment/timeout"


def test_an_attempt_counts_once_by_its_most_hurtful_execution() -> None:
    """Everybody fails twice at the cart (0.4 each) and then at payment (1)."""
    rows = [
        Row(row.at_s + late, row.attempt, step, outcome="failed", error_class=name)
        for row in traffic(range(60, 65), 50)
        for late, step, name in ((0, "cart", "gone"), (0.1, "cart", "gone"), (0.2, "payment", "card"))
    ]
    found, episode = episode_of(rows)
    assert cause(found, episode) == "payment/card"


def test_steps_are_compared_in_equivalent_minutes() -> None:
    """Few go through the rare step every day, so ten failures there are more minutes of it than twenty elsewhere."""
    rare = [Row(m * 60 + i, f"rare-{m}-{i}", "cart") for m in range(60) for i in range(2)]
    hurt = [
        *failing(range(60, 65), "card", attempts=20),
        *[
            Row(m * 60 + i, f"r{m}-{i}", "cart", outcome="failed", error_class="gone")
            for m in range(60, 65)
            for i in range(10)
        ],
    ]
    found, episode = episode_of([*rare, *hurt])
    assert cause(found, episode) == "cart/gone"


def test_an_episode_that_harmed_nobody_who_came_is_one_of_missing_customers() -> None:
    found = judged(traffic(range(60), 50), 80)
    (episode,) = figures(found, START_S * NS).episodes
    assert cause(found, episode) == ledger.MISSING
    # Nor when more harm comes from those who stay away than from those who fail.
    found = judged([*traffic(range(60), 50), *failing(range(60, 80), "card", attempts=5)], 80)
    (episode,) = figures(found, START_S * NS).episodes
    few = replace(episode, factors=replace(episode.factors, x=2.0), by_step={"payment": 1.9})
    assert cause(found, few) == ledger.MISSING
    assert cause(found, replace(few, by_step={"payment": 2.1})) == "payment/card"


def test_an_entry_is_the_episode_with_its_cause_and_people() -> None:
    rows = [
        replace(row, customer="k.1" if i % 2 else "", session="s.1" if i % 4 else "")
        for i, row in enumerate(failing(range(60, 65), "card", attempts=50))
    ]
    found, episode = episode_of(rows)
    found_entry = entry(found, episode)
    assert (found_entry.journey, found_entry.cause) == ("checkout", "payment/card")
    assert (found_entry.start_s, found_entry.end_s) == (START_S + 3600, START_S + 3900)
    assert found_entry.harm_minutes == episode.harm_minutes
    assert {"k.1", "s.1", "60-0"} < found_entry.customers
    assert len(found_entry.customers) == 2 + sum(1 for i in range(250) if i % 4 == 0)


def test_an_entry_names_no_more_customers_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "CUSTOMERS_LIMIT", 7)
    found, episode = episode_of(failing(range(60, 65), "card"))
    assert len(entry(found, episode).customers) == 7


# --------------------------------------------------------------------- paper cuts


def cut(harm_minutes: float, end_s: int = NOW_S - 60, **changes: object) -> Entry:
    fields = {"journey": "checkout", "cause": "payment/card", "customers": frozenset({"k.1"})} | changes
    return Entry(start_s=end_s - 240, end_s=end_s, harm_minutes=harm_minutes, **fields)  # type: ignore[arg-type]


def test_small_incidents_of_one_cause_add_up() -> None:
    entries = [cut(0.06, NOW_S - i * 3600, customers=frozenset({"k.1", f"k.{i}"})) for i in range(30)]
    (found,) = paper_cuts([*entries, cut(0.01, cause="payment/slow")], FILE.journeys, NOW_S)[:1]
    assert (found.journey, found.cause, found.episodes) == ("checkout", "payment/card", 30)
    assert found.harm_minutes == pytest.approx(1.8)
    assert found.score == pytest.approx(26.5, abs=0.05)
    assert found.customers == 30
    assert found.last_s == NOW_S
    # 1.8 of the 432 minutes that 99 % of 30 days allow.
    assert found.budget_share == pytest.approx(1.8 / 432)
    assert found.raised


@pytest.mark.parametrize(("harm", "days", "raised"), [(0.88, 30, False), (0.89, 30, True)])
def test_a_sum_in_the_band_of_p2_is_raised(harm: float, days: int, raised: bool) -> None:
    """S is 15 at H = 0.882."""
    (found,) = paper_cuts([cut(harm)], FILE.journeys, NOW_S, days)
    assert found.raised is raised


def test_a_fifth_of_the_budget_is_raised_whatever_the_score() -> None:
    """A day at 99.99 % allows 8.64 s."""
    text = "journeys: {checkout: {steps: [payment], objectives: [{sli: availability, target: 99.99%, window: 30d}]}}"
    journeys = inventory.parse(text).journeys
    assert [c.raised for c in paper_cuts([cut(0.19 * 0.144)], journeys, NOW_S, 1)] == [False]
    assert [c.raised for c in paper_cuts([cut(0.21 * 0.144)], journeys, NOW_S, 1)] == [True]


def test_a_journey_without_a_promise_has_no_budget_to_share() -> None:
    (found,) = paper_cuts([cut(0.1, journey="login")], FILE.journeys, NOW_S)
    assert (found.budget_share, found.raised) == (None, False)


def test_only_the_window_counts_and_only_journeys_that_are_there() -> None:
    old, gone = cut(1, NOW_S - 30 * DAY_S), cut(1, journey="gone")
    assert paper_cuts([old, gone, cut(1, NOW_S + 10)], FILE.journeys, NOW_S) == []
    assert len(paper_cuts([old], FILE.journeys, NOW_S, days=90)) == 1


def test_the_worst_cause_comes_first() -> None:
    entries = [cut(0.1, cause="payment/a"), cut(0.3, cause="payment/b"), cut(0.1, cause="cart/a")]
    assert [c.cause for c in paper_cuts(entries, FILE.journeys, NOW_S)] == ["payment/b", "cart/a", "payment/a"]


@settings(deadline=None)
@given(st.lists(st.floats(0.001, 3), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_entries_does_not_matter(harms: list[float], rng: object) -> None:
    entries = [cut(harm, NOW_S - i * 600) for i, harm in enumerate(harms)]
    shuffled = list(entries)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert paper_cuts(entries, FILE.journeys, NOW_S) == paper_cuts(shuffled, FILE.journeys, NOW_S)


# --------------------------------------------------------------------- hurt again


def hurt(at_s: float, attempt: str, customer: str = "k.1", **how: object) -> Row:
    return Row(at_s, attempt, outcome="failed", customer=customer, **how)  # type: ignore[arg-type]


def again(*rows: Row, journey: str = "checkout") -> list[HurtAgain]:
    return hurt_again([harmed_customers(judged(rows, 60, journey), START_S, START_S + 3600)])


def test_a_customer_harmed_in_three_attempts_is_hurt_again() -> None:
    rows = [hurt(0, "a", segment="trial"), hurt(60, "b", account="k.acme"), hurt(120, "c", segment="pro")]
    assert again(*rows[:2]) == []
    (found,) = again(*rows, hurt(999, "d", customer="k.2"))
    assert (found.customer, found.attempts, found.journeys) == ("k.1", 3, ("checkout",))
    assert (found.segment, found.account, found.last_s) == ("pro", "", START_S + 120)


def test_retrying_within_an_attempt_is_one_attempt() -> None:
    assert again(*[hurt(i, "a") for i in range(9)]) == []


def test_slow_counts_and_a_rejection_does_not() -> None:
    slow = [Row(i * 60, f"{i}", customer="k.1", duration_s=9) for i in range(3)]
    declined = [Row(i * 60, f"{i}", customer="k.2", outcome="rejected") for i in range(3)]
    assert [found.customer for found in again(*slow)] == ["k.1"]
    assert again(*declined) == []


def test_who_has_no_pseudonym_cannot_be_known_again() -> None:
    assert again(*[hurt(i * 60, f"{i}", customer="") for i in range(5)]) == []


def test_attempts_add_up_over_journeys_and_over_closed_spans() -> None:
    checkout = judged([hurt(0, "a"), hurt(1900, "b"), hurt(1950, "a")], 60)
    login = judged([hurt(2000, "x", step="sign-in", account="k.acme")], 60, "login")
    parts = [
        harmed_customers(checkout, START_S, START_S + 1800),
        harmed_customers(checkout, START_S + 1800, START_S + 3600),
        harmed_customers(login, START_S, START_S + 3600),
    ]
    (found,) = hurt_again(parts)
    # Attempt a is harmed in both spans and belongs to the one it started in.
    assert (found.attempts, found.journeys, found.account) == (3, ("checkout", "login"), "k.acme")
    assert hurt_again(parts[:2]) == []
    assert hurt_again([]) == []


def test_the_most_hurt_come_first_and_no_more_than_the_limit() -> None:
    rows = [hurt(i, f"{who}-{i}", customer=f"k.{who:03}") for who in range(120) for i in range(3)]
    rows += [hurt(50, "more", customer="k.077"), hurt(40, "late", customer="k.050")]
    found = harmed_customers(judged(rows, 60), START_S, START_S + 3600)
    assert [each.customer for each in hurt_again([found], limit=3)] == ["k.077", "k.050", "k.000"]
    assert len(hurt_again([found], limit=10**6)) == ledger.HURT_LIMIT
    assert len(hurt_again([found], at_least=4)) == 2


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["k.1", "k.2"]), st.integers(0, 3000))))
def test_nobody_is_said_to_be_hurt_more_often_than_they_were(seen: list[tuple[str, str, int]]) -> None:
    # An attempt is of one customer.
    rows = [hurt(at, f"{attempt}-{customer}", customer=customer) for attempt, customer, at in seen]
    found = {each.customer: each.attempts for each in hurt_again([
        harmed_customers(judged(rows, 60), START_S, START_S + 3600)], at_least=1)}  # fmt: skip
    expected = {name: len({a for a, c, _ in seen if c == name}) for name in ("k.1", "k.2")}
    assert found == {name: count for name, count in expected.items() if count}


# --------------------------------------------------------------- the error budget

PLAIN = inventory.parse(
    "journeys: {checkout: {steps: [payment], objectives: [{sli: availability, target: 99%, window: 30m}]}}"
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(8, 20), min_size=3, max_size=8), st.integers(20, 30))
def test_equivalent_minutes_are_the_share_of_the_budget_spent(failed: list[int], a_minute: int) -> None:
    """4.6, with c = g = v = 1, one step and execution an attempt, binary harm, no baseline, N the window's mean.

    All thirty minutes carry the same traffic, so N of a journey that is young, its largest minute, is the mean.
    """
    rows = [
        Row(m * 60 + i * 60 / a_minute, f"{m}-{i}", outcome="failed" if m < len(failed) and i < failed[m] else "ok")
        for m in range(30)
        for i in range(a_minute)
    ]
    found = judged(rows, 30, file=PLAIN)
    harm = sum(each.harm_minutes for each in figures(found, START_S * NS).episodes)
    assert budgets(found)[0].spent == pytest.approx(harm / (0.01 * 30))
    journeys, at_s = PLAIN.journeys, START_S + 1800
    (paper_cut,) = paper_cuts([entry(found, e) for e in figures(found, START_S * NS).episodes], journeys, at_s, 1)
    assert paper_cut.budget_share == pytest.approx(harm / (0.01 * 1440))
