"""Customers who do not come (measures.md 4.5): when, how many, and what it does to H, rho and the vector."""

from collections.abc import Sequence

import numpy as np
import pytest
from crowds import crowd
from rows import START_S

from otel_cx_collector import inventory
from otel_cx_collector.events import NS
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.measure import impact
from otel_cx_collector.measure.columns import Bools
from otel_cx_collector.measure.evaluation import episode, of_track
from otel_cx_collector.measure.live import pulse, severity
from otel_cx_collector.measure.track import Measured, Track, always

FIRST = START_S // 60
PLAIN = inventory.parse("journeys: {checkout: {criticality: 0.5, steps: [payment]}}")


def track(started: Sequence[int], file: Inventory = PLAIN, measured: Measured = always, failed: int = 0) -> Track:
    """Attempts of each minute, evenly over it; the first ``failed`` of each of the last ten minutes fail."""
    counts = np.array(started)
    minute = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(minute)) - np.repeat(np.cumsum(counts) - counts, counts)
    end_ns = (START_S + minute * 60) * NS + nth * (60 * NS // np.maximum(counts, 1)[minute])
    hurt = (minute >= len(counts) - 10) & (nth < failed)
    found = Track(file.journeys["checkout"], file)
    found.add(crowd(end_ns, outcome=np.where(hurt, "failed", "ok")))
    found.close(START_S + len(counts) * 60, measured)
    return found


def missed(*started: int, before: int = 20, clean: int = 60) -> dict[int, float]:
    """X by minute after the clean ones."""
    return {at - FIRST - clean: x for at, x in track([before] * clean + list(started)).walk.missing.items()}


def test_fewer_than_half_of_the_expected_are_missed_in_each_minute_below_it() -> None:
    assert missed(10, 10, 10, 10, 9) == {0: 10, 1: 10, 2: 10, 3: 10, 4: 11}


def test_half_of_the_expected_is_enough() -> None:
    assert missed(10, 10, 10, 10, 10) == {}


def test_a_minute_that_brought_what_was_expected_misses_nobody() -> None:
    assert missed(0, 0, 20, 0, 0) == {0: 20, 1: 20, 3: 20, 4: 20}


def test_two_silent_minutes_are_not_half_of_five() -> None:
    """60 of 100 came; after the third minute 40."""
    assert missed(0, 0) == {}
    assert missed(0, 0, 0) == {0: 20, 1: 20, 2: 20}


@pytest.mark.parametrize(("a_minute", "found"), [(12, 5), (11, 0)])
def test_at_least_sixty_must_be_expected_in_the_five_minutes(a_minute: int, found: int) -> None:
    assert len(missed(0, 0, 0, 0, 0, before=a_minute)) == found


def test_ten_clean_minutes_are_needed_to_expect_anything() -> None:
    assert len(missed(0, 0, 0, 0, 0, clean=9)) == 0
    assert len(missed(0, 0, 0, 0, 0, clean=10)) == 5


@pytest.mark.parametrize("gap", [60, 61, 62])
def test_where_a_minute_was_not_measured_nobody_is_missed(gap: int) -> None:
    def measured(first: int, count: int) -> Bools:
        return np.asarray(np.arange(first - FIRST, first - FIRST + count) != gap)

    assert track([20] * 60 + [0] * 5, measured=measured).walk.missing == {}
    assert track([20] * 60 + [0] * 5).walk.missing != {}


def test_in_maintenance_nobody_is_missed() -> None:
    text = """
maintenance: [{journey: checkout, from: 2026-01-05T10:00:00Z, to: 2026-01-05T10:06:00Z}]
journeys: {checkout: {steps: [payment]}}
"""
    calm = track([20] * 60 + [0] * 10, inventory.parse(text))
    assert calm.walk.missing == {}
    later = track([20] * 60 + [0] * 11, inventory.parse(text))
    assert sorted(later.walk.missing) == [FIRST + 66 + at for at in range(5)]


def test_an_evening_is_no_outage() -> None:
    """By 5 % a minute, to a hundredth."""
    walk = track([400] * 60 + [round(400 * 0.95**m) for m in range(90)]).walk
    assert (walk.missing, walk.spans) == ({}, [])


def test_the_smaller_of_the_last_hour_and_the_last_ten_minutes_is_expected() -> None:
    """After 50 minutes of 40 and 10 of 20 it is 20: 11 are enough, 9 are not."""
    assert track([40] * 50 + [20] * 10 + [11] * 5).walk.missing == {}
    assert set(track([40] * 50 + [20] * 10 + [9] * 5).walk.missing.values()) == {11}
    assert set(track([10] * 50 + [40] * 10 + [3] * 5).walk.missing.values()) == {12}


def test_after_sixty_minutes_the_lower_level_is_the_new_normal_and_marked() -> None:
    for minutes, levels in ((63, 0), (64, 1)):
        walk = track([20] * 60 + [5] * minutes).walk
        assert len(walk.levels) == levels
    walk = track([20] * 60 + [5] * 180).walk
    assert walk.levels == [FIRST + 60 + 64]
    assert max(walk.missing) == FIRST + 60 + 62
    assert walk.open is None


def test_what_falls_below_the_new_normal_is_missed_again() -> None:
    walk = track([80] * 60 + [20] * 100 + [0] * 5).walk
    assert {at - FIRST: x for at, x in walk.missing.items() if at >= FIRST + 160} == {160 + at: 20 for at in range(5)}


def test_missing_customers_open_an_episode_and_count_in_h_the_vector_and_rho() -> None:
    """Two minutes running: c = 0.5, N_0 = 20, and the test looks at three minutes."""
    found = track([20] * 60 + [0] * 3)
    (span,) = found.walk.spans
    assert (span.start - FIRST, span.end - FIRST, span.confirmed - FIRST) == (60, 62, 62)
    now = pulse(found, FIRST + 62)
    normal = found.walk.normal(FIRST + 63, young=False)
    x_minutes = 0.5 * 3 * 20 / normal.started
    assert now.h60 == pytest.approx(x_minutes)
    assert now.rho == pytest.approx(0.5 * 20 / normal.started)
    assert now.score == pytest.approx(impact.score(x_minutes + 15 * now.rho))
    figures = episode(of_track(found, (START_S + 63 * 60) * NS), span)
    assert figures.harm_minutes == pytest.approx(x_minutes)
    assert figures.factors.a == 0
    assert figures.factors.x == pytest.approx(x_minutes)
    assert impact.parse_vector(figures.vector).x == pytest.approx(x_minutes, rel=1e-3)


def test_one_minute_of_missing_customers_adds_nothing_to_rho() -> None:
    """The last minute brought what was expected, so no two minutes run."""
    found = track([20] * 60 + [0, 0, 20, 0])
    now = pulse(found, FIRST + 63)
    assert (now.missing, now.rho, found.walk.spans) == (20, 0, [])


def test_missing_and_failed_customers_add_up() -> None:
    found = track([20] * 60 + [4] * 10, failed=4)
    parts = episode(of_track(found, (START_S + 70 * 60) * NS), found.walk.spans[0]).factors
    assert parts.a == 4 * sum(1 for at in range(60, 70) if at >= found.walk.spans[0].start - FIRST)
    assert impact.harm_minutes(parts) == pytest.approx(parts.c * parts.a / parts.n + parts.x - parts.b)


def test_missing_customers_may_page_without_eight_harmed_attempts() -> None:
    found = track([20] * 60 + [0] * 5)
    assert severity(found, pulse(found, FIRST + 64), None) == "P1"
