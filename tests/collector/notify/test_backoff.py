"""Tries come further and further apart, and end."""

from hypothesis import given
from hypothesis import strategies as st
from notify_targets import NOW, notice

from otel_cx_collector.notify.backoff import FIRST_S, GIVE_UP_S, GIVE_UP_TRIES, LONGEST_S, gave_up, wait_s
from otel_cx_collector.notify.words import Retry


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_between_a_second_and_a_bound_that_doubles(tries: int, jitter: float) -> None:
    waited = wait_s(notice(tries=tries), Retry("away"), jitter)
    assert 1 <= waited <= min(LONGEST_S, max(1, FIRST_S * 2**tries))


def test_the_bound_doubles_up_to_the_longest() -> None:
    bounds = [wait_s(notice(tries=tries), Retry("away"), 1) for tries in range(9)]
    assert bounds == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_target_that_says_when_is_believed() -> None:
    assert wait_s(notice(tries=9), Retry("busy", 7), 0.9) == 7


def test_what_somebody_has_to_mend_is_tried_at_the_longest_interval() -> None:
    assert wait_s(notice(), Retry("no such key", mend=True), 0) == LONGEST_S


def test_a_notice_is_given_up_after_a_day_of_tries() -> None:
    last = GIVE_UP_TRIES - 1

    assert gave_up(notice(tries=last), NOW + GIVE_UP_S)
    assert not gave_up(notice(tries=last), NOW + GIVE_UP_S - 1)
    assert not gave_up(notice(tries=last - 1), NOW + 10 * GIVE_UP_S)
