"""The installed collector as a process: started with settings, asked over HTTP, sent OTLP. No expectations."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from recordings import Step, request

from otel_cx_collector.events import NS

PROGRAM = Path(sys.executable).with_name("otel-cx-collector")
PATIENCE_S = 90


ENDPOINTS = (
    'receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:0"}, http: {endpoint: "127.0.0.1:0"}}}}\n'
    'web: {endpoint: "127.0.0.1:0"}\nhealth: {endpoint: "127.0.0.1:0"}\n'
)
SMALL = "journeys: {checkout: {steps: [payment]}}\n"


class Process:
    """One collector in a folder of its own; ``ports`` once it is ready."""

    def __init__(self, folder: Path, role: str = "all", settings: str = "", inventory: str = SMALL) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "collector.yaml").write_text(f"{ENDPOINTS}data: {folder / 'data'}\n{settings}")
        (folder / "cx.yaml").write_text(inventory)
        self.folder = folder
        self.log = folder / "log"
        with self.log.open("w") as out:
            self.child = subprocess.Popen(
                [str(PROGRAM), "run", "--role", role, "--config", "collector.yaml"],
                cwd=folder, stderr=out, stdout=out, env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        self.ports: dict[str, int] = until(self._ready)

    def _ready(self) -> dict[str, int] | None:
        assert self.child.poll() is None, self.log.read_text()
        return next((line for line in self.lines() if line.get("event") == "ready"), None)

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def stop(self) -> None:
        """End it, if it has not ended."""
        self.child.send_signal(signal.SIGTERM)
        self.child.wait(30)


def until(found: Callable[[], Any]) -> Any:
    """Wait until a question has an answer."""
    end = time.monotonic() + PATIENCE_S
    while not (answer := found()):
        assert time.monotonic() < end, "in vain"
        time.sleep(0.2)
    return answer


def ask(port: int, path: str) -> Any:
    """The JSON of an answer, None when it is no 200."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    return json.loads(body) if answer.status == 200 else None


def send(port: int, first: int, count: int, end: int, customer: str | None = None) -> None:
    """An ok payment in each of ``count`` attempts, all at ``end``."""
    spans = []
    for number in range(first, first + count):
        span = Step(0, f"attempt-{number}", customer=customer).span(number)
        spans.append(span | {"startTimeUnixNano": str(end - NS // 10), "endTimeUnixNano": str(end)})
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("POST", "/v1/traces", request(spans), {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200
