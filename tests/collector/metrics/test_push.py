"""The same metrics pushed by OTLP to a real receiver, and what happens when nobody takes them."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from metrics_scene import Collector, collector
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from otlp import FakeSink, http_server, until
from structlog.testing import capture_logs

from otel_cx_collector.errors import UserError
from otel_cx_collector.logbook import Repeated
from otel_cx_collector.metrics import Push
from otel_cx_collector.metrics.families import FAMILIES
from otel_cx_collector.metrics.push import otlp_name
from otel_cx_collector.receive import Signal
from otel_cx_collector.version import VERSION

NOW_NS = 1_767_603_600_000_000_000


class Lines:
    """A logger that keeps the names of its lines."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def error(self, event: str, **_: object) -> None:
        self.events.append(event)

    info = error


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Collector]:
    with collector(tmp_path) as made:
        yield made


def push(made: Collector, port: int, lines: Lines | None = None, every_s: float = 3600) -> Push:
    failures = Repeated(lines or Lines(), "push.failed", lambda: NOW_NS)
    return Push(made.metrics.registry, f"http://127.0.0.1:{port}", every_s, "node-1", lambda: NOW_NS, failures)


def received(sink: FakeSink) -> ExportMetricsServiceRequest:
    (taken,) = sink.taken
    assert taken.signal is Signal.METRICS
    return ExportMetricsServiceRequest.FromString(taken.body)


def test_every_metric_that_is_scraped_is_pushed_under_its_otlp_name(made: Collector) -> None:
    made.scene.judge(300)
    sink = FakeSink()
    with http_server(sink) as served:
        assert push(made, served.port).push()
    (resource,) = received(sink).resource_metrics
    (scope,) = resource.scope_metrics
    pushed: dict[str, Metric] = {metric.name: metric for metric in scope.metrics}

    scraped = {f"otelcx_collector_{name}".removesuffix("_total") for name, _ in made.scrape()}
    own = {family for family in FAMILIES if family.name in scraped}
    assert {otlp_name(family.name)[0] for family in own} == {name for name in pushed if name.startswith("otelcx.")}
    assert {pair.key: pair.value.string_value for pair in resource.resource.attributes} == {
        "service.name": "otel-cx-collector",
        "service.version": VERSION,
        "service.instance.id": "node-1",
    }
    used = pushed["otelcx.collector.log_used"]
    assert (used.unit, used.WhichOneof("data")) == ("By", "gauge")
    refused = pushed["otelcx.collector.requests_refused"]
    assert refused.sum.is_monotonic
    assert refused.sum.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    first = refused.sum.data_points[0]
    assert (first.start_time_unix_nano, first.time_unix_nano, first.as_double) == (NOW_NS, NOW_NS, 0.0)
    assert {pair.key for pair in first.attributes} == {"transport", "reason"}
    assert pushed["otelcx.collector.round"].unit == "s"
    assert "process_resident_memory" in pushed


@pytest.mark.parametrize(
    ("name", "otlp"),
    [
        ("otelcx_collector_log_used_bytes", ("otelcx.collector.log_used", "By")),
        ("otelcx_collector_flush_lag_seconds", ("otelcx.collector.flush_lag", "s")),
        ("otelcx_collector_spans_received", ("otelcx.collector.spans_received", "1")),
        ("process_open_fds", ("process_open_fds", "1")),
    ],
)
def test_the_otlp_name_leaves_the_unit_to_its_own_field(name: str, otlp: tuple[str, str]) -> None:
    assert otlp_name(name) == otlp


def test_no_two_metrics_have_one_otlp_name() -> None:
    assert len({otlp_name(family.name)[0] for family in FAMILIES}) == len(FAMILIES)


def test_it_pushes_every_so_often_and_once_more_at_the_end(made: Collector) -> None:
    sink = FakeSink()
    with http_server(sink) as served:
        pushing = push(made, served.port, every_s=0.05)
        pushing.start()
        until(lambda: len(sink.taken) >= 2)
        before = len(sink.taken)
        pushing.stop()
        assert len(sink.taken) > before


def test_a_receiver_that_is_away_is_said_once_and_harms_nothing(made: Collector) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    lines = Lines()
    pushing = push(made, port, lines)
    pushing._exporter.shutdown()  # it tries again for ten seconds otherwise
    for _ in range(3):
        pushing._say(taken=pushing.push())
    assert lines.events == ["push.failed"]
    assert made.value("spans_received_total") == 0


def test_a_receiver_that_comes_back_is_said(made: Collector) -> None:
    sink, lines = FakeSink(), Lines()
    with http_server(sink) as served:
        pushing = push(made, served.port, lines)
        pushing._say(taken=False)
        pushing._say(taken=pushing.push())
    assert lines.events == ["push.failed", "push.recovered"]


def test_a_part_that_cannot_be_read_is_left_out_and_the_rest_pushed(made: Collector) -> None:
    made.scene.state.close()
    sink = FakeSink()
    with http_server(sink) as served, capture_logs():
        assert push(made, served.port).push()
    names = {metric.name for metric in received(sink).resource_metrics[0].scope_metrics[0].metrics}
    assert "otelcx.collector.notices_undelivered" not in names
    assert "otelcx.collector.metrics_unreadable" in names


def test_it_can_be_stopped_before_it_started(made: Collector) -> None:
    push(made, 1).stop()


def test_what_is_not_installed_is_named_with_the_cure(made: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.metric_exporter", None)
    with pytest.raises(UserError, match=r"telemetry\.otlp .* pip install 'otel-cx-collector\[telemetry\]'"):
        push(made, 1)


def test_nothing_of_opentelemetry_is_imported_while_it_is_off() -> None:
    program = "import sys, otel_cx_collector.metrics; print([n for n in sys.modules if 'opentelemetry.sdk' in n])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
