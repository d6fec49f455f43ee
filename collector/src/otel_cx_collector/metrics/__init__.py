"""What the collector tells of itself as metrics: scraped, or pushed by OTLP. Counts nothing; reads what is counted."""

from otel_cx_collector.metrics.page import Metrics
from otel_cx_collector.metrics.push import Push
from otel_cx_collector.metrics.readings import (
    of_channels,
    of_control,
    of_health,
    of_intake,
    of_node,
    of_outbox,
)

__all__ = [
    "Metrics",
    "Push",
    "of_channels",
    "of_control",
    "of_health",
    "of_intake",
    "of_node",
    "of_outbox",
]
