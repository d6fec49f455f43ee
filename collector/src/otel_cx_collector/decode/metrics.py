"""Counts the data points of an ExportMetricsServiceRequest. They are accepted, not yet read."""

from typing import Final

from otel_cx_collector.decode.counting import count_json, count_protobuf
from otel_cx_collector.decode.limits import DecodeLimits

_PROTOBUF: Final = ((1,), (2,), (2,), (5, 7, 9, 10, 11), (1,))
"""Field numbers on the way to a point: ResourceMetrics, ScopeMetrics, Metric, its data, data_points."""
_JSON: Final = (
    ("resourceMetrics",),
    ("scopeMetrics",),
    ("metrics",),
    ("gauge", "sum", "histogram", "exponentialHistogram", "summary"),
    ("dataPoints",),
)


def count(body: bytes, json: bool, limits: DecodeLimits) -> int:
    """Data points in the request. Raises BadRequest or TooLarge, nothing else."""
    return count_json(body, _JSON, limits) if json else count_protobuf(body, _PROTOBUF, limits)
