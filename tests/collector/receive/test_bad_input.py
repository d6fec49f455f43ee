"""Bodies no exporter should send, to the real decoder by every way in: each is answered, and the server goes on."""

import gzip
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from otlp import JSON, PROTOBUF, DecodingSink, call, grpc_server, http_server, post

from otel_cx import semconv

MIB = 1 << 20
NS = 1_000_000_000
DEEP = 100_000
TESTS = Path(__file__).parents[2]
OK, BAD, TOO_LARGE, BUSY = "taken", "bad request", "too large", "come back"
_HTTP = {200: OK, 400: BAD, 413: TOO_LARGE, 503: BUSY}
_GRPC = {
    grpc.StatusCode.INVALID_ARGUMENT: BAD,
    grpc.StatusCode.RESOURCE_EXHAUSTED: TOO_LARGE,
    grpc.StatusCode.UNAVAILABLE: BUSY,
}


@dataclass(frozen=True)
class Outcome:
    """What a client learns, whatever the protocol."""

    kind: str
    rejected: int = 0
    message: str = ""


@dataclass(frozen=True)
class Way:
    """One of the three ways in."""

    name: str
    grpc_port: int
    http_port: int

    @property
    def is_json(self) -> bool:
        return self.name == "HTTP JSON"

    def send(self, wire: bytes, coding: str = "") -> Outcome:
        """``wire`` as it is; over HTTP its ``coding`` is named."""
        return self._grpc(wire) if self.name == "gRPC" else self._http(wire, coding)

    def request(self, request: ExportTraceServiceRequest) -> Outcome:
        return self.send(as_json(request) if self.is_json else request.SerializeToString())

    def _grpc(self, wire: bytes) -> Outcome:
        try:
            answer = ExportTraceServiceResponse.FromString(call(self.grpc_port, wire))
        except grpc.RpcError as error:
            return Outcome(_GRPC[error.code()], 0, error.details() or "")
        return Outcome(OK, answer.partial_success.rejected_spans, answer.partial_success.error_message)

    def _http(self, wire: bytes, coding: str) -> Outcome:
        content_type = JSON if self.is_json else PROTOBUF
        reply = post(self.http_port, wire, content_type=content_type, headers={"Content-Encoding": coding})
        if not self.is_json:
            answer = ExportTraceServiceResponse.FromString(reply.body if reply.status == 200 else b"")
            return Outcome(_HTTP[reply.status], answer.partial_success.rejected_spans, str(reply.body))
        said = orjson.loads(reply.body)
        rejected = int(said.get("partialSuccess", {}).get("rejectedSpans", 0))
        return Outcome(_HTTP[reply.status], rejected, str(said))


def as_json(request: ExportTraceServiceRequest) -> bytes:
    """OTLP JSON: protobuf's, but for ids in hex and enums as numbers."""
    tree = MessageToDict(request, use_integers_for_enums=True)
    for resource, built in zip(tree.get("resourceSpans", []), request.resource_spans, strict=True):
        for scope, built_scope in zip(resource.get("scopeSpans", []), built.scope_spans, strict=True):
            for span, built_span in zip(scope.get("spans", []), built_scope.spans, strict=True):
                span["traceId"], span["spanId"] = built_span.trace_id.hex(), built_span.span_id.hex()
    return orjson.dumps(tree)


def step(number: int = 0, **changed: object) -> Span:
    now = time.time_ns()
    fields: dict[str, object] = {
        "trace_id": os.urandom(16),
        "span_id": os.urandom(8),
        "start_time_unix_nano": now - NS,
        "end_time_unix_nano": now,
        "attributes": [
            KeyValue(key=key, value=AnyValue(string_value=value))
            for key, value in {
                semconv.JOURNEY_NAME: "checkout",
                semconv.JOURNEY_STEP: "payment",
                semconv.JOURNEY_ATTEMPT: f"attempt-{number}",
            }.items()
        ],
    }
    return Span(**(fields | changed))  # type: ignore[arg-type]  # the fields of a span, by name


def request(*spans: Span) -> ExportTraceServiceRequest:
    service = KeyValue(key="service.name", value=AnyValue(string_value="checkout-api"))
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(resource=Resource(attributes=[service]), scope_spans=[ScopeSpans(spans=list(spans))])
        ]
    )


@pytest.fixture(scope="module")
def sink() -> DecodingSink:
    return DecodingSink()


@pytest.fixture(scope="module")
def ports(sink: DecodingSink) -> Iterator[tuple[int, int]]:
    with grpc_server(sink) as by_grpc, http_server(sink) as by_http:
        yield by_grpc.port, by_http.port


@pytest.fixture(params=["gRPC", "HTTP protobuf", "HTTP JSON"])
def way(request: pytest.FixtureRequest, ports: tuple[int, int], sink: DecodingSink) -> Iterator[Way]:
    """A way in, by which a good request must still pass when the test is over."""
    each = Way(request.param, *ports)
    yield each
    before = len(sink.rows)
    assert each.request(good()).kind == OK
    assert len(sink.rows) == before + 1


def good() -> ExportTraceServiceRequest:
    return request(step())


@pytest.mark.parametrize(
    "body", [b"garbage", b"\x00" * 100, b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"[1, 2", b"{]"]
)
def test_garbage_is_a_bad_request(way: Way, body: bytes) -> None:
    assert way.send(body).kind == BAD


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"7", b"\xef\xbb\xbf{}", b"", b'{"resourceSpans": {}}'])
def test_json_that_is_no_request_is_a_bad_request_or_empty(ports: tuple[int, int], body: bytes) -> None:
    assert Way("HTTP JSON", *ports).send(body).kind in {OK, BAD}


def test_a_request_cut_short_is_a_bad_request(way: Way) -> None:
    whole = as_json(good()) if way.is_json else good().SerializeToString()

    assert way.send(whole[:-1]).kind == BAD


def test_a_request_over_the_size_on_the_wire_is_too_large(way: Way) -> None:
    assert way.send(bytes(20 * MIB + 1)).kind == TOO_LARGE


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def nested(*tags: int) -> bytes:
    """Length-delimited fields ``tags``, the first outermost, each holding nothing but the next."""
    heads: list[bytes] = []
    size = 0
    for tag in reversed(tags):
        heads.append(bytes([tag]) + varint(size))
        size += len(heads[-1])
    return b"".join(reversed(heads))


REQUEST_TO_SPAN = (0x0A, 0x12, 0x12)
SPAN_TO_VALUE = (0x4A, 0x12)
ARRAY_VALUE = (0x2A, 0x0A)
STEP_KEY = b"\x0a" + varint(len(semconv.JOURNEY_STEP)) + semconv.JOURNEY_STEP.encode()


def within(tags: tuple[int, ...], body: bytes) -> bytes:
    for tag in reversed(tags):
        body = bytes([tag]) + varint(len(body)) + body
    return body


DEEP_PROTOBUF = {
    "arrays in a span": nested(*REQUEST_TO_SPAN, *SPAN_TO_VALUE, *ARRAY_VALUE * DEEP),
    "arrays in a step": within(
        REQUEST_TO_SPAN, b"\x4a" + varint(len(STEP_KEY)) + STEP_KEY + nested(*SPAN_TO_VALUE, *ARRAY_VALUE * DEEP)
    ),
    "arrays in a resource": nested(0x0A, 0x0A, 0x0A, 0x12, *ARRAY_VALUE * DEEP),
    "unknown groups": b"\x7b" * DEEP,
}
DEEP_JSON = {
    "arrays": b"[" * DEEP,
    "objects": b'{"a":' * DEEP,
    "whole": b'{"resourceSpans":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "values": b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"a","value":'
    + b'{"arrayValue":{"values":[' * DEEP
    + b"]}}" * DEEP
    + b"}]}]}]}]}",
}


@pytest.mark.parametrize("what", DEEP_PROTOBUF)
@pytest.mark.parametrize("name", ["gRPC", "HTTP protobuf"])
def test_protobuf_nested_100_000_deep_never_harms(
    ports: tuple[int, int], sink: DecodingSink, what: str, name: str
) -> None:
    way = Way(name, *ports)
    before = len(sink.rows)

    outcome = way.send(DEEP_PROTOBUF[what])

    # what no rule looks at is passed over unread; what is read is refused
    assert outcome.kind == BAD or (outcome.kind == OK and len(sink.rows) == before)
    assert way.request(good()).kind == OK


@pytest.mark.parametrize("what", DEEP_JSON)
def test_json_nested_100_000_deep_is_a_bad_request(ports: tuple[int, int], what: str) -> None:
    way = Way("HTTP JSON", *ports)

    assert way.send(DEEP_JSON[what]).kind == BAD
    assert way.request(good()).kind == OK


def test_ids_of_wrong_length_are_rejected_and_the_spans_beside_them_kept(way: Way, sink: DecodingSink) -> None:
    kept = [step(1), step(2)]
    wrong = [
        step(span_id=b""),
        step(span_id=bytes(7)),
        step(span_id=bytes(9)),
        step(span_id=bytes(8)),
        step(trace_id=b""),
        step(trace_id=os.urandom(15)),
        step(trace_id=bytes(16)),
    ]
    before = len(sink.rows)

    outcome = way.request(request(kept[0], *wrong, kept[1]))

    assert (outcome.kind, outcome.rejected) == (OK, len(wrong))
    assert "id" in outcome.message
    assert [row.span_id for row in sink.rows[before:]] == [span.span_id for span in kept]


def test_odd_times_are_rejected_and_the_spans_beside_them_kept(way: Way, sink: DecodingSink) -> None:
    now = time.time_ns()
    odd = [
        step(start_time_unix_nano=0, end_time_unix_nano=0),
        step(end_time_unix_nano=2**64 - 1),
        step(end_time_unix_nano=now - 2 * 86_400 * NS, start_time_unix_nano=now - 3 * 86_400 * NS),
        step(end_time_unix_nano=now + 3_600 * NS),
    ]
    before = len(sink.rows)

    outcome = way.request(request(*odd, step()))

    assert (outcome.kind, outcome.rejected) == (OK, len(odd))
    assert len(sink.rows) == before + 1


def test_an_end_before_its_start_is_answered_and_gives_no_negative_duration(way: Way, sink: DecodingSink) -> None:
    now = time.time_ns()
    before = len(sink.rows)

    assert way.request(request(step(start_time_unix_nano=now, end_time_unix_nano=now - NS), step())).kind == OK

    assert all(row.duration_ns >= 0 for row in sink.rows[before:])


def test_a_step_with_too_many_attributes_is_rejected_and_its_neighbours_kept(way: Way, sink: DecodingSink) -> None:
    crowded = step()
    crowded.attributes.extend(KeyValue(key=f"k{n}", value=AnyValue(int_value=n)) for n in range(1_000))
    before = len(sink.rows)

    outcome = way.request(request(step(), crowded, step()))

    assert (outcome.kind, outcome.rejected, len(sink.rows) - before) == (OK, 1, 2)


# Law


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good request in either encoding with a few bytes overwritten, removed or added."""
    body = bytearray(draw(st.sampled_from([good().SerializeToString(), as_json(good())])))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(body)


@given(
    body=st.one_of(st.binary(), damaged()),
    name=st.sampled_from(["gRPC", "HTTP protobuf", "HTTP JSON"]),
    coding=st.sampled_from(["", "gzip"]),
)
@settings(max_examples=300, deadline=None)
def test_arbitrary_and_damaged_bodies_are_taken_or_the_clients_fault(
    ports: tuple[int, int], body: bytes, name: str, coding: str
) -> None:
    wire = gzip.compress(body) if coding else body

    assert Way(name, *ports).send(wire, coding).kind in {OK, BAD}


# What it costs, in a process of its own. The dearest come last: freed memory that the process keeps hides what is
# cheaper.


@dataclass(frozen=True)
class Process:
    """The receivers as a process."""

    pid: int
    grpc_port: int
    http_port: int

    def peak_mib(self) -> float:
        """The most memory it held since the last ``settle``, MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def settle(self) -> float:
        """Forget the peak; the memory held now, MiB."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # proc(5): resets VmHWM
        return self.peak_mib()


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux's /proc to read the most memory another process held")
    command = [sys.executable, str(TESTS / "otlp_server.py")]
    env = os.environ | {"PYTHONPATH": str(TESTS)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True) as running:
        assert running.stdout is not None
        grpc_port, http_port = map(int, running.stdout.readline().split())
        each = Process(running.pid, grpc_port, http_port)
        assert Way("gRPC", grpc_port, http_port).request(good()).kind == OK
        assert Way("HTTP protobuf", grpc_port, http_port).request(good()).kind == OK
        assert Way("HTTP JSON", grpc_port, http_port).request(good()).kind == OK
        yield each
        assert running.poll() is None, "the server died"
        running.stdin.close() if running.stdin else None


@pytest.fixture(params=["gRPC", "HTTP protobuf", "HTTP JSON"])
def costed(request: pytest.FixtureRequest, process: Process) -> Way:
    return Way(request.param, process.grpc_port, process.http_port)


def cost_mib(process: Process, send: Callable[[], Outcome], kind: str) -> float:
    """Memory that one request takes beyond what is held before it, MiB."""
    before = process.settle()
    assert send().kind == kind
    return process.peak_mib() - before


@pytest.mark.parametrize("size_mib", [21, 200])
def test_an_oversized_body_costs_nearly_nothing(process: Process, size_mib: int) -> None:
    way = Way("HTTP protobuf", process.grpc_port, process.http_port)

    assert cost_mib(process, lambda: way.send(bytes(size_mib * MIB)), TOO_LARGE) < 16


EMPTY = 2 * MIB
EMPTY_PROTOBUF = {
    "spans": within((0x0A, 0x12), b"\x12\x00" * EMPTY),
    "scopes": within((0x0A,), b"\x12\x00" * EMPTY),
    "resources": b"\x0a\x00" * EMPTY,
    "attributes": within(REQUEST_TO_SPAN, b"\x4a\x00" * EMPTY),
    "attributes of a step": within(REQUEST_TO_SPAN, within((0x4A,), STEP_KEY) + b"\x4a\x00" * EMPTY),
    "attributes of a resource": within((0x0A, 0x0A), b"\x0a\x00" * EMPTY),
    "unknown fields": b"\x7a\x00" * EMPTY,
}


@pytest.mark.parametrize("what", EMPTY_PROTOBUF)
def test_four_mib_of_empty_messages_cost_no_more_than_their_bytes(process: Process, what: str) -> None:
    way = Way("HTTP protobuf", process.grpc_port, process.http_port)
    before = process.settle()

    outcome = way.send(EMPTY_PROTOBUF[what])

    assert outcome.kind in {OK, TOO_LARGE}
    assert process.peak_mib() - before < 32
    assert way.request(good()).kind == OK


def items(item: bytes) -> bytes:
    return b",".join([item] * (4 * MIB // (len(item) + 1)))


EMPTY_JSON = {
    "spans": b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + items(b"{}") + b"]}]}]}",
    "attributes": b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[' + items(b"{}") + b"]}]}]}]}",
    "resources": b'{"resourceSpans":[' + items(b"{}") + b"]}",
    "numbers": b'{"resourceSpans":[],"a":[' + items(b"0") + b"]}",
    "keys": b"{" + items(b'"a":0') + b"}",
}


@pytest.mark.parametrize("what", EMPTY_JSON)
def test_four_mib_of_empty_json_objects_cost_a_bounded_multiple(process: Process, what: str) -> None:
    way = Way("HTTP JSON", process.grpc_port, process.http_port)
    before = process.settle()

    outcome = way.send(EMPTY_JSON[what])

    assert outcome.kind in {OK, TOO_LARGE}
    assert process.peak_mib() - before < 256
    assert way.request(good()).kind == OK


@pytest.fixture(scope="module")
def bomb() -> bytes:
    return gzip.compress(bytes(512 * MIB), 1)


def test_a_gzip_bomb_costs_no_more_memory_than_the_limit_of_a_body(process: Process, costed: Way, bomb: bytes) -> None:
    assert cost_mib(process, lambda: costed.send(bomb, "gzip"), TOO_LARGE) < 64 + 24
    assert costed.request(good()).kind == OK


def test_many_gzip_bombs_at_once_are_held_to_the_bytes_in_flight(process: Process, bomb: bytes) -> None:
    ways = [Way(name, process.grpc_port, process.http_port) for name in ("gRPC", "HTTP protobuf") * 8]
    before = process.settle()

    with ThreadPoolExecutor(len(ways)) as clients:
        kinds = {outcome.kind for outcome in clients.map(lambda way: way.send(bomb, "gzip"), ways)}

    assert kinds <= {TOO_LARGE, BUSY}
    assert process.peak_mib() - before < 128 * 2.5  # in flight 128; the allocator keeps of each thread what it freed
    assert ways[0].request(good()).kind == OK
