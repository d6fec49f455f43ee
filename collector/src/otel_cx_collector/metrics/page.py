"""The points of every part as one Prometheus registry, and its page. Not the server (health), nor the readings."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from otel_cx_collector.logbook import Repeated
from otel_cx_collector.metrics.families import FAMILIES, UNREADABLE, Family
from otel_cx_collector.metrics.readings import Point

Part = Callable[[], Iterable[Point]]


class Metrics:
    """Reads every part at each scrape. Thread-safe as far as the parts are.

    One part that cannot be read costs its own metrics, said by ``metrics_unreadable`` and in the log, and no other.

    Args:
        parts: By name, what gives the points of one part now.
        unreadable: Told of what could not be read.
    """

    def __init__(self, parts: Mapping[str, Part], unreadable: Repeated) -> None:
        self._parts = dict(parts)
        self._unreadable = unreadable
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def page(self, accept: str) -> tuple[bytes, str]:
        """The text of all metrics in the form that an ``Accept`` header asks for, and its Content-Type."""
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is none
            encode, content_type = choose_encoder("")
        return encode(self.registry), content_type

    def describe(self) -> Iterator[Metric]:
        """What there is, without reading anything; asked when the registry is made."""
        return (_empty(family) for family in FAMILIES)

    def collect(self) -> Iterator[Metric]:
        """Every metric with its samples; one that nothing is known of has none."""
        metrics = {family: _empty(family) for family in FAMILIES}
        for point in self._points():
            metrics[point.family].add_metric(point.labels, float(point.value))
        yield from metrics.values()

    def _points(self) -> Iterator[Point]:
        failures = 0
        for name, part in self._parts.items():
            try:
                yield from list(part())
                failed = False
            except Exception as error:  # noqa: BLE001 - a part that is broken must not blind us to the others
                self._unreadable.failed(error, part=name)
                failed = True
            failures += failed
            yield Point(UNREADABLE, failed, (name,))
        if not failures:
            self._unreadable.worked()


def _empty(family: Family) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    return kind(family.name, family.meaning, labels=family.labels, unit=family.unit)
