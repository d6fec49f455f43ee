"""OTLP by hand: sinks that note what they get, clients that can also send what no exporter would. Not a test."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import grpc
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # its stubs come without py.typed

from otel_cx_collector.clock import now_ns
from otel_cx_collector.decode import DecodeLimits, logs, metrics
from otel_cx_collector.events import NS, StepRow
from otel_cx_collector.inventory import parse
from otel_cx_collector.receive import Access, Answer, Encoding, GrpcReceiver, HttpReceiver, ReceiveLimits, Signal, Sink
from otel_cx_collector.tag import Bounds, Tagger, decode_traces, decode_traces_json

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
METHODS = {
    Signal.TRACES: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    Signal.METRICS: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    Signal.LOGS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
GRACE_S = 5.0
PATIENCE_S = 20.0
DAY_NS = 86_400 * NS


class Taken(NamedTuple):
    """One body a sink was given."""

    signal: Signal
    encoding: Encoding
    body: bytes


@dataclass
class FakeSink:
    """Notes every body; answers as scripted by body, else with success."""

    script: dict[bytes, Answer | Exception] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    """Clear it, and ``accept`` blocks until it is set."""
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released once for each call of ``accept``."""

    def __post_init__(self) -> None:
        self.gate.set()

    def accept(self, signal: Signal, encoding: Encoding, body: bytes, decoded: Callable[[], None]) -> Answer:
        decoded()
        self.taken.append(Taken(signal, encoding, body))
        self.entered.release()
        assert self.gate.wait(PATIENCE_S)
        answer = self.script.get(body, Answer())
        if isinstance(answer, Exception):
            raise answer
        return answer


class ServedHttp(NamedTuple):
    """An HTTP receiver that listens."""

    receiver: HttpReceiver
    port: int


class ServedGrpc(NamedTuple):
    """A gRPC receiver that listens."""

    receiver: GrpcReceiver
    port: int


@contextmanager
def http_server(sink: Sink, limits: ReceiveLimits | None = None, access: Access | None = None) -> Iterator[ServedHttp]:
    """An HTTP receiver on a free port of loopback, stopped at the end."""
    receiver = HttpReceiver("127.0.0.1:0", sink, limits, access=access)
    try:
        yield ServedHttp(receiver, receiver.start())
    finally:
        receiver.stop(GRACE_S)


@contextmanager
def grpc_server(sink: Sink, limits: ReceiveLimits | None = None, access: Access | None = None) -> Iterator[ServedGrpc]:
    """A gRPC receiver on a free port of loopback, stopped at the end."""
    receiver = GrpcReceiver("127.0.0.1:0", sink, limits, access=access)
    try:
        yield ServedGrpc(receiver, receiver.start())
    finally:
        receiver.stop(GRACE_S)


class Reply(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def post(
    port: int,
    body: bytes,
    path: str = "/v1/traces",
    *,
    method: str = "POST",
    content_type: str | None = PROTOBUF,
    headers: dict[str, str] | None = None,
) -> Reply:
    """One request on a connection of its own, by Python's own client."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        sent = dict(headers or {})
        if content_type is not None:
            sent["Content-Type"] = content_type
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def head(*lines: str) -> bytes:
    """A request head from its lines."""
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")


def talk(port: int, *pieces: bytes, end: bool = True) -> list[Reply]:
    """Send ``pieces`` as they are, then nothing more, and read answers until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as wire:
        for piece in pieces:
            wire.sendall(piece)
        if end:
            wire.shutdown(socket.SHUT_WR)
        return replies(read_all(wire))


def read_all(wire: socket.socket) -> bytes:
    """Everything until the server closes."""
    received = b""
    while piece := wire.recv(65_536):
        received += piece
    return received


def replies(received: bytes) -> list[Reply]:
    """The answers in ``received``, which must be whole."""
    answers = []
    while received:
        top, found, received = received.partition(b"\r\n\r\n")
        assert found, f"no end of headers in {top!r}"
        status_line, *lines = top.decode("latin-1").split("\r\n")
        version, status, _ = status_line.split(" ", 2)
        assert version == "HTTP/1.1"
        headers = dict(line.split(": ", 1) for line in lines)
        size = int(headers.get("content-length", "0"))
        assert len(received) >= size
        answers.append(Reply(int(status), headers, received[:size]))
        received = received[size:]
    return answers


def call(
    port: int,
    body: bytes,
    signal: Signal = Signal.TRACES,
    *,
    compression: grpc.Compression = grpc.Compression.NoCompression,
    metadata: Sequence[tuple[str, str]] = (),
) -> bytes:
    """One gRPC call on a channel of its own; raises grpc.RpcError."""
    with channel(port, compression) as open_channel:
        return unary(open_channel, signal)(body, timeout=PATIENCE_S, metadata=tuple(metadata))


@contextmanager
def channel(port: int, compression: grpc.Compression = grpc.Compression.NoCompression) -> Iterator[grpc.Channel]:
    """A channel on a connection of its own."""
    with grpc.insecure_channel(
        f"127.0.0.1:{port}", compression=compression, options=[("grpc.use_local_subchannel_pool", 1)]
    ) as opened:
        yield opened


def unary(opened: grpc.Channel, signal: Signal = Signal.TRACES) -> "grpc.UnaryUnaryMultiCallable[bytes, bytes]":
    """The Export method of ``signal`` with raw bytes."""
    return opened.unary_unary(METHODS[signal])


def streaming(opened: grpc.Channel) -> "grpc.StreamUnaryMultiCallable[bytes, bytes]":
    """The Export method of traces, for a client that does not keep to one message."""
    return opened.stream_unary(METHODS[Signal.TRACES])


def until(condition: Callable[[], bool]) -> None:
    """Wait for ``condition``."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def rich_status(error: grpc.RpcError) -> Status:
    """The google.rpc.Status a gRPC refusal carries."""
    assert isinstance(error, grpc.Call)
    trailers = dict(error.trailing_metadata() or ())
    return Status.FromString(trailers["grpc-status-details-bin"])


class DecodingSink:
    """The real decoder and tagger with rows kept in memory: what ``app.Ingest`` does, without a log."""

    def __init__(self, inventory: str = "journeys: {checkout: {steps: [cart, payment, confirm]}}") -> None:
        self.rows: list[StepRow] = []
        self.spans = 0
        self._tagger = Tagger(parse(inventory))
        self._limits = DecodeLimits()
        self._lock = threading.Lock()

    def accept(self, signal: Signal, encoding: Encoding, body: bytes, _: Callable[[], None]) -> Answer:
        as_json = encoding is Encoding.JSON
        if signal is not Signal.TRACES:
            (metrics if signal is Signal.METRICS else logs).count(body, as_json, self._limits)
            return Answer()
        now = now_ns()
        bounds = Bounds(now - DAY_NS, now + 300 * NS)
        decoded = (decode_traces_json if as_json else decode_traces)(body, self._tagger, bounds, self._limits)
        with self._lock:
            self.spans += decoded.spans
            self.rows += decoded.rows
        return Answer(sum(decoded.rejected.values()), decoded.detail)
