"""A POST of JSON, signed. Heartbeats to a dead man's switch are the same POST with nothing to tell.

A receiver verifies ``OtelCX-Signature: t=<unix seconds>,v1=<hex>``: HMAC-SHA256 with the secret over ``<t>.<body>``.
"""

import hashlib
import hmac
import json
import ssl
from typing import Any, Final

from otel_cx_collector.inventory.decisions import Webhook
from otel_cx_collector.notify import compose
from otel_cx_collector.notify.line import Line
from otel_cx_collector.notify.post import post
from otel_cx_collector.notify.secret import read_secret
from otel_cx_collector.notify.story import headline, story_of
from otel_cx_collector.notify.targets import parse
from otel_cx_collector.notify.words import Notice, Parcel, Sent

VERSION: Final = 1
"""Of the body's format."""
MAX_BODY: Final = 1 << 20
"""Bytes; above it the incidents are left out and what people read is sent all the same."""


class WebhookChannel:
    """One webhook of the inventory."""

    def __init__(self, config: Webhook, allow: tuple[str, ...], tls: ssl.SSLContext) -> None:
        self._config = config
        self._allow = allow
        self._tls = tls

    def send(self, parcel: Parcel, line: Line) -> Sent:
        """Tell it. Raises Retry or Refused."""
        return self._post(parcel.key, body_of(parcel), parcel.now_s, line)

    def beat(self, now_s: int, url: str, line: Line) -> Sent:
        """A sign of life. Raises Retry or Refused."""
        return self._post(
            f"heartbeat:{now_s}", _json({"version": VERSION, "heartbeat": now_s, "url": url}), now_s, line
        )

    def _post(self, key: str, body: bytes, now_s: int, line: Line) -> Sent:
        headers = {"OtelCX-Delivery": key}
        secret = ""
        if self._config.secret_file is not None:
            secret = read_secret(self._config.secret_file, spaces=True)
            headers["OtelCX-Signature"] = signature(secret, now_s, body)
        post(parse(self._config.url, self._allow), headers, body, line, self._tls, now_s, hide=(secret,))
        return Sent()


def signature(secret: str, at_s: int, body: bytes) -> str:
    """What ``OtelCX-Signature`` holds; the time in it lets a receiver refuse what was recorded and sent again."""
    signed = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256)
    return f"t={at_s},v1={signed.hexdigest()}"


def body_of(parcel: Parcel) -> bytes:
    """What is sent: the message for people, and each notice with its own key and its incident."""
    stories = tuple(map(story_of, parcel.notices))
    message = {"version": VERSION, "subject": headline(stories), "text": compose.text(stories)}
    whole = _json(message | {"notices": [_notice(notice) | {"incident": notice.body} for notice in parcel.notices]})
    if len(whole) <= MAX_BODY:
        return whole
    left_out = f"incidents, {len(whole)} bytes"
    return _json(message | {"notices": [_notice(notice) for notice in parcel.notices], "left_out": left_out})


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        "key": notice.key,
        "id": notice.incident,
        "what": notice.what,
        "severity": notice.severity,
        "at": notice.at_s,
        "group": notice.group,
    }


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode(errors="replace")
