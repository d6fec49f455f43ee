"""Each predicate at its borders, with numbers worked out from measures.md 5.2-5.5."""

from dataclasses import replace
from typing import Any

import pytest
from collector.decide.fake_evidence import USUAL, FakeEvidence, completions, rule
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.decide import bounds, laws
from otel_cx_collector.decide.predicates import truth
from otel_cx_collector.decide.words import Failures, Truth
from otel_cx_collector.inventory.decisions import Leaf, SaturationAbove

LATENCY = {"latency": "p95", "step": "payment", "over": "5m", "above": "1.5s"}
DROP = {"completion": "drop", "by": "8%", "over": "15m"}
UNCHANGED = {"completion": "unchanged", "within": "2%", "over": "15m"}
AVAILABILITY = {"availability": "ok", "over": "15m"}
SATURATION = {"saturation": "payments-db", "above": "80%"}
IMPACT = {"impact": "score", "above": 4}


def found(when: dict[str, Any], evidence: FakeEvidence) -> str:
    return truth(rule(when).when, evidence, {}).value


def p95(fast: int, slow: int) -> str:
    return found(LATENCY, FakeEvidence(seconds=[1.5] * fast + [1.6] * slow))


def test_without_59_durations_p95_is_never_known_to_be_below() -> None:
    # 0.95**58 = 0.0510, 0.95**59 = 0.0485
    assert p95(fast=58, slow=0) == "unknown"
    assert p95(fast=59, slow=0) == "false"


def test_few_slow_ones_say_for_certain_that_p95_is_above() -> None:
    # P(Bin(2, 0.95) < 1) = 0.0025; one alone is slow in exactly one of twenty, which is not rarer than 5 %
    assert p95(fast=0, slow=2) == "true"
    assert p95(fast=0, slow=1) == "unknown"
    assert p95(fast=0, slow=0) == "unknown"


def test_the_rank_bounds_decide_to_the_execution() -> None:
    # of 93, P(Bin < 85) = 0.0398 and P(Bin < 86) = 0.0872; P(Bin >= 92) = 0.0498 and P(Bin >= 91) = 0.1448
    assert [p95(fast, 93 - fast) for fast in (84, 85, 91, 92)] == ["true", "unknown", "unknown", "false"]


def test_a_duration_that_equals_the_threshold_is_not_above_it() -> None:
    assert found(LATENCY, FakeEvidence(seconds=[1.5] * 100)) == "false"
    assert found(LATENCY, FakeEvidence(seconds=[1.500000001] * 100)) == "true"


@pytest.mark.parametrize(
    ("completed", "verdict"),
    # of 250, against 600 of 1000: P(down by 8 %) is 0.100 at 149 and 0.081 at 150, 0.917 at 126 and 0.898 at 127
    [(150, "false"), (149, "unknown"), (138, "unknown"), (127, "unknown"), (126, "true"), (60, "true")],
)
def test_completion_is_down_by_a_share_when_that_is_nine_tenths_sure(completed: int, verdict: str) -> None:
    assert found(DROP, FakeEvidence(completed=completions(completed, 250))) == verdict


def test_a_drop_of_exactly_the_share_is_unknown_however_many_sessions() -> None:
    for many in (1, 100, 10_000):
        exact = completions(138 * many, 250 * many, 600 * many, 1000 * many)
        assert found(DROP, FakeEvidence(completed=exact)) == "unknown"


def test_a_drop_on_the_border_is_decided_by_the_probability() -> None:
    verdicts = [laws.dropped((completed, 250, 600, 1000), 0.08) for completed in range(251)]
    chances = [bounds.below(completed, 250, 600, 1000, 0.92) for completed in range(251)]
    assert verdicts == [
        Truth.TRUE if chance >= 0.9 else Truth.FALSE if chance <= 0.1 else Truth.UNKNOWN for chance in chances
    ]
    assert verdicts == sorted(verdicts, key=["true", "unknown", "false"].index)


@pytest.mark.parametrize("when", [DROP, UNCHANGED])
def test_completion_without_enough_of_a_baseline_is_unknown(when: dict[str, Any]) -> None:
    hurt = completions(0, 250)
    assert found(when, FakeEvidence(completed=hurt)) != "unknown"
    for poor in (
        replace(hurt, base_minutes=9),
        replace(hurt, base_completed=20, base_started=29),
        replace(hurt, baseline="none"),
    ):
        assert found(when, FakeEvidence(completed=poor)) == "unknown"
    enough = replace(hurt, base_minutes=10, base_completed=20, base_started=30)
    assert found(when, FakeEvidence(completed=enough)) != "unknown"


@pytest.mark.parametrize("when", [DROP, UNCHANGED])
def test_completion_without_an_attempt_is_unknown_even_where_the_prior_alone_would_decide(when: dict[str, Any]) -> None:
    nothing = completions(0, 0, 10_000, 10_000)
    assert bounds.below(0, 0, 10_000, 10_000, 0.98) > 0.9
    assert found(when, FakeEvidence(completed=nothing)) == "unknown"


def test_completion_is_unchanged_only_when_neither_side_is_likely() -> None:
    many = 400  # attempts times this: sd of the ratio 0.28 %
    unchanged = {
        share: completions(round(share * 250 * many), 250 * many, 600 * many, 1000 * many)
        for share in (0.55, 0.588, 0.6, 0.612, 0.65)
    }
    verdicts = {share: found(UNCHANGED, FakeEvidence(completed=each)) for share, each in unchanged.items()}
    assert verdicts == {0.55: "false", 0.588: "unknown", 0.6: "true", 0.612: "unknown", 0.65: "false"}


def test_with_little_traffic_unchanged_is_unknown() -> None:
    assert found(UNCHANGED, FakeEvidence(completed=USUAL)) == "unknown"


@given(
    started=st.integers(1, 400),
    share=st.floats(0, 1),
    base=st.sampled_from([(30, 30), (29, 30), (600, 1000), (9, 900)]),
    within=st.sampled_from([0.02, 0.1, 0.5]),
)
def test_unchanged_is_what_the_two_probabilities_say(
    started: int, share: float, base: tuple[int, int], within: float
) -> None:
    counts = (round(share * started), started, *base)
    lower, higher = bounds.below(*counts, 1 - within), 1 - bounds.below(*counts, 1 + within)
    expected = Truth.UNKNOWN
    if max(lower, higher) >= 0.9:
        expected = Truth.FALSE
    elif max(lower, higher) <= 0.05:
        expected = Truth.TRUE
    assert laws.unchanged(counts, within) is expected


@pytest.mark.parametrize(
    ("failed", "total", "verdict"),
    [
        (0, 1, "true"),  # Jeffreys' lower bound is 0 without a failure
        (0, 0, "unknown"),
        (1, 1000, "true"),  # the point is the target
        (1, 999, "unknown"),  # Beta(1.5, 998.5) at 5 %: 0.00018
        (4, 1000, "false"),  # Beta(4.5, 996.5) at 5 %: 0.0017
        (1, 100, "false"),  # Beta(1.5, 99.5) at 5 %: 0.0018
        (1, 1, "false"),
    ],
)
def test_availability_is_not_ok_only_when_the_failures_say_so_for_certain(
    failed: int, total: int, verdict: str
) -> None:
    assert found(AVAILABILITY, FakeEvidence(failed=Failures(failed, total, 0.999))) == verdict


def test_availability_at_exactly_its_target_is_ok_whatever_floats_say() -> None:
    assert 1 / 10 > 1 - 0.9
    assert found(AVAILABILITY, FakeEvidence(failed=Failures(1, 10, 0.9))) == "true"


def test_availability_without_an_objective_is_unknown() -> None:
    assert found(AVAILABILITY, FakeEvidence(failed=None)) == "unknown"


def test_saturation_is_above_its_share_of_the_limit_or_was_not_heard_of() -> None:
    assert found(SATURATION, FakeEvidence(shares={"payments-db": 0.8})) == "false"
    assert found(SATURATION, FakeEvidence(shares={"payments-db": 0.801})) == "true"
    assert found(SATURATION, FakeEvidence(shares={"another": 1.0})) == "unknown"


def test_the_score_is_above_its_threshold() -> None:
    assert found(IMPACT, FakeEvidence(live=4.0)) == "false"
    assert found(IMPACT, FakeEvidence(live=4.01)) == "true"


def test_a_low_score_of_what_was_not_measured_is_unknown_and_a_high_one_is_not() -> None:
    assert found(IMPACT, FakeEvidence(live=0.0, share=0.89)) == "unknown"
    assert found(IMPACT, FakeEvidence(live=50.0, share=0.89)) == "true"


@pytest.mark.parametrize("when", [LATENCY, DROP, UNCHANGED, AVAILABILITY])
def test_a_window_with_too_little_coverage_is_unknown(when: dict[str, Any]) -> None:
    hurt = {"seconds": [9.0] * 100, "completed": completions(0, 250), "failed": Failures(900, 1000, 0.999)}
    assert found(when, FakeEvidence(share=0.9, **hurt)) != "unknown"  # type: ignore[arg-type]  # of the fields above
    assert found(when, FakeEvidence(share=0.89, **hurt)) == "unknown"  # type: ignore[arg-type]  # likewise


def test_every_predicate_without_parts_has_a_law() -> None:
    assert set(laws.LAWS) == set(Leaf.__args__)
    assert isinstance(rule(SATURATION).when, SaturationAbove)
