"""Ingest in several processes of one machine: each worker a node with a log of its own, the store here in the main one.

A worker is spawned, never forked: this process has the store open. Whoever dies, the other sees the end of a socket: a
worker is started again, and one whose main process is gone ends at once, for all that it acknowledged is in its log.
Not what a worker does: worker.
"""

import fcntl
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import structlog

from otel_cx_collector.config import Settings
from otel_cx_collector.errors import CollectorError, Unavailable, UserError
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.inventory.observed import Observed
from otel_cx_collector.node import NodePorts, NodeSink
from otel_cx_collector.receive import Access
from otel_cx_collector.receive.listen import reserve
from otel_cx_collector.totals import Tally, added, merged, outlived
from otel_cx_collector.views.source import Intake
from otel_cx_collector.worker import store

START_S: Final = 60.0
"""A worker that is not there after this long is killed and started again."""
ASK_S: Final = 30.0
"""Likewise one that does not answer: its own waits are shorter."""
COUNT_S: Final = 1.0
"""How often workers are asked what they counted: what a worker counted since is lost when it is killed."""
FIRST_WAIT_S: Final = 0.1
LAST_WAIT_S: Final = 5.0
"""Waits before a worker is started again double between these, until one lives for longer than the last."""
HANDOVER_S: Final = 5.0
"""Workers of a main process that was killed are waited for this long: they end as soon as they notice."""
LOCK: Final = "workers.lock"

_PROGRAM: Final = "from otel_cx_collector.worker import main; main()"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Life:
    """One process of a worker, and this end of its sockets."""

    process: subprocess.Popen[bytes]
    commands: Connection
    rows: Connection

    def end(self) -> int:
        """Make sure that it is over; the exit code."""
        self.process.kill()
        code = self.process.wait()
        self.commands.close()
        self.rows.close()
        return code


class _Worker:
    """One worker, as long as the main process runs: started again whenever it dies."""

    def __init__(self, number: int, name: str, settings: Settings, sink: NodeSink, lock: int) -> None:
        self.number = number
        self.restarts = 0
        self.directory = settings.data / f"log-{number}"
        self._settings = settings
        self._name = name
        self._sink = sink
        self._lock = lock
        self._life: _Life | None = None
        self._asking = threading.RLock()
        """Held while something is asked, and while a new life begins."""
        self._listening = False
        self._stopping = threading.Event()
        self._before = self._latest = (Intake(), Tally())
        """What earlier lives counted, and what this one did a moment ago."""
        self._thread = threading.Thread(target=self._run, name=f"worker-{number}", daemon=True)

    def start(self, inventory: Inventory) -> None:
        """Begin. Raises UserError when it cannot."""
        self.inventory = inventory
        self._begin()
        self._thread.start()

    def ask(self, what: str, *arguments: object) -> Any:
        """What the worker answers.

        Raises:
            Unavailable: It is not there, does not answer, or says so itself.
            UserError: It says so.
        """
        with self._asking:
            if self._life is None:
                raise Unavailable(f"worker {self.number} is not running; it is started again")
            return self._asked(self._life, what, arguments)

    def receive(self) -> NodePorts:
        """Take telemetry, now and in every later life."""
        with self._asking:
            self._listening = True
            ports: NodePorts = self.ask("receive")
            return ports

    def deafen(self) -> None:
        """Take no more."""
        with self._asking:
            self._listening = False
            with suppress(Unavailable):
                self.ask("deafen")

    def use(self, inventory: Inventory) -> None:
        """Read by another inventory, now and in every later life."""
        with self._asking:
            self.inventory = inventory
            with suppress(Unavailable):  # the next life begins with it
                self.ask("use", inventory)

    def count(self) -> None:
        """Fetch what it counted."""
        with suppress(Unavailable):
            self._latest = self.ask("count")

    @property
    def intake(self) -> Intake:
        """What all its lives counted, as of a second ago."""
        return added([self._before[0], self._latest[0]])

    @property
    def tally(self) -> Tally:
        """Likewise."""
        return self._before[1] + self._latest[1]

    @property
    def running(self) -> bool:
        """Whether it is there."""
        return self._life is not None

    def stop(self) -> None:
        """Let it store what it acknowledged, and end it."""
        self._stopping.set()
        with suppress(CollectorError):
            self.ask("stop")
        if self._thread.ident is not None:
            self._thread.join(ASK_S)
        with self._asking:
            if self._life is not None:
                self._life.end()
                self._life = None

    def _begin(self) -> None:
        with self._asking:
            life = _spawn(self.number, self._lock)
            try:
                life.commands.send((self._name, self.directory, self._settings, self.inventory))
                self._answer(life, START_S)
                if self._listening:
                    self._asked(life, "receive", ())
            except OSError as error:
                life.end()
                raise Unavailable(f"worker {self.number} ended while it was started") from error
            except BaseException:
                life.end()
                raise
            self._life = life

    def _asked(self, life: _Life, what: str, arguments: tuple[object, ...]) -> object:
        try:
            life.commands.send((what, arguments))
        except OSError as error:
            raise Unavailable(f"worker {self.number} has died; it is started again") from error
        return self._answer(life, ASK_S)

    def _answer(self, life: _Life, timeout_s: float) -> object:
        try:
            if not life.commands.poll(timeout_s):
                life.process.kill()
                raise Unavailable(f"worker {self.number} did not answer for {timeout_s:g} s; it is started again")
            error, value = life.commands.recv()
        except (OSError, EOFError) as error:
            raise Unavailable(f"worker {self.number} has died; it is started again") from error
        if error is not None:
            raise error(value)
        return value

    def _run(self) -> None:
        """Store what the worker sends until it dies; then see to the next life."""
        wait_s = FIRST_WAIT_S
        while True:
            life, began_s = self._life, time.monotonic()
            if life is not None:
                with suppress(OSError, EOFError):  # the end of a life; what was sent by half is dropped
                    while True:
                        store(life.rows, self._sink)
                self._end(life)
            if self._stopping.is_set():
                return
            wait_s = FIRST_WAIT_S if time.monotonic() - began_s > LAST_WAIT_S else wait_s
            if self._stopping.wait(wait_s):
                return
            wait_s = min(wait_s * 2, LAST_WAIT_S)
            try:
                self._begin()
            except CollectorError as error:
                _log.error("worker.refused", worker=self.number, error=str(error))

    def _end(self, life: _Life) -> None:
        with self._asking:
            code = life.end()
            self._life = None
            intake, tally = self._latest
            self._before = (added([self._before[0], outlived(intake)]), self._before[1] + tally.outlived())
            self._latest = (Intake(), Tally())
        if not self._stopping.is_set():
            self.restarts += 1
            _log.error("worker.died", worker=self.number, exit_code=code, restarts=self.restarts)


def _spawn(number: int, lock: int) -> _Life:
    ours, theirs = zip(socket.socketpair(), socket.socketpair(), strict=True)
    with ExitStack() as stack:
        for end in theirs:
            stack.enter_context(end)
        numbers = [end.fileno() for end in theirs]
        command = [sys.executable, "-P", "-c", _PROGRAM, *map(str, numbers), f"otel-cx-collector worker {number}"]
        process = subprocess.Popen(  # noqa: S603 - ourselves
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=(*numbers, lock),
            process_group=0,  # a terminal's Ctrl-C is for the main process, which has the workers drained
        )
    commands, rows = (Connection(end.detach()) for end in ours)
    return _Life(process, commands, rows)


class Workers:
    """All of them; stands where a ``Node`` stands in a collector of one process.

    Raises UserError when another collector has the directory or a port.
    """

    def __init__(self, count: int, name: str, settings: Settings, inventory: Inventory, sink: NodeSink) -> None:
        self._open = ExitStack()
        self._inventory = inventory
        try:
            lock = self._claim(settings.data)
            access = Access(token_file=settings.token_file, allow_unauthenticated=settings.allow_unauthenticated)
            grpc, http = (
                self._open.enter_context(reserve(what, endpoint, access))
                for what, endpoint in (("OTLP/gRPC", settings.grpc), ("OTLP/HTTP", settings.http))
            )
            self._ports = NodePorts(grpc.getsockname()[1], http.getsockname()[1])
        except BaseException:
            self._open.close()
            raise
        settings = replace(
            settings, grpc=_at(settings.grpc, self._ports.grpc), http=_at(settings.http, self._ports.http)
        )
        self._workers = [_Worker(number, f"{name}-{number}", settings, sink, lock) for number in range(count)]
        self._threads = self._open.enter_context(ThreadPoolExecutor(count, "workers"))
        self._stopping = threading.Event()
        self._counting = threading.Thread(target=self._count, name="workers-count", daemon=True)

    @property
    def directories(self) -> list[Path]:
        """Of their logs."""
        return [worker.directory for worker in self._workers]

    def start(self) -> None:
        """Start all and have them send what their logs hold. Raises UserError when one cannot."""
        self._all(lambda worker: worker.start(self._inventory))
        self._counting.start()

    def receive(self) -> NodePorts:
        """Take telemetry from now on."""
        self._all(_Worker.receive)
        return self._ports

    def use(self, inventory: Inventory) -> None:
        """Read requests by another inventory from now on."""
        self._all(lambda worker: worker.use(inventory))

    def beat(self) -> None:
        """Say for every slice that ended that it is stored. Raises Unavailable while a worker's is not."""
        self._all(lambda worker: worker.ask("beat"))

    def intake(self) -> Intake:
        """What arrived at all of them, as of a second ago."""
        return added([worker.intake for worker in self._workers])

    def tally(self) -> Tally:
        """What all of them counted beside that, as of a second ago."""
        return sum((worker.tally for worker in self._workers), Tally())

    def observed(self) -> list[Observed]:
        """What traffic was seen by those that are there."""
        return merged([worker.ask("observed") for worker in self._workers if worker.running])

    def problem(self) -> str:
        """Why nothing is taken, or "" when something is."""
        if any(worker.running for worker in self._workers):
            return ""
        return "no ingest worker is running; the lines worker.died and worker.refused on stderr say why"

    @property
    def restarts(self) -> int:
        """How often a worker died and was started again."""
        return sum(worker.restarts for worker in self._workers)

    def deafen(self) -> None:
        """Take no more; answer what is under way."""
        self._all(_Worker.deafen)

    def stop(self) -> None:
        """Store what was acknowledged, and end all."""
        self._stopping.set()
        if self._counting.ident is not None:
            self._counting.join()
        self._all(_Worker.stop)
        self._open.close()

    def _all(self, do: Callable[[_Worker], object]) -> None:
        """With every worker at once; raises what the first of them raised when all are done."""
        done = [self._threads.submit(do, worker) for worker in self._workers]
        for future in [*done]:
            future.exception()
        for future in done:
            future.result()

    def _count(self) -> None:
        while not self._stopping.wait(COUNT_S):
            for worker in self._workers:
                worker.count()

    def _claim(self, data: Path) -> int:
        """A lock that every worker holds as well, so that those of a killed main process are waited for."""
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._open.enter_context((data / LOCK).open("ab"))
        until_s = time.monotonic() + HANDOVER_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > until_s:
                    raise UserError(
                        f"{data} is used by the workers of another otel-cx-collector; stop it, or set data"
                    ) from error
                time.sleep(0.02)
            else:
                return file.fileno()


def _at(endpoint: str, port: int) -> str:
    return f"{endpoint.rpartition(':')[0]}:{port}"
