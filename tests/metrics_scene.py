"""A collector's parts wired to its metrics as one process wires them, over a store in memory. No expectations."""

import http.client
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import structlog
from control_scene import Scene
from otlp import PATIENCE_S, http_server
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from otel_cx_collector.clock import now_ns
from otel_cx_collector.config import LogLimits, Settings, StoreLimits
from otel_cx_collector.events import Fact
from otel_cx_collector.health import Health
from otel_cx_collector.ingest import Ingest
from otel_cx_collector.log import Log
from otel_cx_collector.logbook import Repeated
from otel_cx_collector.metrics import (
    Lag,
    Metrics,
    of_channels,
    of_control,
    of_flush,
    of_health,
    of_intake,
    of_log,
    of_outbox,
    of_receive,
)
from otel_cx_collector.notify.worker import ChannelState
from otel_cx_collector.receive import HttpReceiver, InFlight
from otel_cx_collector.store import Flusher

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass
class Kept:
    """The store in memory; away while ``away``."""

    tables: list[pa.Table] = field(default_factory=list)
    away: bool = False

    def insert_steps(self, rows: pa.Table) -> None:
        if self.away:
            raise ConnectionError("nobody listens")
        self.tables.append(rows)

    insert_signals = insert_steps

    def insert_facts(self, facts: list[Fact]) -> None:
        """Facts are not looked at here."""


@dataclass
class Collector:
    """What a test asks and turns."""

    receiver: HttpReceiver
    otlp_port: int
    port: int
    store: Kept
    scene: Scene
    log: Log
    flusher: Flusher
    metrics: Metrics
    channels: dict[str, ChannelState]
    lag: Lag

    def page(self, accept: str = "") -> tuple[str, str]:
        """The page and its Content-Type."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", "/metrics", headers={"Accept": accept} if accept else {})
            answer = connection.getresponse()
            assert answer.status == 200
            return answer.read().decode(), answer.getheader("content-type") or ""
        finally:
            connection.close()

    def scrape(self) -> Samples:
        """Every sample by name, without the prefix, and labels."""
        return {key(sample): sample.value for sample in samples(self.page()[0])}

    def value(self, name: str, **labels: str) -> float:
        """One sample of a scrape."""
        return self.scrape()[name, tuple(sorted(labels.items()))]


def open_metrics(text: str) -> list[Metric]:
    """A page of OpenMetrics, which must be well formed."""
    return list(openmetrics.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]  # it has no types


def samples(text: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        yield from family.samples


def key(sample: Sample) -> tuple[str, tuple[tuple[str, str], ...]]:
    return sample.name.removeprefix("otelcx_collector_"), tuple(sorted(sample.labels.items()))


@contextmanager
def collector(directory: Path) -> Iterator[Collector]:
    """Receiver, ingest, log and flusher as they are; control over a fake store and under the test's clock."""
    scene, channels, store = Scene(), {"pager": ChannelState()}, Kept()
    with ExitStack() as stack:
        rows = stack.enter_context(Log(directory / "log", LogLimits(min_free_bytes=0)))
        flusher = Flusher(rows, store, StoreLimits(block_ns=1))
        flusher.start()
        stack.callback(flusher.stop, PATIENCE_S)
        ingest = Ingest(scene.inventory, Settings(), rows, now_ns)
        served = stack.enter_context(http_server(ingest))
        in_flight: InFlight = served.receiver._server.in_flight
        counts, control = served.receiver.counts, scene.control
        lag = Lag(lambda: rows.last, lambda: flusher.state.position, now_ns)
        unreadable = Repeated(structlog.get_logger(), "metrics.unreadable", now_ns)
        metrics = Metrics(
            {
                "health": lambda: of_health("" if control.round else "no round yet"),
                "receive": lambda: of_receive(counts, in_flight),
                "intake": lambda: of_intake(ingest.intake(flusher, rows.limits.max_bytes)),
                "log": lambda: of_log(rows.last, 0.0, flusher.state.position),
                "flush": lambda: of_flush(flusher.state, lag.seconds()),
                "control": lambda: of_control(control, 0.25),
                "outbox": lambda: of_outbox(scene.state.undelivered()),
                "channels": lambda: of_channels(channels),
            },
            unreadable,
        )
        health = Health("127.0.0.1:0", lambda: "", metrics.page)
        port = health.start()
        stack.callback(health.stop)
        yield Collector(served.receiver, served.port, port, store, scene, rows, flusher, metrics, channels, lag)


def settled(made: Collector) -> None:
    """Everything acknowledged is stored."""
    deadline = time.monotonic() + PATIENCE_S
    while made.flusher.state.position < made.log.last:
        assert time.monotonic() < deadline
        time.sleep(0.005)
