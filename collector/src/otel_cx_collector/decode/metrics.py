"""An ExportMetricsServiceRequest: all data points counted, the levels that ``saturation`` asks for read. Not judged."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from otel_cx_collector.decode import metrics_json, metrics_protobuf
from otel_cx_collector.decode.counting import count_document, count_json, count_protobuf
from otel_cx_collector.decode.document import parse
from otel_cx_collector.decode.levels import Levels, WantedMetrics
from otel_cx_collector.decode.limits import DecodeLimits
from otel_cx_collector.decode.wire import truncated
from otel_cx_collector.events import PointRefusal, SignalPoint

__all__ = ["MetricCounts", "WantedMetrics", "count", "decode_metrics"]

_PROTOBUF: Final = ((1,), (2,), (2,), (5, 7, 9, 10, 11), (1,))
"""Field numbers on the way to a point: ResourceMetrics, ScopeMetrics, Metric, its data, data_points."""
_JSON: Final = (
    ("resourceMetrics",),
    ("scopeMetrics",),
    ("metrics",),
    ("gauge", "sum", "histogram", "exponentialHistogram", "summary"),
    ("dataPoints",),
)


@dataclass(frozen=True, slots=True)
class MetricCounts:
    """What became of the data points of one request."""

    points: int = 0
    """All of them."""
    rejected: Counter[PointRefusal] = field(default_factory=Counter)
    """Of those that were asked for, the ones that say nothing."""
    detail: str = ""
    """The first of these in words, for ``partial_success.error_message``."""


def count(body: bytes, json: bool, limits: DecodeLimits) -> int:
    """Data points in the request. Raises BadRequest or TooLarge, nothing else."""
    return count_json(body, _JSON, limits) if json else count_protobuf(body, _PROTOBUF, limits)


def decode_metrics(
    body: bytes, as_json: bool, wanted: WantedMetrics, limits: DecodeLimits, *, earliest_ns: int, latest_ns: int
) -> tuple[list[SignalPoint], MetricCounts]:
    """The levels that are asked for, and what became of the others. Raises BadRequest or TooLarge, nothing else.

    Args:
        body: An ExportMetricsServiceRequest.
        as_json: It is OTLP/JSON, else binary protobuf.
        wanted: The metrics to read; every other costs a look at its name beyond being counted.
        limits: Over ``points``, ``signal_points`` or ``work`` the request is TooLarge.
        earliest_ns: A level before it is too late.
        latest_ns: A level after it is in the future.
    """
    levels = Levels(limits, earliest_ns, latest_ns)
    if as_json:
        document = parse(body, limits)
        points = count_document(document, _JSON, limits)
        metrics_json.decode(document, wanted, levels)
    else:
        points = count_protobuf(body, _PROTOBUF, limits)
        try:
            metrics_protobuf.decode(body, wanted, levels)
        except IndexError:
            raise truncated() from None
    return levels.points, MetricCounts(points, levels.rejected, levels.detail)
