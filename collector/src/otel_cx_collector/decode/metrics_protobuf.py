"""ExportMetricsServiceRequest, binary protobuf, to the levels that are asked for. Not JSON (metrics_json.py).

A metric is known by its name alone; the points of one that nobody asks for are not looked at. Numbers and types of the
fields are those of opentelemetry-proto: metrics.proto, common.proto. Runs over a body whose points were counted.
"""

from struct import unpack_from
from typing import Final

from otel_cx_collector.decode.levels import (
    CUMULATIVE,
    Attributes,
    Levels,
    Metric,
    Point,
    Source,
    WantedMetrics,
    digest,
    pair_key,
)
from otel_cx_collector.decode.nested import Message, check
from otel_cx_collector.decode.span import UNREADABLE, Scalar
from otel_cx_collector.decode.values import read_text, read_value, split_pair
from otel_cx_collector.decode.wire import fields, tag_of, varint

_FIRST: Final = tag_of(1)
"""ResourceMetrics of a request, Resource of it, Scope of ScopeMetrics, name of a Scope and a Metric, data points."""
_SECOND: Final = tag_of(2)
"""ScopeMetrics of ResourceMetrics, Metrics of ScopeMetrics."""
_GAUGE: Final = 5
_SUM: Final = 7
_TEMPORALITY: Final = tag_of(2, 0)
_MONOTONIC: Final = tag_of(3, 0)
_NUMBER_ATTRIBUTES: Final = tag_of(7)
_DISTRIBUTIONS: Final = {
    9: ("a histogram", tag_of(9)),
    10: ("an exponential histogram", tag_of(1)),
    11: ("a summary", tag_of(7)),
}
"""Field of a Metric -> what it is, and the field of its points that holds their attributes."""
_TIME: Final = tag_of(3, 1)
_DOUBLE: Final = tag_of(4, 1)
_INT: Final = tag_of(6, 1)
_FLAGS: Final = tag_of(8, 0)

Place = tuple[int, int]
"""Where a message begins and ends in the body."""
Pair = tuple[str, Scalar | None, bytes]


def decode(body: bytes, wanted: WantedMetrics, levels: Levels) -> None:
    """Give ``levels`` each point of the metrics that are asked for. Raises BadRequest or TooLarge, IndexError."""
    if any(name in body for name in wanted.asked):
        reader = _Reader(body, wanted, levels)
        for place in reader.inside((0, len(body)), _FIRST):
            reader.resource_metrics(place)


class _Reader:
    """One walk over one body."""

    def __init__(self, body: bytes, wanted: WantedMetrics, levels: Levels) -> None:
        self._body = body
        self._wanted = wanted
        self._levels = levels
        self._pairs: dict[bytes, Pair] = {}
        """What was read before in this request, by the bytes it was read from."""

    def inside(self, place: Place, tag: int) -> list[Place]:
        """The messages of one field."""
        return [(start, stop) for found, start, stop in fields(self._body, *place) if found == tag]

    def resource_metrics(self, place: Place) -> None:
        """Read the metrics of one resource that are asked for; the resource itself only when there is one."""
        found = [
            (scope, metric, asked)
            for scope in self.inside(place, _SECOND)
            for metric in self.inside(scope, _SECOND)
            if (asked := self._wanted.asked.get(self._name(metric)))
        ]
        if not found:
            return
        resource = self._attributes(self.inside(place, _FIRST), _FIRST)
        instance = digest(resource.key) if resource else ""
        for scope, metric, asked in found:
            source = Source(resource, instance, b"".join(map(self._name, self.inside(scope, _FIRST))))
            name = read_text(self._name(metric), self._levels.limits.value_chars)
            self._metric(metric, source, Metric(name, asked, "", is_level=False))

    def _name(self, place: Place) -> bytes:
        """Field 1, which every encoder writes first."""
        at, end = place
        if at < end and self._body[at] == _FIRST:
            size, start = varint(self._body, at + 1)
            return self._body[start : start + size]
        return next((self._body[start:stop] for start, stop in self.inside(place, _FIRST)), b"")

    def _metric(self, place: Place, source: Source, metric: Metric) -> None:
        """Read the points of one metric. Its data is a oneof: of several kinds the last counts."""
        number, parts = 0, list[Place]()
        for tag, start, stop in fields(self._body, *place):
            if tag >> 3 in (_GAUGE, _SUM, *_DISTRIBUTIONS):
                parts = [*parts, (start, stop)] if tag >> 3 == number else [(start, stop)]
                number = tag >> 3
        kind, attributes = _DISTRIBUTIONS.get(number, ("", _NUMBER_ATTRIBUTES))
        if number == _GAUGE:
            metric = metric._replace(is_level=True)
        elif number == _SUM:
            kind = self._sum(parts)
            metric = metric._replace(kind=kind, is_level=not kind)
        else:
            metric = metric._replace(kind=kind)
        for part in parts:
            for point in self.inside(part, _FIRST):
                self._levels.take(metric, source, self._point(point, attributes))

    def _sum(self, parts: list[Place]) -> str:
        """Why a sum is no level, in words; empty when it is one."""
        temporality = monotonic = 0
        for part in parts:
            for tag, start, _ in fields(self._body, *part):
                if tag == _TEMPORALITY:
                    temporality = varint(self._body, start)[0]
                elif tag == _MONOTONIC:
                    monotonic = varint(self._body, start)[0]
        return sum_kind(temporality, monotonic=bool(monotonic))

    def _point(self, place: Place, attributes_tag: int) -> Point:
        at_ns = flags = 0
        value: float | None = None
        for tag, start, _ in fields(self._body, *place):
            self._levels.charge(1)
            if tag == _TIME:
                at_ns = unpack_from("<Q", self._body, start)[0]
            elif tag == _DOUBLE:
                value = unpack_from("<d", self._body, start)[0]
            elif tag == _INT:
                value = float(unpack_from("<q", self._body, start)[0])
            elif tag == _FLAGS:
                flags = varint(self._body, start)[0]
        return Point(self._attributes([place], attributes_tag), at_ns, value, flags)

    def _attributes(self, places: list[Place], tag: int) -> Attributes | None:
        """The attributes in field ``tag`` of a message, which may come in parts; None when there are too many."""
        pairs: list[Pair] = []
        for place in places:
            for found, start, stop in fields(self._body, *place):
                if found == tag:
                    self._levels.charge(1)
                    pairs.append(self._pair(self._body[start:stop]))
                    if len(pairs) > self._levels.limits.attributes:
                        return None
        return Attributes.of(pairs)

    def _pair(self, raw: bytes) -> Pair:
        known = self._pairs.get(raw)
        if known is None:
            known = self._pairs[raw] = self._read_pair(raw)
        return known

    def _read_pair(self, raw: bytes) -> Pair:
        limits = self._levels.limits
        name, value = split_pair(raw)
        key = read_text(name, limits.value_chars)
        scalar = read_value(value, limits.value_chars)
        if scalar == UNREADABLE:
            self._levels.charge(check(raw, 0, len(raw), Message.KEY_VALUE, limits.nesting, limits.work))
            return key, None, pair_key(key, [digest(value)])
        return key, scalar, pair_key(key, scalar)


def sum_kind(temporality: int, *, monotonic: bool) -> str:
    """Why a sum is no level, in words; empty when it is one: cumulative, and may go down."""
    if monotonic:
        return "a monotonic sum"
    return "" if temporality == CUMULATIVE else "a sum that is not cumulative"
