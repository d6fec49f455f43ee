"""Base-2 exponential histogram at fixed scale 6, as the OpenTelemetry data model has it. For display, never an SLI.

Bucket ``i`` holds values in ``(2^(i/64), 2^((i+1)/64)]``; its value is ``2*lo*hi/(lo+hi)``, whose relative error is at
most ``(b-1)/(b+1)`` = 0.55 % with ``b = 2^(1/64)`` (measures.md 2.3).
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

SCALE: Final = 6
PER_OCTAVE: Final = 1 << SCALE


def buckets(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bucket index of each value; values below 1 (nanosecond) count as 1."""
    positive = np.maximum(values, 1).astype(np.float64)
    index: NDArray[np.int64] = np.ceil(np.log2(positive) * PER_OCTAVE).astype(np.int64) - 1
    # log2 rounds: put a value that sits on the wrong side of its edge right.
    index += positive > np.exp2((index + 1) / PER_OCTAVE)
    index -= positive <= np.exp2(index / PER_OCTAVE)
    return index


def of(values: NDArray[np.int64], weights: NDArray[np.int64]) -> Counter[int]:
    """Histogram of weighted values: bucket index -> summed weight."""
    index, inverse = np.unique(buckets(values), return_inverse=True)
    sums = np.zeros(len(index), dtype=np.int64)
    np.add.at(sums, inverse, weights)
    return Counter(dict(zip(index.tolist(), sums.tolist(), strict=True)))


def value(index: int) -> float:
    """The value that stands for a bucket: the harmonic mean of its edges."""
    low, high = math.exp2(index / PER_OCTAVE), math.exp2((index + 1) / PER_OCTAVE)
    return 2 * low * high / (low + high)


def quantile(histogram: Mapping[int, int], percent: int, unit: int = 1) -> float | None:
    """Value at rank ``ceil(percent/100 * n)`` where n is the total weight in ``unit``; None when empty."""
    total = sum(histogram.values())
    if not total:
        return None
    rank = min(-(-percent * total // (100 * unit)) * unit, total)
    seen = 0
    for index in sorted(histogram):
        seen += histogram[index]
        if seen >= rank:
            return value(index)
    return None


def downscale(histogram: Mapping[int, int], by: int) -> Counter[int]:
    """The same observations at ``SCALE - by``: buckets merge exactly, two to one for each step."""
    merged: Counter[int] = Counter()
    for index, count in histogram.items():
        merged[index >> by] += count
    return merged
