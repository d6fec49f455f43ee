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
from otlp import PATIENCE_S
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from otel_cx_collector.clock import now_ns
from otel_cx_collector.config import LogLimits, Settings, StoreLimits
from otel_cx_collector.events import Fact
from otel_cx_collector.health import Health
from otel_cx_collector.logbook import Repeated
from otel_cx_collector.metrics import (
    Metrics,
    of_channels,
    of_control,
    of_health,
    of_intake,
    of_node,
    of_outbox,
)
from otel_cx_collector.node import Node
from otel_cx_collector.notify.worker import ChannelState

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

    def heartbeat(self, node: str, slices_s: list[int]) -> None:
        """Nor are heartbeats."""


@dataclass
class Collector:
    """What a test asks and turns."""

    node: Node
    otlp_port: int
    port: int
    store: Kept
    scene: Scene
    metrics: Metrics
    channels: dict[str, ChannelState]

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
    settings = Settings(
        grpc="127.0.0.1:0", http="127.0.0.1:0", log=LogLimits(min_free_bytes=0), chdb=StoreLimits(block_ns=1)
    )
    with ExitStack() as stack:
        node = Node("node", directory / "log", settings, scene.inventory, store, now_ns)
        stack.callback(node.stop)
        node.start()
        control = scene.control
        unreadable = Repeated(structlog.get_logger(), "metrics.unreadable", now_ns)
        metrics = Metrics(
            {
                "health": lambda: of_health("" if control.round else "no round yet"),
                "intake": lambda: of_intake(node.intake()),
                "node": lambda: of_node(node.tally()),
                "control": lambda: of_control(control, 0.25),
                "outbox": lambda: of_outbox(scene.state.undelivered()),
                "channels": lambda: of_channels(channels),
            },
            unreadable,
        )
        health = Health("127.0.0.1:0", lambda: "", metrics.page)
        port = health.start()
        stack.callback(health.stop)
        ports = node.receive()
        stack.callback(node.deafen)
        yield Collector(node, ports.http, port, store, scene, metrics, channels)


def settled(made: Collector) -> None:
    """Everything acknowledged is stored."""
    deadline = time.monotonic() + PATIENCE_S
    while made.node.tally().log_waiting:
        assert time.monotonic() < deadline
        time.sleep(0.005)
