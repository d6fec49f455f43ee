"""The port that probes and Prometheus ask: what it says, to how many, and for how long."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from otlp import until
from structlog.testing import capture_logs

from otel_cx_collector import health
from otel_cx_collector.errors import UserError
from otel_cx_collector.health import Health

PATIENCE_S = 20.0


class Reply(NamedTuple):
    status: int
    content_type: str | None
    body: bytes

    @property
    def said(self) -> Any:
        return json.loads(self.body)


@dataclass
class Scene:
    """A process that is ready or not, and a page of metrics that notes how it was asked for."""

    problem: str = ""
    broken: bool = False
    accepted: list[str] = field(default_factory=list)
    port: int = 0

    def page(self, accept: str) -> tuple[bytes, str]:
        if self.broken:
            raise ValueError("the page is broken")
        self.accepted.append(accept)
        return b"metrics 1\n", "text/plain; version=0.0.4"

    def ask(self, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, answer.getheader("content-type"), answer.read())
        finally:
            connection.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    server = Health("127.0.0.1:0", lambda: made.problem, made.page)
    made.port = server.start()
    yield made
    server.stop()


@pytest.mark.parametrize("path", ["/", "/ready", "/healthz", "/ready?verbose"])
def test_a_ready_process_says_so_on_any_path(scene: Scene, path: str) -> None:
    reply = scene.ask(path)

    assert (reply.status, reply.content_type, reply.said) == (200, "application/json", {"status": "ok"})


@pytest.mark.parametrize("path", ["/", "/ready", "/healthz"])
def test_a_process_that_is_not_ready_says_why(scene: Scene, path: str) -> None:
    scene.problem = "the first evaluation is still under way"

    reply = scene.ask(path)

    assert (reply.status, reply.said) == (503, {"status": "unavailable", "reason": scene.problem})


def test_a_process_that_is_not_ready_is_alive(scene: Scene) -> None:
    scene.problem = "the store is away"

    assert scene.ask("/live").status == 200


def test_the_page_of_metrics_is_served_as_it_was_asked_for(scene: Scene) -> None:
    reply = scene.ask("/metrics?name[]=up", headers={"Accept": "application/openmetrics-text; version=1.0.0"})

    assert reply == (200, "text/plain; version=0.0.4", b"metrics 1\n")
    assert scene.accepted == ["application/openmetrics-text; version=1.0.0"]


def test_metrics_are_served_while_the_process_is_not_ready(scene: Scene) -> None:
    scene.problem = "the first evaluation is still under way"

    assert scene.ask("/metrics").status == 200


def test_without_a_page_of_metrics_there_is_none() -> None:
    server = Health("127.0.0.1:0", lambda: "")
    scene = Scene(port=server.start())

    assert scene.ask("/metrics").status == 404
    server.stop()


@pytest.mark.parametrize("path", ["/", "/metrics"])
def test_head_is_answered_without_a_body(scene: Scene, path: str) -> None:
    reply = scene.ask(path, "HEAD")

    assert (reply.status, reply.body) == (200, b"")


def test_a_defect_in_the_page_is_logged_and_the_next_probe_answered(scene: Scene) -> None:
    scene.broken = True
    with capture_logs() as lines:
        with pytest.raises((http.client.HTTPException, OSError)):
            scene.ask("/metrics")
        until(lambda: bool(lines))

    assert [line["event"] for line in lines] == ["health.failed"]
    assert scene.ask("/").status == 200


def test_connections_over_the_limit_are_closed_and_taken_again_when_others_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CONNECTIONS", 2)
    silent = [socket.create_connection(("127.0.0.1", scene.port), PATIENCE_S) for _ in range(2)]
    with socket.create_connection(("127.0.0.1", scene.port), PATIENCE_S) as surplus:
        assert surplus.recv(1) == b""

    for wire in silent:
        wire.close()
    until(lambda: is_answered(scene))


def is_answered(scene: Scene) -> bool:
    try:
        return scene.ask("/").status == 200
    except (http.client.HTTPException, OSError):
        return False


def test_a_client_that_sends_a_byte_now_and_then_wins_no_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LONGEST_S", 1)
    server = Health("127.0.0.1:0", lambda: "")
    port = server.start()
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as wire:
        wire.settimeout(0.2)
        deadline = time.monotonic() + PATIENCE_S
        while not is_closed(wire):
            assert time.monotonic() < deadline
    server.stop()


def is_closed(wire: socket.socket) -> bool:
    try:
        wire.sendall(b"G")
        return wire.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_taken_port_is_an_error_with_the_cure(scene: Scene) -> None:
    with pytest.raises(UserError, match=rf"health\.endpoint 127\.0\.0\.1:{scene.port} .* set another port"):
        Health(f"127.0.0.1:{scene.port}", lambda: "").start()


def test_ipv6_loopback_works() -> None:
    server = Health("[::1]:0", lambda: "")
    port = server.start()
    with socket.create_connection(("::1", port), PATIENCE_S) as wire:
        wire.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert wire.recv(100).startswith(b"HTTP/1.0 200")
    server.stop()
