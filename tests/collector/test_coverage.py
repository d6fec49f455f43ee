"""Which slices and minutes were measured, and how long stragglers are waited for (measures.md 1.2, 1.4)."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.coverage import EXPECTED_SLICES, SETTLE_MAX_S, SETTLE_MIN_S, Beats, settle_s
from otel_cx_collector.events import NS

START_S = 1_767_603_600
HOUR = 360
"""Slices."""


def beats(*nodes: range | list[int], slices: int = HOUR) -> list[bool]:
    """Measured slices when each node reported for the slices of those numbers."""
    reported = [[START_S + 10 * at for at in node] for node in nodes]
    found: list[bool] = Beats.of(reported, START_S, START_S + 10 * slices).slices.tolist()
    return found


def test_before_the_first_heartbeat_nobody_was_expected_and_all_counts_as_measured() -> None:
    assert beats() == [True] * HOUR
    assert beats(range(100, HOUR)) == [True] * HOUR


def test_a_slice_is_measured_when_every_node_reported_for_it() -> None:
    missing = [at for at in range(HOUR) if at != 50]
    found = beats(range(HOUR), missing)
    assert [at for at in range(HOUR) if not found[at]] == [50]


def test_the_silence_of_everybody_stays_unmeasured_however_long_it_lasts() -> None:
    found = beats(range(10))
    assert found == [True] * 10 + [False] * (HOUR - 10)


def test_a_node_that_was_taken_away_is_expected_for_ten_minutes_and_no_longer() -> None:
    found = beats(range(HOUR), range(100))
    assert found[100 : 100 + EXPECTED_SLICES - 1] == [False] * (EXPECTED_SLICES - 1)
    assert all(found[:100])
    assert all(found[100 + EXPECTED_SLICES - 1 :])


def test_a_node_that_comes_is_expected_from_its_first_heartbeat_on() -> None:
    found = beats(range(HOUR), [200, 202])
    assert all(found[:200])
    assert [at for at in range(200, 203) if not found[at]] == [201]


def test_heartbeats_before_the_stretch_do_not_make_its_beginning_unexpected() -> None:
    assert beats([-5]) == [False] * HOUR
    assert beats(range(-5, HOUR)) == [True] * HOUR


@given(st.lists(st.lists(st.integers(0, 29), max_size=30), max_size=4))
def test_more_heartbeats_of_a_known_node_never_make_less_measured(nodes: list[list[int]]) -> None:
    before = beats(*nodes, slices=30)
    fuller = [node and sorted({*node, max(node)}) for node in nodes]
    assert beats(*fuller, slices=30) == before
    if any(nodes):
        everything: list[range | list[int]] = [range(min(node), 30) if node else [] for node in nodes]
        assert all(beats(*everything, slices=30))


def test_outside_of_the_stretch_all_counts_as_measured() -> None:
    known = Beats(START_S, np.zeros(6, dtype=np.bool_))
    assert known.between(START_S - 20, START_S + 20).tolist() == [True, True, False, False]
    assert known.between(START_S + 50, START_S + 80).tolist() == [False, True, True]
    assert known.between(START_S + 20, START_S).tolist() == []


def test_a_minute_is_measured_when_all_of_its_slices_are() -> None:
    slices = np.ones(18, dtype=np.bool_)
    slices[7] = False
    known = Beats(START_S, slices)
    assert known.minutes(START_S // 60 - 1, 5).tolist() == [True, True, False, True, True]


def arrived(*lags_s: float, service: str = "shop") -> pa.Table:
    ends = [(START_S + at) * NS for at in range(len(lags_s))]
    inserted = [round((START_S + at + lag) * 10**6) for at, lag in enumerate(lags_s)]
    return pa.table({"end": ends, "inserted_at": inserted, "service": [service] * len(lags_s)})


@pytest.mark.parametrize(
    ("lag_s", "found"), [(0, SETTLE_MIN_S), (15, 15), (15.2, 16), (119.5, 120), (500, SETTLE_MAX_S)]
)
def test_the_wait_is_the_p99_of_the_arrival_lag_within_its_bounds(lag_s: float, found: int) -> None:
    assert settle_s([arrived(*[lag_s] * 100)], 0) == found


def test_the_slowest_service_is_waited_for_and_one_straggler_in_a_thousand_is_not() -> None:
    assert settle_s([arrived(*[1] * 100), arrived(*[30] * 100, service="mail")], 0) == 30
    assert settle_s([arrived(*[1] * 999, 90)], 0) == SETTLE_MIN_S
