"""What the span processor writes on a span that starts, by whichever way the SDK's internals let it."""

from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler, SamplingResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

import otel_cx
from otel_cx import Journey, Settings, semconv
from otel_cx.testing import TEST_KEY, Journeys, recording

VALUES: dict[str, Any] = {semconv.JOURNEY_NAME: "checkout", semconv.SEGMENT: "trial", semconv.REGION: "eu"}


def start(limits: SpanLimits, own: dict[str, Any]) -> dict[str, Any]:
    from otel_cx.processor import stamp

    exporter = InMemorySpanExporter()
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    span = provider.get_tracer("x").start_span("s", attributes=own)
    stamp(span, VALUES)  # type: ignore[arg-type]  # a span of the SDK
    span.end()
    [ended] = exporter.get_finished_spans()
    return dict(ended.attributes or {})


FAST = SpanLimits()
SLOW = SpanLimits(max_span_attribute_length=64)
"""A limit on lengths, which only `set_attributes` knows to keep."""


@pytest.mark.parametrize("own", [{}, {"a": 1}, {semconv.SEGMENT: "mine", "b": 2.5}])
def test_the_fast_way_and_the_sdks_way_write_the_same(own: dict[str, Any]) -> None:
    assert start(FAST, own) == start(SLOW, own) == {**VALUES, **own}


def test_limits_of_the_sdk_hold() -> None:
    assert len(start(SpanLimits(max_span_attributes=2), {"a": 1})) == 2
    assert start(SpanLimits(max_span_attributes=0), {}) == {}
    assert start(SpanLimits(max_span_attribute_length=3), {})[semconv.SEGMENT] == "tri"


def test_an_attribute_the_span_was_started_with_stays(recorded: Journeys, checkout: Journey) -> None:
    tracer = recorded.provider.get_tracer("x")
    with checkout.step("payment"), tracer.start_as_current_span("query", attributes={semconv.REVENUE_CLASS: "usage"}):
        pass
    assert dict(recorded.span("query").attributes or {})[semconv.REVENUE_CLASS] == "usage"


def test_a_step_found_by_its_span_alone_is_within_too(recorded: Journeys, checkout: Journey) -> None:
    """A thread that is handed the span and not the context still serves the step."""
    tracer = recorded.provider.get_tracer("x")
    with checkout.attempt("a"), checkout.step("payment") as step:
        tracer.start_span("elsewhere", context=set_span_in_context(step.span, otel_context.Context())).end()
    found = dict(recorded.span("elsewhere").attributes or {})
    assert (found[semconv.JOURNEY_WITHIN], found[semconv.JOURNEY_ATTEMPT]) == ("payment", "a")


def test_a_span_with_a_remote_parent_is_a_local_root(recorded: Journeys) -> None:
    remote = NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
    tracer = recorded.provider.get_tracer("x")
    with tracer.start_as_current_span("server", context=set_span_in_context(remote)):
        otel_cx.identify(segment="trial")
    assert dict(recorded.span("server").attributes or {}) == {semconv.SEGMENT: "trial"}


def test_members_in_the_applications_own_baggage_are_believed_inside_only() -> None:
    for trust, expected in (("all", {semconv.JOURNEY_NAME: "checkout"}), ("none", {})):
        with recording(Settings(trust=trust, keys=TEST_KEY)) as recorded:  # type: ignore[arg-type]  # one of Trust
            context = baggage.set_baggage(semconv.JOURNEY_NAME, "checkout")
            context = baggage.set_baggage(semconv.JOURNEY_STEP, "payment", context)
            context = baggage.set_baggage(semconv.CUSTOMER_ID, "raw-id", context)
            recorded.provider.get_tracer("x").start_span("server", context=context).end()
            assert dict(recorded.span("server").attributes or {}) == expected


class Watching(Sampler):
    """Keeps everything, and what it saw."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        self.seen.append(dict((args[4] if len(args) > 4 else kwargs.get("attributes")) or {}))
        return ALWAYS_ON.should_sample(*args, **kwargs)

    def get_description(self) -> str:
        return "watching"


def test_a_sampler_that_may_look_at_attributes_sees_the_steps(checkout: Journey) -> None:
    sampler = Watching()
    with recording(sampler=sampler) as recorded:
        with checkout.attempt("a"), checkout.step("payment"):
            pass
        assert sampler.seen[0][semconv.JOURNEY_STEP] == "payment"
        assert sampler.seen[0] == recorded.steps()[0].attributes


def test_a_step_is_whole_on_a_provider_that_was_not_installed(recorded: Journeys, checkout: Journey) -> None:
    from otel_cx._settings import runtime

    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    runtime.tracer = provider.get_tracer("x")  # put back by the fixture
    with checkout.attempt("a"), checkout.step("payment"):
        pass
    [span] = exporter.get_finished_spans()
    assert span.attributes == {
        semconv.JOURNEY_NAME: "checkout",
        semconv.JOURNEY_ATTEMPT: "a",
        semconv.JOURNEY_STEP: "payment",
        semconv.REVENUE_CLASS: "new",
    }


def test_a_request_leaves_nothing_for_the_garbage_collector(recorded: Journeys, checkout: Journey) -> None:
    import gc

    def serve() -> None:
        with recorded.provider.get_tracer("x").start_as_current_span("server"):
            otel_cx.identify(customer="u")
            with checkout.attempt("a"), checkout.step("payment"):
                pass

    serve()
    recorded.clear()
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            serve()
        recorded.clear()
        assert gc.collect() == 0
    finally:
        gc.enable()
