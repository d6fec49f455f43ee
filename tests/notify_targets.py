"""Targets of notices that misbehave on purpose, an outbox in memory, and notices to send. Real sockets on loopback."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from otel_cx_collector.notify.words import Notice

NOW = 1_767_604_920
"""2026-01-05T09:22:00Z."""

Behaviour = Callable[[socket.socket, threading.Event], None]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def answer(status: int, body: str = "", **headers: str) -> Behaviour:
    def behave(connection: socket.socket, _: threading.Event) -> None:
        named = {"Content-Length": str(len(body)), **{key.replace("_", "-"): value for key, value in headers.items()}}
        head = "".join(f"{key}: {value}\r\n" for key, value in named.items())
        connection.sendall(f"HTTP/1.1 {status} Told\r\n{head}\r\n{body}".encode())

    return behave


def hang(_: socket.socket, closing: threading.Event) -> None:
    closing.wait()


def reset_before_status(connection: socket.socket, _: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 2")
    _reset(connection)


def reset_within_body(connection: socket.socket, _: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 500 Oh\r\nContent-Length: 1000\r\n\r\nbroken")
    _reset(connection)


def drip_head(connection: socket.socket, closing: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not closing.wait(0.05):
        connection.sendall(b"a")


def drip_body(connection: socket.socket, closing: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\n")
    while not closing.wait(0.05):
        connection.sendall(b"a")


def huge_body(connection: socket.socket, closing: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 500 Oh\r\nContent-Length: 100000000000\r\n\r\n")
    while not closing.is_set():
        connection.sendall(b"x" * 65536)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class HttpTarget:
    """Answers each request with the next behaviour; the last one stays."""

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self._behaviours = list(behaviours)
        self._tls = tls
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.port: int = self._server.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/hook?a=1"

    def __enter__(self) -> Self:
        self._begin(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(5)

    def _begin(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._begin(lambda connection=connection: self._serve(connection))  # type: ignore[misc]

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            request = _read(connection)
            with self._lock:
                self.requests.append(request)
                behave = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
            behave(connection, self._closing)
        connection.close()


def _read(connection: socket.socket) -> Request:
    raw = b""
    while b"\r\n\r\n" not in raw:
        chunk = connection.recv(65536)
        if not chunk:
            raise ValueError("no request")
        raw += chunk
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65536)
    method, path, _ = first.split(" ")
    return Request(method, path, headers, body)


@dataclass
class Row:
    notice: Notice
    due_s: int = 0
    state: str = "waiting"
    why: str = ""


@dataclass
class MemoryOutbox:
    """As the durable one, without a disk: the first undelivered of each (channel, incident) holds back the others."""

    rows: list[Row] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def put(self, *notices: Notice) -> None:
        with self.lock:
            for notice in notices:
                self.rows.append(Row(replace(notice, id=len(self.rows) + 1)))

    def due(self, now_s: int, limit: int, channel: str | None = None) -> list[Notice]:
        with self.lock:
            heads: dict[tuple[str, str], Row] = {}
            for row in self.rows:
                if row.state in ("waiting", "held") and channel in (None, row.notice.channel):
                    heads.setdefault((row.notice.channel, row.notice.incident), row)
            return [row.notice for row in heads.values() if row.due_s <= now_s][:limit]

    def waiting(self, channel: str, incident: str) -> list[Notice]:
        with self.lock:
            own = [row for row in self.rows if (row.notice.channel, row.notice.incident) == (channel, incident)]
            return [row.notice for row in own if row.state in ("waiting", "held")]

    def delivered(self, notice_id: int, at_s: int) -> None:
        self._set(notice_id, "delivered", "", at_s, 0)

    def failed(self, notice_id: int, at_s: int, error: str, retry_at_s: int) -> None:
        assert retry_at_s > at_s
        self._set(notice_id, "waiting", error, retry_at_s, 1)

    def held(self, notice_id: int, until_s: int, why: str) -> None:
        self._set(notice_id, "held", why, until_s, 0)

    def refused(self, notice_id: int, at_s: int, error: str) -> None:
        self._set(notice_id, "refused", error, at_s, 1)

    def _set(self, notice_id: int, state: str, why: str, due_s: int, tries: int) -> None:
        with self.lock:
            row = self.rows[notice_id - 1]
            row.state, row.why, row.due_s = state, why, due_s
            row.notice = replace(row.notice, tries=row.notice.tries + tries, error=why)

    def states(self) -> list[str]:
        with self.lock:
            return [row.state for row in self.rows]


def body(**values: Any) -> dict[str, Any]:
    """An incident as notices carry it."""
    return {
        "id": "checkout-20260105T091200Z",
        "journey": "checkout",
        "journey_title": "Checkout",
        "owner": "payments-sre",
        "currency": "EUR",
        "url": "https://cx.example",
        "status": "open",
        "severity": "P1",
        "current": "P1",
        "score": 49.0,
        "harm_minutes": 4.8,
        "vector": "CXI:1.0/J:checkout/C:1/G:1/V:1/M:1/A:480/N:100/X:0/B:0/H50:5",
        "started_at": "2026-01-05T09:02:00Z",
        "opened_at": "2026-01-05T09:12:00Z",
        "closed_at": None,
        "reach": {"affected": 1240, "active": 3100, "low": 0.385, "high": 0.415},
        "segments": {"enterprise": {"affected": 40, "active": 60}, "trial": {"affected": 1200, "active": 3040}},
        "regions": {"eu": {"affected": 1240, "active": 2000}, "unset": {"affected": 3, "active": 9}},
        "errors": [
            {"class": "declined", "step": "payment", "customers": 1200, "count": 2000, "consequence": "lost order"}
        ],
        "accounts": [
            {"account": "a1", "name": "Acme", "attempts": 10, "failed": 9, "renewal_due": "2026-02-01", "arr": "48000"}
        ],
        "changes": [{"kind": "deploy", "what": "billing 1.8.2", "at": "2026-01-05T08:58:00Z", "link": None}],
        "advice": [
            {"do": "switch the flag off", "link": None, "holds": False},
            {"do": "roll back", "link": "https://runbooks.example/checkout#rollback", "holds": True},
        ],
        "trigger": {"kind": "rule", "rule": "impact", "sentence": "impact above 4: 49.0"},
        "history": [
            {"what": "opened", "who": "otel-cx", "text": "impact above 4", "severity": "P2"},
            {"what": "raised", "who": "otel-cx", "text": "P2 to P1", "severity": "P1"},
        ],
        "group": None,
    } | values


def notice(
    channel: str = "hook", incident: str = "checkout-20260105T091200Z", sequence: int = 1, **more: Any
) -> Notice:
    values: dict[str, Any] = {"what": "opened", "severity": "P1", "at_s": NOW, "group": None, "body": body(), "id": 0}
    return Notice(key=f"{incident}:{sequence}", channel=channel, incident=incident, sequence=sequence, **values | more)
