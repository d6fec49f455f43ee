"""What the collector tells of itself as metrics: scraped, or pushed by OTLP. Counts nothing; reads what is counted."""

from otel_cx_collector.metrics.lag import Lag
from otel_cx_collector.metrics.page import Metrics
from otel_cx_collector.metrics.push import Push
from otel_cx_collector.metrics.readings import (
    of_channels,
    of_control,
    of_flush,
    of_health,
    of_intake,
    of_log,
    of_outbox,
    of_receive,
)

__all__ = [
    "Lag",
    "Metrics",
    "Push",
    "of_channels",
    "of_control",
    "of_flush",
    "of_health",
    "of_intake",
    "of_log",
    "of_outbox",
    "of_receive",
]
