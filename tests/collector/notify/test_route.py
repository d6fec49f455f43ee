"""Who is told, and when not."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.decide.words import Truth
from otel_cx_collector.incidents.machine import step
from otel_cx_collector.incidents.words import Happening, Incident, Standing, Tell, Trigger
from otel_cx_collector.inventory import Inventory, parse
from otel_cx_collector.inventory.decisions import SEVERITIES, Channel
from otel_cx_collector.notify.route import group_wait_s, notices_for, quiet_until, wanted, watch_notices

INVENTORY = """
currency: EUR
journeys: {checkout: {title: Checkout, owner: payments-sre, steps: [cart, payment]}}
notify:
  oncall: {pagerduty: {routing_key_file: /k}}
  everything: {pagerduty: {routing_key_file: /k}, min_severity: P4}
  chat: {slack: {webhook_url_file: /k}}
  business: {slack: {webhook_url_file: /k}, min_severity: P1}
  watchdog: {webhook: {url: "https://deadman.example/ping"}, every: 60s}
"""
DAY = 86_400


def inventory() -> Inventory:
    return parse(INVENTORY, pending=())


def incident(severity: str) -> Incident:
    trigger = Trigger("rule", "impact", severity, ("oncall",), (), "impact above 4")
    opened, _ = step(None, Standing(1_767_604_920, "checkout", Truth.TRUE, trigger, None))
    assert opened is not None
    return opened


def tell(what: Happening, severity: str, *channels: str) -> Tell:
    return Tell(what, incident(severity), channels or tuple(inventory().notify), 3)


def told(what: Happening, severity: str) -> list[str]:
    return [each.channel for each in notices_for(tell(what, severity), inventory(), "https://cx.example")]


def quiet(**hours: str) -> Channel:
    hours = {"from": "22:00", "to": "07:00", "zone": "Europe/Berlin"} | hours
    return Channel.model_validate({"slack": {"webhook_url_file": "/k"}, "quiet_hours": hours})


def berlin(text: str, fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"), fold=fold).timestamp())


def test_a_paging_channel_takes_p1_and_p2_unless_it_says_otherwise() -> None:
    channels = inventory().notify

    assert [severity for severity in SEVERITIES if wanted(channels["oncall"], severity)] == ["P1", "P2"]
    assert [severity for severity in SEVERITIES if wanted(channels["everything"], severity)] == list(SEVERITIES)
    assert [severity for severity in SEVERITIES if wanted(channels["chat"], severity)] == list(SEVERITIES)
    assert [severity for severity in SEVERITIES if wanted(channels["business"], severity)] == ["P1"]
    assert not any(wanted(channels["watchdog"], severity) for severity in SEVERITIES)


@pytest.mark.parametrize(
    ("what", "severity", "channels"),
    [
        (Happening.OPENED, "P1", ["oncall", "everything", "chat", "business"]),
        (Happening.OPENED, "P2", ["oncall", "everything", "chat"]),
        (Happening.OPENED, "P3", ["everything", "chat"]),
        (Happening.RESOLVED, "P1", ["oncall", "everything", "chat", "business"]),
        (Happening.LOWERED, "P1", ["chat", "business"]),
        (Happening.MITIGATED, "P2", ["chat"]),
    ],
)
def test_each_notice_goes_to_the_channels_that_take_part(what: Happening, severity: str, channels: list[str]) -> None:
    assert told(what, severity) == channels


def test_who_was_told_hears_of_the_end_although_the_severity_fell_before() -> None:
    lowered = tell(Happening.RESOLVED, "P1", "business")
    (notice,) = notices_for(lowered, inventory(), "https://cx.example")

    assert (notice.channel, notice.severity, notice.what) == ("business", "P1", "resolved")


def test_a_notice_carries_the_incident_and_a_key_that_stays() -> None:
    first, again = (notices_for(tell(Happening.OPENED, "P1", "chat"), inventory(), "https://cx.example") for _ in "ab")

    assert first == again
    (notice,) = first
    assert notice.key == "checkout-20260105T092200Z:3"
    assert (notice.sequence, notice.at_s, notice.group) == (3, 1_767_604_920, None)
    named = {"journey_title": "Checkout", "owner": "payments-sre", "currency": "EUR", "url": "https://cx.example"}
    assert named.items() <= notice.body.items()


def test_a_channel_that_the_inventory_has_no_more_is_passed_over() -> None:
    assert notices_for(tell(Happening.OPENED, "P1", "gone"), inventory(), "") == []


def test_our_own_health_is_told_and_its_end_to_the_same_channels() -> None:
    args = ("store", "P2", 1_767_604_920, 1_767_604_800, "the store does not answer", inventory(), "https://cx.example")

    down, up = (watch_notices(what, *args) for what in ("store-down", "recovered"))

    assert [each.channel for each in down] == ["oncall", "everything", "chat"] == [each.channel for each in up]
    assert {each.key for each in down}.isdisjoint(each.key for each in up)
    assert {each.incident for each in (*down, *up)} == {"watch"}


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-01-05T21:59:59", None),
        ("2026-01-05T22:00:00", "2026-01-06T07:00:00"),
        ("2026-01-06T00:00:00", "2026-01-06T07:00:00"),
        ("2026-01-06T06:59:59", "2026-01-06T07:00:00"),
        ("2026-01-06T07:00:00", None),
        ("2026-03-28T23:00:00", "2026-03-29T07:00:00"),
        ("2026-10-24T23:00:00", "2026-10-25T07:00:00"),
    ],
)
def test_quiet_hours_pass_midnight_and_follow_the_clocks(at: str, until: str | None) -> None:
    assert quiet_until(quiet(), "P2", berlin(at)) == (until and berlin(until))


def test_the_night_of_a_change_of_the_clocks_is_an_hour_shorter_or_longer() -> None:
    def length(evening: str) -> int:
        until = quiet_until(quiet(), "P2", berlin(evening))
        assert until is not None
        return until - berlin(evening)

    lengths = [length(f"{day}T22:00:00") for day in ("2026-03-27", "2026-03-28", "2026-10-24")]
    assert lengths == [9 * 3600, 8 * 3600, 10 * 3600]


def test_an_end_that_the_clocks_repeat_or_leave_out_is_still_an_end() -> None:
    ends = quiet(to="02:30")

    assert quiet_until(ends, "P2", berlin("2026-10-25T02:15:00")) == berlin("2026-10-25T02:30:00")
    assert quiet_until(ends, "P2", berlin("2026-10-25T02:15:00", 1)) == berlin("2026-10-25T02:30:00", 1)
    assert quiet_until(ends, "P2", berlin("2026-03-29T01:30:00")) == berlin("2026-03-29T03:30:00")


def test_a_severity_that_is_urgent_enough_never_waits() -> None:
    night = berlin("2026-01-06T03:00:00")

    assert [quiet_until(quiet(), each, night) is None for each in SEVERITIES] == [True, False, False, False]
    assert [quiet_until(quiet(**{"except": "P3"}), each, night) is None for each in SEVERITIES] == [True] * 3 + [False]


@given(
    st.integers(0, 1439), st.integers(0, 1439),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"]),
    st.integers(1_262_304_000, 1_893_456_000),
)  # fmt: skip
def test_quiet_hours_always_end_within_a_day_and_a_bit(begin: int, end: int, zone: str, at_s: int) -> None:
    if begin == end:
        return
    written: dict[str, Any] = {"from": _clock(begin), "to": _clock(end), "zone": zone}
    until = quiet_until(quiet(**written), "P2", at_s)

    if until is not None:
        assert at_s < until <= at_s + 2 * DAY + 3600
        assert quiet_until(quiet(**written), "P2", until) is None


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def test_alerts_that_stand_alone_wait_for_no_others() -> None:
    channels = inventory().notify

    assert [group_wait_s(channels[name]) for name in ("oncall", "chat")] == [0, 30]
    longer = Channel.model_validate({"slack": {"webhook_url_file": "/k"}, "group_wait": "2m"})
    assert group_wait_s(longer) == 120
