"""Exporters that nobody here wrote deliver every span to the real receivers and the real decoder, exactly once."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Literal

import grpc
import pytest
from contract import node
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.util.types import AnyValue
from otlp import DecodingSink, grpc_server, http_server

from otel_cx import semconv
from otel_cx_collector.errors import Unavailable
from otel_cx_collector.receive import Answer, Encoding, Signal
from otel_cx_collector.receive.counts import Counts, Transport

SPANS = 600
BATCH = 128
Coding = Literal["none", "gzip"]
Send = Callable[[int, int, Coding], list[bytes]]
"""Sends SPANS step spans to the gRPC or HTTP port; their span ids."""


class ShyAtFirst(DecodingSink):
    """Refuses the first requests, retryably, and takes them when they come back."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.refusals = refusals
        self._shy = threading.Lock()

    def accept(self, signal: Signal, encoding: Encoding, body: bytes, decoded: Callable[[], None]) -> Answer:
        with self._shy:
            if self.refusals:
                self.refusals -= 1
                raise Unavailable("not yet", 1)
        return super().accept(signal, encoding, body, decoded)


def send_python(exporter: SpanExporter) -> list[bytes]:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=4_096, max_export_batch_size=BATCH))
    tracer = provider.get_tracer("contract")
    ids = []
    for number in range(SPANS):
        attributes: dict[str, AnyValue] = {
            semconv.JOURNEY_NAME: "checkout",
            semconv.JOURNEY_STEP: "payment",
            semconv.JOURNEY_ATTEMPT: f"attempt-{number}",
            "cart.items": number,
            "cart.names": ["zażółć", "日本", "\x00"],
        }
        with tracer.start_as_current_span("pay", attributes=attributes) as span:
            ids.append(span.get_span_context().span_id.to_bytes(8, "big"))
    provider.shutdown()
    return ids


def python_grpc(grpc_port: int, _: int, coding: Coding) -> list[bytes]:
    compression = grpc.Compression.Gzip if coding == "gzip" else grpc.Compression.NoCompression
    return send_python(GrpcExporter(f"127.0.0.1:{grpc_port}", insecure=True, compression=compression))


def python_http(_: int, http_port: int, coding: Coding) -> list[bytes]:
    compression = Compression.Gzip if coding == "gzip" else Compression.NoCompression
    return send_python(HttpExporter(f"http://127.0.0.1:{http_port}/v1/traces", compression=compression))


def javascript_http_json(_: int, http_port: int, coding: Coding) -> list[bytes]:
    url = f"http://127.0.0.1:{http_port}/v1/traces"
    node.install()
    done = node.run("send.mjs", url, coding, str(SPANS))
    assert done.returncode == 0, done.stderr
    return [bytes.fromhex(line) for line in done.stdout.split()]


EXPORTERS = [
    pytest.param(python_grpc, Transport.GRPC, Encoding.PROTOBUF, id="Python gRPC"),
    pytest.param(python_http, Transport.HTTP, Encoding.PROTOBUF, id="Python HTTP"),
    pytest.param(
        javascript_http_json, Transport.HTTP, Encoding.JSON, id="JavaScript HTTP JSON", marks=pytest.mark.node
    ),
]


@pytest.fixture
def ports_of() -> Iterator[Callable[[DecodingSink], tuple[int, int, list[Counts]]]]:
    """Starts both receivers over a sink: their ports, and what they count."""
    with ExitStack() as stack:

        def start(sink: DecodingSink) -> tuple[int, int, list[Counts]]:
            by_grpc = stack.enter_context(grpc_server(sink))
            by_http = stack.enter_context(http_server(sink))
            return by_grpc.port, by_http.port, [by_grpc.receiver.counts, by_http.receiver.counts]

        yield start


@pytest.mark.parametrize("coding", ["none", "gzip"])
@pytest.mark.parametrize(("send", "transport", "encoding"), EXPORTERS)
def test_every_span_arrives_exactly_once(
    ports_of: Callable[[DecodingSink], tuple[int, int, list[Counts]]],
    send: Send,
    transport: Transport,
    encoding: Encoding,
    coding: Coding,
) -> None:
    sink = DecodingSink()
    grpc_port, http_port, counts = ports_of(sink)

    sent = send(grpc_port, http_port, coding)

    assert len(sent) == SPANS
    assert Counter(row.span_id for row in sink.rows) == Counter(sent)
    assert {row.attempt for row in sink.rows} == {f"attempt-{number}" for number in range(SPANS)}
    ((kind, total),) = [each for count in counts for each in count.totals().items()]
    assert (kind.transport, kind.signal, kind.encoding) == (transport, Signal.TRACES, encoding)
    assert (total.wire_bytes < total.body_bytes) == (coding == "gzip")


@pytest.mark.parametrize(("send", "transport", "encoding"), EXPORTERS)
def test_every_span_of_a_request_refused_for_now_arrives_all_the_same(
    ports_of: Callable[[DecodingSink], tuple[int, int, list[Counts]]],
    send: Send,
    transport: Transport,
    encoding: Encoding,
) -> None:
    sink = ShyAtFirst(refusals=1)
    grpc_port, http_port, _ = ports_of(sink)

    sent = send(grpc_port, http_port, "gzip")

    assert sink.refusals == 0
    assert Counter(row.span_id for row in sink.rows) == Counter(sent)
