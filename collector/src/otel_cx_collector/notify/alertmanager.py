"""Alerts to Prometheus Alertmanager over its API v2. Not its configuration: who is told, it decides.

An alert's labels are its identity, so they hold no count and no score; a severity that changes makes another alert, and
the one of the severity before is ended with it. Alertmanager resolves what it does not hear of again: the courier sends
what is open every ``RESEND_S``, and each time says that it lasts for ``LASTS_S`` more, so that an hour in which we are
down ourselves is not taken for health.
"""

import json
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from otel_cx_collector.inventory.decisions import Alertmanager
from otel_cx_collector.notify.line import Line
from otel_cx_collector.notify.post import post
from otel_cx_collector.notify.secret import read_secret
from otel_cx_collector.notify.story import Story, story_of
from otel_cx_collector.notify.targets import parse
from otel_cx_collector.notify.words import WATCH, Notice, Parcel, Sent

RESEND_S: Final = 60
LASTS_S: Final = 4 * 3600
WATCH_LASTS_S: Final = 7 * 24 * 3600
"""Of our own health, which is not sent again: it ends when it is told that it has."""
ALERT: Final = "CustomerImpact"
WATCH_ALERT: Final = "OtelCXHealth"


class AlertmanagerChannel:
    """One Alertmanager."""

    def __init__(self, config: Alertmanager, allow: tuple[str, ...], tls: ssl.SSLContext) -> None:
        self._config = config
        self._allow = allow
        self._tls = tls

    def send(self, parcel: Parcel, line: Line) -> Sent:
        """Tell it. Raises Retry or Refused."""
        token = "" if self._config.token_file is None else read_secret(self._config.token_file)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        target = parse(f"{self._config.url.rstrip('/')}/api/v2/alerts", self._allow)
        alerts = [alert for notice in parcel.notices for alert in alerts_of(notice, parcel.now_s)]
        post(target, headers, json.dumps(alerts, sort_keys=True).encode(), line, self._tls, parcel.now_s, hide=(token,))
        return Sent()


def alerts_of(notice: Notice, now_s: int) -> list[dict[str, Any]]:
    """The incident's alert, and the ends of those of other severities that it had."""
    story = story_of(notice)
    ended_s = None if story.ended_s is None else min(story.ended_s, now_s)
    lasts_s = WATCH_LASTS_S if notice.incident == WATCH else LASTS_S
    alert = _alert(story, notice, story.severity, ended_s or now_s + lasts_s)
    others = sorted(_severities(notice) - {story.severity})
    return [alert, *(_alert(story, notice, severity, ended_s or now_s) for severity in others)]


def _alert(story: Story, notice: Notice, severity: str, ends_s: int) -> dict[str, Any]:
    journey = notice.body.get("journey")
    named = {"journey": journey} if isinstance(journey, str) and journey else {}
    annotations = {"summary": story.subject, "runbook_url": story.runbook, "advice": story.advice}
    lines = {label.lower().replace(" ", "_"): text for label, text in story.lines}
    alert = {
        "labels": {
            "alertname": ALERT if named else WATCH_ALERT,
            "severity": severity,
            "incident": story.id,
            **named,
        },
        "annotations": {key: text for key, text in (annotations | lines).items() if text},
        "startsAt": _time(min(story.started_s, ends_s)),
        "endsAt": _time(ends_s),
    }
    return alert | ({"generatorURL": story.link} if story.link else {})


def _severities(notice: Notice) -> set[str]:
    history = notice.body.get("history")
    entries = history if isinstance(history, list | tuple) else ()
    had = {entry.get("severity") for entry in entries if isinstance(entry, Mapping)} | {notice.severity}
    return {severity for severity in had if isinstance(severity, str)}


def _time(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
