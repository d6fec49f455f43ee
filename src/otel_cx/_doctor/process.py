"""The running process: is there a provider, is the SDK in it, what carries journeys on, what was lost. Only reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from opentelemetry import propagate, trace

from otel_cx import semconv
from otel_cx._diagnostics import Reason, diagnostics
from otel_cx._doctor.findings import Finding, note, ok, problem
from otel_cx._install import EXACT, INSTALLED
from otel_cx._route_rules import rules_of
from otel_cx._settings import runtime

HEADERS: Final = ("traceparent", "baggage")
"""What a propagator must carry, so that a journey and its trace go on in the next service."""

_CURES: Final = {
    "invalid_name": "Use the names of the inventory; a name made of a customer's data is none.",
    "invalid_value": "Give values of A-Z a-z 0-9 . _ : -, at most 64 characters.",
    "invalid_attempt": "Look at what sends the cookie or header; an attempt is A-Z a-z 0-9 . _ : -, at most 64.",
    "invalid_revenue": "Give step.revenue() a finite amount and an ISO 4217 currency.",
    "no_holder": "Call identify() while the request is served, inside its server span.",
    "no_key": "Set OTELCX_KEY_FILE; without a key neither customers nor accounts are recorded.",
    "no_server_span": "Instrument the framework with its opentelemetry-instrumentation package.",
    "baggage_untrusted": "Set OTELCX_TRUST=signed (or all) if only services of yours reach this one.",
    "baggage_signature": "Give the sending service the same OTELCX_KEY_FILE, its key among the lines here.",
    "baggage_oversize": "Send less baggage: everybody's together has 8192 bytes, ours 2048 and 16 members.",
    "baggage_invalid": "Look for what sends otelcx.* members by hand; the SDK sends them in their shape.",
    "egress_denied": "Set OTELCX_EGRESS_HOSTS or OTELCX_EGRESS_DESTINATIONS if the receiver is a service of yours.",
    "exact_dropped": "Look at the collector: it takes steps too slowly, or not.",
    "exact_not_sent": "Set OTELCX_EXACT_ENDPOINT if the collector is not where traces go.",
    "internal": "The process's log has the details once, from the logger otel_cx; please report them.",
}
_MAY_BE_MEANT: Final = frozenset(
    {"baggage_untrusted", "baggage_oversize", "baggage_invalid", "egress_denied", "invalid_attempt"}
)
_TOLD_OTHERWISE: Final = frozenset({Reason.NO_BAGGAGE, Reason.PROPAGATOR_REPLACED})


def examine() -> Iterator[Finding]:
    """Yields what is found in this process."""
    provider: Any = trace.get_tracer_provider()
    yield from _provider(provider)
    if hasattr(provider, "add_span_processor"):
        yield from _resource(provider)
        yield from _export(provider)
        yield from _sampling(provider)
    if getattr(provider, INSTALLED, None) is not None:
        yield from _propagator()
        yield from _routes(provider)
    yield from _losses()


def _provider(provider: Any) -> Iterator[Finding]:
    kind = type(provider).__name__
    if isinstance(provider, trace.ProxyTracerProvider):
        cure = (
            "Call otel_cx.configure(endpoint=...) at start, or run the program under opentelemetry-instrument. A "
            "process that sets a provider must have done so before this is asked."
        )
        yield problem("no-provider", "No tracer provider is set, so nothing is recorded.", kind, cure)
    elif not hasattr(provider, "add_span_processor"):
        cure = "Use the TracerProvider of opentelemetry-sdk; OTEL_PYTHON_TRACER_PROVIDER may name another."
        yield problem("foreign-provider", "The tracer provider takes no span processor.", kind, cure)
    elif getattr(provider, INSTALLED, None) is None:
        cure = (
            "Call otel_cx.install(provider) with this provider, after it is set; under opentelemetry-instrument, look "
            "for 'otel-cx is not installed' in the log, and for cx in OTEL_PYTHON_DISABLED_INSTRUMENTATIONS."
        )
        yield problem("not-installed", "The tracer provider does not have otel-cx in it.", kind, cure)
    else:
        yield ok("provider", "The tracer provider has otel-cx in it.", kind)


def _resource(provider: Any) -> Iterator[Finding]:
    attributes = provider.resource.attributes
    service = str(attributes.get("service.name", ""))
    if not service or service.startswith("unknown_service"):
        cure = "Set OTEL_SERVICE_NAME; rules of the inventory with a service never match without."
        yield note("no-service-name", "The service has no name.", service or "service.name is not set", cure)
    else:
        environment = attributes.get(semconv.ENVIRONMENT, semconv.UNSET)
        yield ok("resource", "The service has a name.", f"{service}, {semconv.ENVIRONMENT} {environment}")


def _export(provider: Any) -> Iterator[Finding]:
    processors = getattr(getattr(provider, "_active_span_processor", None), "_span_processors", None)
    if processors is None:  # no public call lists them; another SDK version may keep them elsewhere
        return
    exporters = [name for name in map(_exporter, processors) if name]
    if exporters:
        yield ok("exporter", "Spans are exported.", ", ".join(exporters))
    else:
        cure = "Add a BatchSpanProcessor with an OTLP exporter, and look whether OTEL_TRACES_EXPORTER is none."
        shown = ", ".join(type(processor).__name__ for processor in processors) or "no span processor"
        yield problem("no-exporter", "No span processor exports spans.", shown, cure)


def _exporter(processor: Any) -> str:
    for holder in (processor, getattr(processor, "_batch_processor", None)):
        for name in ("span_exporter", "_exporter"):
            exporter = getattr(holder, name, None)
            if exporter is not None:
                endpoint = getattr(exporter, "_endpoint", "")
                return type(exporter).__name__ + (f" to {endpoint.rpartition('@')[2]}" if endpoint else "")
    return ""


def _sampling(provider: Any) -> Iterator[Finding]:
    sampler = provider.sampler
    said = sampler.get_description()
    share = share_of(sampler)
    if getattr(provider, EXACT, None) is not None:
        yield ok("exact", "Every step is sent, whatever is sampled.", said)
    elif share == 0:
        cure = "Set OTEL_TRACES_SAMPLER=parentbased_always_on, or OTELCX_EXACT=true."
        yield problem("sampled-out", "The sampler records nothing.", said, cure)
    elif share is None or share < 1:
        cure = "Set OTELCX_EXACT=true, or otel_cx.install(provider, exact=True): every step is then sent."
        yield problem("sampled", "Steps are lost to sampling, and exact is off.", said, cure)
    else:
        yield ok("sampler", "Every trace that begins here is recorded.", said)


def share_of(sampler: Any) -> float | None:
    """Returns the share of traces that begin here and are sampled; None when it cannot be told."""
    from opentelemetry.sdk.trace.sampling import Decision, ParentBased, StaticSampler, TraceIdRatioBased

    if isinstance(sampler, ParentBased):
        return share_of(getattr(sampler, "_root", None))
    if isinstance(sampler, TraceIdRatioBased):
        return sampler.rate
    if isinstance(sampler, StaticSampler):
        return float(getattr(sampler, "_decision", None) is Decision.RECORD_AND_SAMPLE)
    return None


def _propagator() -> Iterator[Finding]:
    from otel_cx.propagator import CXPropagator

    present = propagate.get_global_textmap()
    fields = ", ".join(sorted(present.fields)) or "no header"
    missing = [name for name in HEADERS if name not in present.fields]
    if not isinstance(present, CXPropagator):
        cure = "Set the propagator before otel_cx.install, or call otel_cx.install again after it."
        what = "Another propagator was set after otel_cx.install, so no journey comes in or goes out."
        yield problem("propagator-replaced", what, f"{type(present).__name__} ({fields})", cure)
    elif missing:
        cure = "Set OTEL_PROPAGATORS=tracecontext,baggage, or `propagator` in the file of OTEL_CONFIG_FILE."
        what = f"The propagator does not carry {' and '.join(missing)}, so a journey ends with the process."
        yield problem("propagator-missing", what, fields, cure)
    else:
        yield ok("propagator", "The propagator carries journeys.", fields)
    settings = runtime.settings
    if not (settings.egress_hosts or settings.egress_destinations):
        cure = "Set OTELCX_EGRESS_HOSTS and OTELCX_EGRESS_DESTINATIONS to the services and queues of yours."
        shown = f"inside the cluster alone: {', '.join(settings.cluster_suffixes) or 'nowhere'}"
        yield note("no-egress", "Journeys are sent on to few.", shown, cure)


def _routes(provider: Any) -> Iterator[Finding]:
    rules = rules_of(runtime.settings.routes)
    if not rules:
        return
    routes = getattr(provider, INSTALLED).routes
    if routes is None:
        services = ", ".join(sorted({str(rule.service) for rule in rules}))
        cure = f"Set OTEL_SERVICE_NAME to one of: {services}."
        name = provider.resource.attributes.get("service.name")
        yield problem("routes-of-others", "All routes are for other services.", f"service.name is {name!r}", cure)
        return
    written = ", ".join(str(rule.route or "everything") for rule in routes.rules[:5])
    if routes.matched:
        yield ok("routes", f"Routes matched {routes.matched} times.", written)
    elif routes.passed_over:
        cure = "Write the routes as they are seen here: the method, and the path or the framework's http.route."
        seen = ", ".join(routes.unmatched) or "spans that name no request"
        yield problem("routes-unmatched", "No route matched anything.", f"routes: {written}; seen: {seen}", cure)
    else:
        cure = "Send a request, then ask again. If it stays so, instrument the framework: it starts no server spans."
        yield note("routes-unused", "No server or consumer span has started yet.", f"routes: {written}", cure)


def _losses() -> Iterator[Finding]:
    meanings = {reason.value: reason.meaning for reason in Reason}
    for reason, times in diagnostics().items():
        if reason in _TOLD_OTHERWISE:
            continue
        found = note if reason in _MAY_BE_MEANT else problem
        cure = _CURES.get(reason, "docs/how-to/doctor.md says what it comes from.")
        yield found(reason.replace("_", "-"), f"{meanings[reason]}.", f"count {times}", cure)
