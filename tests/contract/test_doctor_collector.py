"""`otel-cx doctor` asks a running collector: the installed program, what the SDK really sent it, and its answer."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from collector_process import Process, ask, send, until
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

import otel_cx
from otel_cx import Settings
from otel_cx.testing import recording

PROGRAM = Path(sys.executable).with_name("otel-cx")
INVENTORY = """
environments: [production, unset]
journeys:
  checkout: {steps: [cart, payment]}
  returns: {steps: [refund]}
"""


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A collector to which nobody has sent anything."""
    collector = Process(tmp_path_factory.mktemp("quiet"), inventory=INVENTORY)
    yield collector
    collector.stop()


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A collector that counts payments, and is sent a misspelt step, a misspelt journey and a route of no step."""
    collector = Process(tmp_path_factory.mktemp("busy"), inventory=INVENTORY)
    web = collector.ports["web"]
    send(collector.ports["http"], 0, 5, time.time_ns())
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"http://127.0.0.1:{collector.ports['grpc']}")))

    def seen() -> bool:
        """Sends all, because the collector looks at one request a second for what nobody maps."""
        with recording():
            otel_cx.install(provider, Settings())
            for journey, step in (("checkout", "paiment"), ("chekout", "payment")):
                with otel_cx.journey(journey).step(step):
                    pass
            route = {"http.request.method": "POST", "http.route": "/refund"}
            provider.get_tracer("x").start_span("x", kind=SpanKind.SERVER, attributes=route).end()
        provider.force_flush()  # one request
        return len(ask(web, "/api/v1/traffic")) == 3

    until(seen)
    until(lambda: any(ask(web, "/api/v1/journeys/checkout/series?range=24h")["ok"]))
    yield collector
    provider.shutdown()
    collector.stop()


def doctor(collector: Process, journey: str, *more: str, **environ: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Runs the command; its exit code, and its findings by code and name."""
    ports = {name: f"http://127.0.0.1:{port}" for name, port in collector.ports.items() if isinstance(port, int)}
    asked = ("--endpoint", ports["grpc"], "--health", ports["health"], "--api", ports["web"], "--journey", journey)
    done = subprocess.run(
        [PROGRAM, "doctor", *asked, *more, "--json"],
        capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environ},
    )  # fmt: skip
    return done.returncode, {finding["code"]: finding for finding in json.loads(done.stdout)["findings"]}


def problems(found: dict[str, dict[str, Any]]) -> set[str]:
    return {code for code, finding in found.items() if finding["level"] == "problem"}


def test_before_anything_arrives_that_is_what_it_says(quiet: Process) -> None:
    code, found = doctor(quiet, "checkout")
    assert code == 1
    assert problems(found) == {"nothing-arrives", "never-seen"}
    assert found["endpoint"]["level"] == found["collector-ready"]["level"] == found["journey"]["level"] == "ok"
    assert "no execution of any of its steps has been received" in found["never-seen"]["evidence"]


def test_a_journey_that_the_inventory_does_not_have_is_told_with_the_nearest(quiet: Process) -> None:
    code, found = doctor(quiet, "chekout")
    assert code == 1
    assert found["unknown-journey"]["evidence"] == "journeys: checkout, returns"
    assert found["unknown-journey"]["cure"].startswith("Did you mean 'checkout'?")


def test_an_environment_that_is_not_judged_is_told(quiet: Process) -> None:
    _, found = doctor(quiet, "checkout", OTEL_RESOURCE_ATTRIBUTES="a=b, deployment.environment.name=staging")
    assert found["environment-not-judged"]["evidence"] == "judged: production, unset"


def test_a_journey_that_is_counted_is_seen_and_what_goes_wrong_beside_it_is_named(busy: Process) -> None:
    code, found = doctor(busy, "checkout", "--step", "payment")
    assert code == 1
    assert found["seen"]["level"] == "ok"
    assert found["seen"]["evidence"].startswith("last between ")
    assert problems(found) == {"refused-unknown-step", "refused-unknown-journey", "unknown-step", "unknown-journey"}
    assert found["unknown-step"]["evidence"].startswith("checkout/paiment, ")
    assert found["unknown-step"]["cure"].startswith("Did you mean 'payment'?")
    assert found["unknown-journey"]["evidence"].startswith("chekout/payment, ")
    assert "POST /refund of shop" in found["unmapped-routes"]["evidence"]


def test_a_step_that_is_asked_for_and_unknown_is_told(busy: Process) -> None:
    _, found = doctor(busy, "returns", "--step", "refnd")
    assert found["unknown-step"]["what"] == "Journey 'returns' has no step 'refnd' in the inventory."
    assert found["unknown-step"]["cure"].startswith("Did you mean 'refund'?")
    assert "never-seen" in problems(found)
    assert "arrives" in found


def test_whole_requests_that_were_refused_are_counted(busy: Process) -> None:
    from http.client import HTTPConnection

    connection = HTTPConnection("127.0.0.1", busy.ports["http"], timeout=10)
    connection.request("POST", "/v1/traces", b"no protobuf", {"Content-Type": "application/x-protobuf"})
    assert connection.getresponse().status == 400
    connection.close()
    _, found = doctor(busy, "checkout")
    assert 'reason="undecodable",transport="http"' in found["requests-refused"]["evidence"]


def test_a_collector_that_does_not_answer_is_told_with_the_option_to_correct(quiet: Process) -> None:
    closed = "http://127.0.0.1:1"
    _, found = doctor(quiet, "checkout", "--api", closed, "--health", closed)
    assert "correct --api" in found["api-refused"]["cure"]
    assert "correct --health" in found["health-refused"]["cure"]
    wrong = f"http://127.0.0.1:{quiet.ports['health']}"
    _, found = doctor(quiet, "checkout", "--api", wrong, "--health", "nonsense")
    assert {"api-refused", "health-refused"} <= problems(found)
