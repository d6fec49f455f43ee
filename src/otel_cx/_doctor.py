"""Why a journey does not show up, as far as this process can tell: provider, processor, propagator, keys, counts.

It asks nobody; `_consultation` asks the collector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import propagate, trace

from otel_cx._diagnostics import Reason, diagnostics
from otel_cx._findings import Finding, note, ok, problem
from otel_cx._settings import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

_HARMLESS = (Reason.NO_KEY, Reason.BAGGAGE_UNTRUSTED, Reason.EGRESS_DENIED, Reason.NO_HOLDER)
"""What is often meant so: an edge that believes nobody, an outside host that is told nothing."""


def doctor() -> list[Finding]:
    """Returns what this process's own set-up says about journeys that do not show up. Call it after start, or later.

    >>> import otel_cx
    >>> [finding.what for finding in otel_cx.doctor() if finding.level == "problem"][:1]
    ['no tracer provider is set']
    """
    return [*_provider(), *_propagator(), *_customers(), *_counted()]


def _provider() -> Iterator[Finding]:
    present: Any = trace.get_tracer_provider()
    if isinstance(present, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        yield problem(
            "no tracer provider is set",
            type(present).__name__,
            "call otel_cx.configure(), or set up OpenTelemetry and call otel_cx.install(provider)",
        )
        return
    if getattr(present, "_otelcx_installed", None) is None:
        yield problem(
            "the tracer provider does not stamp journeys",
            type(present).__name__,
            "call otel_cx.install(provider) with this one; under opentelemetry-instrument the instrumentor cx does",
        )
        return
    yield ok("the tracer provider stamps journeys", type(present).__name__)
    yield from _sampler(getattr(present, "sampler", None))


def _sampler(sampler: Any) -> Iterator[Finding]:
    told = getattr(sampler, "get_description", lambda: "")()
    if told.startswith("Exact{"):
        yield ok("every step is counted, whatever is sampled", told)
    elif "AlwaysOnSampler" in told and "TraceIdRatio" not in told:
        yield ok("every trace is sampled", told)
    elif told:
        yield note(
            "traces are sampled, and with them steps",
            told,
            "set OTELCX_EXACT=true, or exact=True, so that every step is counted all the same",
        )


def _propagator() -> Iterator[Finding]:
    present = propagate.get_global_textmap()
    if type(present).__name__ != "CXPropagator":
        yield problem(
            "the process's propagator is not guarded",
            type(present).__name__,
            "call otel_cx.install after whatever sets a propagator",
        )
    if "baggage" not in present.fields:
        yield problem(
            "the propagator carries no baggage, so a journey ends with the process",
            ", ".join(sorted(present.fields)) or "no fields",
            "add baggage to OTEL_PROPAGATORS, or to `propagator` in the configuration file",
        )
    else:
        yield ok("journeys travel with calls", ", ".join(sorted(present.fields)))


def _customers() -> Iterator[Finding]:
    settings = runtime.settings
    if settings.keys is None:
        yield note(
            "customers and accounts are not recorded",
            "no key",
            "set OTELCX_KEY_FILE to a file with a line `<key id>:<secret>`",
        )
    else:
        yield ok("customers are recorded as pseudonyms", f"key {settings.keys.active}")


def _counted() -> Iterator[Finding]:
    counts = diagnostics()
    for reason in Reason:
        if times := counts.get(reason.value):
            told = note if reason in _HARMLESS else problem
            yield told(reason.meaning.partition(":")[0], f"{reason.value}, {times} times", _cure(reason))


def _cure(reason: Reason) -> str:
    return reason.meaning.partition(": ")[2] or f"look for the log line of otel_cx that names {reason.value}"
