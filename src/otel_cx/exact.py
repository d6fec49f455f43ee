"""Exact step counts under head sampling: steps are recorded whatever the sampler says, and sent by an exporter of ours.

The process's own exporters go on with the sampled spans alone. Not tail sampling: nothing is kept back to decide later.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from otel_cx import semconv
from otel_cx._arrival import ENTRANCES
from otel_cx._context import SCOPE, is_in_journey
from otel_cx._diagnostics import Reason, count
from otel_cx.exceptions import MissingDependency

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link, TraceState
    from opentelemetry.util.types import Attributes

MAX_QUEUE: Final = 8_192
"""Steps that wait to be sent: eight seconds of a thousand a second. More are dropped, and counted `exact_dropped`."""
BATCH: Final = 512
"""Steps of one request, the SDK's own default."""
DELAY_MS: Final = 1_000.0
"""Longest wait for others to be sent with."""

_EXITS: Final = (SpanKind.CLIENT, SpanKind.PRODUCER)


class ExactSampler(Sampler):
    """Records, without sampling it, what steps need of a trace that `root` drops; everything else stays dropped.

    That is: server and consumer spans, steps, and calls out of a journey, for what travels with a call is decided by
    where its span says it goes.
    """

    def __init__(self, root: Sampler) -> None:
        self.root = root

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Answers as `root` does, but records what steps need."""
        result = self.root.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is not Decision.DROP or not _is_needed(parent_context, kind):
            return result
        return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)

    def get_description(self) -> str:
        """Names the sampler inside."""
        return f"Exact{{{self.root.get_description()}}}"


def _is_needed(parent_context: Context | None, kind: SpanKind | None) -> bool:
    if kind in ENTRANCES:
        return True
    try:
        context = otel_context.get_current() if parent_context is None else parent_context
        scope: Any = context.get(SCOPE)
        if scope is not None and scope.prepared is not None:
            return True
        return kind in _EXITS and is_in_journey(context)
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)
        return False


def sample_exactly(provider: TracerProvider) -> None:
    """Has `provider`, and the tracers it has given out where the SDK knows them, record what steps need."""
    if isinstance(provider.sampler, ExactSampler):
        return
    provider.sampler = ExactSampler(provider.sampler)
    for tracer in list(getattr(provider, "_tracers", {}).values()):  # of SDKs that keep them; older ones do not
        tracer.sampler = provider.sampler


class ExactProcessor(SpanProcessor):
    """Sends every step that ends, sampled or not, marked as exact; bounded, in batches, from a thread of its own.

    Args:
        make: Makes the exporter, once in each process: a connection does not survive a fork.
    """

    def __init__(self, make: Callable[[], SpanExporter]) -> None:
        self._waiting = 0
        self._sending = _Sending(make, self._sent)
        self._batches = BatchSpanProcessor(
            self._sending, max_queue_size=MAX_QUEUE, schedule_delay_millis=DELAY_MS, max_export_batch_size=BATCH
        )
        if hasattr(os, "register_at_fork"):
            forget = weakref.WeakMethod(self._forget)
            os.register_at_fork(after_in_child=lambda: _call(forget()))

    def on_end(self, span: ReadableSpan) -> None:
        """Queues a step. Never raises."""
        try:
            if semconv.JOURNEY_STEP not in (span.attributes or {}):
                return
            if self._waiting >= MAX_QUEUE:
                count(Reason.EXACT_DROPPED)
                return
            self._waiting += 1
            self._batches.on_end(_marked(span))
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)

    def shutdown(self) -> None:
        """Sends what waits, and ends."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it without types

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Sends what waits; whether that was possible in time."""
        return bool(self._batches.force_flush(timeout_millis))

    def _sent(self, steps: int) -> None:
        self._waiting = max(0, self._waiting - steps)

    def _forget(self) -> None:
        self._waiting = 0  # what waited is the parent's to send


def _call(forget: Callable[[], None] | None) -> None:
    if forget is not None:
        forget()


class _Sending(SpanExporter):
    """The exporter of this process, whichever it is, and a count of what it could not send."""

    def __init__(self, make: Callable[[], SpanExporter], done: Callable[[int], None]) -> None:
        self._make = make
        self._done = done
        self._exporter = make()  # so that what is not installed is told at the start
        self._process_id = os.getpid()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends a batch; the exporter itself tries again as OTLP says."""
        try:
            if self._process_id != os.getpid():
                self._exporter, self._process_id = self._make(), os.getpid()
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - an exporter's failure is ours to count
            count(Reason.EXACT_NOT_SENT, error, times=len(spans))
            return SpanExportResult.FAILURE
        finally:
            self._done(len(spans))
        if result is not SpanExportResult.SUCCESS:
            count(Reason.EXACT_NOT_SENT, times=len(spans))
        return result

    def shutdown(self) -> None:
        """Ends the exporter, if it is this process's."""
        if self._process_id == os.getpid():
            self._exporter.shutdown()


def _marked(span: ReadableSpan) -> ReadableSpan:
    """Returns `span` as it ended, marked as exact.

    Its trace flags say sampled, because the SDK's batches pass over what is not; the collector goes by the mark.
    """
    own = cast("SpanContext", span.context)
    return ReadableSpan(
        name=span.name,
        context=SpanContext(
            own.trace_id, own.span_id, own.is_remote, TraceFlags(own.trace_flags | TraceFlags.SAMPLED), own.trace_state
        ),
        parent=span.parent,
        resource=span.resource,
        attributes={**(span.attributes or {}), semconv.EXACT: True},
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def otlp_exporter(endpoint: str | None) -> Callable[[], SpanExporter]:
    """Returns what makes an OTLP exporter to `endpoint`, by the protocol that the environment names; default gRPC.

    `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`, else `OTEL_EXPORTER_OTLP_PROTOCOL`, `http/protobuf` or `grpc`. Without an
    endpoint it is the one of traces.
    """

    def make() -> SpanExporter:
        from os import environ

        protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        try:
            if protocol == "http/protobuf":
                from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

                return Http(endpoint=None if endpoint is None else _traces_path(endpoint))
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

            return Grpc(endpoint=endpoint)
        except ImportError as error:
            package = "http" if protocol == "http/protobuf" else "grpc"
            raise MissingDependency(
                f"The OTLP exporter for {protocol or 'grpc'} cannot be imported. Install it with: "
                f"pip install opentelemetry-exporter-otlp-proto-{package}"
            ) from error

    return make


def _traces_path(endpoint: str) -> str:
    return endpoint if endpoint.rstrip("/").endswith("/v1/traces") else f"{endpoint.rstrip('/')}/v1/traces"
