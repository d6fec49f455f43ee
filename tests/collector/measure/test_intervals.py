"""Intervals and verdicts are wrong as seldom as they say: exact sums over all outcomes, or seeded draws."""

import numpy as np
import pytest
from scipy.stats import binom

from otel_cx_collector.decide import bounds, laws
from otel_cx_collector.decide.words import Truth
from otel_cx_collector.measure.stats import REACH_HIGH, REACH_LOW, TEST, jeffreys_array

SHARES = np.linspace(0.005, 0.995, 199)


def coverage(active: int) -> np.ndarray:
    """Of each true share, how often the reach's interval contains it."""
    affected = np.arange(active + 1)
    low = jeffreys_array(affected, np.full(active + 1, active), REACH_LOW)
    high = jeffreys_array(affected, np.full(active + 1, active), REACH_HIGH)
    inside = (low[:, None] <= SHARES) & (high[:, None] >= SHARES)
    chance = binom.pmf(affected[:, None], active, SHARES[None, :])
    return np.asarray((chance * inside).sum(axis=0))


@pytest.mark.parametrize("active", [5, 10, 20, 50, 200, 1000])
def test_the_interval_of_reach_contains_the_truth_nine_times_in_ten_on_the_average(active: int) -> None:
    assert coverage(active).mean() == pytest.approx(0.9, abs=0.02)


def test_the_bound_of_the_test_is_above_the_truth_about_once_in_a_thousand() -> None:
    harmed = np.arange(201)
    low = jeffreys_array(harmed, np.full(201, 200), TEST)
    chance = binom.pmf(harmed[:, None], 200, SHARES[None, :])
    above = (chance * (low[:, None] > SHARES)).sum(axis=0)
    assert above.mean() < 0.0011


@pytest.mark.parametrize("thousandths", [500, 900, 950, 990])
@pytest.mark.parametrize("count", [5, 60, 300, 1000])
def test_a_quantile_is_said_to_be_above_its_threshold_wrongly_in_at_most_5_percent(
    count: int, thousandths: int
) -> None:
    """At the border: the true quantile is the threshold, so that each duration is at most it with the quantile's share.

    Likewise for false. Elsewhere both are rarer.
    """
    at_most = np.arange(count + 1)
    chance = binom.pmf(at_most, count, thousandths / 1000)
    verdicts = [laws.quantile_above(count, int(k), thousandths) for k in at_most]
    for verdict in (Truth.TRUE, Truth.FALSE):
        wrong = sum(p for p, each in zip(chance, verdicts, strict=True) if each is verdict)
        assert wrong <= 0.05 + 1e-9


def test_completion_is_said_to_have_dropped_wrongly_in_about_one_of_ten_at_the_border_and_hardly_elsewhere() -> None:
    rng = np.random.default_rng(1)
    by, wrong, alarms, draws = 0.2, 0, 0, 400
    for _ in range(draws):
        base = rng.uniform(0.3, 0.9)
        base_completed = int(rng.binomial(600, base))
        border, same = (int(rng.binomial(200, share)) for share in (base * (1 - by), base))
        wrong += laws.dropped((border, 200, base_completed, 600), by) is Truth.TRUE
        alarms += laws.dropped((same, 200, base_completed, 600), by) is Truth.TRUE
    assert wrong / draws < 0.14
    assert alarms / draws < 0.01


def test_completion_is_said_to_be_unchanged_wrongly_in_at_most_one_of_twenty() -> None:
    """At either border of the band."""
    rng = np.random.default_rng(2)
    within, draws = 0.2, 300
    for factor in (1 - within, 1 + within):
        wrong = 0
        for _ in range(draws):
            base = rng.uniform(0.3, 0.7)
            counts = (int(rng.binomial(400, base * factor)), 400, int(rng.binomial(1200, base)), 1200)
            wrong += laws.unchanged(counts, within) is Truth.TRUE
        assert wrong / draws < 0.08


@pytest.mark.parametrize("total", [20, 100, 1000])
def test_availability_is_said_to_be_lost_wrongly_in_about_one_of_twenty(total: int) -> None:
    """At the border: the true error rate is what the target allows."""
    for target in (0.9, 0.95, 0.99):
        failed = np.arange(total + 1)
        chance = binom.pmf(failed, total, 1 - target)
        wrong = sum(
            p for p, k in zip(chance, failed, strict=True) if laws.available(int(k), total, target) is Truth.FALSE
        )
        assert wrong < 0.085


def test_the_bounds_of_an_error_rate_are_those_of_reach() -> None:
    low, high = bounds.error_rate(3, 50)
    assert low == pytest.approx(jeffreys_array([3], [50], REACH_LOW)[0])
    assert high == pytest.approx(jeffreys_array([3], [50], REACH_HIGH)[0])
