"""A real OTLP/gRPC receiver of the SDK's tests, which keeps what it is sent. Not assertions."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from otel_cx import semconv


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps kind, ids and attributes of the spans it is sent, and the bytes they came in."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.spans: list[dict[str, Any]] = []
        self.wire: list[bytes] = []
        self.requests = 0
        self.refuse = False
        """Answer UNAVAILABLE."""

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - the name gRPC calls
        self.requests += 1
        if self.refuse:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        self.wire.append(request.SerializeToString())
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    told = {item.key: _value(item.value) for item in span.attributes}
                    self.spans.append({"kind": span.kind, "name": span.name, "id": span.span_id, **told})
        return trace_service_pb2.ExportTraceServiceResponse()

    @property
    def steps(self) -> list[tuple[Any, Any, Any]]:
        """Journey, step and kind of every step span."""
        found = [span for span in self.spans if semconv.JOURNEY_STEP in span]
        return [(span[semconv.JOURNEY_NAME], span[semconv.JOURNEY_STEP], span["kind"]) for span in found]


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


@contextmanager
def otlp_receiver(port: int = 0) -> Iterator[Receiver]:
    """A receiver that listens on loopback."""
    servicer = Receiver()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]  # generated
    servicer.endpoint = f"http://127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    server.start()
    try:
        yield servicer
    finally:
        server.stop(0).wait()
