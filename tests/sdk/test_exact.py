"""Exact steps under head sampling: every step is sent, sampled or not, with all it would have carried. Real OTLP."""

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode, get_current_span
from sdk.receiving import Receiver, otlp_receiver

import otel_cx
from otel_cx import ConfigurationError, Settings, exact, semconv
from otel_cx._context import _roots
from otel_cx._settings import runtime
from otel_cx.testing import TEST_KEY, Journeys, recording

checkout = otel_cx.journey("checkout", revenue_class="new")
STEPS = 2_000
ONE_IN_A_HUNDRED = ParentBased(TraceIdRatioBased(0.01))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as listening:
        yield listening


@contextmanager
def exactly(receiver: Receiver, sampler: Sampler, **settings: Any) -> Iterator[Journeys]:
    """A provider that samples, with exact steps sent to `receiver`; what is sampled is recorded."""
    told = Settings(keys=TEST_KEY, exact=True, exact_endpoint=receiver.endpoint, **settings)
    with exporting(), recording(told, sampler=sampler) as journeys:
        yield journeys


@contextmanager
def exporting() -> Iterator[None]:
    """As outside of tests: the pytest plugin lets nothing be sent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "exports", True)
        yield


def a_request(journeys: Journeys, number: int = 1, outcome: str = "") -> None:
    """One request: a server span, a customer found out below a span of a library, and a step under another."""
    tracer = journeys.provider.get_tracer("shop")
    with tracer.start_as_current_span("POST /pay", kind=SpanKind.SERVER), checkout.attempt(f"cart-{number}"):
        with tracer.start_as_current_span("session"):
            otel_cx.identify(customer=f"user-{number}", segment="enterprise")
        with tracer.start_as_current_span("handler"), checkout.step("payment") as step:
            if outcome:
                step.reject(outcome)
            with tracer.start_as_current_span("SELECT"):
                pass


@pytest.mark.parametrize("sampler", [ONE_IN_A_HUNDRED, ALWAYS_OFF, ALWAYS_ON], ids=["1 %", "none", "all"])
def test_every_step_is_sent_whatever_is_sampled(receiver: Receiver, sampler: Sampler) -> None:
    with exactly(receiver, sampler) as journeys:
        for number in range(STEPS):
            a_request(journeys, number)
        sampled = journeys.spans
    attempts = Counter(span[semconv.JOURNEY_ATTEMPT] for span in receiver.spans)
    assert attempts == {f"cart-{number}": 1 for number in range(STEPS)}
    assert {span[semconv.EXACT] for span in receiver.spans} == {True}
    assert len(sampled) % 5 == 0, "of a sampled trace all five spans, of another none"
    assert not any(semconv.EXACT in (span.attributes or {}) for span in sampled)


def test_a_step_of_a_trace_that_is_not_sampled_carries_what_it_would_have_carried(receiver: Receiver) -> None:
    with exactly(receiver, ALWAYS_OFF) as journeys:
        a_request(journeys, outcome="card_declined")
    with recording(Settings(keys=TEST_KEY)) as sampled:
        a_request(sampled, outcome="card_declined")
        [wanted] = sampled.steps()
    [found] = receiver.spans
    assert found == {
        "kind": 1, "name": "checkout/payment", "id": found["id"], **wanted.attributes, semconv.EXACT: True,
    }  # fmt: skip
    assert found[semconv.CUSTOMER_ID] == TEST_KEY.pseudonym("user-1")


def test_a_sampled_step_and_its_exact_copy_are_the_same_span(receiver: Receiver) -> None:
    with exactly(receiver, ALWAYS_ON) as journeys:
        a_request(journeys)
        [step] = journeys.steps()
    assert step.span.context is not None
    assert [span["id"] for span in receiver.spans] == [step.span.context.span_id.to_bytes(8)]


def test_spans_below_are_dropped_as_the_sampler_says(receiver: Receiver) -> None:
    with exactly(receiver, ALWAYS_OFF) as journeys:
        tracer = journeys.provider.get_tracer("shop")
        with tracer.start_as_current_span("POST /pay", kind=SpanKind.SERVER) as server, checkout.step("payment"):
            assert server.is_recording()
            assert not server.get_span_context().trace_flags.sampled
            with tracer.start_as_current_span("SELECT") as inner:
                assert not inner.is_recording()
            with tracer.start_as_current_span("charge", kind=SpanKind.CLIENT) as call:
                assert call.is_recording(), "what travels with a call is decided by where its span says it goes"
        with tracer.start_as_current_span("ping", kind=SpanKind.CLIENT) as call:
            assert not call.is_recording(), "nothing of ours could travel with it"
    assert not _roots


def test_two_requests_of_one_trace_in_one_process_are_not_told_of_each_others_customer(receiver: Receiver) -> None:
    with exactly(receiver, ALWAYS_OFF) as journeys:
        tracer = journeys.provider.get_tracer("shop")
        with tracer.start_as_current_span("outer", kind=SpanKind.SERVER) as outer:
            done = threading.Event()

            def inner() -> None:
                from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

                own = outer.get_span_context()
                remote = SpanContext(own.trace_id, 99, is_remote=True, trace_flags=own.trace_flags)
                context = set_span_in_context(NonRecordingSpan(remote))
                with tracer.start_as_current_span("inner", context=context, kind=SpanKind.SERVER):
                    with tracer.start_as_current_span("session"):
                        otel_cx.identify(customer="somebody")  # whose request is not known below a dropped span
                    otel_cx.identify(segment="trial")
                    assert dict(get_current_span().attributes) == {semconv.SEGMENT: "trial"}  # type: ignore[attr-defined]
                done.set()

            threading.Thread(target=inner).start()
            assert done.wait(10)
            assert semconv.SEGMENT not in outer.attributes  # type: ignore[attr-defined]
    assert not _roots


def test_tracers_that_were_given_out_before_are_exact_too(receiver: Receiver) -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    early = provider.get_tracer("framework")
    with exactly(receiver, ALWAYS_OFF):
        otel_cx.install(provider, Settings(exact=True, exact_endpoint=receiver.endpoint))
        with early.start_as_current_span("POST /pay", kind=SpanKind.SERVER) as span:
            assert span.is_recording() or not hasattr(provider, "_tracers")
        provider.shutdown()


class Stuck(SpanExporter):
    """Takes a batch and keeps it until it may go."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.taken = 0

    def export(self, spans: Any) -> SpanExportResult:
        self.taken += len(spans)
        self.entered.set()
        assert self.go.wait(20)
        return SpanExportResult.SUCCESS


def test_no_more_wait_than_the_limit_and_what_is_dropped_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "MAX_QUEUE", 600)  # more than one batch
    stuck = Stuck()
    with recording() as journeys:
        processor = exact.ExactProcessor(lambda: stuck)
        journeys.provider.add_span_processor(processor)
        for _ in range(exact.BATCH):
            with checkout.step("payment"):
                pass
        assert stuck.entered.wait(10)
        for _ in range(100):
            with checkout.step("payment"):
                pass
        assert otel_cx.diagnostics()["exact_dropped"] == exact.BATCH + 100 - 600
        stuck.go.set()
        assert processor.force_flush()
        with checkout.step("payment"):
            pass
    assert stuck.taken == 601
    assert otel_cx.diagnostics()["exact_dropped"] == exact.BATCH + 100 - 600


class Failing(SpanExporter):
    def export(self, _: Any) -> SpanExportResult:
        raise RuntimeError("the customer is ada@example.org")


def test_an_exporter_that_fails_is_counted_by_steps_and_the_application_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with recording() as journeys:
        processor = exact.ExactProcessor(Failing)
        journeys.provider.add_span_processor(processor)
        for _ in range(3):
            with checkout.step("payment"):
                pass
        processor.force_flush()
    assert otel_cx.diagnostics()["exact_not_sent"] == 3
    assert "RuntimeError at" in caplog.text
    assert "ada@" not in caplog.text


PROGRAM = """
import os, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
import otel_cx

provider = TracerProvider(sampler=ALWAYS_OFF)
otel_cx.install(provider, otel_cx.Settings(exact=True, exact_endpoint=sys.argv[1]))
checkout = otel_cx.journey("checkout")
def pay(name):
    with checkout.attempt(name), checkout.step("payment"):
        pass
"""

FORK = "if not os.fork():\n pay('child'); provider.force_flush(); os._exit(0)\nos.wait()\n"


@pytest.mark.parametrize(
    ("rest", "sent"),
    [
        ("pay('one')", ["one"]),
        ("pay('one'); sys.exit(3)", ["one"]),
        ("pay('one'); raise ValueError", ["one"]),
        (
            "pay('parent')\n" + FORK + "pay('after')",
            ["after", "child", "parent"],
        ),
        (
            "pay('parent'); provider.force_flush()\n" + FORK,
            ["child", "parent"],
        ),
    ],
    ids=["end", "exit", "exception", "fork", "fork after sending"],
)
def test_what_waits_is_sent_when_the_process_ends_and_once_where_it_forks(
    receiver: Receiver, rest: str, sent: list[str]
) -> None:
    subprocess.run(
        [sys.executable, "-c", PROGRAM + rest, receiver.endpoint],
        check=False, timeout=60, capture_output=True, env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert sorted(span[semconv.JOURNEY_ATTEMPT] for span in receiver.spans) == sent


def test_a_receiver_that_is_away_for_a_moment_gets_them_all_the_same(receiver: Receiver) -> None:
    receiver.refuse = True
    with exactly(receiver, ALWAYS_OFF) as journeys:
        a_request(journeys)
        flushing = threading.Thread(target=journeys.provider.force_flush)
        flushing.start()
        while not receiver.requests:
            pass
        receiver.refuse = False
        flushing.join()
    assert len(receiver.spans) == 1


def test_configure_sends_exact_steps_where_traces_go(receiver: Receiver) -> None:
    program = f"""
import otel_cx
otel_cx.configure({receiver.endpoint!r}, exact=True)
with otel_cx.journey("checkout").step("payment"):
    pass
"""
    environ = {**os.environ, "OTEL_TRACES_SAMPLER": "always_off"}
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60, env=environ)
    assert [span[semconv.EXACT] for span in receiver.spans] == [True]


def test_the_environment_switches_it_on(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTELCX_EXACT", "true")
    monkeypatch.setenv("OTELCX_EXACT_ENDPOINT", receiver.endpoint)
    with exporting(), recording(Settings.from_env(), sampler=ALWAYS_OFF) as journeys:
        a_request(journeys)
    assert len(receiver.spans) == 1


def test_an_endpoint_that_is_no_url_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="http://collector:4317"):
        Settings(exact=True, exact_endpoint="collector:4317")


def test_errors_are_on_the_exact_copy(receiver: Receiver) -> None:
    with exactly(receiver, ALWAYS_OFF), pytest.raises(TimeoutError), checkout.step("payment"):
        raise TimeoutError
    [found] = receiver.spans
    assert found[semconv.ERROR_TYPE] == "TimeoutError"


def test_a_span_status_that_is_set_late_is_on_the_copy() -> None:
    exporter = InMemorySpanExporter()
    with recording(Settings(keys=TEST_KEY), sampler=ALWAYS_OFF) as journeys:
        exact.sample_exactly(journeys.provider)
        journeys.provider.add_span_processor(exact.ExactProcessor(lambda: exporter))
        tracer = journeys.provider.get_tracer("shop")
        with tracer.start_as_current_span("POST /pay", kind=SpanKind.SERVER), checkout.step("payment") as step:
            step.span.set_status(StatusCode.ERROR, "late")
        journeys.provider.force_flush()
    [copy] = exporter.get_finished_spans()
    assert copy.status.status_code is StatusCode.ERROR
