"""A collector and what it stores to, as processes that die and start again over the same data. Not a test."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from cluster.nodes import PASSWORD, USER, Node, held_port, servers
from commands import PROGRAM
from crash.clients import STEPS, Clients, ids_of

from otel_cx_collector.clock import now_ns
from otel_cx_collector.events import NS
from otel_cx_collector.log import Log

PATIENCE_S: Final = 120.0
"""Longest wait for anything, on a machine that is busy with other things."""
STOPS: Final = 5
"""Most stops of a collector until one leaves nothing in its log."""
BLOCK_TIME: Final = "100ms"
"""Rows go to the store this often, ten times more than by default, so that many a kill meets an insert."""
_SETTINGS: Final = """
data: {data}
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc}"}}, http: {{endpoint: "127.0.0.1:{http}"}}}}}}}}
web: {{endpoint: "127.0.0.1:0"}}
health: {{endpoint: "127.0.0.1:0"}}
log: {{min_free_bytes: 0}}
chdb: {{block_time: {block_time}}}
{store}
"""
_INVENTORY: Final = "journeys: {checkout: {steps: [cart, payment]}}\n"


class Mortal(Protocol):
    """What a round kills."""

    @property
    def runs(self) -> bool:
        """Whether it was started, and neither killed nor stopped since."""

    def start(self) -> None:
        """Start the process."""

    def kill(self) -> None:
        """End it at once; nothing when it is not running."""

    def opened(self) -> bool:
        """Whether it has its data open, and is busy with what its last life left."""


class Collector:
    """The installed program on ports that stay its own over all its lives."""

    def __init__(self, folder: Path, store: str, stack: ExitStack) -> None:
        held = [stack.enter_context(held_port("127.0.0.1")) for _ in range(2)]
        self.grpc, self.http = (each.getsockname()[1] for each in held)
        self.log = folder / "data" / "log"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        settings = _SETTINGS.format(
            data=folder / "data", store=store, grpc=self.grpc, http=self.http, block_time=BLOCK_TIME
        )
        (folder / "collector.yaml").write_text(settings)
        (folder / "cx.yaml").write_text(_INVENTORY)

    @property
    def runs(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        command = [str(PROGRAM), "run", "--config", "collector.yaml", "--inventory", "cx.yaml"]
        with (self._folder / "said").open("ab") as said:
            self._process = subprocess.Popen(command, cwd=self._folder, stderr=said, stdout=said)

    def opened(self) -> bool:
        assert self._process is not None
        lock = self.log / "lock"
        return lock.exists() and lock.read_text().strip() == str(self._process.pid)

    def stored(self) -> str:
        """What the log remembers of the store; it changes when the store has taken more."""
        mark = self.log / "stored"
        return mark.read_text() if mark.exists() else ""

    def kill(self) -> None:
        if self._process is not None:
            assert self._process.poll() is None, f"it has ended by itself: {self.said()}"
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> bool:
        """Ask it to end; whether the store has all that was in its log, or else will have it after the next start."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(PATIENCE_S) == 0, self.said()
        self._process = None
        with Log(self.log) as log:
            return log.stored == log.last

    def said(self) -> str:
        """The end of what it logged in all its lives."""
        said = self._folder / "said"
        return said.read_text(errors="replace")[-5_000:] if said.exists() else ""


class Server:
    """A ClickHouse server, as what a round kills."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.start, self.kill, self.opened = node.start, node.kill, node.answers

    @property
    def runs(self) -> bool:
        return self._node.process is not None


@dataclass(frozen=True)
class Found:
    """One look at the store, while the collector was stopped. Sets hold span ids."""

    acknowledged: int
    stored: int
    lost: frozenset[int]
    twice: frozenset[int]
    never_sent: frozenset[int]
    unfinished: int
    """Stops before it that left rows in the log, each followed by a start that sent them."""
    damaged: int
    """Files of the log that were taken for damaged: ``kill -9`` damages none."""


class Scene:
    """Collector, clients, and a server unless the store is embedded; all ended with the stack.

    Args:
        folder: Everything is below it.
        connections: Of each protocol.
        embedded: The collector stores in its own process.
        stack: Ends what was begun here.
    """

    def __init__(self, folder: Path, connections: int, stack: ExitStack, *, embedded: bool) -> None:
        self._since_s = now_ns() // NS
        self._folder = folder
        self.server: Server | None = None
        store = ""
        if not embedded:
            (node,) = stack.enter_context(servers(folder / "servers", 1))
            self.server = Server(node)
            password = folder / "password"
            password.write_text(PASSWORD)
            store = f'store: "clickhouse://{USER}@{node.host}:{node.http}/rounds"\nstore_password_file: {password}'
        self.collector = Collector(folder, store, stack)
        stack.callback(self.collector.kill)
        self.clients = stack.enter_context(Clients(self.collector.grpc, self.collector.http, connections))

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that is to happen; raises AssertionError with what the collector says when it does not."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"in vain: {self.collector.said()}"
            time.sleep(0.01)

    def taking(self) -> Callable[[], bool]:
        """Whether requests were acknowledged since this was called."""
        acknowledged = len(self.clients.acknowledged)
        return lambda: len(self.clients.acknowledged) > acknowledged

    def storing(self) -> Callable[[], bool]:
        """Whether rows were stored since this was called."""
        stored = self.collector.stored()
        return lambda: self.collector.stored() != stored

    def check(self) -> Found:
        """Stop the collector under load and look for every step it acknowledged."""
        unfinished = 0
        while not self.collector.stop():
            unfinished += 1
            assert unfinished < STOPS, f"its log is never stored to the end: {self.collector.said()}"
            storing = self.storing()
            self.collector.start()
            self.until(storing)
        acknowledged = self.clients.acknowledged.copy()
        expected = np.array([each for number in acknowledged for each in ids_of(number)], dtype=np.uint64)
        found, copies = np.unique(self._stored(), return_counts=True)
        return Found(
            acknowledged=len(expected),
            stored=int(copies.sum()),
            lost=frozenset(map(int, np.setdiff1d(expected, found))),
            twice=frozenset(map(int, found[copies > 1])),
            never_sent=frozenset(map(int, found[(found < STEPS) | (found >= (self.clients.last + 1) * STEPS)])),
            unfinished=unfinished,
            damaged=len(list(self.collector.log.glob("*.damaged"))),
        )

    def _stored(self) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
        """Span ids of all steps as the product's queries see them."""
        look = Path(__file__).with_name("look.py")
        done = subprocess.run(
            [sys.executable, look, self._folder, str(self._since_s)], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return np.frombuffer(done.stdout, dtype=">u8").astype(np.uint64)
