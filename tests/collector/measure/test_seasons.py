"""Seasons (measures.md 4.4, 4.5): the same hour of past weeks as the reference and as what is expected."""

from collections.abc import Mapping

import numpy as np
import pytest
from crowds import crowd
from rows import START_S

from otel_cx_collector import inventory
from otel_cx_collector.events import NS
from otel_cx_collector.measure.episodes import Walk
from otel_cx_collector.measure.impact import Usual
from otel_cx_collector.measure.track import Track

FILE = inventory.parse(
    "journeys: {checkout: {steps: [payment], objectives: [{sli: availability, target: 95%, window: 30d}]}}"
)
FIRST = START_S // 60
HOUR = START_S // 3600 + 1
WEEK = 7 * 24


def usual(started: int = 1200, failed: int = 12, other: int = 0) -> Usual:
    """An hour of 60 clean minutes."""
    return Usual(60, started, started, failed, other, (started,), (float(failed),), (0.3 * other,))


def weeks(*each: Usual, first: int = 1) -> dict[int, Usual]:
    """The hour after the first, in the weeks before."""
    return {HOUR - (first + back) * WEEK: one for back, one in enumerate(each)}


def walked(seasons: Mapping[int, Usual], second_hour: list[int], failed: int = 0) -> Walk:
    """An hour of 20 a minute, then the minutes of the second, in each of which the first ``failed`` fail."""
    counts = np.array([20] * 60 + second_hour)
    minute = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(minute)) - np.repeat(np.cumsum(counts) - counts, counts)
    end_ns = (START_S + minute * 60) * NS + nth * NS
    found = Track(FILE.journeys["checkout"], FILE, seasons)
    found.add(crowd(end_ns, outcome=np.where((minute >= 60) & (nth < failed), "failed", "ok")))
    found.close(START_S + len(counts) * 60)
    return found.walk


def test_three_weeks_make_a_season_and_two_do_not() -> None:
    for count, baseline in ((3, "seasonal"), (2, "recent")):
        (span,) = walked(weeks(*[usual()] * count), [20] * 5, failed=10).spans
        assert span.reference.baseline == baseline


def test_the_reference_is_the_median_of_the_weeks_with_failures_capped_in_each() -> None:
    """Shares of 1 %, 3 % and 50 % of failures, which counts as the 5 % that are allowed; 1 % of slow ones each."""
    seasons = weeks(usual(failed=12, other=12), usual(failed=36, other=12), usual(failed=600, other=12))
    (span,) = walked(seasons, [20] * 5, failed=10).spans
    assert span.reference.q == pytest.approx(0.03 + 0.01)
    assert span.reference.beta.tolist() == [pytest.approx(0.03 + 0.3 * 0.01)]


def test_weeks_before_the_last_six_do_not_count() -> None:
    (span,) = walked(weeks(*[usual()] * 6, first=5), [20] * 5, failed=10).spans
    assert span.reference.baseline == "recent"


def test_fewer_than_half_of_the_season_are_missed_though_the_hour_before_was_quiet() -> None:
    """The season says 100 a minute, the hour before brought 20: 20 of 100 are missed at once."""
    found = walked(weeks(*[usual(6000)] * 3), [20] * 5).missing
    assert found == {FIRST + 60 + at: 80 for at in range(5)}


def test_each_minute_is_expected_to_bring_what_its_own_hour_does() -> None:
    """Every week it is 20 a minute up to the hour and 5 from it on."""
    before = {hour - 1: usual(1200) for hour in weeks(*[usual()] * 3)}
    assert walked(before | weeks(*[usual(300)] * 3), [5] * 10).missing == {}
    assert walked({}, [5] * 10).missing != {}


def test_against_a_season_the_lower_level_is_never_the_new_normal() -> None:
    hours = {HOUR + add - back * WEEK: usual(1200) for add in range(3) for back in (1, 2, 3)}
    found = walked(hours, [5] * 170)
    assert found.levels == []
    assert max(found.missing) == FIRST + 60 + 169


def test_the_median_of_the_weeks_is_expected() -> None:
    seasons = weeks(usual(2400), usual(1200), usual(3600))
    assert walked(seasons, [5] * 5).missing[FIRST + 64] == 40 - 5
