"""ExportMetricsServiceRequest as OTLP/JSON to the levels that are asked for: the same as metrics_protobuf.py finds."""

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import EncodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from otel_cx_collector.decode.document import enum, mapping, objects, uint64
from otel_cx_collector.decode.json_values import check_json_nesting, read_json_double, read_json_int, read_json_value
from otel_cx_collector.decode.levels import Attributes, Levels, Metric, Point, Source, WantedMetrics, digest, pair_key
from otel_cx_collector.decode.limits import DecodeLimits
from otel_cx_collector.decode.metrics_protobuf import Pair, sum_kind
from otel_cx_collector.decode.span import UNREADABLE

_DISTRIBUTIONS: Final = {
    "histogram": "a histogram",
    "exponentialHistogram": "an exponential histogram",
    "summary": "a summary",
}


def decode(document: Any, wanted: WantedMetrics, levels: Levels) -> None:
    """Give ``levels`` each point of the metrics that are asked for. Raises BadRequest or TooLarge, nothing else."""
    for block in objects(mapping(document, "request"), "resourceMetrics"):
        _resource_metrics(block, wanted, levels)


def _resource_metrics(block: dict[str, Any], wanted: WantedMetrics, levels: Levels) -> None:
    found = [
        (scope, metric, name, asked)
        for scope in objects(block, "scopeMetrics")
        for metric in objects(scope, "metrics")
        if isinstance(name := metric.get("name"), str) and (asked := wanted.asked.get(name.encode()))
    ]
    if not found:
        return
    resource = _attributes(objects(mapping(block.get("resource"), "resource"), "attributes"), levels)
    instance = digest(resource.key) if resource else ""
    for scope, metric, name, asked in found:
        scope_name = mapping(scope.get("scope"), "scope").get("name")
        source = Source(resource, instance, scope_name.encode() if isinstance(scope_name, str) else b"")
        _metric(metric, source, Metric(name[: levels.limits.value_chars], asked, "", is_level=False), levels)


def _metric(given: dict[str, Any], source: Source, metric: Metric, levels: Levels) -> None:
    """Read the points of one metric, whatever data it has."""
    for key in ("gauge", "sum", *_DISTRIBUTIONS):
        data = mapping(given.get(key), key)
        kind = _DISTRIBUTIONS.get(key, "")
        if key == "sum":
            kind = sum_kind(enum(data, "aggregationTemporality"), monotonic=data.get("isMonotonic") is True)
        judged = metric._replace(kind=kind, is_level=not kind)
        for point in objects(data, "dataPoints"):
            levels.charge(len(point))
            levels.take(judged, source, _point(point, levels))


def _point(point: dict[str, Any], levels: Levels) -> Point:
    value = None
    for key, read in (("asDouble", read_json_double), ("asInt", read_json_int)):
        if point.get(key) is not None:
            number = read(point[key])
            value = float(number) if number != UNREADABLE else None
    attributes = _attributes(objects(point, "attributes"), levels)
    return Point(attributes, uint64(point, "timeUnixNano"), value, max(uint64(point, "flags"), 0))


def _attributes(given: Iterable[dict[str, Any]], levels: Levels) -> Attributes | None:
    """None when there are too many."""
    pairs = []
    for pair in given:
        levels.charge(1)
        pairs.append(_pair(pair, levels.limits))
        if len(pairs) > levels.limits.attributes:
            return None
    return Attributes.of(pairs)


def _pair(pair: dict[str, Any], limits: DecodeLimits) -> Pair:
    given = pair.get("key")
    key = given[: limits.value_chars] if isinstance(given, str) else ""
    value = mapping(pair.get("value"), "an attribute's value")
    scalar = read_json_value(value, limits)
    if scalar == UNREADABLE:
        check_json_nesting(value, limits.nesting)
        return key, None, pair_key(key, [digest(_text(value))])
    return key, scalar, pair_key(key, scalar)


def _text(value: dict[str, Any]) -> bytes:
    """A list, a map or bytes as protobuf has it; the same for all that protobuf cannot hold."""
    try:
        return bytes(ParseDict(value, AnyValue(), ignore_unknown_fields=True).SerializeToString())
    except (ParseError, EncodeError):
        return b""
