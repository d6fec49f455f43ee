"""The same metrics, sent by OTLP over HTTP every so often. Off unless a setting names an endpoint."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Scraped

from otel_cx_collector.errors import UserError
from otel_cx_collector.logbook import Repeated
from otel_cx_collector.metrics.families import PREFIX
from otel_cx_collector.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric

TIMEOUT_S: Final = 10
"""One push, with the exporter's own tries again."""
STOP_S: Final = 2.0
"""The last push at the end may take this long."""
SCOPE: Final = "otel_cx_collector"
NAMESPACE: Final = "otelcx.collector."
UNITS: Final = {"bytes": "By", "seconds": "s"}
"""As Prometheus names them, and as UCUM does."""
NO_UNIT: Final = "1"


class Push:
    """Sends what the registry holds. ``start`` and ``stop`` once each.

    Args:
        registry: Read for each push.
        endpoint: The receiver's base URL, as in OTEL_EXPORTER_OTLP_ENDPOINT: ``/v1/metrics`` is added.
        every_s: Seconds between pushes.
        node: Told apart from other collectors by ``service.instance.id``.
        now_ns: A clock.
        failures: Told of pushes that failed.

    Raises:
        UserError: What it takes is not installed.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        endpoint: str,
        every_s: float,
        node: str,
        now_ns: Callable[[], int],
        failures: Repeated,
    ) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.sdk.metrics.export import MetricExportResult
            from opentelemetry.sdk.resources import Resource
        except ImportError as error:
            raise UserError(
                f"telemetry.otlp asks for pushes, and {error.name} is not installed; "
                "pip install 'otel-cx-collector[telemetry]', or take the setting out and scrape /metrics"
            ) from error
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # we say it ourselves, once a minute
        self._registry = registry
        self._every_s = every_s
        self._now_ns = now_ns
        self._failures = failures
        self._started_ns = now_ns()
        self._success = MetricExportResult.SUCCESS
        self._resource = Resource(
            {"service.name": "otel-cx-collector", "service.version": VERSION, "service.instance.id": node}
        )
        self._endpoint = f"{endpoint.rstrip('/')}/v1/metrics"
        self._exporter = OTLPMetricExporter(endpoint=self._endpoint, timeout=TIMEOUT_S)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="push", daemon=True)

    def start(self) -> None:
        """Push every so often."""
        self._thread.start()

    def stop(self) -> None:
        """Push a last time, if the receiver answers at once, and end."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
        self._exporter.shutdown()  # which also ends tries again

    def push(self) -> bool:
        """Send everything now; whether it was taken."""
        from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        scope = ScopeMetrics(InstrumentationScope(SCOPE, VERSION), list(self._metrics()), "")
        sent = MetricsData([ResourceMetrics(self._resource, [scope], "")])
        return self._exporter.export(sent, timeout_millis=TIMEOUT_S * 1000) is self._success

    def _metrics(self) -> "Iterator[Metric]":
        now_ns = self._now_ns()
        for scraped in self._registry.collect():
            metric = self._metric(scraped, now_ns)
            if metric is not None:
                yield metric

    def _metric(self, scraped: Scraped, now_ns: int) -> "Metric | None":
        from opentelemetry.sdk.metrics.export import AggregationTemporality, Gauge, Metric, NumberDataPoint, Sum

        counter = scraped.type == "counter"
        started_ns = self._started_ns if counter else 0
        points = [
            NumberDataPoint(dict(sample.labels), started_ns, now_ns, sample.value)
            for sample in scraped.samples
            if not sample.name.endswith("_created")
        ]
        if not points:
            return None
        data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True) if counter else Gauge(points)
        name, unit = otlp_name(scraped.name)
        return Metric(name, scraped.documentation, unit, data)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(self._every_s)
            try:
                taken = self.push()
            except Exception as error:  # noqa: BLE001 - telemetry of ours must never stop anything
                self._failures.failed(error, endpoint=self._endpoint)
            else:
                self._say(taken=taken)

    def _say(self, *, taken: bool) -> None:
        if taken:
            self._failures.worked()
        else:
            self._failures.failed(ConnectionError("the receiver does not take them"), endpoint=self._endpoint)


def otlp_name(name: str) -> tuple[str, str]:
    """A metric's OTLP name and unit; Prometheus makes the scraped name of them again."""
    stem, _, last = name.rpartition("_")
    unit = UNITS.get(last)
    name = name if unit is None else stem
    return NAMESPACE + name.removeprefix(PREFIX) if name.startswith(PREFIX) else name, unit or NO_UNIT
