"""One ingest node in this process: its log, its way to the store, its heartbeats, its ports. Judges nothing."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypedDict

from otel_cx_collector.beat import Beater, Beats, Ticker
from otel_cx_collector.config import Settings
from otel_cx_collector.errors import Unavailable
from otel_cx_collector.ingest import Ingest
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.inventory.observed import Observed
from otel_cx_collector.log import Log
from otel_cx_collector.receive import Access, Counts, GrpcReceiver, HttpReceiver, InFlight, ReceiveLimits
from otel_cx_collector.store import Flusher, RowSink
from otel_cx_collector.store.lag import EVERY_S, Lag
from otel_cx_collector.totals import Tally
from otel_cx_collector.views.source import Intake

GRACE_S: Final = 5.0
"""Requests under way may take this long to end when the node stops."""
FLUSH_TIMEOUT_S: Final = 10.0
"""A round waits this long for what was acknowledged before it to be stored; then it is late, and says so."""


class NodeSink(RowSink, Beats, Protocol):
    """Where a node's rows and heartbeats go: the store, or the way to the process that has it."""


@dataclass(frozen=True, slots=True)
class NodePorts:
    """Where a node takes telemetry, as bound."""

    grpc: int
    http: int


class Node:
    """Opened by ``start``, reached from ``receive`` to ``deafen``, closed by ``stop``. Each once, in this order.

    Args:
        name: Its name among the ingest nodes.
        directory: Of its log, nobody else's.
        settings: Those of the collector.
        inventory: What it reads requests by at first.
        sink: Takes its rows and heartbeats.
        now_ns: Nanoseconds since the epoch.
        shared: Other processes of this collector listen on its ports as well.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        settings: Settings,
        inventory: Inventory,
        sink: NodeSink,
        now_ns: Callable[[], int],
        *,
        shared: bool = False,
    ) -> None:
        self.directories = [directory]
        self._settings = settings
        self._shared = shared
        self._open = ExitStack()
        self._listening = ExitStack()
        self.limits = ReceiveLimits(wire_bytes=settings.limits.wire_bytes, body_bytes=settings.limits.message_bytes)
        self.counts, self.in_flight = Counts(), InFlight(self.limits.in_flight_bytes, self.limits.client_share)
        self.log = self._open.enter_context(Log(directory, settings.log))
        self.flusher = Flusher(self.log, sink, settings.chdb)
        self.ingest = Ingest(inventory, settings, self.log, now_ns)
        self.lag = Lag(lambda: self.log.last, lambda: self.flusher.state.position, now_ns)
        self._looking = Ticker("lag", self.lag.look, EVERY_S, now_ns)
        self.beater = Beater(name, sink, now_ns, self._flushed, self.ingest.took_all)

    def start(self) -> None:
        """Send what the log holds; nothing is taken yet."""
        self.flusher.start()
        self._open.callback(self.flusher.stop, FLUSH_TIMEOUT_S)
        self._looking.start()
        self._open.callback(self._looking.stop)

    def receive(self) -> NodePorts:
        """Take telemetry from now on.

        Raises:
            UserError: A port is taken, or open to others and not guarded.
        """
        settings = self._settings
        access = Access(token_file=settings.token_file, allow_unauthenticated=settings.allow_unauthenticated)
        parts = _Parts(access=access, counts=self.counts, in_flight=self.in_flight, shared=self._shared)
        grpc = GrpcReceiver(settings.grpc, self.ingest, self.limits, **parts)
        http = HttpReceiver(settings.http, self.ingest, self.limits, **parts)
        grpc_port = grpc.start()
        self._listening.callback(grpc.stop, GRACE_S)
        http_port = http.start()
        self._listening.callback(http.stop, GRACE_S)
        return NodePorts(grpc_port, http_port)

    def use(self, inventory: Inventory) -> None:
        """Read requests by another inventory from now on. Raises UserError when it cannot be used."""
        self.ingest.use(inventory)

    def beat(self) -> None:
        """Say for every slice that ended that it is stored. Raises Unavailable while it is not."""
        self.beater.beat()

    def intake(self) -> Intake:
        """What arrived, and how log and store fare."""
        return self.ingest.intake(self.flusher, self._settings.log.max_bytes)

    def tally(self) -> Tally:
        """What it counted beside that."""
        state = self.flusher.state
        return Tally(
            requests=self.counts.totals(),
            refused=self.counts.refused(),
            abandoned=self.counts.abandonments(),
            in_flight_bytes=self.in_flight.used_bytes,
            in_flight_limit_bytes=self.in_flight.limit_bytes,
            in_flight_clients=self.in_flight.clients,
            log_waiting=max(0, self.log.last - state.position),
            durable_lag_s=self.ingest.durable_lag_s(),
            flush_lag_s=self.lag.seconds(),
            store_up=not state.failing,
            store_rows=state.rows,
            store_blocks=state.blocks,
            store_errors=state.errors,
        )

    def observed(self) -> list[Observed]:
        """What traffic was seen, mapped or not."""
        return self.ingest.traffic.observed()

    def problem(self) -> str:
        """Why this node takes nothing, or "" when it does."""
        return ""

    def deafen(self) -> None:
        """Take no more; answer what is under way."""
        self._listening.close()

    def stop(self) -> None:
        """Store what was acknowledged, and let go of the log."""
        self._open.close()

    def _flushed(self) -> None:
        if not self.flusher.flush(FLUSH_TIMEOUT_S):
            reason = self.flusher.state.last_error or f"not done within {FLUSH_TIMEOUT_S:g} s"
            raise Unavailable(f"what was received is not stored yet: {reason}; the log keeps it and tries again")


class _Parts(TypedDict):
    """What both receivers are given."""

    access: Access
    counts: Counts
    in_flight: InFlight
    shared: bool


class LeftOver:
    """Logs of nodes that this process does not run any more, after another number of workers: stored all the same."""

    def __init__(self, directories: list[Path], settings: Settings, sink: RowSink) -> None:
        self._open = ExitStack()
        self._flushers: list[Flusher] = []
        try:
            for directory in directories:
                log = self._open.enter_context(Log(directory, settings.log))
                flusher = Flusher(log, sink, settings.chdb)
                flusher.start()
                self._open.callback(flusher.stop, FLUSH_TIMEOUT_S)
                self._flushers.append(flusher)
        except BaseException:
            self._open.close()
            raise

    def flush(self) -> None:
        """Wait until all of them are stored. Raises Unavailable while they are not."""
        for flusher in self._flushers:
            if not flusher.flush(FLUSH_TIMEOUT_S):
                raise Unavailable(
                    "what an earlier run acknowledged is not stored yet; its log keeps it and tries again"
                )

    def stop(self) -> None:
        """Let go of the logs."""
        self._open.close()


def logs_left_over(data: Path, used: list[Path]) -> list[Path]:
    """Directories of logs below ``data`` that none of the nodes of this run has."""
    found = [data / "log", *data.glob("log-*")]
    return sorted(path for path in found if path.is_dir() and path not in used)
