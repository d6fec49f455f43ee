"""What each channel sends, by the rules of whoever reads it."""

import hashlib
import hmac
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notify_targets import NOW, HttpTarget, Request, answer, body, notice

from otel_cx_collector.inventory.decisions import Channel
from otel_cx_collector.notify.alertmanager import LASTS_S, WATCH_LASTS_S, alerts_of
from otel_cx_collector.notify.channels import sender_of
from otel_cx_collector.notify.line import Line, Patience
from otel_cx_collector.notify.pagerduty import MAX_EVENT, MAX_SUMMARY, event_of
from otel_cx_collector.notify.secret import MAX_SECRET, read_secret
from otel_cx_collector.notify.slack import (
    MAX_BLOCKS,
    MAX_FIELD,
    MAX_FIELDS,
    MAX_HEADER,
    MAX_SECTION,
    message_of,
)
from otel_cx_collector.notify.story import story_of
from otel_cx_collector.notify.webhook import MAX_BODY, body_of
from otel_cx_collector.notify.words import Notice, Parcel, Refused, Retry

ALLOW = ["127.0.0.1"]
HOSTILE = "<!channel> <@U1> *bold* `code` </td><script>\r\n\u202e" + "x" * 10_000
KEY = "0123456789abcdef0123456789abcdef"


def secret(tmp_path: Path, text: str) -> str:
    path = tmp_path / "secret"
    path.write_text(text)
    return str(path)


def send(config: dict[str, Any], *notices: Notice) -> None:
    sender = sender_of(Channel.model_validate(config | {"allow_private": ALLOW}), ssl.create_default_context())
    with Line(Patience(5, 20, 30)) as line:
        sender.send(Parcel(notices or (notice(),), NOW), line)


def sent(target: HttpTarget, config: dict[str, Any], *notices: Notice) -> Request:
    send(config, *notices)
    return target.requests[-1]


def hostile(**more: Any) -> dict[str, Any]:
    many = {f"{number}{HOSTILE}": {"affected": 9, "active": 9} for number in range(50)}
    return body(
        journey_title=HOSTILE, owner=HOSTILE, segments=many, regions=many, status=HOSTILE,
        changes=[{"kind": HOSTILE, "what": HOSTILE, "at": "2026-01-05T09:00:00Z"}] * 50,
        accounts=[{"name": HOSTILE, "attempts": 1, "failed": 1, "renewal_due": HOSTILE, "arr": "1"}] * 50,
        errors=[{"class": HOSTILE, "step": HOSTILE, "customers": 1, "consequence": HOSTILE}] * 50,
        advice=[{"do": HOSTILE, "link": "https://a.example/?" + "&" * 900, "holds": True}],
        trigger={"rule": HOSTILE, "sentence": HOSTILE},
    ) | more  # fmt: skip


class TestWebhook:
    def test_a_notice_is_json_with_its_key_and_its_incident(self) -> None:
        with HttpTarget(answer(204)) as target:
            request = sent(target, {"webhook": {"url": target.url}})

        told = json.loads(request.body)
        assert (request.method, request.path) == ("POST", "/hook?a=1")
        assert request.headers["otelcx-delivery"] == "checkout-20260105T091200Z:1"
        assert "otelcx-signature" not in request.headers
        assert told["version"] == 1
        assert told["subject"] == "P1 Checkout: 1,240 of 3,100 customers cannot complete, since 09:02 UTC"
        (one,) = told["notices"]
        assert (one["key"], one["id"], one["what"]) == (
            "checkout-20260105T091200Z:1",
            "checkout-20260105T091200Z",
            "opened",
        )
        assert one["incident"] == body()

    def test_a_request_is_signed_with_time_and_body(self, tmp_path: Path) -> None:
        with HttpTarget(answer(204)) as target:
            request = sent(target, {"webhook": {"url": target.url, "secret_file": secret(tmp_path, "pass phrase\n")}})

        at, signed = (part.partition("=")[2] for part in request.headers["otelcx-signature"].split(","))
        assert at == str(NOW)
        assert signed == hmac.new(b"pass phrase", at.encode() + b"." + request.body, hashlib.sha256).hexdigest()

    def test_a_duplicate_has_the_same_key_and_body(self) -> None:
        with HttpTarget(answer(500), answer(200)) as target:
            config = {"webhook": {"url": target.url}}
            with pytest.raises(Retry):
                send(config)
            send(config)

            first, second = target.requests
            assert first.headers["otelcx-delivery"] == second.headers["otelcx-delivery"]
            assert first.body == second.body

    def test_several_notices_have_a_key_that_is_theirs_alone(self) -> None:
        a, b, c = (notice(incident=f"checkout-{name}") for name in "abc")

        assert Parcel((a,), NOW).key == a.key
        assert Parcel((a, b), NOW).key == Parcel((b, a), NOW + 9).key
        assert Parcel((a, b), NOW).key != Parcel((a, b, c), NOW).key

    def test_incidents_that_are_too_large_are_left_out_and_people_are_told_all_the_same(self) -> None:
        raw = body_of(Parcel((notice(body=body(traces=["x" * MAX_BODY])),), NOW))

        told = json.loads(raw)
        assert len(raw) < MAX_BODY
        assert told["left_out"].startswith("incidents, ")
        assert told["text"].startswith("P1 Checkout")
        assert [each["key"] for each in told["notices"]] == ["checkout-20260105T091200Z:1"]


class TestSlack:
    def test_a_message_has_blocks_and_a_text_beside_them(self, tmp_path: Path) -> None:
        with HttpTarget(answer(200, "ok")) as target:
            request = sent(target, {"slack": {"webhook_url_file": secret(tmp_path, target.url + "\n")}})

        told = json.loads(request.body)
        assert told["text"] == "P1 Checkout: 1,240 of 3,100 customers cannot complete, since 09:02 UTC"
        assert told["blocks"][0] == {
            "type": "header",
            "text": {"type": "plain_text", "text": told["text"], "emoji": False},
        }
        assert told["blocks"][-1]["elements"] == [
            {
                "type": "mrkdwn",
                "text": "<https://cx.example/incidents/checkout-20260105T091200Z|Open> · "
                "<https://runbooks.example/checkout#rollback|Runbook>",
            }
        ]

    def test_what_strangers_write_is_never_markup_or_a_mention(self) -> None:
        told = message_of((story_of(notice(body=hostile())),))

        assert "<" not in told["text"]
        for block in told["blocks"]:
            for text in (block.get("text"), *block.get("fields", ()), *block.get("elements", ())):
                if text is not None and text["type"] == "mrkdwn":
                    assert "channel" not in text["text"]
                    assert text["text"].count("<") == text["text"].count("|")

    @pytest.mark.parametrize("incidents", [1, 3, 20])
    def test_a_message_keeps_within_the_limits_of_slack(self, incidents: int) -> None:
        told = message_of(tuple(story_of(notice(incident=str(n), body=hostile())) for n in range(incidents)))

        assert len(told["blocks"]) <= MAX_BLOCKS
        for block in told["blocks"]:
            if block["type"] == "header":
                assert 0 < len(block["text"]["text"]) <= MAX_HEADER
            elif "text" in block:
                assert 0 < len(block["text"]["text"]) <= MAX_SECTION
            fields = block.get("fields", ())
            assert len(fields) <= MAX_FIELDS
            assert all(0 < len(each["text"]) <= MAX_FIELD for each in fields)
            assert all(len(each["text"]) <= MAX_SECTION for each in block.get("elements", ()))

    def test_the_address_is_a_secret_that_no_error_shows(self, tmp_path: Path) -> None:
        with HttpTarget(answer(403, "no such hook /hook?a=1")) as target:
            config = {"slack": {"webhook_url_file": secret(tmp_path, target.url)}}
            with pytest.raises(Retry) as caught:
                send(config)

        assert "/hook" not in str(caught.value)


class TestPagerDuty:
    def test_an_incident_is_one_alert_from_trigger_to_resolve(self, tmp_path: Path) -> None:
        with HttpTarget(answer(202)) as target:
            config = {"pagerduty": {"routing_key_file": secret(tmp_path, KEY + "\n"), "url": target.url}}
            for what in ("opened", "acknowledged", "raised", "resolved"):
                send(config, notice(what=what))
            events = [json.loads(request.body) for request in target.requests]

        assert [event["event_action"] for event in events] == ["trigger", "acknowledge", "trigger", "resolve"]
        assert {event["dedup_key"] for event in events} == {"checkout-20260105T091200Z"}
        assert {event["routing_key"] for event in events} == {KEY}

    def test_a_trigger_holds_what_whoever_is_woken_needs(self) -> None:
        event = event_of(story_of(notice()))

        assert event["payload"]["summary"] == "P1 Checkout: 1,240 of 3,100 customers cannot complete, since 09:02 UTC"
        assert event["payload"]["custom_details"]["Do first"] == "roll back"
        assert event["payload"]["custom_details"]["Customers"].startswith("1,240 of 3,100")
        assert event["links"] == [
            {"href": "https://cx.example/incidents/checkout-20260105T091200Z", "text": "Incident"},
            {"href": "https://runbooks.example/checkout#rollback", "text": "Runbook: roll back"},
        ]

    def test_severities_are_those_of_pagerduty(self) -> None:
        severities = [event_of(story_of(notice(body=body(current=each)))) for each in ("P1", "P2", "P3", "P4")]
        assert [each["payload"]["severity"] for each in severities] == ["critical", "error", "warning", "info"]

    def test_our_own_health_is_an_alert_that_ends(self) -> None:
        own = {"subject": "store", "since_s": NOW, "sentence": "it does not answer", "url": "https://cx.example"}
        down, up = (
            event_of(story_of(notice(incident="watch", what=what, body=own))) for what in ("store-down", "recovered")
        )
        assert (down["event_action"], up["event_action"]) == ("trigger", "resolve")
        assert down["dedup_key"] == up["dedup_key"] == "watch:store"

    def test_an_event_keeps_within_the_limits_whatever_it_holds(self) -> None:
        event = event_of(story_of(notice(body=hostile())))

        assert len(json.dumps(event)) < MAX_EVENT / 4
        assert len(event["payload"]["summary"]) <= MAX_SUMMARY

    def test_an_event_that_is_wrong_is_refused_and_a_busy_api_tried_again(self, tmp_path: Path) -> None:
        path = secret(tmp_path, KEY)
        with HttpTarget(answer(400, '{"status":"invalid event"}'), answer(429), answer(502)) as target:
            config = {"pagerduty": {"routing_key_file": path, "url": target.url}}
            for outcome in (Refused, Retry, Retry):
                with pytest.raises(outcome):
                    send(config)

    @pytest.mark.parametrize("key", ["short", KEY + "0", KEY[:-1] + "-"])
    def test_a_key_that_is_none_is_to_be_mended_and_not_shown(self, tmp_path: Path, key: str) -> None:
        with pytest.raises(Retry, match="routing key") as caught:
            send({"pagerduty": {"routing_key_file": secret(tmp_path, key)}})

        assert caught.value.mend
        assert key not in str(caught.value)


class TestAlertmanager:
    def test_an_alert_is_posted_to_its_api_with_the_token(self, tmp_path: Path) -> None:
        with HttpTarget(answer(200)) as target:
            config = {"url": f"http://127.0.0.1:{target.port}/am/", "token_file": secret(tmp_path, "t0ken")}
            request = sent(target, {"alertmanager": config})

        assert request.path == "/am/api/v2/alerts"
        assert request.headers["authorization"] == "Bearer t0ken"
        alert, before = json.loads(request.body)
        assert alert["labels"] == {
            "alertname": "CustomerImpact",
            "journey": "checkout",
            "severity": "P1",
            "incident": "checkout-20260105T091200Z",
        }
        assert alert["startsAt"] == "2026-01-05T09:02:00Z"
        assert alert["endsAt"] == "2026-01-05T13:22:00Z"
        assert alert["generatorURL"] == "https://cx.example/incidents/checkout-20260105T091200Z"
        assert alert["annotations"]["runbook_url"] == "https://runbooks.example/checkout#rollback"
        assert (before["labels"]["severity"], before["endsAt"]) == ("P2", "2026-01-05T09:22:00Z")

    def test_labels_stay_the_same_while_figures_change(self) -> None:
        first, second = (alerts_of(notice(body=body(reach={"affected": n, "active": 9})), NOW + n) for n in (3, 4))
        assert [each["labels"] for each in first] == [each["labels"] for each in second]
        assert first[0]["annotations"] != second[0]["annotations"]

    def test_an_end_ends_every_severity_there_was(self) -> None:
        alerts = alerts_of(notice(what="resolved", body=body(closed_at="2026-01-05T09:20:00Z")), NOW)

        assert [each["labels"]["severity"] for each in alerts] == ["P1", "P2"]
        assert {each["endsAt"] for each in alerts} == {"2026-01-05T09:20:00Z"}

    def test_everything_in_an_alert_is_text(self) -> None:
        for alert in alerts_of(notice(body=hostile(journey=7, history=[{"severity": None}, 3])), NOW):
            texts = [*alert["labels"].values(), *alert["annotations"].values(), alert["startsAt"], alert["endsAt"]]
            assert all(isinstance(text, str) and text for text in texts)

    def test_our_own_health_lasts_until_it_is_told_to_be_over(self) -> None:
        own = {"subject": "store", "since_s": NOW, "url": "https://cx.example"}
        (down,) = alerts_of(notice(incident="watch", what="store-down", severity="P2", body=own), NOW)

        assert down["labels"] == {"alertname": "OtelCXHealth", "severity": "P2", "incident": "watch:store"}
        assert down["endsAt"] == "2026-01-12T09:22:00Z"
        assert WATCH_LASTS_S > LASTS_S


class TestSecrets:
    @pytest.mark.parametrize("text", ["", "\n", "a b", "a\nb", "tab\there", "\x00", "ключ", "x" * (MAX_SECRET + 1)])
    def test_a_file_that_holds_no_secret_is_to_be_mended(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(Retry) as caught:
            read_secret(secret(tmp_path, text))

        assert caught.value.mend
        assert str(tmp_path) in str(caught.value)
        assert text.strip() == "" or text not in str(caught.value)

    @given(st.binary(max_size=100))
    def test_whatever_a_file_holds_is_a_secret_or_to_be_mended(self, tmp_path_factory: Any, raw: bytes) -> None:
        path = tmp_path_factory.mktemp("secrets") / "secret"
        path.write_bytes(raw)
        try:
            text = read_secret(str(path), spaces=True)
        except Retry:
            return
        assert raw.decode("ascii").rstrip("\r\n") == text

    def test_a_file_that_is_missing_is_named(self) -> None:
        with pytest.raises(Retry, match="/no/such cannot be read: No such file") as caught:
            read_secret("/no/such")
        assert caught.value.mend

    def test_a_rotated_secret_works_at_once(self, tmp_path: Path) -> None:
        path = secret(tmp_path, "0" * 32)
        with HttpTarget(answer(202)) as target:
            sender = sender_of(
                Channel.model_validate(
                    {"pagerduty": {"routing_key_file": path, "url": target.url}, "allow_private": ALLOW}
                ),
                ssl.create_default_context(),
            )
            for key in ("0" * 32, "1" * 32):
                Path(path).write_text(key)
                with Line(Patience(5, 20, 30)) as line:
                    sender.send(Parcel((notice(),), NOW), line)

            assert [json.loads(each.body)["routing_key"] for each in target.requests] == ["0" * 32, "1" * 32]
