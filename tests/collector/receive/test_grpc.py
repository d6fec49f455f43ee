import gzip
import threading
from collections.abc import Iterator, Sequence

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # its stubs come without py.typed
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from otlp import (
    METHODS,
    PATIENCE_S,
    FakeSink,
    ServedGrpc,
    Taken,
    call,
    channel,
    grpc_server,
    rich_status,
    streaming,
    unary,
    until,
)

from otel_cx_collector.decode import BadRequest, TooLarge
from otel_cx_collector.errors import Unavailable, UserError
from otel_cx_collector.receive import Access, Answer, Encoding, GrpcReceiver, ReceiveLimits, Signal
from otel_cx_collector.receive.counts import Reason, Transport

MIB = 1 << 20
TOKEN = "0123456789abcdef"  # noqa: S105 - opens nothing but the servers of these tests
RESPONSES: dict[Signal, tuple[type[Message], str]] = {
    Signal.TRACES: (ExportTraceServiceResponse, "rejectedSpans"),
    Signal.METRICS: (ExportMetricsServiceResponse, "rejectedDataPoints"),
    Signal.LOGS: (ExportLogsServiceResponse, "rejectedLogRecords"),
}


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink()


@pytest.fixture
def server(sink: FakeSink) -> Iterator[ServedGrpc]:
    with grpc_server(sink, ReceiveLimits(wire_bytes=MIB, body_bytes=2 * MIB)) as served:
        yield served


@pytest.mark.parametrize("compression", grpc.Compression)
@pytest.mark.parametrize("signal", RESPONSES)
def test_every_signal_is_taken_with_every_compression(
    server: ServedGrpc, sink: FakeSink, signal: Signal, compression: grpc.Compression
) -> None:
    answer = call(server.port, b"body" * 100, signal, compression=compression)

    assert sink.taken == [Taken(signal, Encoding.PROTOBUF, b"body" * 100)]
    assert not RESPONSES[signal][0].FromString(answer).HasField("partial_success")


def test_an_empty_request_succeeds(server: ServedGrpc) -> None:
    assert call(server.port, b"") == b""


@pytest.mark.parametrize("signal", RESPONSES)
def test_rejected_items_are_a_partial_success(server: ServedGrpc, sink: FakeSink, signal: Signal) -> None:
    sink.script = {b"body": Answer(2, "too late")}
    message, field = RESPONSES[signal]

    answer = MessageToDict(message.FromString(call(server.port, b"body", signal)))

    assert answer == {"partialSuccess": {field: "2", "errorMessage": "too late"}}


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (BadRequest("byte 7"), grpc.StatusCode.INVALID_ARGUMENT, False),
        (TooLarge("20,001 spans"), grpc.StatusCode.RESOURCE_EXHAUSTED, False),
        (Unavailable("log full", 9), grpc.StatusCode.UNAVAILABLE, True),
        (ValueError("a defect"), grpc.StatusCode.UNAVAILABLE, True),
    ],
)
def test_every_failure_has_its_code_and_only_those_to_be_retried_have_retry_info(
    server: ServedGrpc, sink: FakeSink, error: Exception, code: grpc.StatusCode, retryable: bool
) -> None:
    sink.script = {b"body": error}

    with pytest.raises(grpc.RpcError) as caught:
        call(server.port, b"body")

    status = rich_status(caught.value)
    assert caught.value.code() is code
    assert (status.code, status.message) == (code.value[0], caught.value.details())
    waits = [wait for detail in status.details if detail.Unpack(wait := RetryInfo())]
    assert [1 <= wait.retry_delay.seconds <= 3 for wait in waits] == [True] * retryable


def test_the_longest_unprintable_message_still_reaches_the_client(server: ServedGrpc, sink: FakeSink) -> None:
    sink.script = {b"body": BadRequest("\U0001f600\x00" * 5_000)}

    with pytest.raises(grpc.RpcError) as caught:
        call(server.port, b"body")

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "\U0001f600" in rich_status(caught.value).message


def test_a_message_of_the_wire_limit_passes_and_one_byte_more_does_not(server: ServedGrpc, sink: FakeSink) -> None:
    call(server.port, bytes(MIB))

    with pytest.raises(grpc.RpcError) as caught:
        call(server.port, bytes(MIB + 1))

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(sink.taken) == 1


def test_messages_grpcio_refuses_are_counted_as_abandoned_and_never_as_missing(server: ServedGrpc) -> None:
    for _ in range(20):
        with pytest.raises(grpc.RpcError):
            call(server.port, bytes(4 * MIB))

    counts = server.receiver.counts
    until(lambda: counts.abandonments() == {Transport.GRPC: 20})
    assert counts.refused() == {}


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_compressed_message_is_held_to_the_limit_of_what_it_inflates_to(
    server: ServedGrpc, sink: FakeSink, compression: grpc.Compression
) -> None:
    call(server.port, bytes(2 * MIB), compression=compression)

    with pytest.raises(grpc.RpcError) as caught:
        call(server.port, bytes(2 * MIB + 1), compression=compression)

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "body_bytes" in (caught.value.details() or "")
    assert [len(taken.body) for taken in sink.taken] == [2 * MIB]


@pytest.mark.parametrize("wire", [gzip.compress(b"body", mtime=0)[:-1], b"\x1f\x8bjunk", b"\x78\x9cjunk"])
def test_a_damaged_stream_is_an_invalid_argument(server: ServedGrpc, wire: bytes) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(server.port, wire)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("method", ["/a.B/Export", METHODS[Signal.TRACES] + "x", METHODS[Signal.TRACES].lower()])
def test_any_other_method_is_unimplemented(server: ServedGrpc, method: str) -> None:
    with channel(server.port) as opened, pytest.raises(grpc.RpcError) as caught:
        unary_of(opened, method)(b"", timeout=PATIENCE_S)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def unary_of(opened: grpc.Channel, method: str) -> "grpc.UnaryUnaryMultiCallable[bytes, bytes]":
    return opened.unary_unary(method)


def test_a_call_without_a_message_is_an_invalid_argument(server: ServedGrpc) -> None:
    with channel(server.port) as opened, pytest.raises(grpc.RpcError) as caught:
        streaming(opened)(iter(()), timeout=PATIENCE_S)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert server.receiver.counts.refused() == {(Transport.GRPC, Reason.NO_MESSAGE): 1}


def test_of_several_messages_the_first_counts(server: ServedGrpc, sink: FakeSink) -> None:
    with channel(server.port) as opened:
        streaming(opened)(iter([b"one", b"two"]), timeout=PATIENCE_S)

    assert [taken.body for taken in sink.taken] == [b"one"]


# Admission


def test_bytes_over_the_limit_in_flight_are_refused_retryably(sink: FakeSink) -> None:
    limits = ReceiveLimits(wire_bytes=MIB, body_bytes=MIB, in_flight_bytes=2 * MIB, client_share=10_000)
    sink.gate.clear()
    with grpc_server(sink, limits) as served, channel(served.port) as opened:
        export = unary(opened)
        held = [export.future(bytes(MIB - 1_000), timeout=PATIENCE_S) for _ in range(2)]
        for _ in held:
            assert sink.entered.acquire(timeout=PATIENCE_S)
        with pytest.raises(grpc.RpcError) as caught:
            export(bytes(MIB), timeout=PATIENCE_S)
        sink.gate.set()
        assert [future.result() for future in held] == [b"", b""]

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert rich_status(caught.value).details[0].Is(RetryInfo.DESCRIPTOR)
    assert served.receiver.counts.refused() == {(Transport.GRPC, Reason.IN_FLIGHT_FULL): 1}


def test_calls_over_the_limit_are_refused_retryably_while_every_worker_is_busy(sink: FakeSink) -> None:
    sink.gate.clear()
    with grpc_server(sink, ReceiveLimits(workers=1, calls=2)) as served, channel(served.port) as opened:
        export = unary(opened)
        running = export.future(b"running", timeout=PATIENCE_S)
        assert sink.entered.acquire(timeout=PATIENCE_S)
        rest = [export.future(b"waiting or refused", timeout=PATIENCE_S) for _ in range(3)]
        refused = refusals(rest, 2)
        sink.gate.set()
        assert running.result() == b""

    assert [error.code() for error in refused] == [grpc.StatusCode.UNAVAILABLE] * 2
    assert all(rich_status(error).details[0].Is(RetryInfo.DESCRIPTOR) for error in refused)
    assert served.receiver.counts.refused() == {(Transport.GRPC, Reason.TOO_MANY_CALLS): 2}


def refusals(futures: "Sequence[grpc.Future[bytes]]", count: int) -> list[grpc.RpcError]:
    """The first ``count`` of ``futures`` to fail."""
    failed: list[grpc.RpcError] = []
    enough = threading.Event()

    def note(future: "grpc.Future[bytes]") -> None:
        if error := future.exception():
            assert isinstance(error, grpc.RpcError)
            failed.append(error)
            if len(failed) == count:
                enough.set()

    for future in futures:
        future.add_done_callback(note)
    assert enough.wait(PATIENCE_S)
    return failed[:count]


def test_a_call_whose_message_does_not_come_is_cancelled_and_frees_its_worker(sink: FakeSink) -> None:
    never = threading.Event()

    def nothing() -> Iterator[bytes]:
        never.wait(PATIENCE_S)
        yield b""

    with grpc_server(sink, ReceiveLimits(workers=1, body_s=1)) as served, channel(served.port) as opened:
        with pytest.raises(grpc.RpcError) as caught:
            streaming(opened)(nothing(), timeout=PATIENCE_S)
        never.set()
        assert caught.value.code() is grpc.StatusCode.CANCELLED
        assert call(served.port, b"after") == b""


def test_a_slow_sink_is_no_slow_client(sink: FakeSink) -> None:
    sink.gate.clear()
    with grpc_server(sink, ReceiveLimits(body_s=1)) as served, channel(served.port) as opened:
        future = unary(opened).future(b"body", timeout=PATIENCE_S)
        assert sink.entered.acquire(timeout=PATIENCE_S)
        assert not threading.Event().wait(2.5)
        sink.gate.set()
        assert future.result() == b""


def test_a_client_that_gives_up_while_it_waits_is_counted_and_costs_nobody_else(sink: FakeSink) -> None:
    sink.gate.clear()
    with grpc_server(sink, ReceiveLimits(workers=1)) as served, channel(served.port) as opened:
        export = unary(opened)
        running = export.future(b"running", timeout=PATIENCE_S)
        assert sink.entered.acquire(timeout=PATIENCE_S)
        impatient = export.future(b"impatient", timeout=PATIENCE_S)
        until(lambda: served.receiver._service._calls == 2)
        impatient.cancel()
        sink.gate.set()
        assert running.result() == b""
        assert export(b"after", timeout=PATIENCE_S) == b""
        assert served.receiver._in_flight.used_bytes == 0

    assert impatient.cancelled()
    assert [taken.body for taken in sink.taken if taken.body != b"impatient"] == [b"running", b"after"]


def test_calls_one_after_another_never_meet_the_limit_of_calls(sink: FakeSink) -> None:
    with grpc_server(sink, ReceiveLimits(workers=1, calls=1)) as served, channel(served.port) as opened:
        for number in range(5):
            assert unary(opened)(b"%d" % number, timeout=PATIENCE_S) == b""
            until(lambda: served.receiver._service._calls == 0)


def test_a_client_that_goes_away_before_its_message_is_counted(sink: FakeSink) -> None:
    never = threading.Event()

    def nothing() -> Iterator[bytes]:
        never.wait(PATIENCE_S)
        yield b""

    with grpc_server(sink) as served, channel(served.port) as opened:
        call_begun = streaming(opened).future(nothing(), timeout=PATIENCE_S)
        until(lambda: len(served.receiver._stalls._waiting) == 1)
        call_begun.cancel()
        never.set()
        until(lambda: served.receiver.counts.abandonments() == {Transport.GRPC: 1})


# Bearer tokens


@pytest.fixture
def guarded(sink: FakeSink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    file = tmp_path_factory.mktemp("secrets") / "tokens"
    file.write_text(TOKEN)
    with grpc_server(sink, access=Access(token_file=file)) as served:
        yield served.port


@pytest.mark.parametrize("signal", RESPONSES)
@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "Bearer wrong"),),
        (("authorization", TOKEN),),
        (("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer wrong")),
        (("x-authorization", f"Bearer {TOKEN}"),),
    ],
)
def test_without_the_token_every_method_is_unauthenticated_and_nothing_is_read(
    guarded: int, sink: FakeSink, signal: Signal, metadata: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(guarded, b"body", signal, metadata=metadata)

    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert sink.taken == []


def test_the_token_opens(guarded: int) -> None:
    assert call(guarded, b"body", metadata=[("authorization", f"Bearer {TOKEN}")]) == b""


# Starting


def test_a_taken_port_is_an_error_that_names_it_and_the_cure(server: ServedGrpc, sink: FakeSink) -> None:
    with pytest.raises(
        UserError, match=rf"127.0.0.1:{server.port}: Address already in use; stop the program .*ss -ltnp"
    ):
        GrpcReceiver(f"127.0.0.1:{server.port}", sink).start()


def test_ipv6_loopback_works(sink: FakeSink) -> None:
    receiver = GrpcReceiver("[::1]:0", sink)
    try:
        assert receiver.start() > 0
    finally:
        receiver.stop(1)


# Law


@pytest.fixture(scope="module")
def shared() -> Iterator[grpc.Channel]:
    with grpc_server(FakeSink()) as served, channel(served.port) as opened:
        yield opened


@given(st.one_of(st.binary(), st.binary().map(lambda tail: b"\x1f\x8b\x08" + tail), st.binary().map(gzip.compress)))
@settings(max_examples=200, deadline=None)
def test_arbitrary_messages_are_taken_or_the_clients_fault(shared: grpc.Channel, body: bytes) -> None:
    try:
        unary(shared)(body, timeout=PATIENCE_S)
    except grpc.RpcError as error:
        code = error.code()
        if code is not grpc.StatusCode.INVALID_ARGUMENT:
            raise
