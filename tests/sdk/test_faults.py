"""No failure of ours becomes the application's: every hook, with what it leans on broken."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

import otel_cx
from otel_cx import Journey, Settings, semconv
from otel_cx._settings import runtime
from otel_cx.propagator import CXPropagator
from otel_cx.testing import Journeys


class Broken(Exception):  # noqa: N818 - a stand-in for anything
    pass


class BrokenTracer(trace.NoOpTracer):
    def start_span(self, *_: Any, **__: Any) -> Any:
        raise Broken


class BrokenSettings:
    """Raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise Broken(name)


@pytest.fixture
def broken_settings(recorded: Journeys) -> Iterator[Journeys]:
    runtime.settings = BrokenSettings()  # type: ignore[assignment]  # the fault under test; the fixture puts it back
    return iter([recorded])


def test_a_tracer_that_raises_leaves_the_application_running(recorded: Journeys, checkout: Journey) -> None:
    runtime.tracer = BrokenTracer()

    @checkout.step("payment")
    def pay() -> int:
        return 1

    @checkout.step("export")
    def rows() -> Iterator[int]:
        yield from (1, 2)

    assert pay() == 1
    assert list(rows()) == [1, 2]
    with checkout.step("confirm") as step:
        step.revenue(1, "EUR")
    assert otel_cx.diagnostics() == {"internal": 3}
    assert trace.get_current_span() is trace.INVALID_SPAN


class BrokenSpan(trace.NonRecordingSpan):
    """Raises from the second call on, so that it can be started with a step's attributes."""

    def __init__(self) -> None:
        super().__init__(trace.SpanContext(1, 2, is_remote=False))
        self.calls = 0

    def is_recording(self) -> bool:
        return True

    def set_attributes(self, *_: Any) -> None:
        self.calls += 1
        if self.calls > 1:
            raise Broken

    def set_status(self, *_: Any) -> None:
        raise Broken

    def end(self, *_: Any) -> None:
        raise Broken


def test_a_span_that_raises_leaves_the_application_running(
    recorded: Journeys, checkout: Journey, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracer = trace.NoOpTracer()
    monkeypatch.setattr(tracer, "start_span", lambda *_, **__: BrokenSpan())
    runtime.tracer = tracer
    with checkout.step("payment") as step:
        assert isinstance(step.span, BrokenSpan)
        step.fail("x")
        step.revenue(1, "EUR")
        step.cancel()
    with pytest.raises(ValueError, match="own"), checkout.step("payment"):
        raise ValueError("the application's own")
    assert set(otel_cx.diagnostics()) == {"internal"}


def test_an_exception_that_cannot_be_printed_still_ends_the_step(recorded: Journeys, checkout: Journey) -> None:
    class Silent(Exception):  # noqa: N818 - as applications name them
        def __str__(self) -> str:
            raise Broken

    with pytest.raises(Silent), checkout.step("payment"):
        raise Silent
    [step] = recorded.steps()
    assert step.span.status.status_code is StatusCode.ERROR
    assert step.attributes[semconv.ERROR_TYPE] == "Silent"


def test_an_attempt_that_cannot_be_written_as_text(recorded: Journeys, checkout: Journey) -> None:
    class Cart:
        def __str__(self) -> str:
            raise Broken

    with checkout.attempt(Cart()), checkout.step("payment"):
        pass
    assert [step.attempt for step in recorded.steps()] == [None]
    assert otel_cx.diagnostics() == {"internal": 1}


def test_identify_extract_and_inject_with_broken_settings(broken_settings: Iterator[Journeys]) -> None:
    recorded = next(broken_settings)
    carrier: dict[str, str] = {}
    context = propagate.extract(
        {"baggage": "userId=alice,otelcx.segment=vip", "traceparent": f"00-{1:032x}-{2:016x}-01"}
    )
    assert trace.get_current_span(context).get_span_context().trace_id == 1
    with recorded.provider.get_tracer("x").start_as_current_span("server", kind=SpanKind.SERVER):
        otel_cx.identify(customer="u")
        with otel_cx.journey("checkout").attempt("a"):
            propagate.inject(carrier)
    assert set(carrier) == {"traceparent"}, "what cannot be decided stays here"
    assert set(otel_cx.diagnostics()) == {"internal", "no_holder"}


def test_a_carrier_that_cannot_be_read_breaks_only_what_it_would_have_broken_anyway(recorded: Journeys) -> None:
    assert propagate.extract({}) == {}
    propagate.inject({"baggage": 5})


def test_an_error_of_the_processor_leaves_the_span_as_it_was(
    recorded: Journeys, checkout: Journey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise Broken

    monkeypatch.setattr("otel_cx.processor.hang", broken)
    with recorded.provider.get_tracer("x").start_as_current_span("server"), checkout.step("payment"):
        pass
    assert recorded.span("server") is not None
    assert [step.step for step in recorded.steps()] == ["payment"], "what the step carries does not depend on it"
    assert otel_cx.diagnostics() == {"internal": 2}


def test_an_error_is_logged_once_and_counted_each_time(
    recorded: Journeys, checkout: Journey, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.tracer = BrokenTracer()
    for _ in range(5):
        with checkout.step("payment"):
            pass
    assert otel_cx.diagnostics() == {"internal": 5}
    assert len(caplog.records) == 1
    assert " at " in caplog.text, "where it was raised"


def test_the_order_of_installing_and_setting_a_propagator_does_not_matter_for_safety() -> None:
    """Ours wraps whichever propagator is in place, so headers of others still pass."""
    provider = TracerProvider(shutdown_on_exit=False)
    before = propagate.get_global_textmap()
    settings, tracer, blind = runtime.settings, runtime.tracer, runtime.sampler_is_blind
    try:
        otel_cx.install(provider, Settings())
        guard = propagate.get_global_textmap()
        assert isinstance(guard, CXPropagator)
        assert guard.fields == before.fields
    finally:
        propagate.set_global_textmap(before)
        runtime.settings, runtime.tracer, runtime.sampler_is_blind = settings, tracer, blind
