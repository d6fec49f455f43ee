"""What counts can tell for certain: rank bounds of a quantile, posteriors of two ratios. Pure, cached by counts.

Nothing is sampled: the same counts give the same answer.
"""

from collections.abc import Callable
from functools import lru_cache
from math import ceil, sqrt
from typing import Final

import numpy as np
from scipy.special import betainc, betaincinv

from otel_cx_collector.measure.columns import Floats
from otel_cx_collector.measure.stats import REACH_HIGH, REACH_LOW, jeffreys

ERROR: Final = 0.05
"""A bound is wrong less often than this (5.2)."""
ERROR_ROUNDING: Final = 1e-12
KEPT: Final = 65_536
"""Answers kept of each kind, about 10 MB: the counts that a window of a steady journey goes through, many times."""

THOUSANDTHS: Final = {"p50": 500, "p75": 750, "p90": 900, "p95": 950, "p99": 990, "p99.9": 999}
"""Quantile -> its share in thousandths: ranks are whole numbers and counted in whole numbers."""

TAIL: Final = 1e-10
"""Of a posterior, left out of the integral at either end."""
STEP: Final = 0.35
"""Grid, in standard deviations of the narrower posterior: the trapezoid rule is off by less than 1e-8 (tested)."""
GRID_LEAST, GRID_MOST = 30, 4000
RATIO_MOST: Final = 1e6
"""A ratio of two shares is looked for up to here: without a completion in the baseline it has no end."""
HALVINGS: Final = 32
"""Of the bracket in which a ratio is looked for: nine digits, as many as the integral has."""


@lru_cache(KEPT)
def rank_bounds(count: int, thousandths: int) -> tuple[int, int | None]:
    """Ranks of the order statistics between which a quantile lies, each wrong less often than 5 % (5.2).

    Of ``count`` durations, the number below the true quantile q is Bin(count, q): the order statistic of rank r is
    above it with P(Bin < r), and below with P(Bin >= r). Source: David & Nagaraja, Order Statistics, 7.1.

    Args:
        count: Durations.
        thousandths: q.

    Returns:
        The largest rank that is hardly above the quantile, 0 when there is none; the smallest that is hardly below,
        None when there is none: fewer than 59 durations for p95.
    """
    q = thousandths / 1000
    lower = _last(count, lambda rank: _fewer(count, q, rank) < ERROR - ERROR_ROUNDING)
    below_upper = _last(count, lambda rank: 1 - _fewer(count, q, rank) >= ERROR - ERROR_ROUNDING)
    return lower, below_upper + 1 if below_upper < count else None


def quantile_rank(count: int, thousandths: int) -> int:
    """ceil(q*n): the rank of a quantile itself (2.3)."""
    return -(-thousandths * count // 1000)


@lru_cache(KEPT)
def error_rate(failed: int, total: int) -> tuple[float, float]:
    """Jeffreys 5 % and 95 % bounds; 0 without a failure and 1 without a success (Brown, Cai, DasGupta 2001, 4.1)."""
    low = jeffreys(failed, total, REACH_LOW) if failed else 0.0
    high = jeffreys(failed, total, REACH_HIGH) if failed < total else 1.0
    return low, high


def _fewer(count: int, q: float, rank: int) -> float:
    """P(Bin(count, q) < rank) for 1 <= rank <= count."""
    return float(betainc(count - rank + 1, rank, 1 - q))


def _last(count: int, holds: Callable[[int], bool]) -> int:
    """The largest of 1..count for which something holds that holds up to a point; 0 when it never does."""
    low, high = 0, count + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


@lru_cache(KEPT)
def below(completed: int, started: int, base_completed: int, base_started: int, factor: float) -> float:
    """P(p < factor*p0) for independent p ~ Beta(k + 0.5, n - k + 0.5) and p0 likewise (5.3, 5.4)."""
    return _below(completed, started, base_completed, base_started, factor)


def _below(completed: int, started: int, base_completed: int, base_started: int, factor: float) -> float:
    """The integral over one share's density of the other's distribution function.

    By the trapezoid rule over the log odds, where both are smooth and the rule converges faster than any power of the
    step (Trefethen, Weideman 2014). The share integrated over is the one whose factor keeps the other within 0 and 1.
    """
    one = (completed + 0.5, started - completed + 0.5)
    base = (base_completed + 0.5, base_started - base_completed + 0.5)
    if factor <= 1:
        share, density = _grid(base, one)
        return float(density @ betainc(*one, factor * share))
    share, density = _grid(one, base)
    return float(1 - density @ betainc(*base, share / factor))


def _grid(over: tuple[float, float], other: tuple[float, float]) -> tuple[Floats, Floats]:
    """Shares, equally far apart in log odds, and how likely each is; the second adds up to 1."""
    a, b = over
    first, last = betaincinv(a, b, TAIL), betaincinv(b, a, TAIL)
    low, high = np.log(first) - np.log1p(-first), np.log1p(-last) - np.log(last)
    narrower = min(sqrt(1 / a + 1 / b), sqrt(1 / other[0] + 1 / other[1]))
    points = min(max(ceil((high - low) / (STEP * narrower)), GRID_LEAST), GRID_MOST)
    odds = np.linspace(low, high, points)
    density = a * odds - (a + b) * np.logaddexp(0, odds)
    density = np.exp(density - density.max())
    return 1 / (1 + np.exp(-odds)), density / density.sum()


def chance(counts: tuple[int, int, int, int], factor: float, low: float, high: float) -> float:
    """``below``, or, where that is far from both limits, a bound of it on the same side of both: fifty times cheaper.

    By Cantelli's inequality factor*p0 - p has another sign than its mean m with a probability of at most v/(v + m^2).

    Args:
        counts: As ``below`` takes them.
        factor: Likewise.
        low: What the answer is asked to be at most.
        high: What it is asked to be at least.
    """
    completed, started, base_completed, base_started = counts
    share, variance = _moments(completed, started)
    base_share, base_variance = _moments(base_completed, base_started)
    mean = factor * base_share - share
    variance += factor * factor * base_variance
    other_sign = variance / (variance + mean * mean)
    if mean < 0 and other_sign <= low:
        return other_sign
    if mean > 0 and 1 - other_sign >= high:
        return 1 - other_sign
    return below(completed, started, base_completed, base_started, factor)


def _moments(good: int, total: int) -> tuple[float, float]:
    """Mean and variance of Beta(good + 0.5, total - good + 0.5)."""
    mean = (good + 0.5) / (total + 1)
    return mean, mean * (1 - mean) / (total + 2)


@lru_cache(KEPT)
def ratio(completed: int, started: int, base_completed: int, base_started: int, probability: float) -> float:
    """The quantile of p/p0: the factor for which ``below`` is ``probability``; at most ``RATIO_MOST``."""
    low, high = 0.0, 1.0
    while high < RATIO_MOST and _below(completed, started, base_completed, base_started, high) < probability:
        low, high = high, high * 4
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _below(completed, started, base_completed, base_started, middle) < probability:
            low = middle
        else:
            high = middle
    return high
