"""The one place where a service sets up OpenTelemetry and otel-cx. Not what is tagged: that stands at the handlers."""

import os
from typing import Literal

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import otel_cx
from examples.hosting.settings import Settings

ORIGIN = "hosting.origin"
"""The platform's own dimension, so that nobody takes the made history for live traffic: ``live`` or ``history``."""


def resource_attributes(service: str, release: str, origin: str) -> dict[str, str]:
    """What stands on the resource of every span of a service, live or made."""
    return {
        "service.name": service,
        "service.version": release,
        "deployment.environment.name": "production",
        ORIGIN: origin,
    }


def _resource(service: str, settings: Settings) -> Resource:
    attributes = resource_attributes(service, settings.release, "live")
    return Resource.create({**attributes, "service.instance.id": f"{service}-{os.getpid()}"})


def set_up(service: str, settings: Settings) -> TracerProvider:
    """Send this process's spans to the collector, once a second so that the page is fresh."""
    provider = TracerProvider(resource=_resource(service, settings))
    exporter = OTLPSpanExporter(endpoint=settings.collector, insecure=True)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1_000))
    trace.set_tracer_provider(provider)
    return provider


def set_up_metrics(service: str, settings: Settings) -> MeterProvider:
    """Send this process's metrics to the collector, every five seconds: twice in a slice that is judged."""
    exporter = OTLPMetricExporter(endpoint=settings.collector, insecure=True)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=5_000)
    return MeterProvider([reader], resource=_resource(service, settings))


def set_up_with_journeys(service: str, settings: Settings, *, trust: Literal["none", "all"]) -> None:
    """The same with otel-cx; ``trust``: whether callers are believed what they say of journey and customer.

    The key of the pseudonyms comes from ``OTELCX_KEY_FILE``. Calls to our own services and queue take the customer's
    context along, all others leave without it.
    """
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")  # the stable HTTP names; the help desk has the old
    provider = set_up(service, settings)
    otel_cx.install(
        provider,
        otel_cx.Settings.from_env(trust=trust, egress_hosts=("127.0.0.1",), egress_destinations=("deployments",)),
    )
