"""``kill -9`` again and again under load: ``PYTHONPATH=tests .venv/bin/python -m crash.rounds --kill collector``.

A collector process, a ClickHouse server too unless ``--kill collector``, and clients that know every span id they sent
and which were acknowledged. A round kills at a random moment and starts again on the same data; a check stops the
collector and looks for every id in the store. Moments are drawn from ``--seed``; what they meet is not repeatable.
"""

import argparse
import http.client
import itertools
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import grpc
from cluster.nodes import PASSWORD, USER, Node, servers
from commands import PROGRAM
from spans import request, step

from otel_cx_collector.clock import now_ns
from otel_cx_collector.config import ClickHouse, StoreLimits
from otel_cx_collector.events import MINUTE_S, NS
from otel_cx_collector.log import Log
from otel_cx_collector.store import Store
from otel_cx_collector.store.remote import RemoteStore

EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
DATABASE: Final = "rounds"
KILLS: Final = ("collector", "store", "both")
STEPS: Final = 5
"""Steps in a request."""
CLIENTS: Final = 2
"""Of each protocol."""
PAUSE_S: Final = 0.01
"""Between two requests of a client."""
RETRY_S: Final = 0.1
"""Before a request that was not acknowledged is sent again."""
UPTIME_S: Final = 1.0
"""Longest time from ready to the next kill."""
EARLY: Final = 0.3
"""Share of the starts of a collector after which it is killed without waiting for it to be ready."""
EARLY_S: Final = 3.0
"""Longest time from such a start to the kill."""
PATIENCE_S: Final = 60.0
CONFIG: Final = """
data: {data}
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc}"}}, http: {{endpoint: "127.0.0.1:{http}"}}}}}}}}
web: {{endpoint: "127.0.0.1:{web}"}}
health: {{endpoint: "127.0.0.1:{health}"}}
log: {{min_free_bytes: 0}}
{store}
"""
_CHANNEL: Final = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]


@dataclass
class Tally:
    """What was sent and acknowledged; kept by several threads, each of numbers of its own."""

    sent: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)
    repeats: int = 0
    """Requests sent again because nobody had acknowledged them."""

    def ids(self) -> set[int]:
        """Span ids of the steps acknowledged until now."""
        return {span for number in self.acknowledged.copy() for span in span_ids(number)}


@dataclass(frozen=True)
class Found:
    """One look at the store."""

    acknowledged: int
    stored: int
    lost: set[int]
    twice: set[int]
    never_sent: set[int]


@dataclass(frozen=True)
class Outcome:
    """All rounds."""

    rounds: int
    early: int
    checks: list[Found]
    ready_s: list[float]
    repeats: int

    def __str__(self) -> str:
        last = self.checks[-1]
        return (
            f"{self.rounds} rounds, {self.early} of them before ready; {len(self.checks)} checks; "
            f"{last.acknowledged} steps acknowledged, {last.stored} stored, {self.repeats} requests repeated; "
            f"lost {self.most('lost')}, twice {self.most('twice')}, never sent {self.most('never_sent')}; ready after "
            f"{statistics.median(self.ready_s):.2f} s (median), {max(self.ready_s):.2f} s (worst)"
        )

    def most(self, fault: str) -> int:
        """The most ids any check found of a kind: lost, twice or never_sent."""
        return max(len(getattr(each, fault)) for each in self.checks)


def span_ids(number: int) -> range:
    """Of the steps in a request."""
    return range(number * STEPS, (number + 1) * STEPS)


def body(number: int) -> bytes:
    """A request of one attempt; sent again it is the same bytes."""
    attributes = {"otelcx.journey.name": "checkout", "otelcx.journey.attempt": f"a{number}"}
    end = now_ns()
    spans = (step(attributes, span_id=each.to_bytes(8), end_time_unix_nano=end) for each in span_ids(number))
    return request(*spans).SerializeToString()


class Clients:
    """Threads that send each request until it is acknowledged, over both protocols."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.tally = Tally()
        self._ports = ports
        self._numbers = itertools.count(1)
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(way,)) for way in (self._post, self._call) for _ in range(CLIENTS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _send(self, way: Callable[[grpc.Channel, bytes], bool]) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{self._ports['grpc']}", _CHANNEL) as channel:
            for number in self._numbers:
                self.tally.sent.add(number)
                sent = body(number)
                while not way(channel, sent):
                    if self._done.wait(RETRY_S):
                        return
                    self.tally.repeats += 1
                self.tally.acknowledged.add(number)
                if self._done.wait(PAUSE_S):
                    return

    def _post(self, _: grpc.Channel, sent: bytes) -> bool:
        with closing(http.client.HTTPConnection("127.0.0.1", self._ports["http"], timeout=10)) as connection:
            try:
                connection.request("POST", "/v1/traces", sent, {"Content-Type": "application/x-protobuf"})
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False

    def _call(self, channel: grpc.Channel, sent: bytes) -> bool:
        export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EXPORT)
        try:
            export(sent, timeout=10)
        except grpc.RpcError:
            return False
        return True


class Collector:
    """A process with ports that stay over its lives."""

    def __init__(self, home: Path, store: str) -> None:
        with ExitStack() as held:
            names = ("grpc", "http", "web", "health")
            free = {name: held.enter_context(socket.create_server(("127.0.0.1", 0))) for name in names}
            self.ports = {name: each.getsockname()[1] for name, each in free.items()}
        self.data = home / "data"
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        (home / "collector.yaml").write_text(CONFIG.format(data=self.data, store=store, **self.ports))
        (home / "cx.yaml").write_text("journeys: {checkout: {steps: [cart, payment]}}")

    def start(self) -> None:
        command = [str(PROGRAM), "run", "--config", "collector.yaml", "--inventory", "cx.yaml"]
        with (self._home / "stderr").open("ab") as stderr:
            self._process = subprocess.Popen(command, cwd=self._home, stderr=stderr, stdout=stderr)

    def wait(self) -> None:
        """Until it says that it is ready."""
        until = time.monotonic() + PATIENCE_S
        while not self._ready():
            assert self._process is not None
            assert self._process.poll() is None, f"it has ended: {self.said()}"
            assert time.monotonic() < until, f"it does not become ready: {self.said()}"
            time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Ask it to end; it stores what its log holds."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(PATIENCE_S) == 0, self.said()
        self._process = None
        with Log(self.data / "log") as log:
            assert log.stored == log.last, f"its log was not stored to the end: {self.said()}"

    def said(self) -> str:
        """The end of what it logged."""
        return (self._home / "stderr").read_text(errors="replace")[-5_000:]

    def _ready(self) -> bool:
        with closing(http.client.HTTPConnection("127.0.0.1", self.ports["health"], timeout=5)) as connection:
            try:
                connection.request("GET", "/ready")
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False


class Scene:
    """A collector and, unless its store is embedded, the server it stores to."""

    def __init__(self, home: Path, kill: str, stack: ExitStack) -> None:
        self._kill = kill
        self._since_s = now_ns() // NS // MINUTE_S * MINUTE_S
        self._password = home / "password"
        self._password.write_text(PASSWORD)
        self._server: Node | None = None
        store = ""
        if kill != "collector":
            self._server = stack.enter_context(servers(home / "servers", 1))[0]
            address = f"clickhouse://{USER}@{self._server.host}:{self._server.http}/{DATABASE}"
            store = f'store: "{address}"\nstore_password_file: {self._password}'
        self.collector = Collector(home, store)
        stack.callback(self.collector.kill)
        self._killed: list[Node | Collector] = [] if kill == "store" else [self.collector]
        if self._server is not None:
            self._killed.insert(0, self._server)

    def kill(self, rng: random.Random) -> None:
        """End what this scene ends, in either order."""
        for each in rng.sample(self._killed, len(self._killed)):
            each.kill()

    def start(self) -> None:
        for each in self._killed:
            each.start()

    def wait(self) -> None:
        for each in self._killed:
            each.wait()

    def check(self, tally: Tally) -> Found:
        """Stop the collector, look for every step in the store, start the collector."""
        self.collector.stop()
        acknowledged, sent = tally.ids(), tally.sent.copy()
        stored = self._stored()
        self.collector.start()
        self.collector.wait()
        return Found(
            len(acknowledged),
            stored.total(),
            lost=acknowledged - stored.keys(),
            twice={each for each, count in stored.items() if count > 1},
            never_sent={each for each in stored if each // STEPS not in sent},
        )

    def _stored(self) -> Counter[int]:
        """How often the store has each span id."""
        found: Counter[int] = Counter()
        with self._opened() as store:
            for minute in range(self._since_s, now_ns() // NS + 1, MINUTE_S):
                rows = store.steps("checkout", minute * NS, (minute + MINUTE_S) * NS, ["unset"])
                found.update(int.from_bytes(each) for each in rows["span_id"].to_pylist())
        return found

    def _opened(self) -> Store:
        if self._server is None:
            return Store(self.collector.data / "store")
        address = ClickHouse(self._server.host, self._server.http, USER, DATABASE, "")
        return RemoteStore(address, StoreLimits(), self._password)


def run(home: Path, kill: str, rounds: int, seed: int, every: int = 50, seconds: float = float("inf")) -> Outcome:
    """Kill, start, and so on; a check after ``every`` rounds and after the last. No round begins after ``seconds``."""
    rng = random.Random(seed)
    until = time.monotonic() + seconds
    checks: list[Found] = []
    ready_s: list[float] = []
    done = early = 0
    with ExitStack() as stack:
        scene = Scene(home, kill, stack)
        scene.collector.start()
        scene.collector.wait()
        clients = stack.enter_context(Clients(scene.collector.ports))
        while done < rounds and time.monotonic() < until:
            time.sleep(rng.uniform(0, UPTIME_S))
            scene.kill(rng)
            if kill != "store" and done + 2 <= rounds and rng.random() < EARLY:
                scene.start()
                time.sleep(rng.uniform(0, EARLY_S))
                scene.kill(rng)
                early += 1
                done += 1
            began = time.monotonic()
            scene.start()
            scene.wait()
            ready_s.append(time.monotonic() - began)
            done += 1
            if done // every > len(checks):
                checks.append(scene.check(clients.tally))
        checks.append(scene.check(clients.tally))
    return Outcome(done, early, checks, ready_s, clients.tally.repeats)


def main() -> int:
    """Run, print what was found; 1 when something was lost or is there twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kill", choices=KILLS, default="collector")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=50, help="rounds between two checks")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no round after these")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="otel-cx-rounds-") as home, suppress(KeyboardInterrupt):
        outcome = run(Path(home), asked.kill, asked.rounds, asked.seed, asked.every, asked.seconds)
        sys.stdout.write(f"kill {asked.kill}, seed {asked.seed}: {outcome}\n")
        return int(any(outcome.most(fault) for fault in ("lost", "twice", "never_sent")))
    return os.EX_TEMPFAIL


if __name__ == "__main__":
    sys.exit(main())
