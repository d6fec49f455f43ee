"""Laws of the score, and each rule of harm (measures.md 4)."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import START_S, Row, table

from otel_cx_collector import inventory
from otel_cx_collector.events import NS
from otel_cx_collector.measure import impact
from otel_cx_collector.measure.columns import build
from otel_cx_collector.measure.evaluation import Evaluation, evaluate, figures, of_track
from otel_cx_collector.measure.figures import Factors, Live
from otel_cx_collector.measure.live import pulse, severity, shown
from otel_cx_collector.measure.track import Track

FILE = inventory.parse(
    """
dimensions: {segment: {enterprise: 1.0, trial: 0.4}}
journeys:
  checkout:
    steps: [{name: cart, stage: 0.4}, {name: payment, slow_after: 1s}]
    impact: {per_second: 0.1, max_slow: 0.5}
    objectives: [{sli: availability, target: 99%, window: 30d}]
"""
)
JOURNEY = FILE.journeys["checkout"]

share = st.floats(0.01, 1, allow_nan=False)
factors = st.builds(
    Factors, journey=st.just("checkout"), c=share, g=share, v=share, m=share, a=st.integers(0, 10**6),
    n=st.floats(0.01, 10**5), x=st.floats(0, 60), b=st.floats(0, 5),
)  # fmt: skip


def harms(*rows: Row) -> list[float]:
    return [float(harm) for harm in build(table(rows), JOURNEY, FILE).harm]


def judged(rows: list[Row], minutes: int) -> Evaluation:
    return evaluate(table(rows), JOURNEY, FILE, (START_S + minutes * 60) * NS)


def live(rows: list[Row], minutes: int) -> Live:
    track = Track(JOURNEY, FILE)
    track.add(table(rows))
    track.close(START_S + minutes * 60)
    now = pulse(track, START_S // 60 + minutes - 1)
    return shown(of_track(track, (START_S + minutes * 60) * NS), now, severity(track, now, None))


def traffic(minutes: range, a_minute: int, harmed: int = 0, **how: object) -> list[Row]:
    return [
        Row(m * 60 + i * 60 / a_minute, f"{m}-{i}", **(how if i < harmed else {}))  # type: ignore[arg-type]
        for m in minutes
        for i in range(a_minute)
    ]


@pytest.mark.parametrize(
    ("row", "harm"),
    [
        (Row(0, "a"), 0),
        (Row(0, "a", outcome="cancelled"), 0),
        (Row(0, "a", outcome="failed"), 1),
        (Row(0, "a", duration_s=1.0), 0),
        (Row(0, "a", duration_s=3.0), 0.2),
        (Row(0, "a", duration_s=60.0), 0.5),
        (Row(0, "a", "cart", duration_s=1.5), 0),
    ],
)
def test_harm_of_one_execution(row: Row, harm: float) -> None:
    assert harms(row) == [pytest.approx(harm)]


def test_a_failure_is_less_harm_once_the_same_step_was_ok_within_the_recovery_slow_or_not() -> None:
    failed = Row(0, "a", outcome="failed")
    assert harms(failed, Row(300, "a"))[0] == 0.3
    assert harms(failed, Row(300, "a", duration_s=9))[0] == 0.3
    assert harms(failed, Row(301, "a"))[0] == 1
    assert harms(failed, Row(10, "a", "cart"))[0] == 1
    assert harms(failed, Row(10, "b"))[0] == 1
    assert harms(Row(0, "a"), replace(failed, at_s=1))[1] == 1


def test_a_rejection_carries_harm_only_against_a_baseline() -> None:
    columns = build(table([Row(0, "a", outcome="rejected")]), JOURNEY, FILE)
    window = columns.window(np.arange(1))
    assert window.harm_with(rejections=True).tolist() == [0.3]
    assert window.harm_with(rejections=False).tolist() == [0]
    assert columns.hurtful(rejections=True).tolist() == [True]
    assert columns.hurtful(rejections=False).tolist() == [False]


def test_an_attempt_counts_once_by_its_most_hurtful_execution_and_ties_go_to_the_earliest() -> None:
    rows = [
        Row(0, "a", "cart", outcome="failed"),
        Row(1, "a", outcome="failed"),
        Row(2, "a", outcome="failed"),
        Row(3, "b", segment="trial", outcome="failed"),
    ]
    columns = build(table(rows), JOURNEY, FILE)
    found = impact.most_hurtful(columns.window(np.arange(4)), len(JOURNEY.steps), rejections=False)
    assert found.rows.tolist() == [1, 3]
    assert found.worth.tolist() == [1.0, 0.4]
    assert (found.active, found.active_by_step.tolist()) == (2, [1, 2])


@given(factors)
def test_the_score_recomputes_from_the_text_of_its_vector(f: Factors) -> None:
    again = impact.parse_vector(impact.vector(f))
    assert impact.vector(again) == impact.vector(f)
    # Six factors of four significant digits each, and a difference: what rounding can move, no more.
    slack = 6 * 0.0005 * (impact.harm_minutes(replace(f, b=0.0)) + f.b) + 1e-9
    assert impact.harm_minutes(again) == pytest.approx(impact.harm_minutes(f), abs=slack)


@given(factors, factors)
def test_the_score_is_bounded_and_grows_with_each_factor(f: Factors, other: Factors) -> None:
    assert 0 <= impact.score(impact.harm_minutes(f)) < 100
    for name in ("c", "g", "v", "m", "a", "x"):
        low, high = sorted([getattr(f, name), getattr(other, name)])
        assert impact.harm_minutes(replace(f, **{name: low})) <= impact.harm_minutes(replace(f, **{name: high}))
    low, high = sorted([f.n, other.n])
    assert impact.harm_minutes(replace(f, n=low)) >= impact.harm_minutes(replace(f, n=high))


@pytest.mark.parametrize(
    "text", ["", "CXI:1.0", "CXI:2.0/J:a/C:1/G:1/V:1/M:1/A:1/N:1/X:0/B:0/H50:5", "CXI:1.0/J:a/A:1"]
)
def test_what_is_no_vector_is_refused_with_the_cure(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a CXI 1\.0 vector"):
        impact.parse_vector(text)


def test_harm_is_additive_over_attempts() -> None:
    clean = traffic(range(60), 50)
    few = traffic(range(60, 70), 50, 10, outcome="failed")
    more = traffic(range(60, 70), 50, 20, outcome="failed")
    (a,), (b,) = (figures(judged(clean + hurt, 70), START_S * NS).episodes for hurt in (few, more))
    assert b.harm_minutes == pytest.approx(2 * a.harm_minutes)


def test_harmless_traffic_cannot_dilute_it() -> None:
    clean = traffic(range(60), 50)
    hurt = traffic(range(60, 70), 50, 20, outcome="failed")
    crowd = [replace(row, attempt=f"x{row.attempt}") for row in traffic(range(60, 70), 500)]
    (a,), (b,) = (figures(judged(clean + rows, 70), START_S * NS).episodes for rows in (hurt, hurt + crowd))
    assert b.harm_minutes == pytest.approx(a.harm_minutes)


def test_everyday_failures_are_capped_at_the_tolerance_and_everyday_slowness_is_not() -> None:
    chronic = traffic(range(60), 50, 5, outcome="failed")
    slow = traffic(range(60), 50, 5, duration_s=3)
    for rows, q, beta in ((chronic, 0.01, 0.01), (slow, 0.1, 0.1 * 0.2)):
        columns = build(table(rows), JOURNEY, FILE)
        sums = impact.usual(columns.window(np.arange(len(columns))), len(JOURNEY.steps), minutes=60, started=3000)
        found = impact.reference(JOURNEY, [sums], "recent")
        assert found.q == pytest.approx(q)
        assert found.beta.tolist() == [0, pytest.approx(beta)]


def test_an_episode_starts_at_the_first_harmed_minute_and_ends_with_the_last_that_a_true_test_saw() -> None:
    rows = [*traffic(range(60), 50), *traffic(range(60, 65), 50, 20, outcome="failed"), *traffic(range(65, 90), 50)]
    (episode,) = figures(judged(rows, 90), START_S * NS).episodes
    assert (episode.start_s, episode.end_s) == (START_S + 3600, START_S + 3900)
    assert episode.confirmed_s == START_S + 3660
    assert episode.over


def test_a_minute_with_no_more_than_twice_the_usual_harm_is_not_in_the_episode() -> None:
    """Usual are 2 % slow, so q = 0.02: 2 harmed of 50 are twice that and no more; 3 of 50 are more."""
    usual = traffic(range(60), 50, 1, duration_s=3)
    outage = traffic(range(60, 63), 50, 20, outcome="failed")
    for last, minutes in ((2, 3), (3, 4)):
        rows = [*usual, *outage, *traffic(range(63, 64), 50, last, outcome="failed")]
        (episode,) = figures(judged(rows, 64), START_S * NS).episodes
        assert episode.end_s - episode.start_s == minutes * 60


def test_an_episode_is_over_after_ten_measured_minutes_without_a_true_test() -> None:
    rows = [*traffic(range(60), 50), *traffic(range(60, 61), 50, 50, outcome="failed"), *traffic(range(61, 90), 50)]
    # The minute stays in the test's window for two more; then ten have to pass.
    assert live(rows, 72).episode is not None
    assert live(rows, 73).episode is None


def test_three_harmed_of_many_at_a_usual_rate_are_no_episode() -> None:
    rows = traffic(range(120), 500, 1, outcome="failed")
    assert figures(judged(rows, 120), START_S * NS).episodes == ()


def test_a_journey_without_ten_clean_minutes_is_young_and_measured_against_its_largest_minute() -> None:
    rows = [*traffic(range(4), 40), *traffic(range(4, 8), 50, 25, outcome="failed")]
    (episode,) = figures(judged(rows, 8), START_S * NS).episodes
    assert (episode.young, episode.baseline) == (True, "none")
    assert episode.factors.n == pytest.approx(50)


def test_the_live_score_is_the_hour_and_the_rate_of_harm_right_now() -> None:
    rows = [*traffic(range(60), 100), *traffic(range(60, 61), 100, 40, outcome="failed")]
    now = live(rows, 61)
    assert now.harmed
    assert now.h60 == pytest.approx(0.4)
    assert 0.2 < now.rho < 0.4
    assert now.score == pytest.approx(impact.score(now.h60 + 15 * now.rho))


def test_a_healthy_journey_scores_nothing_and_has_the_empty_vector() -> None:
    now = live(traffic(range(60), 100), 60)
    assert (now.score, now.episode) == (0, None)
    assert now.vector == "CXI:1.0/J:checkout/C:1/G:1/V:1/M:1/A:0/N:100/X:0/B:0/H50:5"


def test_rho_needs_three_harmed_attempts() -> None:
    rows = [*traffic(range(60), 10), *traffic(range(60, 61), 10, 2, outcome="failed")]
    assert live(rows, 61).rho == 0


def test_maintenance_is_in_no_figure_and_harms_nobody() -> None:
    text = """
maintenance: [{journey: checkout, from: 2026-01-05T10:00:00Z, to: 2026-01-05T10:10:00Z}]
journeys: {checkout: {steps: [payment], objectives: [{sli: availability, target: 99%, window: 30d}]}}
"""
    file = inventory.parse(text)
    rows = [*traffic(range(60), 50), *traffic(range(60, 70), 50, 50, outcome="failed")]
    found = figures(evaluate(table(rows), file.journeys["checkout"], file, (START_S + 4200) * NS), START_S * NS)
    assert found.episodes == ()
    assert (found.slis[0].good, found.slis[0].total) == (3000, 3000)
    assert found.customers.affected == 0
