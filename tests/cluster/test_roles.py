"""Roles: two processes take telemetry, a third judges it, and servers stand between them. Real processes, real OTLP."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster.nodes import CLUSTER, USER, Node
from collector_process import Process, ask, send, until

from otel_cx_collector.clock import now_ns
from otel_cx_collector.config import Settings
from otel_cx_collector.errors import UserError
from otel_cx_collector.events import NS


@pytest.fixture
def started(tmp_path: Path, two: list[Node], database: str, password_file: Path) -> Iterator[Callable[..., Process]]:
    settings = (
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
