"""Data points that say how full a resource is: which are asked for, and which are levels at all. Not bytes, not JSON.

A level is a number that stands until the next one: a gauge, or a cumulative sum that may go down (an up-down counter).
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple

import orjson

from otel_cx_collector.decode.errors import TooLarge
from otel_cx_collector.decode.limits import DecodeLimits
from otel_cx_collector.decode.span import Scalar, text
from otel_cx_collector.events import STORED_NS, PointRefusal, SignalPoint
from otel_cx_collector.inventory import Inventory

NO_RECORDED_VALUE: Final = 1
"""Bit of a point's flags: the series ends here, there is no value. OTLP metrics.proto, DataPointFlags."""
CUMULATIVE: Final = 2
_DIGEST_BYTES: Final = 16


class Asked(NamedTuple):
    """One entry of the inventory's ``saturation``."""

    resource: str
    where: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class WantedMetrics:
    """What to look for in metrics. Made once for an inventory, used by many threads."""

    asked: dict[bytes, tuple[Asked, ...]]
    """Metric name, as on the wire -> who asks for it."""

    @classmethod
    def of(cls, inventory: Inventory) -> "WantedMetrics":
        """What the inventory's ``saturation`` asks for."""
        asked: dict[bytes, tuple[Asked, ...]] = {}
        for resource, entry in inventory.saturation.items():
            name = entry.metric.encode()
            asked[name] = (*asked.get(name, ()), Asked(resource, tuple(entry.where.items())))
        return cls(asked)


class Attributes(NamedTuple):
    """Attributes of a resource or a point."""

    values: dict[str, Scalar]
    """Those that are scalars."""
    key: bytes
    """All of them, in one order whatever the sender's."""

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, Scalar | None, bytes]]) -> "Attributes":
        """From key, scalar, and ``pair_key`` of each attribute."""
        given = list(pairs)
        values = {key: scalar for key, scalar, _ in given if scalar is not None}
        return cls(values, b",".join(sorted([each for _, _, each in given])))


def pair_key(key: str, value: Scalar | list[str] | None) -> bytes:
    """One attribute as bytes that differ when key, kind or value do; a value that is no scalar comes as a list."""
    return orjson.dumps([key, value])


def digest(*parts: bytes) -> str:
    """A short name for ``parts``."""
    return blake2b(b"\0".join(parts), digest_size=_DIGEST_BYTES).hexdigest()


class Metric(NamedTuple):
    """A metric that is asked for."""

    name: str
    asked: tuple[Asked, ...]
    kind: str
    """What it is, in words for a message."""
    is_level: bool


class Source(NamedTuple):
    """Where a metric comes from."""

    resource: Attributes | None
    """None when it has more attributes than the limit."""
    instance: str
    scope: bytes
    """Name of the instrumentation scope."""


class Point(NamedTuple):
    """One data point as it was sent."""

    attributes: Attributes | None
    """None when it has more than the limit."""
    at_ns: int
    """0 when absent, -1 when it was no number."""
    value: float | None
    flags: int


@dataclass(slots=True)
class Levels:
    """What one request says about the resources of the inventory."""

    limits: DecodeLimits
    earliest_ns: int
    latest_ns: int
    points: list[SignalPoint] = field(default_factory=list)
    rejected: Counter[PointRefusal] = field(default_factory=Counter)
    detail: str = ""
    """The first refusal in words, for ``partial_success.error_message``."""
    seen: int = 0
    work: int = 0

    def charge(self, fields_read: int) -> None:
        """Count work. Raises TooLarge."""
        self.work += fields_read
        if self.work > self.limits.work:
            raise TooLarge(
                f"the points of metrics under saturation have more than {self.limits.work} fields; send smaller batches"
            )

    def take(self, metric: Metric, source: Source, point: Point) -> None:
        """Judge one point. Raises TooLarge for one over ``signal_points``."""
        self.seen += 1
        if self.seen > self.limits.signal_points:
            raise TooLarge(
                f"request has more than {self.limits.signal_points} points of metrics under saturation (signal_points);"
                " send smaller batches"
            )
        if point.attributes is None or source.resource is None:
            self._refuse(
                PointRefusal.TOO_MANY_ATTRIBUTES, metric, f"comes with over {self.limits.attributes} attributes"
            )
            return
        resources = _asking(metric.asked, source.resource.values | point.attributes.values)
        if not resources or (metric.is_level and point.flags & NO_RECORDED_VALUE):
            return
        value = self._value(metric, point)
        if value is not None:
            series = digest(source.scope, point.attributes.key)
            self.points += [SignalPoint(each, source.instance, series, point.at_ns, value) for each in resources]

    def _value(self, metric: Metric, point: Point) -> float | None:
        """The level; None when it is none, which is counted."""
        if not metric.is_level:
            self._refuse(
                PointRefusal.NOT_A_LEVEL, metric, f"is {metric.kind} and no level: name a gauge or an up-down counter"
            )
        elif point.value is None or not math.isfinite(point.value):
            self._refuse(PointRefusal.NOT_A_NUMBER, metric, "has a point whose value is no number")
        elif point.at_ns <= 0:
            self._refuse(PointRefusal.BAD_TIME, metric, "has a point without a time")
        elif point.at_ns < self.earliest_ns:
            self._refuse(PointRefusal.TOO_LATE, metric, "has a point that is too late")
        elif point.at_ns > min(self.latest_ns, STORED_NS):
            self._refuse(PointRefusal.IN_FUTURE, metric, "has a point in the future: check the sender's clock")
        else:
            return point.value
        return None

    def _refuse(self, reason: PointRefusal, metric: Metric, what: str) -> None:
        self.rejected[reason] += 1
        resources = ", ".join(f"saturation.{each.resource}" for each in metric.asked[:3])
        self.detail = self.detail or f"{reason}: metric {metric.name}, which {resources} asks for, {what}"


def _asking(asked: tuple[Asked, ...], attributes: dict[str, Scalar]) -> list[str]:
    """The resources whose ``where`` these attributes meet."""
    return [
        resource
        for resource, where in asked
        if all(key in attributes and text(attributes[key]) == wanted for key, wanted in where)
    ]
