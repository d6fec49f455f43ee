"""Facts and metrics from the wire to the store: real exporters, receivers, log, flusher and store; and kill -9."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from otlp import grpc_server, http_server, post

from otel_cx_collector import inventory
from otel_cx_collector.clock import now_ns
from otel_cx_collector.config import LogLimits, Settings
from otel_cx_collector.events import NS, SLICE_S, facts_of
from otel_cx_collector.ingest import Ingest
from otel_cx_collector.inventory.decisions import Saturation
from otel_cx_collector.inventory.quantities import format_time
from otel_cx_collector.log import Log
from otel_cx_collector.measure.saturation import build
from otel_cx_collector.receive import Encoding, Signal
from otel_cx_collector.store import Flusher, Store
from otel_cx_collector.views.source import Intake

WHERE = {"service.name": "checkout-api"}
FILE = replace(
    inventory.parse("journeys: {checkout: {steps: [payment]}}"),
    saturation={
        "payments-db": Saturation(metric="db.client.connection.count", where=WHERE, limit=50),
        "queue": Saturation(metric="queue.size", where=WHERE, limit=100),
        "orders": Saturation(metric="orders", where=WHERE, limit=10),
    },
)
LINES = "application/x-ndjson"


@dataclass
class Running:
    ingest: Ingest
    store: Store
    flusher: Flusher
    log: Log

    def intake(self) -> Intake:
        return self.ingest.intake(self.flusher, 1 << 30)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    limits = LogLimits(min_free_bytes=0)
    with Store.temporary() as store, Log(tmp_path / "log", limits) as log:
        flusher = Flusher(log, store)
        flusher.start()
        yield Running(Ingest(FILE, Settings(), log, now_ns), store, flusher, log)
        flusher.stop(10)


def measure(exporter: MetricExporter) -> None:
    """What a service of two pools, a queue and a counter exports."""

    def queue_size(_: CallbackOptions) -> list[Observation]:
        return [Observation(25.5, {"queue": "orders"})]

    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], Resource(WHERE | {"service.instance.id": "pod-1"}))
    meter = provider.get_meter("pools")
    connections = meter.create_up_down_counter("db.client.connection.count")
    connections.add(30, {"state": "used"})
    connections.add(-5, {"state": "used"})
    connections.add(15, {"state": "idle"})
    meter.create_observable_gauge("queue.size", [queue_size])
    meter.create_counter("orders").add(3)
    meter.create_gauge("nobody.asks").set(1)
    assert provider.force_flush()
    provider.shutdown()


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_levels_that_a_real_exporter_sends_become_the_share_of_the_limit(running: Running, transport: str) -> None:
    started_s = now_ns() // NS
    if transport == "grpc":
        with grpc_server(running.ingest) as served:
            measure(GrpcExporter(f"127.0.0.1:{served.port}", insecure=True))
    else:
        with http_server(running.ingest) as served:
            measure(HttpExporter(f"http://127.0.0.1:{served.port}/v1/metrics"))
    assert running.flusher.flush(10)
    points = running.store.signals(list(FILE.saturation), (started_s - 60) * NS, now_ns() + NS)
    found = build(points, FILE)
    at_s = (now_ns() // NS // SLICE_S + 1) * SLICE_S
    assert found["payments-db"].share(at_s) == (30 - 5 + 15) / 50
    assert found["queue"].share(at_s) == 0.255
    assert found["orders"].share(at_s) is None
    intake = running.intake()
    # twice: forced, and at the end
    assert (intake.metric_points, intake.signal_points, intake.points_refused) == (10, 6, {"not_a_level": 2})


def deploy(number: int, **more: str) -> bytes:
    fact = {"id": f"d-{number}", "at": format_time(now_ns()), "kind": "deploy", "service": "shop", **more}
    return orjson.dumps(fact) + b"\n"


def test_facts_are_in_the_store_once_after_they_were_answered(running: Running) -> None:
    with http_server(running.ingest) as served:
        reply = post(served.port, deploy(1) + b"{broken\n" + deploy(2, version="1"), "/v1/facts", content_type=LINES)
        answer = orjson.loads(reply.body)
        assert (reply.status, answer["accepted"], [each["line"] for each in answer["refused"]]) == (200, 2, [2])
        assert post(served.port, deploy(2, version="2"), "/v1/facts", content_type=LINES).status == 200
        reply = post(served.port, b'{"id":"o-1","kind":"order"}', "/v1/facts", content_type=LINES)
        assert reply.status == 400
        assert 'kind "order" is not evaluated' in orjson.loads(reply.body)["refused"][0]["why"]
    assert running.flusher.flush(10)
    facts = running.store.facts(0, now_ns() + NS)
    assert [(fact.id, fact.version) for fact in facts] == [("d-1", ""), ("d-2", "2")]
    assert (running.intake().facts, running.intake().facts_refused) == (3, 2)


def test_what_the_log_cannot_take_is_asked_for_again_and_not_counted(tmp_path: Path) -> None:
    limits = LogLimits(max_bytes=4096, segment_bytes=1024, batch_bytes=2048, min_free_bytes=0)
    with Log(tmp_path / "log", limits) as log:
        ingest = Ingest(FILE, Settings(), log, now_ns)
        with http_server(ingest) as served:
            replies = [post(served.port, deploy(n), "/v1/facts", content_type=LINES) for n in range(8)]
        assert [reply.status for reply in replies][-1] == 503
        assert int(replies[-1].headers["retry-after"]) in range(1, 4)
        taken = [reply.status for reply in replies].count(200)
        assert ingest._tally.facts == taken == sum(batch.num_rows for _, batch in log.read(0))
        assert not ingest.took_all()


def test_a_request_without_facts_or_levels_writes_nothing(running: Running) -> None:
    for signal in (Signal.METRICS, Signal.FACTS):
        running.ingest.accept(signal, Encoding.JSON, b"{}" if signal is Signal.METRICS else b"", lambda: None)
    assert running.log.last == 0


SERVER = """
import sys, threading
from pathlib import Path
from otel_cx_collector import inventory
from otel_cx_collector.ingest import Ingest
from otel_cx_collector.clock import now_ns
from otel_cx_collector.config import LogLimits, Settings
from otel_cx_collector.log import Log
from otel_cx_collector.receive import HttpReceiver

log = Log(Path(sys.argv[1]), LogLimits(min_free_bytes=0))
file = inventory.parse("journeys: {checkout: {steps: [payment]}}")
print(HttpReceiver("127.0.0.1:0", Ingest(file, Settings(), log, now_ns)).start(), flush=True)
threading.Event().wait()
"""


def test_every_fact_that_was_answered_survives_kill_9(tmp_path: Path) -> None:
    answered: set[str] = set()
    for round_ in range(2):
        with subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path / "log")], stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            for number in range(round_ * 100, round_ * 100 + 20):
                assert post(port, deploy(number), "/v1/facts", content_type=LINES).status == 200
                answered.add(f"d-{number}")
            server.kill()
        with Log(tmp_path / "log", LogLimits(min_free_bytes=0)) as log:
            assert log.damage == ()
            found = {fact.id for _, batch in log.read(0) for fact in facts_of(batch)}
        assert found == answered
