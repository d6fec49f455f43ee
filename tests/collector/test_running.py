"""The collector as its operator runs it: reload, metrics, the end, erasure of a customer. The installed program."""

import http.client
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from collector_process import PROGRAM, Process, ask, send, until

from otel_cx_collector.clock import now_ns
from otel_cx_collector.config import LogLimits
from otel_cx_collector.events import NS
from otel_cx_collector.log import Log

CUSTOMER = "k1.AAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path / "one")
    yield process
    if process.child.poll() is None:
        process.stop()


def started(process: Process, journey: str = "checkout") -> int:
    found = ask(process.ports["web"], f"/api/v1/journeys/{journey}?range=15m")
    return int(found["attempts"]["started"]) if found else 0


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAM), *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.timeout(180)
def test_a_new_inventory_is_taken_without_a_restart_and_a_wrong_one_leaves_the_old_in_force(running: Process) -> None:
    send(running.ports["http"], 0, 5, now_ns() - NS)
    until(lambda: started(running) == 5)

    (running.folder / "cx.yaml").write_text("journeys: {checkout: {steps: [pay ment]}}\n")
    running.child.send_signal(signal.SIGHUP)
    refused = until(lambda: next((line for line in running.lines() if line["event"] == "reload.refused"), None))
    assert "pay ment" in refused["why"]
    assert started(running) == 5

    (running.folder / "cx.yaml").write_text("journeys: {checkout: {steps: [payment]}, login: {steps: [password]}}\n")
    running.child.send_signal(signal.SIGHUP)
    until(lambda: any(line["event"] == "reloaded" for line in running.lines()))
    until(lambda: ask(running.ports["web"], "/api/v1/journeys/login?range=15m") is not None)
    until(lambda: started(running) == 5)


@pytest.mark.timeout(180)
def test_its_own_metrics_are_served_and_none_is_unreadable(running: Process) -> None:
    send(running.ports["http"], 0, 5, now_ns() - NS)
    until(lambda: started(running) == 5)
    _, page = asked(running.ports["health"], "/metrics")
    values = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert float(values["otelcx_collector_steps_accepted_total"]) == 5
    assert {value for name, value in values.items() if "metrics_unreadable" in name} == {"0.0"}
    assert float(values["otelcx_collector_rounds_total"]) >= 1


@pytest.mark.timeout(180)
def test_it_is_ready_when_it_takes_traffic_though_judging_still_waits_for_an_old_log(tmp_path: Path) -> None:
    old = tmp_path / "one" / "data" / "log-7"
    old.mkdir(parents=True)
    with Log(old, LogLimits(min_free_bytes=0)) as log:
        log.append(pa.RecordBatch.from_pydict({"no such column": [1]}))  # no store takes it
    process = Process(tmp_path / "one")
    try:
        until(lambda: any(line["event"] == "store.failing" for line in process.lines()))
        send(process.ports["http"], 0, 5, now_ns() - NS)
        assert asked(process.ports["health"], "/ready")[0] == 200
        assert asked(process.ports["web"], "/api/v1/journeys/checkout")[0] == 503
    finally:
        process.child.kill()
        process.child.wait()


def asked(port: int, path: str) -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.mark.timeout(180)
def test_a_customer_is_erased_from_a_collector_that_is_stopped(running: Process) -> None:
    send(running.ports["http"], 0, 3, now_ns() - NS, customer=CUSTOMER)
    send(running.ports["http"], 10, 4, now_ns() - NS)
    until(lambda: started(running) == 7)
    held = command(running.folder, "erase", "--pseudonym", CUSTOMER, "--config", "collector.yaml")
    assert held.returncode == 2  # another process has the store
    running.stop()
    assert running.child.returncode == 0
    erased = command(running.folder, "erase", "--pseudonym", CUSTOMER, "--config", "collector.yaml")
    assert (erased.returncode, erased.stderr) == (0, "")
    assert "steps: 3" in erased.stdout
    again = Process(running.folder)
    try:
        until(lambda: started(again) == 4)
    finally:
        again.stop()


def test_what_another_inventory_would_change_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "cx.yaml").write_text("journeys: {checkout: {steps: [cart, payment]}}\n")
    (tmp_path / "new.yaml").write_text("journeys: {checkout: {timeout: 10m, steps: [cart, payment]}}\n")
    said = command(tmp_path, "diff", "new.yaml")
    assert "-  it is over after 30m of silence (default)" in said.stdout
    assert "+  it is over after 10m of silence" in said.stdout
    same = command(tmp_path, "diff", "cx.yaml")
    assert (same.returncode, same.stdout) == (0, "")


def test_whoever_is_to_be_erased_is_named_once(tmp_path: Path) -> None:
    for arguments in ([], ["--customer", "a", "--account", "b"]):
        refused = command(tmp_path, "erase", *arguments)
        assert refused.returncode == 2
        assert "give exactly one of" in refused.stderr
