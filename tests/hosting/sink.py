"""A real OTLP/gRPC server, with a door for facts, that keeps all it is sent. Not a collector: it judges nothing."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True, slots=True)
class Seen:
    """One span as it came, with its attributes as a dict."""

    span: Span
    attributes: dict[str, object]
    resource: dict[str, object]

    @property
    def step(self) -> tuple[str, str] | None:
        journey, step = self.attributes.get("otelcx.journey.name"), self.attributes.get("otelcx.journey.step")
        return (str(journey), str(step)) if step else None

    @property
    def seconds(self) -> float:
        return (self.span.end_time_unix_nano - self.span.start_time_unix_nano) / 1e9


class Levels(metrics_grpc.MetricsServiceServicer):
    """Keeps every metrics request."""

    def __init__(self) -> None:
        self.requests: list[metrics.ExportMetricsServiceRequest] = []

    def Export(  # noqa: N802 the name is OTLP's
        self, request: metrics.ExportMetricsServiceRequest, _: grpc.ServicerContext
    ) -> metrics.ExportMetricsServiceResponse:
        self.requests.append(request)
        return metrics.ExportMetricsServiceResponse()

    def of(self, metric: str, state: str) -> list[int]:
        """What a metric's points of one state said, as they came."""
        return [
            point.as_int
            for request in list(self.requests)
            for block in request.resource_metrics
            for scope in block.scope_metrics
            for each in scope.metrics
            if each.name == metric
            for point in each.sum.data_points
            if state in _plain(point.attributes).values()
        ]


class Facts(ThreadingHTTPServer):
    """Takes every fact on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self.lines: list[dict[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Door)
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Door(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        lines = self.rfile.read(int(self.headers["content-length"])).splitlines()
        if isinstance(self.server, Facts) and self.path == "/v1/facts":
            self.server.lines += map(json.loads, lines)
        body = json.dumps({"accepted": len(lines), "refused": []}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the name is the library's
        """Say nothing."""


class Sink(service_grpc.TraceServiceServicer):
    """Listens on a free port of 127.0.0.1; refuses the first requests when told to."""

    def __init__(self, unavailable: int = 0) -> None:
        self.refused = 0
        self._unavailable = unavailable
        self.requests: list[service.ExportTraceServiceRequest] = []
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(4))
        self.levels, self.facts = Levels(), Facts()
        service_grpc.add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]  # generated
        metrics_grpc.add_MetricsServiceServicer_to_server(self.levels, self._server)  # type: ignore[no-untyped-call]  # too
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def Export(  # noqa: N802 the name is OTLP's
        self, request: service.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> service.ExportTraceServiceResponse:
        with self._lock:
            if self.refused < self._unavailable:
                self.refused += 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "busy; try again")
            self.requests.append(request)
        return service.ExportTraceServiceResponse()

    def spans(self) -> list[Seen]:
        with self._lock:
            requests = list(self.requests)
        return [seen for request in requests for seen in _spans(request)]

    def close(self) -> None:
        self._server.stop(1).wait()
        self.facts.close()


def _spans(request: service.ExportTraceServiceRequest) -> Iterator[Seen]:
    for block in request.resource_spans:
        resource = _plain(block.resource.attributes)
        for scope in block.scope_spans:
            for span in scope.spans:
                yield Seen(span, _plain(span.attributes), resource)


def _plain(attributes: object) -> dict[str, object]:
    return {
        item.key: getattr(item.value, item.value.WhichOneof("value"))
        for item in attributes  # type: ignore[attr-defined]  # a repeated field of KeyValue, whose type has no name
    }
