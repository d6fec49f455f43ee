"""One POST over HTTP and what its answer means: taken, later, never. Not what is said.

httpcore instead of httpx above it: it follows no redirect, reads no environment, and lets us make the connection.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore

from otel_cx_collector.incidents.machine import clean
from otel_cx_collector.notify.line import Line
from otel_cx_collector.notify.secret import without
from otel_cx_collector.notify.targets import PORTS, Target, connect
from otel_cx_collector.notify.words import Refused, Retry
from otel_cx_collector.version import VERSION

MAX_ANSWER: Final = 4096
"""Bytes of an answer that are read, and only when it says no: the status of one that says yes is all that counts."""
MAX_REASON: Final = 200
"""Characters of it that are shown."""
RETRY_AFTER_MAX_S: Final = 900
"""A target cannot put a notice off for longer."""
BUSY: Final = frozenset({408, 425, 429})
"""Answers below 500 after which the same request is taken later."""
WRONG: Final = frozenset({400, 413, 414, 415, 422, 431})
"""Answers about the request itself: it would be refused for ever. Others below 500 are about address or secret."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    retry_after: str | None
    location: str | None
    text: str


class _Checked(httpcore.NetworkBackend):
    """Lets httpcore connect to the address that was checked, and to no other."""

    def __init__(self, target: Target, line: Line) -> None:
        self._target = target
        self._line = line

    def connect_tcp(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        """A stream over our own connection, whatever is asked for."""
        return connect(self._target, self._dial)

    def _dial(self, address: str) -> httpcore.NetworkStream:
        try:
            stream = httpcore.SyncBackend().connect_tcp(address, self._target.port, self._line.patience.connect_s)
        except httpcore.ConnectTimeout:
            raise OSError("no answer") from None
        except httpcore.ConnectError as error:
            raise OSError(reason_of(error)) from None
        self._line.hold(stream.get_extra_info("socket"))
        return stream


def post(
    target: Target,
    headers: Mapping[str, str],
    body: bytes,
    line: Line,
    tls: ssl.SSLContext,
    now_s: int,
    *,
    hide: tuple[str, ...] = (),
) -> None:
    """Send ``body``; when it returns the target has taken it.

    Args:
        target: Where to.
        headers: Beside the usual ones; ASCII.
        body: JSON.
        line: Its patience holds for all of it.
        tls: How a server's certificate is verified.
        now_s: What a ``Retry-After`` that is a date counts from.
        hide: Secrets that the target might repeat in its answer.

    Raises:
        Retry: It may be taken later.
        Refused: It never will be.
    """
    try:
        answer = _exchange(target, headers, body, line, tls)
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        reason = line.cut_because or without(reason_of(error), *hide)
        raise Retry(f"{target.host}:{target.port} failed: {reason}") from None
    judge(answer, target.host, now_s, hide)


def judge(answer: Answer, host: str, now_s: int, hide: tuple[str, ...] = ()) -> None:
    """Nothing when the answer means that it was taken. Raises Retry or Refused."""
    status = answer.status
    if 200 <= status < 300:
        return
    said = f": {answer.text}" if answer.text else ""
    what = f"{host} answered {status}{without(said, *hide)}"
    if status in WRONG:
        raise Refused(what)
    if status in BUSY or status >= 500:
        raise Retry(what, retry_after_s(answer.retry_after, now_s))
    if 300 <= status < 400:
        where = _place(answer.location) or host
        raise Retry(f"{host} answered {status}, a redirect to {where}; write the address itself", mend=True)
    raise Retry(f"{what}; mend the address or the secret", mend=True)


def retry_after_s(header: str | None, now_s: int) -> int | None:
    """What ``Retry-After`` asks for, seconds or an HTTP date (RFC 9110, 10.2.3), at most ``RETRY_AFTER_MAX_S``."""
    if header is None:
        return None
    if re.fullmatch(r"\d{1,9}", header, re.ASCII):
        seconds = int(header)
    else:
        try:
            seconds = int(parsedate_to_datetime(header).timestamp()) - now_s
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 1), RETRY_AFTER_MAX_S)


def _exchange(target: Target, headers: Mapping[str, str], body: bytes, line: Line, tls: ssl.SSLContext) -> Answer:
    usual = {"Host": _host(target), "Content-Type": "application/json", "User-Agent": f"otel-cx/{VERSION}"}
    patience = line.patience
    waits = {"connect": patience.connect_s, "read": patience.read_s, "write": patience.read_s}
    url = httpcore.URL(
        scheme="https" if target.secure else "http", host=target.host, port=target.port, target=target.path
    )
    with (
        httpcore.ConnectionPool(ssl_context=tls, network_backend=_Checked(target, line)) as pool,
        pool.stream(
            "POST", url, headers=list({**usual, **headers}.items()), content=body, extensions={"timeout": waits}
        ) as answer,
    ):
        known = {name.lower(): value.decode("latin-1") for name, value in answer.headers}
        text = "" if answer.status < 400 else _beginning(answer)
        return Answer(answer.status, known.get(b"retry-after"), known.get(b"location"), text)


def _place(location: str | None) -> str:
    """The host of a redirect alone: the rest may be a secret."""
    try:
        return clean(urlsplit(location or "").hostname or "", MAX_REASON)
    except ValueError:
        return "nowhere"


def _host(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return host if target.port == PORTS["https" if target.secure else "http"] else f"{host}:{target.port}"


def _beginning(answer: httpcore.Response) -> str:
    """The reason that an answer gives, as far as it comes: the status alone would do."""
    raw = b""
    try:
        for chunk in answer.iter_stream():
            raw += chunk
            if len(raw) >= MAX_ANSWER:
                break
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        pass  # what came of it is enough
    return clean(raw[:MAX_ANSWER].decode(errors="replace"), MAX_REASON)


def reason_of(error: Exception) -> str:
    """What a library says went wrong, on one line, without its numbers and file names."""
    if isinstance(error, httpcore.TimeoutException):
        return "no answer in time"
    text = re.sub(r"^\[[^\]]*\] ?|\s*\(_ssl\.c:\d+\)", "", str(error))
    return clean(text, MAX_REASON) or "the connection was closed"
