"""The SDK under `opentelemetry-instrument` and from a configuration file: real programs, real OTLP, no code of ours."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sdk.receiving import Receiver, otlp_receiver

from otel_cx import Settings
from otel_cx._route_rules import Rule
from otel_cx.instrumentors.cx import _settings

INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")
SHOPS = Path(__file__).with_name("shop_apps.py")
SECRET = "0123456789abcdef"  # noqa: S105 - of the tests


SERVER = 2
"""SPAN_KIND_SERVER in opentelemetry-proto."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as listening:
        yield listening


def run(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs a program under `opentelemetry-instrument`, with nothing set but what the test sets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OTELCX_"))}
    done = subprocess.run(
        [INSTRUMENT, sys.executable, *arguments],
        capture_output=True, text=True, check=False, timeout=60,
        env={**kept, "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none", **environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("framework", ["flask", "django", "fastapi"])
def test_an_application_without_code_of_ours_sends_steps(receiver: Receiver, framework: str) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTELCX_ROUTES": "POST /pay=checkout/payment"}
    if framework == "django":  # its instrumentation reads the settings before the program runs
        environ |= {"DJANGO_SETTINGS_MODULE": "shop_django", "PYTHONPATH": str(SHOPS.parent)}
    done = run(SHOPS, framework, **environ)
    assert done.stdout == "200\n"
    assert receiver.steps == [("checkout", "payment", SERVER)]
    assert "otel-cx" not in done.stderr


FILE = """
file_format: "1.0"
tracer_provider:
  processors:
    - simple: {{exporter: {{otlp_grpc: {{endpoint: "{endpoint}"}}}}}}
{propagator}
instrumentation/development:
  python:
    cx:
      trust: all
      egress_hosts: [billing]
      key_file: {key}
      routes: {{"POST /pay": checkout/payment}}
"""
PROPAGATOR = "propagator: {composite: [{tracecontext: }, {baggage: }]}"


@pytest.mark.parametrize(("propagator", "warned"), [(PROPAGATOR, False), ("", True)])
def test_a_configuration_file_says_everything_and_one_that_forgets_baggage_is_told_so(
    receiver: Receiver, tmp_path: Path, propagator: str, warned: bool
) -> None:
    (tmp_path / "key").write_text(f"k1:{SECRET}")
    path = tmp_path / "otel.yaml"
    path.write_text(FILE.format(endpoint=receiver.endpoint, key=tmp_path / "key", propagator=propagator))
    done = run(SHOPS, "flask", OTEL_CONFIG_FILE=str(path))
    assert receiver.steps == [("checkout", "payment", SERVER)]
    assert done.stderr.count("carries no baggage") == warned
    assert SECRET not in done.stderr


def test_the_settings_of_a_file_go_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(f"k2:{SECRET}")
    (tmp_path / "routes").write_text("GET /cart=checkout/cart")
    monkeypatch.setenv("OTELCX_TRUST", "signed")
    monkeypatch.setenv("OTELCX_KEY", f"k1:{SECRET}")
    monkeypatch.setenv("OTELCX_ROUTES", "POST /pay=other/pay")
    monkeypatch.setenv("OTELCX_EGRESS_HOSTS", "from-environment")
    settings = _settings(
        {
            "trust": "all",
            "egress_destinations": ["orders"],
            "browser_attempt": None,
            "routes": {"POST /pay": "checkout/payment"},
            "routes_file": str(tmp_path / "routes"),
            "key_file": str(tmp_path / "key"),
        }
    )
    assert settings.trust == "all"
    assert settings.keys is not None
    assert settings.keys.active == "k2"
    assert settings.egress_destinations == ("orders",)
    assert settings.egress_hosts == ("from-environment",)
    assert settings.routes == (Rule("POST /pay", "checkout/payment"), Rule("GET /cart", "checkout/cart"))
    assert _settings({}) == Settings.from_env()


def test_a_setting_that_cannot_be_used_is_logged_and_the_other_instrumentations_go_on(receiver: Receiver) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTELCX_ROUTES": "POST /pay"}
    done = run(SHOPS, "flask", **environ)
    assert "otel-cx is not installed, no journey is recorded" in done.stderr
    assert "Write 'POST /pay=checkout/payment'" in done.stderr
    assert [span["kind"] for span in receiver.spans] == [SERVER]
    assert receiver.steps == []


def test_a_propagator_that_is_set_after_us_is_told_at_the_first_request(receiver: Receiver) -> None:
    program = """
from opentelemetry import propagate, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
import otel_cx
propagate.set_global_textmap(TraceContextTextMapPropagator())
for _ in range(2):
    trace.get_tracer("x").start_span("x", kind=trace.SpanKind.SERVER).end()
print(otel_cx.diagnostics())
"""
    done = run("-c", program, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    assert done.stdout == "{'propagator_replaced': 1}\n"
    assert done.stderr.count("call otel_cx.install again") == 1


def test_uninstrumenting_takes_the_guard_and_the_routes_away(receiver: Receiver) -> None:
    program = """
from opentelemetry import propagate, trace
from otel_cx.instrumentors.cx import CXInstrumentor
from otel_cx.propagator import CXPropagator
assert isinstance(propagate.get_global_textmap(), CXPropagator)
CXInstrumentor().uninstrument()
assert not isinstance(propagate.get_global_textmap(), CXPropagator)
trace.get_tracer("x").start_span("x", kind=trace.SpanKind.CONSUMER, attributes={"messaging.destination": "q"}).end()
"""
    run("-c", program, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OTELCX_ROUTES="queue q=a/b")
    assert len(receiver.spans) == 1
    assert receiver.steps == []


def test_two_lines_are_enough(receiver: Receiver) -> None:
    program = """
import sys
import otel_cx

otel_cx.configure()

@otel_cx.journey("checkout").step("payment")
def pay():
    return 200

print(pay())
"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OTELCX_"))}
    environ = {**kept, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True, env=environ
    )
    assert done.stdout == "200\n"
    assert receiver.steps == [("checkout", "payment", 1)]
