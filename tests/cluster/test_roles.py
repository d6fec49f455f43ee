"""Roles: two processes take telemetry, a third judges it, and servers stand between them. Real processes, real OTLP."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from cluster.nodes import CLUSTER, USER, Node
from recordings import Step, request

from otel_cx_collector.clock import now_ns
from otel_cx_collector.config import Settings
from otel_cx_collector.errors import UserError
from otel_cx_collector.events import NS

PROGRAM = Path(sys.executable).with_name("otel-cx-collector")
PATIENCE_S = 90


class Process:
    """One collector, told its role; ``ports`` once it is ready."""

    def __init__(self, folder: Path, role: str, settings: str) -> None:
        folder.mkdir()
        (folder / "collector.yaml").write_text(settings.format(data=folder / "data"))
        (folder / "cx.yaml").write_text("journeys: {checkout: {steps: [payment]}}\n")
        self.log = folder / "log"
        with self.log.open("w") as out:
            self.child = subprocess.Popen(
                [str(PROGRAM), "run", "--role", role, "--config", "collector.yaml"],
                cwd=folder, stderr=out, stdout=out, env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        self.ports: dict[str, int] = until(self._ready)

    def _ready(self) -> dict[str, int] | None:
        assert self.child.poll() is None, self.log.read_text()
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return next((line for line in lines if line.get("event") == "ready"), None)

    def stop(self) -> None:
        self.child.send_signal(signal.SIGTERM)
        self.child.wait(30)


def until(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (answer := found()):
        assert time.monotonic() < end, "in vain"
        time.sleep(0.2)
    return answer


def ask(port: int, path: str) -> Any:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    return json.loads(body) if answer.status == 200 else None


def send(port: int, first: int, count: int, end: int) -> None:
    spans = []
    for number in range(first, first + count):
        span = Step(0, f"attempt-{number}").span(number)
        spans.append(span | {"startTimeUnixNano": str(end - NS // 10), "endTimeUnixNano": str(end)})
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("POST", "/v1/traces", request(spans), {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200


@pytest.fixture
def started(tmp_path: Path, two: list[Node], database: str, password_file: Path) -> Iterator[Callable[..., Process]]:
    settings = (
        'receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:0"}}, http: {{endpoint: "127.0.0.1:0"}}}}}}}}\n'
        'web: {{endpoint: "127.0.0.1:0"}}\nhealth: {{endpoint: "127.0.0.1:0"}}\ndata: {data}\n'
        f'store: "clickhouse://{USER}@{two[0].host}:{two[0].http}/{database}?cluster={CLUSTER}"\n'
        f"store_password_file: {password_file}\n"
    )
    with ExitStack() as stack:

        def start(name: str, role: str) -> Process:
            process = Process(tmp_path / name, role, settings)
            stack.callback(process.stop)
            return process

        yield start


@pytest.mark.timeout(240)
def test_what_two_nodes_took_is_judged_by_a_third_process_each_attempt_once(started: Callable[..., Process]) -> None:
    one, other = started("one", "ingest"), started("other", "ingest")
    control = started("control", "control")
    assert (one.ports["web"], control.ports["http"]) == (0, 0)
    end = now_ns() - NS
    send(one.ports["http"], 0, 20, end)
    send(other.ports["http"], 10, 20, end)  # ten of them are retries that reached another node

    until(lambda: started_attempts(control) >= 30)
    found = ask(control.ports["web"], "/api/v1/journeys/checkout?range=15m")
    assert found["attempts"]["started"] == found["steps"]["payment"]["ok"] == 30


def started_attempts(control: Process) -> int:
    found = ask(control.ports["web"], "/api/v1/journeys/checkout?range=15m")
    return int(found["attempts"]["started"]) if found else 0


def test_a_role_of_its_own_without_servers_is_refused_with_the_cure() -> None:
    from otel_cx_collector.app import App
    from otel_cx_collector.inventory import parse

    app = App(Settings(role="ingest"), parse("journeys: {checkout: {steps: [payment]}}"))
    with pytest.raises(UserError, match="clickhouse://"):
        app.start()
