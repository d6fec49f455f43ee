"""The outbox is emptied in order, whatever targets do; a crash sends twice and never not at all."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from notify_targets import NOW, HttpTarget, MemoryOutbox, answer, body, hang, notice, reset_before_status

from otel_cx_collector.decide.words import Truth
from otel_cx_collector.events import NS
from otel_cx_collector.incidents.machine import step
from otel_cx_collector.incidents.words import Incident, Standing, Trigger
from otel_cx_collector.inventory import Inventory, parse
from otel_cx_collector.notify.alertmanager import RESEND_S
from otel_cx_collector.notify.backoff import GIVE_UP_S, GIVE_UP_TRIES, LONGEST_S
from otel_cx_collector.notify.courier import STOP_S, Courier
from otel_cx_collector.notify.line import Patience
from otel_cx_collector.notify.words import Outbox
from otel_cx_collector.notify.worker import HOLD_S, MAX_TOGETHER

CALM = Patience(5, 20, 30)


def inventory(**channels: dict[str, Any]) -> Inventory:
    notify = {name: {"allow_private": ["127.0.0.1"]} | channel for name, channel in channels.items()}
    return parse(json.dumps({"journeys": {"checkout": {"steps": ["cart"]}}, "notify": notify}), pending=())


def hook(target: HttpTarget, **more: Any) -> dict[str, Any]:
    return {"webhook": {"url": target.url}} | more


def courier(outbox: Outbox, channels: dict[str, dict[str, Any]], **more: Any) -> Courier:
    now: Callable[[], int] = more.pop("clock", lambda: NOW * NS)
    jitter: Callable[[], float] = more.pop("jitter", lambda: 0.5)
    options = {"patience": CALM} | more
    return Courier(outbox, inventory(**channels), now, jitter, "https://cx.example", **options)


def keys(target: HttpTarget) -> list[str]:
    return [request.headers["otelcx-delivery"] for request in target.requests]


def test_what_is_due_is_delivered_in_order_and_marked() -> None:
    outbox = MemoryOutbox()
    outbox.put(notice(sequence=1), notice(sequence=2, what="raised"), notice(sequence=3, what="resolved"))
    with HttpTarget(answer(200)) as target:
        courier(outbox, {"hook": hook(target)}).turn(NOW)

        assert keys(target) == [f"checkout-20260105T091200Z:{number}" for number in (1, 2, 3)]
    assert outbox.states() == ["delivered"] * 3


def test_the_first_that_fails_holds_back_those_behind_it_and_no_other_incident() -> None:
    outbox = MemoryOutbox()
    outbox.put(notice(sequence=1), notice(sequence=2), notice(incident="search", sequence=1))
    with HttpTarget(answer(500), answer(200)) as target:
        sent = courier(outbox, {"hook": hook(target)})
        sent.turn(NOW)
        assert outbox.states() == ["waiting", "waiting", "delivered"]
        sent.turn(NOW + 1)
        assert len(target.requests) == 2
        sent.turn(NOW + 2)

        assert [key.partition(":")[2] for key in keys(target)] == ["1", "1", "1", "2"]
    assert outbox.states() == ["delivered"] * 3


def test_what_is_more_urgent_goes_first() -> None:
    outbox = MemoryOutbox()
    outbox.put(notice(incident="a", severity="P3"), notice(incident="b", severity="P1"))
    with HttpTarget(answer(200)) as target:
        courier(outbox, {"hook": hook(target)}).turn(NOW)
        assert keys(target) == ["b:1", "a:1"]


def test_killed_between_sending_and_marking_it_is_sent_again_with_the_same_key() -> None:
    class Killed(MemoryOutbox):
        def delivered(self, notice_id: int, at_s: int) -> None:
            raise KeyboardInterrupt(f"notice {notice_id} at {at_s}")

    outbox = Killed()
    outbox.put(notice())
    with HttpTarget(answer(200)) as target:
        with pytest.raises(KeyboardInterrupt):
            courier(outbox, {"hook": hook(target)}).turn(NOW)
        after = MemoryOutbox(outbox.rows)
        courier(after, {"hook": hook(target)}).turn(NOW + 5)

        assert keys(target) == ["checkout-20260105T091200Z:1"] * 2
    assert after.states() == ["delivered"]


def test_a_target_that_says_when_is_left_alone_until_then() -> None:
    outbox = MemoryOutbox()
    outbox.put(notice())
    with HttpTarget(answer(429, Retry_After="42"), answer(200)) as target:
        sent = courier(outbox, {"hook": hook(target)})
        for now_s in (NOW, NOW + 41, NOW + 42):
            sent.turn(now_s)

        assert len(target.requests) == 2
    assert outbox.states() == ["delivered"]


def test_what_is_wrong_is_refused_and_out_of_the_way() -> None:
    outbox = MemoryOutbox()
    outbox.put(notice(sequence=1), notice(sequence=2))
    with HttpTarget(answer(400, "no"), answer(200)) as target:
        sent = courier(outbox, {"hook": hook(target)})
        sent.turn(NOW)

    assert outbox.states() == ["refused", "delivered"]
    assert outbox.rows[0].why == "127.0.0.1 answered 400: no"
    state = sent.states()["hook"]
    assert (state.delivered, state.failed, state.refused, state.error) == (1, 1, 1, "")


def test_a_secret_that_is_wrong_is_shown_and_works_when_it_is_mended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = MemoryOutbox()
    outbox.put(notice(channel="oncall"))
    key = tmp_path / "key"
    with HttpTarget(answer(202)) as target:
        config = {"pagerduty": {"routing_key_file": str(key), "url": target.url}}
        sent = courier(outbox, {"oncall": config})
        sent.turn(NOW)
        assert f"{key} cannot be read" in outbox.rows[0].why
        assert f"{key} cannot be read" in sent.states()["oncall"].error
        assert f"{key} cannot be read" in caplog.text
        assert sent.states()["oncall"].since_s == NOW
        key.write_text("0123456789abcdef" * 2)
        sent.turn(NOW + LONGEST_S)

    assert outbox.states() == ["delivered"]
    assert "0123456789abcdef" not in caplog.text


def test_after_a_day_of_tries_a_notice_is_given_up_and_says_so() -> None:
    outbox = MemoryOutbox()
    outbox.put(notice(tries=GIVE_UP_TRIES - 1), notice(sequence=2, at_s=NOW + GIVE_UP_S))
    with HttpTarget(answer(503)) as target:
        courier(outbox, {"hook": hook(target)}).turn(NOW + GIVE_UP_S)

    assert outbox.states() == ["refused", "waiting"]
    assert outbox.rows[0].why == f"gave up after {GIVE_UP_TRIES} tries in 24 h: 127.0.0.1 answered 503"


def test_a_connection_that_is_reset_is_tried_again_with_the_same_key() -> None:
    outbox = MemoryOutbox()
    outbox.put(notice())
    with HttpTarget(reset_before_status, answer(200)) as target:
        sent = courier(outbox, {"hook": hook(target)})
        sent.turn(NOW)
        sent.turn(NOW + 5)

        assert len(set(keys(target))) == 1
        assert len(target.requests) == 2


def test_a_notice_to_a_channel_that_is_gone_is_refused_and_not_kept_for_ever() -> None:
    outbox = MemoryOutbox()
    outbox.put(notice(channel="gone"), notice(channel="gone", sequence=2), notice())
    with HttpTarget(answer(200)) as target:
        courier(outbox, {"hook": hook(target)}).turn(NOW)

    assert outbox.states() == ["refused", "refused", "delivered"]
    assert "no channel gone any more" in outbox.rows[0].why


def test_a_mistake_of_ours_in_one_notice_does_not_silence_the_channel(caplog: pytest.LogCaptureFixture) -> None:
    outbox = MemoryOutbox()
    outbox.put(notice(incident="a", at_s=NOW, body={"url": object()}), notice(incident="b"))
    with HttpTarget(answer(200)) as target:
        courier(outbox, {"hook": hook(target)}).turn(NOW)

    assert outbox.states() == ["waiting", "delivered"]
    assert "an error of ours: TypeError" in outbox.rows[0].why
    assert "nobody foresaw" in caplog.text


class TestQuietHours:
    HOURS = {"from": "22:00", "to": "07:00", "zone": "Europe/Berlin"}  # noqa: RUF012 - a value, not shared state
    NIGHT = 1_767_668_400
    """2026-01-06 04:00 in Berlin."""
    MORNING = NIGHT + 3 * 3600

    def test_notices_wait_for_the_end_of_the_night_and_then_come_in_order(self) -> None:
        outbox = MemoryOutbox()
        outbox.put(notice(severity="P2"), notice(severity="P2", sequence=2, what="resolved"))
        with HttpTarget(answer(200)) as target:
            sent = courier(outbox, {"hook": hook(target, quiet_hours=self.HOURS)})
            for now_s in range(self.NIGHT, self.MORNING, HOLD_S):
                sent.turn(now_s)
            assert target.requests == []
            assert outbox.states() == ["held", "waiting"]
            assert outbox.rows[0].why == "quiet hours until 2026-01-06T06:00:00Z"
            sent.turn(self.MORNING)

            assert [key.partition(":")[2] for key in keys(target)] == ["1", "2"]

    def test_what_becomes_urgent_brings_what_waited_before_it(self) -> None:
        outbox = MemoryOutbox()
        outbox.put(notice(severity="P2"), notice(incident="other", severity="P2"))
        with HttpTarget(answer(200)) as target:
            sent = courier(outbox, {"hook": hook(target, quiet_hours=self.HOURS)})
            sent.turn(self.NIGHT)
            outbox.put(notice(severity="P1", sequence=2, what="raised"))
            sent.turn(self.NIGHT + HOLD_S)

            assert [key.partition(":")[2] for key in keys(target)] == ["1", "2"]
        assert outbox.states() == ["delivered", "held", "delivered"]


class TestGroups:
    def group(self, incident: str, **more: Any) -> Any:
        return notice(incident=incident, group="change:d-1", body=body(journey_title=incident), **more)

    def test_incidents_of_one_cause_go_out_as_one_message(self) -> None:
        outbox = MemoryOutbox()
        outbox.put(self.group("a"), notice(incident="alone"))
        with HttpTarget(answer(200)) as target:
            sent = courier(outbox, {"hook": hook(target)})
            sent.turn(NOW)
            assert keys(target) == ["alone:1"]
            assert outbox.states() == ["held", "delivered"]
            outbox.put(self.group("b"))
            for now_s in (NOW + 10, NOW + 29, NOW + 30):
                sent.turn(now_s)

            told = json.loads(target.requests[1].body)
            assert [each["key"] for each in told["notices"]] == ["a:1", "b:1"]
            assert told["subject"] == "P1 2 journeys, likely one cause: a, b"
            assert len(target.requests) == 2
        assert outbox.states() == ["delivered"] * 3

    def test_a_message_that_fails_is_sent_again_as_it_was(self) -> None:
        outbox = MemoryOutbox()
        outbox.put(self.group("a"), self.group("b"))
        with HttpTarget(answer(500), answer(200)) as target:
            chance = iter((0.3, 0.9))
            sent = courier(outbox, {"hook": hook(target)}, jitter=lambda: next(chance))
            for now_s in (NOW, NOW + 30):
                sent.turn(now_s)
            outbox.put(self.group("c"))
            sent.turn(NOW + 40)

            first, second = target.requests
            assert first.body == second.body
            assert len(set(keys(target))) == 1
        assert outbox.states() == ["delivered", "delivered", "held"]

    def test_a_message_holds_no_more_than_a_reader_reads(self) -> None:
        outbox = MemoryOutbox()
        outbox.put(*(self.group(f"i{number}") for number in range(MAX_TOGETHER + 1)))
        with HttpTarget(answer(200)) as target:
            sent = courier(outbox, {"hook": hook(target)})
            sent.turn(NOW)
            sent.turn(NOW + 30)
            assert [len(json.loads(each.body)["notices"]) for each in target.requests] == [MAX_TOGETHER, 1]

    def test_a_channel_without_a_group_wait_tells_each_at_once(self) -> None:
        outbox = MemoryOutbox()
        outbox.put(self.group("a"), self.group("b"))
        with HttpTarget(answer(200)) as target:
            courier(outbox, {"hook": hook(target, group_wait="0s")}).turn(NOW)
            assert keys(target) == ["a:1", "b:1"]


class TestHeartbeat:
    def test_a_heartbeat_is_sent_at_its_interval_while_judging_is_fresh(self) -> None:
        fresh = True
        with HttpTarget(answer(200)) as target:
            beating = courier(MemoryOutbox(), {"dog": hook(target, every="60s")}, healthy=lambda: fresh)
            for now_s in (NOW, NOW + 59, NOW + 60, NOW + 61):
                beating.turn(now_s)
            assert keys(target) == [f"heartbeat:{NOW}", f"heartbeat:{NOW + 60}"]
            fresh = False
            beating.turn(NOW + 600)
            assert len(target.requests) == 2
            fresh = True
            beating.turn(NOW + 601)
            assert len(target.requests) == 3

    def test_nobody_who_vouches_for_judging_means_no_heartbeat(self) -> None:
        with HttpTarget(answer(200)) as target:
            courier(MemoryOutbox(), {"dog": hook(target, every="60s")}).turn(NOW)
            assert target.requests == []

    def test_a_heartbeat_that_fails_is_counted_and_the_next_one_comes(self) -> None:
        with HttpTarget(answer(500), answer(200)) as target:
            beating = courier(MemoryOutbox(), {"dog": hook(target, every="60s")}, healthy=lambda: True)
            beating.turn(NOW)
            assert (beating.states()["dog"].failed, beating.states()["dog"].error) == (1, "127.0.0.1 answered 500")
            beating.turn(NOW + 60)
            assert beating.states()["dog"].error == ""


class TestAlertsThatAreForgotten:
    def incident(self, *notify: str) -> Incident:
        trigger = Trigger("rule", "impact", "P1", notify, (), "impact above 4")
        opened, _ = step(None, Standing(NOW, "checkout", Truth.TRUE, trigger, None))
        assert opened is not None
        return opened

    def test_what_is_open_is_sent_again_to_the_alertmanager_that_was_told(self) -> None:
        standing = [self.incident("alerts"), self.incident("other")]
        with HttpTarget(answer(200)) as target:
            config = {"alertmanager": {"url": f"http://127.0.0.1:{target.port}"}}
            sent = courier(MemoryOutbox(), {"alerts": config}, standing=lambda: standing)
            for now_s in (NOW, NOW + 1, NOW + RESEND_S):
                sent.turn(now_s)
            standing.clear()
            sent.turn(NOW + 2 * RESEND_S)

            ends = [json.loads(request.body)[0]["endsAt"] for request in target.requests]
            assert [len(json.loads(request.body)) for request in target.requests] == [1, 1]
            assert ends[0] < ends[1]

    def test_what_waits_for_the_end_of_the_night_is_not_told_by_the_way(self) -> None:
        incident = self.incident("alerts")
        outbox = MemoryOutbox()
        outbox.put(notice(channel="alerts", incident=incident.id, severity="P2"))
        hours = {"from": "00:00", "to": "23:59", "zone": "UTC"}
        with HttpTarget(answer(200)) as target:
            config = {"alertmanager": {"url": f"http://127.0.0.1:{target.port}"}, "quiet_hours": hours}
            courier(outbox, {"alerts": config}, standing=lambda: [incident]).turn(NOW)

            assert target.requests == []
        assert outbox.states() == ["held"]


class TestThreads:
    def test_a_target_that_hangs_delays_nobody_else_and_does_not_hold_up_the_end(self) -> None:
        outbox = MemoryOutbox()
        outbox.put(notice(channel="stuck"), *(notice(sequence=number) for number in range(1, 6)))
        with HttpTarget(hang) as stuck, HttpTarget(answer(200)) as target:
            channels = {"stuck": hook(stuck), "hook": hook(target)}
            running = courier(outbox, channels, patience=Patience(60, 60, 60), clock=time.time_ns)
            running.start()
            until(lambda: len(target.requests) == 5 and len(stuck.requests) == 1)
            begun = time.monotonic()
            running.stop()

            assert time.monotonic() - begun < STOP_S
            assert not [each for each in threading.enumerate() if each.name.startswith("notify-")]
        assert outbox.states() == ["waiting", *["delivered"] * 5]
        assert outbox.rows[0].notice.tries == 0

    def test_what_is_put_in_later_is_delivered_when_woken(self) -> None:
        outbox = MemoryOutbox()
        with HttpTarget(answer(200)) as target:
            running = courier(outbox, {"hook": hook(target)}, clock=time.time_ns)
            running.start()
            outbox.put(notice())
            running.wake()
            until(lambda: outbox.states() == ["delivered"])
            running.stop()

    def test_an_outbox_that_fails_is_asked_again_and_said_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        class Locked(MemoryOutbox):
            asked = 0

            def due(self, now_s: int, limit: int, channel: str | None = None) -> list[Any]:
                Locked.asked += channel is not None
                if Locked.asked == 1:
                    raise OSError("database is locked")
                return super().due(now_s, limit, channel)

        outbox = Locked()
        outbox.put(notice())
        with HttpTarget(answer(200)) as target:
            running = courier(outbox, {"hook": hook(target)}, clock=time.time_ns)
            running.start()
            until(lambda: outbox.states() == ["delivered"])
            running.stop()
        assert capsys.readouterr().out.count("channel.failed") == 1


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)
