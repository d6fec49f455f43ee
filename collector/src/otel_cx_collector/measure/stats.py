"""Jeffreys bounds of a proportion. Source: Brown, Cai, DasGupta 2001; measures.md names the quantiles."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

REACH_LOW: Final = 0.05
REACH_HIGH: Final = 0.95
TEST: Final = 0.001
"""The quantile of the episode test and of rho (4.5, 4.8)."""


def jeffreys(successes: float, trials: float, quantile: float) -> float:
    """Quantile of Beta(successes + 0.5, trials - successes + 0.5); trials must not be below successes."""
    return float(betaincinv(successes + 0.5, trials - successes + 0.5, quantile))


def jeffreys_array(
    successes: NDArray[np.int64] | Sequence[int], trials: NDArray[np.int64] | Sequence[int], quantile: float
) -> NDArray[np.float64]:
    """The same for arrays of equal length."""
    k = np.asarray(successes, dtype=np.float64)
    n = np.asarray(trials, dtype=np.float64)
    return np.asarray(betaincinv(k + 0.5, n - k + 0.5, quantile), dtype=np.float64)
