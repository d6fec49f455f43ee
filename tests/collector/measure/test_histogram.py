from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.measure import histogram
from otel_cx_collector.measure.slis import quantile as exact_quantile

durations = st.lists(st.integers(1, 10**13), min_size=1, max_size=200)


def of(values: list[int]) -> Counter[int]:
    return histogram.of(np.array(values), np.ones(len(values), dtype=np.int64))


@given(durations)
def test_every_value_lies_in_its_bucket_open_below_and_closed_above(values: list[int]) -> None:
    for value, bucket in zip(values, histogram.buckets(np.array(values)).tolist(), strict=True):
        assert 2 ** (bucket / 64) < value <= 2 ** ((bucket + 1) / 64)


def test_a_power_of_two_closes_the_bucket_below_it() -> None:
    assert histogram.buckets(np.array([2**k for k in range(1, 43)])).tolist() == [64 * k - 1 for k in range(1, 43)]


@given(durations, st.integers(1, 99))
def test_a_quantile_is_within_0_55_percent_of_the_exact_one(values: list[int], percent: int) -> None:
    exact = exact_quantile(np.array(values), np.full(len(values), 1 << 20), percent)
    approximate = histogram.quantile(of(values), percent)
    assert exact is not None
    assert approximate is not None
    assert abs(approximate - exact) <= 0.0055 * exact


@given(durations, durations, durations)
def test_merging_is_associative_and_commutative_and_nothing_is_zero(a: list[int], b: list[int], c: list[int]) -> None:
    assert (of(a) + of(b)) + of(c) == of(a) + (of(b) + of(c)) == of(c) + of(b) + of(a) == of(a + b + c)
    assert of(a) + Counter() == of(a)


@given(durations, durations, st.integers(0, 6))
def test_downscaling_merges_exactly_and_commutes_with_merging(a: list[int], b: list[int], by: int) -> None:
    down = histogram.downscale(of(a), by)
    assert sum(down.values()) == len(a)
    assert down + histogram.downscale(of(b), by) == histogram.downscale(of(a) + of(b), by)
    assert set(down) == {bucket >> by for bucket in of(a)}


def test_an_empty_histogram_has_no_quantile() -> None:
    assert histogram.quantile({}, 95) is None
