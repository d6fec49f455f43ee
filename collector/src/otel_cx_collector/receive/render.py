"""An answer as the bytes of HTTP/1.1. Not which answer."""

from http import HTTPStatus
from typing import Final

from otel_cx_collector.receive.answers import OK, Refused, refusal_body, success_body
from otel_cx_collector.receive.route import CONTENT_TYPES, Judgement
from otel_cx_collector.receive.sink import Answer, Encoding

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


def render(
    judgement: Judgement, outcome: Answer | Refused | None, *, date: str, keep_alive: bool, bodiless: bool
) -> bytes:
    """Status line, headers and body. ``outcome`` None answers a preflight; ``bodiless`` a HEAD request."""
    if outcome is None:
        return _head(HTTPStatus.NO_CONTENT, [("date", date), *judgement.headers], keep_alive)
    signal, encoding, _ = judgement.route
    encoding = encoding or Encoding.JSON
    headers = [("date", date), ("content-type", CONTENT_TYPES[encoding]), *judgement.headers]
    if isinstance(outcome, Refused):
        status = outcome.statuses.http
        body = refusal_body(outcome, encoding)
        if outcome.retry_after_s is not None:
            headers.append(("retry-after", str(outcome.retry_after_s)))
    else:
        assert signal is not None  # noqa: S101 - only a request with a route is accepted
        status = OK.http
        body = success_body(signal, encoding, outcome)
    headers.append(("content-length", str(len(body))))
    return _head(status, headers, keep_alive) + (b"" if bodiless else body)


def _head(status: int, headers: list[tuple[str, str]], keep_alive: bool) -> bytes:
    if not keep_alive:
        headers.append(("connection", "close"))
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    return f"{_STATUS_LINES[status]}{lines}\r\n".encode("latin-1")
