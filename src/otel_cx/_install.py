"""Puts the parts in place: settings, span processor, propagator. Imports the OpenTelemetry SDK only when called."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, cast

from otel_cx._route_rules import rules_of
from otel_cx._settings import Settings, runtime
from otel_cx.exceptions import ConfigurationError, MissingDependency

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    from otel_cx._span_routes import SpanRoutes

INSTALLED: Final = "_otelcx_installed"
"""Attribute of a tracer provider that holds our span processor."""
EXACT: Final = "_otelcx_exact"
"""Attribute of one that sends exact steps."""
_configured: list[tuple[object, TracerProvider]] = []


def install(provider: TracerProvider, settings: Settings | None = None, *, exact: bool | None = None) -> None:
    """Makes `provider` stamp journeys, and guards the process's propagator; again on the same provider adds nothing.

    Call it before the first request, and before frameworks are instrumented. `settings` default to the environment
    (`Settings.from_env`); `exact` goes before theirs.

    Raises:
        ConfigurationError: a setting cannot be used.
        MissingDependency: opentelemetry-sdk is not installed.
    """
    try:
        from otel_cx.processor import CXSpanProcessor
    except ImportError as error:
        raise missing_sdk() from error
    from opentelemetry import propagate

    from otel_cx.propagator import CXPropagator, check_propagator

    decided = _decided(settings, exact)
    if not hasattr(provider, "add_span_processor"):
        raise ConfigurationError(
            f"{type(provider).__name__} cannot take span processors. Pass the TracerProvider of opentelemetry-sdk."
        )
    processor: CXSpanProcessor | None = getattr(provider, INSTALLED, None)
    if processor is None:
        processor = CXSpanProcessor()
        provider.add_span_processor(processor)
        setattr(provider, INSTALLED, processor)
    processor.routes = _routes_of(provider, decided)
    if decided.exact and runtime.exports:
        _count_exactly(provider, decided)
    if not isinstance(propagate.get_global_textmap(), CXPropagator):
        propagate.set_global_textmap(CXPropagator(propagate.get_global_textmap()))
    check_propagator()
    runtime.settings = decided
    runtime.tracer = provider.get_tracer("otel_cx")
    runtime.sampler_is_blind = _is_blind(getattr(provider, "sampler", None))
    if runtime.on_install is not None:
        runtime.on_install(provider)


def _decided(settings: Settings | None, exact: bool | None) -> Settings:
    decided = Settings.from_env() if settings is None else settings
    return decided if exact is None else dataclasses.replace(decided, exact=exact)


def _count_exactly(provider: TracerProvider, settings: Settings) -> None:
    from otel_cx.exact import ExactProcessor, otlp_exporter, sample_exactly

    if getattr(provider, EXACT, None) is None:
        processor = ExactProcessor(otlp_exporter(settings.exact_endpoint))
        provider.add_span_processor(processor)
        setattr(provider, EXACT, processor)
    sample_exactly(provider)


def _routes_of(provider: TracerProvider, settings: Settings) -> SpanRoutes | None:
    from otel_cx._span_routes import SpanRoutes

    service = getattr(provider, "resource", None) and provider.resource.attributes.get("service.name")
    routes = SpanRoutes(rules_of(settings.routes), str(service or ""))
    return routes if routes.rules else None


def configure(
    endpoint: str | None = None,
    *,
    resource: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    exact: bool | None = None,
) -> TracerProvider:
    """Sets up tracing for a process that has none: a provider that exports OTLP/gRPC to `endpoint`, with us installed.

    Args:
        endpoint: URL of the collector; default `OTEL_EXPORTER_OTLP_ENDPOINT`, else http://localhost:4317.
        resource: attributes such as service.name, service.version; `OTEL_RESOURCE_ATTRIBUTES` is read as well.
        settings: default `Settings.from_env()`.
        exact: goes before that of the settings.

    Returns:
        The tracer provider, set as the global one. The same call again returns the same provider. Under the pytest
        plugin it exports nothing, and a provider that is there already is taken.

    Raises:
        ConfigurationError: tracing is set up already, or differently; or a setting cannot be used.
        MissingDependency: the SDK or the exporter is not installed.
    """
    if not runtime.exports:
        return _configured_for_tests(resource, settings)
    asked = (endpoint, dict(resource or {}), settings, exact)
    if _configured:
        return _configured_before(asked)
    from opentelemetry import trace

    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        raise ConfigurationError(
            f"The global tracer provider is already a {type(trace.get_tracer_provider()).__name__}. "
            "Call otel_cx.install(provider) with it instead of configure()."
        )
    provider = _provider(resource)
    provider.add_span_processor(_exporting(endpoint))
    decided = _decided(settings, exact)
    if decided.exact_endpoint is None and endpoint is not None:
        decided = dataclasses.replace(decided, exact_endpoint=endpoint)
    install(provider, decided)
    trace.set_tracer_provider(provider)
    _configured.append((asked, provider))
    return provider


def _is_blind(sampler: object) -> bool:
    from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, StaticSampler, TraceIdRatioBased

    from otel_cx.exact import ExactSampler

    if type(sampler) is ExactSampler:  # it looks for the step, not at attributes
        return _is_blind(sampler.root)
    if type(sampler) is ParentBased:
        return all(_is_blind(part) for part in vars(sampler).values() if isinstance(part, Sampler))
    return type(sampler) in {StaticSampler, TraceIdRatioBased}


def _configured_before(asked: object) -> TracerProvider:
    before, provider = _configured[0]
    if asked != before:
        raise ConfigurationError(
            f"configure() was called with {before!r} and now with {asked!r}. Call it once, at start."
        )
    return provider


def _configured_for_tests(resource: Mapping[str, str] | None, settings: Settings | None) -> TracerProvider:
    from opentelemetry import trace

    present: Any = trace.get_tracer_provider()
    provider = _provider(resource) if isinstance(present, trace.ProxyTracerProvider) else present
    install(provider, settings)
    if provider is not present:
        trace.set_tracer_provider(provider)
    return cast("TracerProvider", provider)


def _provider(resource: Mapping[str, Any] | None) -> TracerProvider:
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError as error:
        raise missing_sdk() from error
    return TracerProvider(resource=Resource.create(dict(resource or {})))


def _exporting(endpoint: str | None) -> SpanProcessor:
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise missing_sdk() from error
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint))


def missing_sdk() -> MissingDependency:
    """Returns the error for an import that failed because the SDK parts are not installed."""
    return MissingDependency(
        "opentelemetry-sdk and its OTLP exporter cannot be imported. Install them with: pip install 'otel-cx[sdk]'"
    )
