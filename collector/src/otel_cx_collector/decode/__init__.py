"""OTLP bytes to candidate spans and points, JSON lines to facts; never raises on input, but for a body that is no OTLP or is too large."""

from otel_cx_collector.decode.errors import BadRequest, TooLarge
from otel_cx_collector.decode.limits import DecodeLimits

__all__ = ["BadRequest", "DecodeLimits", "TooLarge"]
