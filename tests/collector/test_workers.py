"""Ingest in several processes: what they acknowledged is stored once, whoever of them is killed. Real processes."""

import http.client
import itertools
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import grpc
import pyarrow as pa
import pytest
from commands import PROGRAM
from spans import NOW, request, step
from step_rows import step_row

from otel_cx_collector import workers as workers_module
from otel_cx_collector.clock import now_ns
from otel_cx_collector.config import LogLimits, Settings
from otel_cx_collector.errors import Unavailable, UserError
from otel_cx_collector.events import Fact, to_batch
from otel_cx_collector.inventory import parse
from otel_cx_collector.log import Log
from otel_cx_collector.node import LeftOver, logs_left_over
from otel_cx_collector.store import Store
from otel_cx_collector.worker import Remote, store
from otel_cx_collector.workers import Workers

INVENTORY: Final = parse("journeys: {checkout: {steps: [cart, payment]}}")
OTHER: Final = parse("journeys: {shopping: {steps: [payment]}}")
EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
WITHIN_S: Final = 60


@dataclass
class Shelf:
    """A store that notes what it is given, and fails when told to."""

    steps: list[int] = field(default_factory=list)
    beats: list[tuple[str, list[int]]] = field(default_factory=list)
    broken: bool = False

    def insert_steps(self, rows: pa.Table) -> None:
        if self.broken:
            raise RuntimeError("the disk is on fire")
        self.steps += [int.from_bytes(each) for each in rows["span_id"].to_pylist()]

    def insert_signals(self, points: pa.Table) -> None:
        raise NotImplementedError

    def insert_facts(self, facts: list[Fact]) -> None:
        raise NotImplementedError

    def heartbeat(self, node: str, slices_s: list[int]) -> None:
        self.beats.append((node, slices_s))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(grpc="127.0.0.1:0", http="127.0.0.1:0", data=tmp_path / "data", log=LogLimits(min_free_bytes=0))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def two(settings: Settings, shelf: Shelf) -> Iterator[Workers]:
    workers = Workers(2, "node", settings, INVENTORY, shelf)
    workers.start()
    yield workers
    workers.deafen()
    workers.stop()


def body(number: int, journey: str = "checkout") -> bytes:
    """A request of one step, told apart by its number."""
    attributes = {"otelcx.journey.name": journey, "otelcx.journey.attempt": f"a{number}"}
    span = step(attributes, span_id=number.to_bytes(8), end_time_unix_nano=now_ns())
    return request(span).SerializeToString()


def requests(workers: Workers) -> dict[str, int]:
    """Requests answered, by status."""
    totals = workers.tally().requests.items()
    return dict(sum((Counter({str(kind.status): total.requests}) for kind, total in totals), Counter()))


def post(port: int, number: int, rubbish: bytes = b"") -> int:
    """Send it on a connection of its own; the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/v1/traces", rubbish or body(number), {"Content-Type": "application/x-protobuf"})
        return connection.getresponse().status
    finally:
        connection.close()


def call(port: int, number: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EXPORT)
        export(body(number))


def until(what: str, done: Callable[[], object]) -> None:
    give_up = time.monotonic() + WITHIN_S
    while not done():
        assert time.monotonic() < give_up, what
        time.sleep(0.02)


def children(process_id: int) -> list[int]:
    """Of a process, whichever of its threads started them."""
    tasks = Path(f"/proc/{process_id}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]


def gone(processes: list[int]) -> bool:
    """Whether none of them is there."""
    return not any(Path(f"/proc/{each}").exists() for each in processes)


def lives(workers: Workers) -> list[int]:
    """Process ids of the workers that are there."""
    return [each._life.process.pid for each in workers._workers if each._life]


def test_both_protocols_are_taken_by_both_workers_and_every_row_is_stored(two: Workers, shelf: Shelf) -> None:
    ports = two.receive()
    assert [post(ports.http, number) for number in range(1, 31)] == [200] * 30
    for number in range(31, 61):
        call(ports.grpc, number)
    two.beat()
    assert sorted(shelf.steps) == list(range(1, 61))
    until("all counters are in", lambda: two.intake().steps == 60)
    assert two.intake().spans == 60
    assert all(worker.intake.steps > 0 for worker in two._workers)
    assert sum(each.spans for each in two.observed()) > 0


def test_each_worker_is_a_node_of_its_own_that_beats_for_what_is_stored(two: Workers, shelf: Shelf) -> None:
    def beaten() -> bool:
        two.beat()
        return len(shelf.beats) >= 2

    until("a slice has ended", beaten)
    assert {node for node, _ in shelf.beats} == {"node-0", "node-1"}


def test_what_the_store_refuses_waits_in_the_logs_and_nothing_is_said_to_be_stored(
    two: Workers, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = two.receive()
    shelf.broken = True
    for number in range(1, 21):
        post(ports.http, number)
    with pytest.raises(Unavailable, match="not stored yet: the disk is on fire; the log keeps it"):
        two.beat()
    shelf.broken = False
    two.beat()
    assert sorted(shelf.steps) == list(range(1, 21))


def test_another_inventory_reaches_every_worker_and_those_started_later(two: Workers, shelf: Shelf) -> None:
    ports = two.receive()
    two.use(OTHER)
    for _ in range(2):
        assert [post(ports.http, number) for number in range(1, 11)] == [200] * 10
        two.beat()
        assert shelf.steps == [], "checkout is no journey any more"
        for process_id in lives(two):
            os.kill(process_id, signal.SIGKILL)
        until("both are there again", lambda: two.restarts == 2 and len(lives(two)) == 2)


def test_a_worker_that_is_killed_is_started_again_on_its_log_and_its_counters_stay(two: Workers, shelf: Shelf) -> None:
    ports = two.receive()
    for number in range(1, 21):
        assert post(ports.http, number) == 200
    assert post(ports.http, 21, b"{") == 400
    until("all counters are in", lambda: two.intake().steps == 20 and requests(two) == {"200": 20, "400": 1})
    assert two.tally().in_flight_limit_bytes == 2 * (128 << 20)
    shelf.broken = True
    os.kill(lives(two)[0], signal.SIGKILL)
    until("it is there again", lambda: two.restarts == 1 and len(lives(two)) == 2)
    shelf.broken = False
    two.beat()
    assert set(shelf.steps) == set(range(1, 21))
    assert two.intake().steps == 20
    assert requests(two) == {"200": 20, "400": 1}
    until("all of it is stored", lambda: two.tally().store_rows >= 20 and two.tally().store_up)
    assert two.problem() == ""


def test_stopping_stores_what_was_acknowledged(settings: Settings, shelf: Shelf) -> None:
    workers = Workers(2, "node", settings, INVENTORY, shelf)
    workers.start()
    ports = workers.receive()
    for number in range(1, 21):
        assert post(ports.http, number) == 200
    workers.deafen()
    with pytest.raises(OSError, match="refused"):
        post(ports.http, 21)
    workers.stop()
    assert sorted(shelf.steps) == list(range(1, 21))
    for directory in workers.directories:
        with Log(directory) as log:
            assert log.stored == log.last


def test_a_port_that_is_taken_is_refused_before_a_worker_starts(settings: Settings, shelf: Shelf) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match=f"OTLP/HTTP cannot listen on {endpoint}: Address already in use; stop"):
            Workers(2, "node", replace(settings, http=endpoint), INVENTORY, shelf)


def test_a_worker_whose_log_cannot_be_had_is_refused_with_the_reason(settings: Settings, shelf: Shelf) -> None:
    with Log(settings.data / "log-1"):
        workers = Workers(2, "node", settings, INVENTORY, shelf)
        try:
            with pytest.raises(UserError, match="log-1"):
                workers.start()
        finally:
            workers.stop()


def test_a_directory_with_workers_of_another_collector_is_refused(
    two: Workers, settings: Settings, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "HANDOVER_S", 0.1)
    with pytest.raises(UserError, match="is used by the workers of another otel-cx-collector; stop it"):
        Workers(2, "node", settings, INVENTORY, shelf)


def test_logs_of_a_run_with_another_number_of_workers_are_stored(settings: Settings, shelf: Shelf) -> None:
    for number, name in enumerate(("log", "log-0", "log-3")):
        with Log(settings.data / name, settings.log) as log:
            log.append(to_batch([step_row(number)]))
    left = LeftOver(logs_left_over(settings.data, [settings.data / "log-0"]), settings, shelf)
    left.flush()
    left.stop()
    assert sorted(shelf.steps) == [0, 2]


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Connection]]:
    pair = [Connection(end.detach()) for end in socket.socketpair()]
    yield pair[0], pair[1]
    for end in pair:
        with suppress(OSError):
            end.close()


def test_a_batch_that_was_sent_by_half_is_dropped(ends: tuple[Connection, Connection], shelf: Shelf) -> None:
    here, there = ends
    there.send(("steps", ()))
    os.write(there.fileno(), (1000).to_bytes(4) + b"half")
    there.close()
    with pytest.raises(OSError, match="end of file during message"):
        store(here, shelf)
    assert shelf.steps == []


def test_a_store_that_is_gone_is_unavailable(ends: tuple[Connection, Connection]) -> None:
    here, there = ends
    here.close()
    with pytest.raises(Unavailable, match="the process with the store is gone"):
        Remote(there).heartbeat("node", [NOW // 10**9])


CONFIG: Final = """
data: {data}
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc}"}}, http: {{endpoint: "127.0.0.1:{http}"}}}}}}}}
web: {{endpoint: "127.0.0.1:{web}"}}
health: {{endpoint: "127.0.0.1:{health}"}}
log: {{min_free_bytes: 0}}
"""


class Machine:
    """A collector with two workers that is killed and started, and clients that know what was acknowledged."""

    def __init__(self, home: Path) -> None:
        with ExitStack() as held:
            names = ("grpc", "http", "web", "health")
            free = {name: held.enter_context(socket.create_server(("127.0.0.1", 0))) for name in names}
            self.ports = {name: each.getsockname()[1] for name, each in free.items()}
        self.data = home / "data"
        self._home = home
        (home / "collector.yaml").write_text(CONFIG.format(data=self.data, **self.ports))
        (home / "cx.yaml").write_text("journeys: {checkout: {steps: [cart, payment]}}")
        self.acknowledged: Counter[int] = Counter()
        self._numbers = itertools.count(1)
        self._done = threading.Event()
        self._clients = [threading.Thread(target=self._send) for _ in range(3)]

    def start(self) -> None:
        command = [str(PROGRAM), "run", "--workers", "2", "--config", "collector.yaml", "--inventory", "cx.yaml"]
        with (self._home / "stderr").open("ab") as stderr:
            self.process = subprocess.Popen(command, cwd=self._home, stderr=stderr)
        acknowledged = len(self.acknowledged)
        until(f"taken again: {self.said()}", lambda: len(self.acknowledged) > acknowledged + 20)

    def said(self) -> str:
        return (self._home / "stderr").read_text()

    def begin_sending(self) -> None:
        for client in self._clients:
            client.start()

    def end_sending(self) -> None:
        self._done.set()
        for client in self._clients:
            client.join()

    def _send(self) -> None:
        while not self._done.is_set():
            number = next(self._numbers)
            try:
                if post(self.ports["http"], number) == 200:
                    self.acknowledged[number] += 1
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)


def test_nothing_acknowledged_is_lost_or_counted_twice_by_kill_9_of_a_worker_the_main_process_or_both(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path)
    machine.begin_sending()
    try:
        machine.start()
        for who in ("a worker", "main", "both"):
            time.sleep(random.uniform(0, 0.5))
            workers = children(machine.process.pid)
            assert len(workers) == 2
            if who != "main":
                os.kill(random.choice(workers), signal.SIGKILL)
            if who == "a worker":
                until("it is there again", lambda: '"worker.died"' in machine.said())
                until("both are there", lambda: len(children(machine.process.pid)) == 2)
            else:
                machine.process.kill()
                machine.process.wait()
                until("no worker outlives it", partial(gone, workers))
                machine.start()
    finally:
        machine.end_sending()
        machine.process.terminate()
        machine.process.wait(WITHIN_S)
    assert machine.process.returncode == 0, machine.said()
    for log in machine.data.glob("log-*"):
        with Log(log) as opened:
            assert opened.stored == opened.last, "SIGTERM drains"
    with Store(machine.data / "store") as opened_store:
        rows = opened_store.steps("checkout", 0, 2**62, ["unset"])
    stored = Counter(int.from_bytes(each) for each in rows["span_id"].to_pylist())
    assert set(stored.values()) == {1}
    assert set(machine.acknowledged) <= set(stored)
