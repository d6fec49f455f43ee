"""A worker's own process: a node whose store is in the main process, reached by a socket. Not who starts it: workers.

Two private sockets come with it. On one it is asked (start, beat, counters, stop), on the other it sends rows, each
block as an Arrow IPC stream, and heartbeats, and waits until they are stored.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

import pyarrow as pa

from otel_cx_collector import clock, logbook
from otel_cx_collector.errors import CollectorError, Unavailable, UserError
from otel_cx_collector.events import Fact, fact_batch, facts_of
from otel_cx_collector.node import Node, NodeSink


class Remote:
    """The store as a worker has it: every call returns when the main process has stored it. Thread-safe.

    Raises Unavailable when it has not; what was sent may come again.
    """

    def __init__(self, channel: Connection) -> None:
        self._channel = channel
        self._lock = threading.Lock()

    def insert_steps(self, rows: pa.Table) -> None:
        """Store rows of STEP_SCHEMA."""
        self._tell("steps", rows)

    def insert_signals(self, points: pa.Table) -> None:
        """Store rows of SIGNAL_SCHEMA."""
        self._tell("signals", points)

    def insert_facts(self, facts: list[Fact]) -> None:
        """Store facts."""
        self._tell("facts", pa.Table.from_batches([fact_batch(facts)]))

    def heartbeat(self, node: str, slices_s: list[int]) -> None:
        """Store heartbeats."""
        self._tell("heartbeat", None, node, slices_s)

    def _tell(self, what: str, rows: pa.Table | None, *more: object) -> None:
        with self._lock:
            try:
                self._channel.send((what, more))
                if rows is not None:
                    self._channel.send_bytes(_encoded(rows))
                refused: str = self._channel.recv()
            except (OSError, EOFError) as error:
                raise Unavailable("the process with the store is gone; the log keeps what was received") from error
        if refused:
            raise Unavailable(refused)


def _encoded(rows: pa.Table) -> memoryview:
    """As an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return memoryview(sink.getvalue())


def store(rows: Connection, sink: NodeSink) -> None:
    """In the main process: take one message of a worker and answer it. Raises EOFError when it sends no more."""
    what, more = rows.recv()
    table = None if what == "heartbeat" else pa.ipc.open_stream(rows.recv_bytes()).read_all()
    try:
        if what == "heartbeat":
            sink.heartbeat(*more)
        elif what == "facts":
            sink.insert_facts(facts_of(table))
        elif what == "signals":
            sink.insert_signals(table)
        else:
            sink.insert_steps(table)
    except Exception as error:  # noqa: BLE001 - whatever it is, the worker's log has the rows, and it tries again
        rows.send(str(error) or repr(error))
    else:
        rows.send("")


def main() -> None:
    """A worker's whole life; its sockets are the file descriptors that the command line names."""
    for number in (signal.SIGINT, signal.SIGTERM):  # systemd tells every process; the main one says when
        signal.signal(number, signal.SIG_IGN)
    logbook.configure()
    commands, rows = (Connection(int(word)) for word in sys.argv[1:3])
    try:
        _serve(commands, rows)
    except (EOFError, OSError):  # nobody is left to store anything: the log has it, and another life sends it
        os._exit(1)


def _serve(commands: Connection, rows: Connection) -> None:
    name, log_directory, settings, inventory = commands.recv()
    try:
        node = Node(name, log_directory, settings, inventory, Remote(rows), clock.now_ns, shared=True)
        node.start()
    except CollectorError as error:
        commands.send((UserError, str(error)))
        return
    commands.send((None, None))
    doing: dict[str, Callable[..., object]] = {
        "receive": node.receive,
        "beat": node.beat,
        "count": lambda: (node.intake(), node.tally()),
        "observed": node.observed,
        "use": node.use,
        "deafen": node.deafen,
        "stop": node.stop,
    }
    what = ""
    while what != "stop":
        what, arguments = commands.recv()
        answer: tuple[type[CollectorError] | None, object]
        try:
            answer = (None, doing[what](*arguments))
        except Unavailable as error:
            answer = (Unavailable, str(error))
        except CollectorError as error:
            answer = (UserError, str(error))
        commands.send(answer)
