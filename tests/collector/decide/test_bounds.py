"""What counts can tell: rank bounds, posteriors of two shares (measures.md 5.2-5.4)."""

from math import comb, cos, exp, log, pi, sin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betainc, betaln

from otel_cx_collector.decide import bounds

QUANTILES = st.sampled_from(sorted(bounds.THOUSANDTHS.values()))


@st.composite
def counts(draw: st.DrawFn, most: int = 3000) -> tuple[int, int, int, int]:
    started, base_started = draw(st.integers(0, most)), draw(st.integers(0, most))
    return draw(st.integers(0, started)), started, draw(st.integers(0, base_started)), base_started


def fewer(count: int, thousandths: int, rank: int) -> int:
    """P(Bin < rank), in units of 1000**-count: exact."""
    return sum(comb(count, hits) * thousandths**hits * (1000 - thousandths) ** (count - hits) for hits in range(rank))


@given(count=st.integers(0, 70), thousandths=QUANTILES)
def test_ranks_are_the_extreme_ones_that_are_wrong_less_often_than_five_percent(count: int, thousandths: int) -> None:
    limit, whole = 1000**count, 1000**count
    lower = [rank for rank in range(1, count + 1) if 20 * fewer(count, thousandths, rank) < limit]
    upper = [rank for rank in range(1, count + 1) if 20 * (whole - fewer(count, thousandths, rank)) < limit]
    assert bounds.rank_bounds(count, thousandths) == (max(lower, default=0), min(upper, default=None))


@pytest.mark.parametrize(
    ("quantile", "least"), [("p50", 5), ("p75", 11), ("p90", 29), ("p95", 59), ("p99", 299), ("p99.9", 2995)]
)
def test_a_quantile_has_an_upper_rank_from_so_many_durations_on(quantile: str, least: int) -> None:
    thousandths = bounds.THOUSANDTHS[quantile]
    assert bounds.rank_bounds(least - 1, thousandths)[1] is None
    assert bounds.rank_bounds(least, thousandths)[1] == least


@given(count=st.integers(1, 5000), thousandths=QUANTILES)
def test_ranks_enclose_the_quantile_and_grow_with_the_count(count: int, thousandths: int) -> None:
    lower, upper = bounds.rank_bounds(count, thousandths)
    assert lower <= bounds.quantile_rank(count, thousandths) <= (upper or count)
    more_lower, more_upper = bounds.rank_bounds(count + 1, thousandths)
    assert lower <= more_lower <= lower + 1
    if upper is not None:
        assert more_upper is not None
        assert upper <= more_upper <= upper + 1


def test_the_rank_of_a_quantile_is_counted_in_whole_numbers() -> None:
    assert [bounds.quantile_rank(count, 950) for count in (1, 19, 20, 21, 40, 100)] == [1, 19, 19, 20, 38, 95]
    assert bounds.quantile_rank(1000, 999) == 999


def by_quadrature(given: tuple[int, int, int, int], factor: float) -> float:
    """The same integral over the share itself, by an adaptive rule that knows nothing of the product's."""
    completed, started, base_completed, base_started = given
    a, b = base_completed + 0.5, base_started - base_completed + 0.5

    def integrand(angle: float) -> float:
        """Over x = sin(angle)^2, which takes the poles at 0 and 1 away."""
        share = sin(angle) ** 2
        density = 2 * exp((2 * a - 1) * log(sin(angle)) + (2 * b - 1) * log(cos(angle)) - betaln(a, b))
        return density * float(betainc(completed + 0.5, started - completed + 0.5, min(1.0, factor * share)))

    found, _ = quad(integrand, 0, pi / 2, limit=400, epsabs=1e-10)
    return float(found)


@given(given=counts(40), factor=st.sampled_from([0.5, 0.92, 0.98, 1.0, 1.02, 1.5]))
def test_the_probability_agrees_with_another_way_to_integrate(given: tuple[int, int, int, int], factor: float) -> None:
    assert bounds.below(*given, factor) == pytest.approx(by_quadrature(given, factor), abs=1e-6)


def test_two_uniform_like_shares_have_a_closed_form() -> None:
    assert bounds.below(0, 0, 0, 0, 1.0) == pytest.approx(0.5, abs=1e-8)
    # P(p < p0) with p ~ Beta(1/2, 3/2), p0 ~ Beta(3/2, 1/2): 1/2 + 4/pi^2, by hand
    assert bounds.below(0, 1, 1, 1, 1.0) == pytest.approx(0.5 + 4 / pi**2, abs=1e-8)


@given(given=counts())
def test_a_share_is_below_another_as_often_as_the_other_is_not_below_it(given: tuple[int, int, int, int]) -> None:
    one, base = given[:2], given[2:]
    assert bounds.below(*one, *base, 1.0) + bounds.below(*base, *one, 1.0) == pytest.approx(1, abs=1e-7)


@given(given=counts(), factor=st.floats(0.1, 2))
def test_the_probability_falls_with_completions_and_grows_with_those_of_the_baseline(
    given: tuple[int, int, int, int], factor: float
) -> None:
    completed, started, base_completed, base_started = given
    chance = bounds.below(*given, factor)
    assert -1e-8 <= chance <= 1 + 1e-8
    if completed < started:
        assert bounds.below(completed + 1, started, base_completed, base_started, factor) <= chance + 1e-7
    if base_completed < base_started:
        assert bounds.below(completed, started, base_completed + 1, base_started, factor) >= chance - 1e-7
    assert bounds.below(completed, started + 1, base_completed, base_started, factor) >= chance - 1e-7


def test_a_narrow_share_against_a_wide_one_is_as_exact() -> None:
    assert bounds.below(600_000, 1_000_000, 18, 30, 0.92) == pytest.approx(
        float(1 - betainc(18.5, 12.5, 0.6 / 0.92)), abs=1e-3
    )
    assert len(bounds._grid((18.5, 12.5), (6e11, 4e11))[0]) == bounds.GRID_MOST


@given(given=counts(), factor=st.sampled_from([0.5, 0.92, 0.98, 1.02, 1.5]))
def test_the_cheap_bound_is_on_the_same_side_of_every_limit(given: tuple[int, int, int, int], factor: float) -> None:
    exact = bounds.below(*given, factor)
    for low, high in ((0.1, 0.9), (0.05, 0.9), (0.1, 0.95)):
        cheap = bounds.chance(given, factor, low, high)
        assert (cheap <= low, cheap >= high) == (exact <= low, exact >= high)


def test_far_from_its_limits_the_probability_is_not_integrated() -> None:
    before = bounds.below.cache_info()
    assert bounds.chance((1500, 2500, 6000, 10_000), 0.92, 0.1, 0.9) < 0.1
    assert bounds.chance((1000, 2500, 6000, 10_000), 0.92, 0.1, 0.9) > 0.9
    assert bounds.below.cache_info() == before


@given(given=counts(500), probability=st.sampled_from([0.05, 0.1, 0.9, 0.95]))
def test_the_quantile_of_the_ratio_is_where_the_probability_is_reached(
    given: tuple[int, int, int, int], probability: float
) -> None:
    factor = bounds.ratio(*given, probability)
    if factor < bounds.RATIO_MOST:
        assert bounds.below(*given, factor) == pytest.approx(probability, abs=1e-5)


def test_a_ratio_without_end_is_looked_for_up_to_its_limit() -> None:
    assert bounds.ratio(1000, 1000, 0, 10_000_000, 0.95) >= bounds.RATIO_MOST


@pytest.mark.parametrize("cached", [bounds.rank_bounds, bounds.error_rate, bounds.below, bounds.ratio])
def test_what_is_kept_has_a_limit(cached: object) -> None:
    assert cached.cache_info().maxsize == bounds.KEPT  # type: ignore[attr-defined]  # of functools


def test_without_a_failure_the_error_rate_may_be_nothing() -> None:
    assert bounds.error_rate(0, 10)[0] == 0
    assert bounds.error_rate(10, 10)[1] == 1
    low, high = bounds.error_rate(1, 100)
    assert (round(low, 4), round(high, 4)) == (0.0018, 0.0384)
