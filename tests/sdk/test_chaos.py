"""Whatever breaks around it, the application answers as it would without otel-cx: byte for byte, over real servers."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from sdk.serving import wsgi_server

import otel_cx
from otel_cx import Settings
from otel_cx._settings import runtime
from otel_cx.testing import TEST_KEY, Journeys, recording
from otel_cx.wsgi import CXMiddleware

checkout = otel_cx.journey("checkout")
Break = Callable[[Journeys], None]


def shop(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    """Pays, in a step, and streams its answer; a body that says so fails."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    asked = environ["wsgi.input"].read(length)
    otel_cx.identify(customer="user-42", segment="enterprise")
    with checkout.attempt("cart-1"), checkout.step("payment") as step:
        step.revenue("129.00", "EUR")
        if asked == b"fail":
            start_response("402 Payment Required", [("X-Why", "declined")])
            step.reject("declined")
            return iter([b"declined"])
    start_response("200 OK", [("X-Paid", "yes")])
    return iter([b"pa", b"id"])


def asked(url: str, body: bytes) -> bytes:
    """The whole answer but its date, as it came over the wire."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 20) as wire:
        wire.sendall(b"POST /pay HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        answer = b""
        while piece := wire.recv(65_536):
            answer += piece
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.startswith(b"Date:"))


@contextmanager
def without_otel_cx() -> Iterator[str]:
    with wsgi_server(shop) as url:
        yield url


class Hanging(SpanExporter):
    """Takes a batch, and does not answer until the test is over."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def export(self, _: Any) -> SpanExportResult:
        self.over.wait(2)
        return SpanExportResult.FAILURE


class Raising(SpanExporter):
    def export(self, _: Any) -> SpanExportResult:
        raise RuntimeError("of the exporter")


def hanging_exporter(journeys: Journeys) -> None:
    journeys.provider.add_span_processor(BatchSpanProcessor(Hanging(), max_queue_size=1, max_export_batch_size=1))


def raising_exporter(journeys: Journeys) -> None:
    journeys.provider.add_span_processor(SimpleSpanProcessor(Raising()))


def provider_shut_down(journeys: Journeys) -> None:
    journeys.provider.shutdown()


def raising_settings(_: Journeys) -> None:
    runtime.settings = None  # type: ignore[assignment]


def raising_tracer(_: Journeys) -> None:
    class Broken:
        def start_span(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("of the tracer")

    runtime.tracer = Broken()  # type: ignore[assignment]


def raising_callback(_: Any) -> Any:
    raise RuntimeError("of the callback")


BREAKS: dict[str, Break] = {
    "nothing": lambda _: None,
    "exporter that hangs": hanging_exporter,
    "exporter that raises": raising_exporter,
    "provider that is shut down": provider_shut_down,
    "settings that are gone": raising_settings,
    "tracer that raises": raising_tracer,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("body", [b"", b"fail"])
@pytest.mark.parametrize("broken", BREAKS)
def test_the_answer_is_the_same_byte_for_byte(broken: str, body: bytes) -> None:
    with without_otel_cx() as url:
        bare = asked(url, body)
    with recording(Settings(keys=TEST_KEY)) as journeys:
        inner = CXMiddleware(shop, {"POST /pay": "checkout/pay"}, identify=raising_callback, attempt=raising_callback)
        app = OpenTelemetryMiddleware(inner, tracer_provider=journeys.provider)
        BREAKS[broken](journeys)
        with wsgi_server(app) as url:
            assert asked(url, body) == bare
            assert asked(url, body) == bare


class RaisingSampler(Sampler):
    """Raises for our steps alone: for any other span OpenTelemetry itself would raise into the application."""

    def should_sample(  # type: ignore[override]  # it looks at the name alone
        self, _context: Any, _id: Any, name: str, *_: Any, **__: Any
    ) -> SamplingResult:
        if name.startswith("checkout/"):
            raise RuntimeError("of the sampler")
        from opentelemetry.sdk.trace.sampling import Decision

        return SamplingResult(Decision.RECORD_AND_SAMPLE)

    def get_description(self) -> str:
        return "raising"


def test_a_sampler_that_raises_costs_the_step_and_nothing_else() -> None:
    with without_otel_cx() as url:
        bare = asked(url, b"")
    with recording(sampler=RaisingSampler()) as journeys:
        app = OpenTelemetryMiddleware(shop, tracer_provider=journeys.provider)
        with wsgi_server(app) as url:
            assert asked(url, b"") == bare
        assert otel_cx.diagnostics()["internal"] == 1


FORKING = """
import os, sys
import otel_cx
from opentelemetry import trace
otel_cx.configure(sys.argv[1])
checkout = otel_cx.journey("checkout")
tracer = trace.get_tracer("shop")

@checkout.step("payment")
def pay():
    sys.stdout.write(f"paid {'child' if not child else 'parent'}\\n")
    sys.stdout.flush()

with tracer.start_as_current_span("POST /pay", kind=trace.SpanKind.SERVER), checkout.attempt("cart-1"):
    child = os.fork()
    pay()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
sys.exit(7)
"""
ENDING = """
import sys
import otel_cx
otel_cx.configure(sys.argv[1])
step = otel_cx.journey("checkout").step("payment")
step.__enter__()
print("paid")
raise SystemExit(7)
"""


@pytest.mark.parametrize(("program", "said"), [(FORKING, ["paid child", "paid parent"]), (ENDING, ["paid"])])
def test_a_fork_in_a_request_and_an_end_in_a_step_change_nothing(program: str, said: list[str]) -> None:
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, "http://127.0.0.1:1"],
        capture_output=True, text=True, check=False, timeout=60, env=environ,
    )  # fmt: skip
    assert (done.returncode, sorted(done.stdout.splitlines())) == (7, said)


def test_deep_recursion_ends_as_it_would_without_steps() -> None:
    def bare(depth: int) -> int:
        return bare(depth + 1)

    @checkout.step("payment")
    def deep(depth: int) -> int:
        return deep(depth + 1)

    with recording():
        for function in (bare, deep):
            with pytest.raises(RecursionError):
                function(0)
        with checkout.step("confirm") as step:
            assert step.is_open


def test_a_provider_that_another_thread_shuts_down_in_the_middle() -> None:
    with recording() as journeys, checkout.step("payment") as step:
        thread = threading.Thread(target=journeys.provider.shutdown)
        thread.start()
        thread.join()
        step.revenue("1.00", "EUR")
        with checkout.step("confirm"):
            pass
    assert isinstance(journeys.provider, TracerProvider)
