"""Events to PagerDuty's Events API v2: one alert for each incident, from trigger to resolve. Not its REST API.

Lengths and answers: https://developer.pagerduty.com/docs/events-api-v2-overview
"""

import json
import re
import ssl
from typing import Any, Final

from otel_cx_collector.inventory.decisions import PagerDuty
from otel_cx_collector.notify.line import Line
from otel_cx_collector.notify.post import post
from otel_cx_collector.notify.secret import read_secret
from otel_cx_collector.notify.story import Story, story_of
from otel_cx_collector.notify.targets import parse
from otel_cx_collector.notify.words import Parcel, Retry, Sent

SEVERITY: Final = {"P1": "critical", "P2": "error", "P3": "warning", "P4": "info"}
ACTION: Final = {"acknowledged": "acknowledge", "resolved": "resolve", "recovered": "resolve"}
"""What an event does to the alert; every other one triggers it."""
MAX_SUMMARY: Final = 1024
MAX_DEDUP: Final = 255
MAX_EVENT: Final = 512_000
"""Bytes of an event. A story is bounded far below, so none is ever cut here."""
ROUTING_KEY: Final = re.compile(r"[0-9A-Za-z]{32}", re.ASCII)


class PagerDutyChannel:
    """One service of PagerDuty."""

    def __init__(self, config: PagerDuty, allow: tuple[str, ...], tls: ssl.SSLContext) -> None:
        self._config = config
        self._allow = allow
        self._tls = tls

    def send(self, parcel: Parcel, line: Line) -> Sent:
        """Tell it of each incident. Raises Retry or Refused."""
        key = read_secret(self._config.routing_key_file)
        if not ROUTING_KEY.fullmatch(key):
            what = f"{self._config.routing_key_file} holds {len(key)} characters that are no routing key"
            raise Retry(f"{what}; a routing key is 32 letters and digits", mend=True)
        target = parse(self._config.url, self._allow)
        for notice in parcel.notices:
            event = json.dumps({"routing_key": key} | event_of(story_of(notice)), sort_keys=True).encode()
            post(target, {}, event, line, self._tls, parcel.now_s, hide=(key,))
        return Sent()


def event_of(story: Story) -> dict[str, Any]:
    """The event, without its routing key."""
    action = ACTION.get(story.what, "trigger")
    event = {"event_action": action, "dedup_key": story.id[:MAX_DEDUP], "client": "otel-cx"}
    if story.link:
        event["client_url"] = story.link
    return event if action != "trigger" else event | {"payload": _payload(story), "links": _links(story)}


def _payload(story: Story) -> dict[str, Any]:
    details = {label: text for label, text in story.lines if label != "Status"}
    advice = {"Do first": story.advice} if story.advice else {}
    return {
        "summary": story.subject[:MAX_SUMMARY],
        "source": "otel-cx",
        "severity": SEVERITY.get(story.severity, "critical"),
        "component": story.title,
        "class": "customer impact",
        "custom_details": advice | details,
    }


def _links(story: Story) -> list[dict[str, str]]:
    links = ((story.link, "Incident"), (story.runbook, f"Runbook: {story.advice}"))
    return [{"href": href, "text": text} for href, text in links if href]
