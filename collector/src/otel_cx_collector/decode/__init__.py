"""OTLP bytes to candidate spans and points, JSON lines to facts. Raises nothing but BadRequest and TooLarge."""

from otel_cx_collector.decode.errors import BadRequest, TooLarge
from otel_cx_collector.decode.limits import DecodeLimits, FactLimits

__all__ = ["BadRequest", "DecodeLimits", "FactLimits", "TooLarge"]
