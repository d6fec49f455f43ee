"""Which time an answer covers, and what a journey's state is called."""

from dataclasses import replace

import pytest
from fakes_source import QUIET, FakeSource
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.decide.words import Decision, Truth
from otel_cx_collector.incidents.words import Incident
from otel_cx_collector.measure.figures import Coverage, Live
from otel_cx_collector.views import windows
from otel_cx_collector.views.source import BadQuestion
from otel_cx_collector.views.state import State, state_of

FULL = Coverage(30, 30, None, "")


def scored(score: float) -> Live:
    return Live(0, score, 0.0, 0.0, harmed=score > 0, episode=None, vector=QUIET)


def test_the_last_hour_is_live_until_a_range_is_picked() -> None:
    window = windows.window(FakeSource(), None)
    assert window.live
    assert window.to_s - window.from_s == 3600
    assert not windows.window(FakeSource(), "1h").live


def test_a_window_ends_at_the_watermark_and_its_series_at_now() -> None:
    source = FakeSource()
    window = windows.window(source, "15m")
    assert window.to_s == source.watermark_s()
    assert window.series_to_s - window.step_s < source.now_s() <= window.series_to_s


def test_a_range_that_is_not_offered_is_refused_with_those_that_are() -> None:
    with pytest.raises(BadQuestion, match=r"no range '1y'; use one of 15m, 1h, 6h, 24h, 7d, 30d"):
        windows.window(FakeSource(), "1y")


@given(st.sampled_from(list(windows.Range)), st.integers(0, 10**6))
def test_every_series_is_whole_slices_and_a_readable_number_of_steps(picked: windows.Range, later_s: int) -> None:
    source = FakeSource(at_s=1_795_514_400 + later_s // 10 * 10)
    window = windows.window(source, picked)
    steps = (window.series_to_s - window.series_from_s) / window.step_s
    assert window.step_s % 10 == 0
    assert window.series_from_s % window.step_s == 0
    assert 72 <= steps <= 120
    assert steps.is_integer()


def decided(severity: str | None = None, monitor_until_s: int | None = None) -> Decision:
    verdict = Truth.FALSE if severity is None and monitor_until_s is None else Truth.TRUE
    return Decision(0, "checkout", None, verdict, severity, (), monitor_until_s, (), "")


NOTHING = decided()


def opened(severity: str) -> Incident:
    return replace(FakeSource().incidents(open_only=True)[0], current=severity)


@pytest.mark.parametrize(
    ("score", "state"),
    [
        (40.0, State.SEVERE),
        (39.9, State.MAJOR),
        (15.0, State.MAJOR),
        (4.0, State.MINOR),
        (0.2, State.SLIGHT),
        (0.0, State.HEALTHY),
    ],
)
def test_without_an_incident_a_state_follows_the_bands_of_the_score(score: float, state: State) -> None:
    assert state_of(scored(score), FULL, None, NOTHING) is state


@pytest.mark.parametrize(
    ("severity", "state"), [("P1", State.SEVERE), ("P2", State.MAJOR), ("P3", State.MINOR), ("P4", State.SLIGHT)]
)
def test_with_an_incident_the_state_is_what_was_decided_whatever_the_score(severity: str, state: State) -> None:
    assert state_of(scored(0.0), FULL, opened(severity), decided(severity)) is state
    assert state_of(scored(99.0), FULL, opened(severity), decided(severity)) is state
    assert state_of(scored(99.0), FULL, opened(severity), NOTHING) is state


def test_an_incident_whose_trigger_is_over_and_that_hurts_nobody_is_recovering() -> None:
    assert state_of(scored(0.0), FULL, opened("P1"), NOTHING) is State.RECOVERING


def test_a_journey_that_a_rule_watches_is_not_called_healthy() -> None:
    assert state_of(scored(0.0), FULL, None, decided(monitor_until_s=900)) is State.WATCHED


@given(st.floats(0, 99.9), st.integers(1, 30), st.sampled_from(["P1", "P4", None]))
def test_what_is_not_measured_is_never_called_healthy_or_hurt(
    score: float, expected: int, severity: str | None
) -> None:
    coverage = Coverage(int(expected * 0.89), expected, None, "node b was silent")
    incident = None if severity is None else opened(severity)
    assert state_of(scored(score), coverage, incident, decided(severity)) is State.UNMEASURED


def test_a_journey_that_never_had_data_has_no_traffic_yet() -> None:
    assert state_of(scored(0), Coverage(0, 0, None, ""), None, NOTHING) is State.IDLE


def test_an_open_episode_whose_last_minute_was_clean_is_recovering() -> None:
    episode = FakeSource().live("checkout").episode
    live = Live(0, 0.0, 0.0, 0.0, harmed=False, episode=episode, vector=QUIET)
    assert state_of(live, FULL, None, NOTHING) is State.RECOVERING
