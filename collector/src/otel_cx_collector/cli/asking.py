"""A running collector asked over its API: answers as JSON values, every failure as a sentence. Prints nothing."""

import json
from typing import Any, Final

import httpx

from otel_cx_collector.cli.options import safe
from otel_cx_collector.errors import UserError

ASK_TIMEOUT_S: Final = 10
ASK_MAX_BYTES: Final = 16 << 20
"""A larger answer is none of this program's."""


class Collector:
    """A running collector. Every method raises UserError: no answer, or a refusal with its reason."""

    def __init__(self, address: str, instead: str = "or say where it listens with --collector") -> None:
        """Take the address of its page; ``instead`` ends the message when nothing answers there."""
        if not address.startswith(("http://", "https://")):
            raise UserError(f"--collector {address!r} is no address; write it like http://127.0.0.1:8080")
        self._root = f"{address.rstrip('/')}/api/v1"
        self._instead = instead

    def get(self, path: str, **query: str | int | bool) -> Any:
        """What is answered to a question."""
        return self._answer("GET", path, params=query)

    def post(self, path: str, body: dict[str, str]) -> Any:
        """What is answered when something is done."""
        return self._answer("POST", path, json=body)

    def _answer(self, method: str, path: str, **more: Any) -> Any:
        url = self._root + path
        try:
            with httpx.stream(method, url, timeout=ASK_TIMEOUT_S, **more) as answer:
                status, body = answer.status_code, _body(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = str(error) or type(error).__name__
            raise UserError(f"{url} did not answer ({said}); start `otel-cx-collector run`, {self._instead}") from error
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        if status != httpx.codes.OK:
            raise UserError(_refusal(value, body) or f"{url} answered {status}; is it a collector's page?")
        if value is None:
            raise UserError(f"{url} answered with something that is not JSON; is it a collector's page?")
        return value


def _body(answer: httpx.Response) -> bytes:
    body = bytearray()
    for part in answer.iter_bytes():
        body += part
        if len(body) > ASK_MAX_BYTES:
            raise httpx.DecodingError(f"its answer is longer than {ASK_MAX_BYTES >> 20} MiB")
    return bytes(body)


def _refusal(value: Any, body: bytes) -> str:
    """The sentences of a problem (RFC 9457), or of the guard's plain text."""
    if not isinstance(value, dict) or "detail" not in value:
        text = body.decode(errors="replace").strip()
        return "" if "<" in text else str(safe(text.partition("\n")[0][:1000]))
    detail, cure = str(safe(str(value["detail"]))), str(safe(str(value.get("cure") or "")))
    told = cure.rstrip(".").casefold() in detail.casefold()
    return detail if told else f"{detail.rstrip('.')}. {cure}"
