"""We say aloud when we are broken (measures.md 1.4): each condition at its border, once, and when it is over."""

import pytest

from otel_cx_collector import inventory
from otel_cx_collector.health_watch import LATE_S, STORE_DOWN_S, UNMEASURED_S, Condition, Watch, conditions
from otel_cx_collector.views.source import Intake

NOW = 1_767_603_600
FILE = inventory.parse(
    """
notify: {ops: {slack: {webhook_url_file: /run/secrets/slack}}, watchdog: {webhook: {url: "https://x.invalid/"}}}
journeys: {checkout: {steps: [payment]}}
"""
)


def wrong(
    intake: Intake = Intake(),  # noqa: B008 - immutable
    watermark_s: int = NOW - 15,
    failing_s: int | None = None,
    dark: dict[str, int] | None = None,
    error: str = "",
) -> dict[str, Condition]:
    found = list(conditions(NOW, watermark_s, 15, intake, error, failing_s, dark or {}))
    return {each.what: each for each in found}


def test_nothing_is_wrong_with_us() -> None:
    assert wrong() == {}


def test_a_store_that_is_down_is_told_with_its_error_and_since_when() -> None:
    found = wrong(failing_s=NOW - 40, error="no route to host")
    assert (found["store-down"].since_s, found["store-down"].subject) == (NOW - 40, "store")
    assert "no route to host" in found["store-down"].sentence
    found = wrong(Intake(store_error="disk full"), failing_s=NOW - 40, error="late")
    assert "disk full" in found["store-down"].sentence


@pytest.mark.parametrize(("since_s", "told"), [(STORE_DOWN_S - 1, False), (STORE_DOWN_S, True)])
def test_a_store_that_fails_is_told_once_it_has_failed_for_half_a_minute(since_s: int, told: bool) -> None:
    assert ("store-down" in wrong(failing_s=NOW - since_s)) is told


@pytest.mark.parametrize(("late_s", "told"), [(LATE_S, False), (LATE_S + 1, True)])
def test_control_that_is_late_by_more_than_a_minute_is_told(late_s: int, told: bool) -> None:
    assert ("control-late" in wrong(watermark_s=NOW - 15 - late_s)) is told


def test_why_control_is_late_is_told_when_rounds_fail() -> None:
    late = NOW - 15 - LATE_S - 1
    assert wrong(watermark_s=late, error="no such column")["control-late"].sentence.endswith("s: no such column")
    assert wrong(watermark_s=late)["control-late"].sentence.endswith(f"for {LATE_S + 1} s")


def test_before_the_first_round_control_is_not_late() -> None:
    assert wrong(watermark_s=0) == {}


@pytest.mark.parametrize(("used", "told"), [(50, False), (51, True)])
def test_a_log_more_than_half_full_is_told(used: int, told: bool) -> None:
    assert ("log-half-full" in wrong(Intake(log_used_bytes=used, log_limit_bytes=100))) is told


@pytest.mark.parametrize(("since_s", "told"), [(UNMEASURED_S - 1, False), (UNMEASURED_S, True)])
def test_a_journey_that_is_unmeasured_for_five_minutes_is_told(since_s: int, told: bool) -> None:
    found = wrong(dark={"checkout": NOW - since_s})
    assert ("unmeasured" in found) is told


def test_what_is_wrong_is_told_once_and_again_when_it_is_right_and_then_anew() -> None:
    watch = Watch()
    broken = [Condition("store-down", "store", NOW, "rows wait in the log")]
    first = watch.notices(broken, NOW, FILE, "")
    assert first
    assert watch.notices(broken, NOW + 10, FILE, "") == []
    over = watch.notices([], NOW + 20, FILE, "")
    assert len(over) == len(first)
    assert watch.notices([], NOW + 30, FILE, "") == []
    assert len(watch.notices(broken, NOW + 40, FILE, "")) == len(first)


def test_two_subjects_of_one_kind_are_two_things() -> None:
    watch = Watch()
    two = [Condition("unmeasured", name, NOW, "dark") for name in ("checkout", "login")]
    first = watch.notices(two, NOW, FILE, "")
    assert len(watch.notices(two[:1], NOW + 10, FILE, "")) == len(first) // 2
