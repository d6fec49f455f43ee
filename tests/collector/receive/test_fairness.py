"""Room for requests is shared among clients: who wants little gets it while others want more than there is."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # its stubs come without py.typed
from hypothesis import given, settings
from hypothesis import strategies as st
from otlp import (
    JSON,
    PATIENCE_S,
    FakeSink,
    Reply,
    ServedHttp,
    channel,
    grpc_server,
    head,
    http_server,
    read_all,
    replies,
    rich_status,
    unary,
    until,
)

from otel_cx_collector.receive import Access, InFlight, ReceiveLimits
from otel_cx_collector.receive.auth import client
from otel_cx_collector.receive.counts import Reason, Transport
from otel_cx_collector.receive.grpc import _address
from otel_cx_collector.receive.limits import CLIENT_SHARE, Hold, InFlightFull, ShareFull

KIB = 1 << 10
MIB = 1 << 20
LIMIT = 1_000
LIMITS = ReceiveLimits(wire_bytes=MIB, body_bytes=MIB, in_flight_bytes=4 * MIB)
BIG, SMALL = "127.0.0.1", "127.0.0.2"
HEAD = ("POST /v1/traces HTTP/1.1", "Content-Type: application/json")


def taken(in_flight: InFlight, name: str, size: int, most: int = LIMIT) -> list[Hold]:
    """Requests of one size that a client gets in, up to a number."""
    holds: list[Hold] = []
    while len(holds) < most:
        hold = in_flight.hold(name)
        try:
            hold.grow(size)
        except InFlightFull:
            break
        holds.append(hold)
    return holds


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, LIMIT)), max_size=40))
def test_the_whole_is_never_passed_and_no_client_passes_its_share_unless_it_is_alone(
    requests: list[tuple[str, int]],
) -> None:
    in_flight = InFlight(LIMIT, client_share=2)
    holds: list[Hold] = []
    for name, size in requests:
        hold = in_flight.hold(name)
        others = in_flight.used_bytes
        own = sum(each.held_bytes for each in holds if each.client == name)
        free = LIMIT - others - size
        try:
            hold.grow(size)
        except ShareFull:
            assert others
            assert own + size > 2 * free >= 0
        except InFlightFull:
            assert free < 0
        else:
            assert free >= 0
            assert not others or own + size <= 2 * free
            holds.append(hold)
        assert in_flight.used_bytes == sum(each.held_bytes for each in holds)
    for hold in holds:
        hold.release()
    assert (in_flight.used_bytes, in_flight.clients) == (0, 0)


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(1, 8))
def test_clients_that_want_all_they_can_get_get_the_same_and_leave_room_for_a_new_one(crowd: int, share: int) -> None:
    in_flight = InFlight(20_000, share)
    names = [str(number) for number in range(crowd)]
    held = dict.fromkeys(names, 0)
    moved = True
    while moved:
        moved = False
        for name in names:
            got = len(taken(in_flight, name, 1, 50))
            held[name] += got
            moved = moved or bool(got)

    fair = 20_000 * share / (share * crowd + 1)
    assert all(abs(got - fair) <= 50 * share for got in held.values())
    assert len(taken(in_flight, "new", 1, 50)) == 50


def test_the_largest_request_fits_an_idle_collector_whatever_the_share() -> None:
    in_flight = InFlight(LIMIT, client_share=1)
    hold = in_flight.hold("a")
    for _ in range(10):
        hold.grow(LIMIT // 10)

    with pytest.raises(InFlightFull):
        in_flight.hold("b").grow(1)


def test_a_lone_client_leaves_a_fifth_by_default() -> None:
    in_flight = InFlight(LIMIT)
    assert len(taken(in_flight, "a", 10)) == LIMIT // 10 * CLIENT_SHARE // (CLIENT_SHARE + 1)
    with pytest.raises(ShareFull, match=r"810 bytes of this client .* beside 190 left .* 4 times .* \(client_share\)"):
        in_flight.hold("a").grow(10)
    assert len(taken(in_flight, "b", 10, 5)) == 5


def test_asking_for_room_takes_none() -> None:
    in_flight = InFlight(LIMIT)
    hold = in_flight.hold("a")
    hold.check(LIMIT)

    assert (in_flight.used_bytes, in_flight.clients, hold.held_bytes) == (0, 0, 0)
    with pytest.raises(InFlightFull):
        hold.check(LIMIT + 1)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((0, "10.0.0.1"), (0, "10.0.0.1"), True),
        ((0, "10.0.0.1"), (0, "10.0.0.2"), False),
        ((1, "10.0.0.1"), (2, "10.0.0.1"), False),  # two senders behind one proxy
        ((0, "2001:db8::1"), (0, "2001:db8::ffff"), True),
        ((0, "2001:db8::1"), (0, "2001:db8:0:1::1"), False),
        ((0, "fe80::1%eth0"), (0, "fe80::2"), True),
        ((0, "::ffff:10.0.0.1"), (0, "::ffff:10.0.0.2"), False),
        ((0, "::ffff:10.0.0.1"), (0, "10.0.0.1"), True),
    ],
)
def test_a_client_is_the_token_it_shows_and_the_address_it_comes_from(
    one: tuple[int, str], other: tuple[int, str], same: bool
) -> None:
    assert (client(*one) == client(*other)) is same


@pytest.mark.parametrize(
    ("peer", "address"),
    [("ipv4:127.0.0.1:80", "127.0.0.1"), ("ipv6:%5B::1%5D:80", "::1"), ("ipv6:[::1]:80", "::1"), ("unix:", "unix")],
)
def test_the_address_is_found_in_what_grpc_calls_a_peer(peer: str, address: str) -> None:
    assert _address(peer) == address


# ------------------------------------------------------------------ over HTTP


def post_from(source: str, port: int, size: int) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S, source_address=(source, 0))
    try:
        connection.request("POST", "/v1/traces", bytes(size), {"Content-Type": JSON})
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def connect(port: int, source: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE_S, (source, 0))


@contextmanager
def filled(served: ServedHttp, sink: FakeSink) -> Iterator[None]:
    """One client has all of its share in flight, in requests that wait for the sink."""
    sink.gate.clear()
    with ExitStack() as held:
        for _ in range(3):
            wire = held.enter_context(connect(served.port, BIG))
            wire.sendall(head(*HEAD, f"Content-Length: {MIB}") + bytes(MIB))
            assert sink.entered.acquire(timeout=PATIENCE_S)
        try:
            yield
        finally:
            sink.gate.set()


def test_http_takes_a_small_client_while_a_big_one_fills_its_share() -> None:
    sink = FakeSink()
    with http_server(sink, LIMITS) as served, filled(served, sink):
        refused = post_from(BIG, served.port, MIB // 2)
        sent = connect(served.port, SMALL)
        with sent:
            sent.sendall(head(*HEAD, f"Content-Length: {MIB // 2}") + bytes(MIB // 2))
            assert sink.entered.acquire(timeout=PATIENCE_S)  # admitted
            sink.gate.set()
            assert replies(sent.recv(4 * KIB))[0].status == 200
        assert refused.status == 503
        assert refused.headers["retry-after"] in {"1", "2", "3"}
        assert served.receiver.counts.refused() == {(Transport.HTTP, Reason.CLIENT_SHARE): 1}


def test_http_refuses_by_the_announced_length_before_the_body_comes_and_the_connection_goes_on() -> None:
    sink = FakeSink()
    with http_server(sink, LIMITS) as served, filled(served, sink), connect(served.port, BIG) as wire:
        wire.sendall(head(*HEAD, f"Content-Length: {MIB}"))
        (answer,) = replies(wire.recv(4 * KIB))
        assert answer.status == 503
        assert "connection" not in answer.headers

        wire.sendall(bytes(MIB))  # a client that does not listen while it sends
        wire.sendall(head("GET /after HTTP/1.1"))
        assert replies(wire.recv(4 * KIB))[0].status == 404
    assert len(sink.taken) == 3


def test_http_refuses_a_body_in_chunks_when_it_passes_the_room() -> None:
    sink = FakeSink()
    with http_server(sink, LIMITS) as served, filled(served, sink), connect(served.port, BIG) as wire:
        chunk = b"%x\r\n%s\r\n" % (MIB - KIB, bytes(MIB - KIB))
        wire.sendall(head(*HEAD, "Transfer-Encoding: chunked") + chunk + b"0\r\n\r\n")
        assert replies(wire.recv(4 * KIB))[0].status == 503


@pytest.mark.parametrize("ending", ["stalls", "closes", "breaks the framing"])
def test_a_client_refused_early_is_answered_once_however_its_body_ends(ending: str) -> None:
    limits = ReceiveLimits(wire_bytes=MIB, body_bytes=MIB, in_flight_bytes=4 * MIB, body_s=1)
    sink = FakeSink()
    with http_server(sink, limits) as served, filled(served, sink):
        with connect(served.port, BIG) as wire:
            wire.sendall(head(*HEAD, f"Content-Length: {MIB}"))
            assert replies(wire.recv(4 * KIB))[0].status == 503
            if ending == "closes":
                wire.shutdown(socket.SHUT_WR)
            elif ending == "breaks the framing":
                wire.sendall(bytes(MIB) + b"\x16\x03\x01 no request\r\n\r\n")
            rest = wire.recv(4 * KIB)
            assert [each.status for each in replies(rest)] == ([400] if "breaks" in ending else [])
        assert served.receiver.counts.refused()[Transport.HTTP, Reason.CLIENT_SHARE] == 1
        assert served.receiver.counts.abandonments() == {}


def test_requests_sent_ahead_are_answered_in_their_order_though_there_is_no_room_for_one() -> None:
    sink = FakeSink()
    with http_server(sink, LIMITS) as served, connect(served.port, BIG) as wire:
        served.receiver._server.in_flight.hold(client(0, BIG)).grow(3 * MIB)
        small = head(*HEAD, "Content-Length: 1") + b"x"
        wire.sendall(small + head(*HEAD, f"Content-Length: {MIB}") + bytes(MIB) + small)
        wire.shutdown(socket.SHUT_WR)
        answers = replies(read_all(wire))
    assert [answer.status for answer in answers] == [200, 503, 200]


def test_room_is_taken_for_what_a_head_announces_and_given_back_whatever_is_answered() -> None:
    sink = FakeSink()
    with http_server(sink, LIMITS) as served:
        in_flight = served.receiver._server.in_flight
        with connect(served.port, BIG) as wire:
            wire.sendall(head(*HEAD, f"Content-Length: {KIB}"))
            until(lambda: in_flight.used_bytes == KIB)
            wire.sendall(bytes(KIB))
            assert replies(wire.recv(4 * KIB))[0].status == 200
        ask = ("Access-Control-Request-Method: POST", "Origin: https://shop.example", "Content-Length: 4")
        for first in ("OPTIONS /v1/traces HTTP/1.1", "POST /nowhere HTTP/1.1", "GET /v1/traces HTTP/1.1"):
            with connect(served.port, BIG) as wire:
                wire.sendall(head(first, *ask) + b"body")
                assert wire.recv(4 * KIB)
        assert in_flight.used_bytes == 0


# ------------------------------------------------------------------ over gRPC


def test_grpc_takes_another_token_while_one_fills_its_share(tmp_path: Path) -> None:
    tokens = [f"{number}" * 16 for number in (1, 2)]
    (tmp_path / "tokens").write_text("\n".join(tokens))
    big, small = [(("authorization", f"Bearer {token}"),) for token in tokens]
    sink = FakeSink()
    sink.gate.clear()
    access = Access(token_file=tmp_path / "tokens")
    with grpc_server(sink, LIMITS, access) as served, channel(served.port) as opened:
        export = unary(opened)
        held = [export.future(bytes(MIB - KIB), timeout=PATIENCE_S, metadata=big) for _ in range(3)]
        for _ in held:
            assert sink.entered.acquire(timeout=PATIENCE_S)
        with pytest.raises(grpc.RpcError) as caught:
            export(bytes(MIB // 2), timeout=PATIENCE_S, metadata=big)
        held.append(export.future(bytes(MIB // 2), timeout=PATIENCE_S, metadata=small))
        assert sink.entered.acquire(timeout=PATIENCE_S)
        sink.gate.set()
        assert [each.result() for each in held] == [b""] * 4

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert rich_status(caught.value).details[0].Is(RetryInfo.DESCRIPTOR)
    assert served.receiver.counts.refused() == {(Transport.GRPC, Reason.CLIENT_SHARE): 1}


def test_grpc_refuses_before_it_reads_when_nothing_more_of_a_client_fits() -> None:
    limits = ReceiveLimits(wire_bytes=MIB, body_bytes=MIB, in_flight_bytes=2 * MIB)
    sink = FakeSink()
    sink.gate.clear()
    in_flight = InFlight(2 * MIB)
    with grpc_server(sink, limits) as served, channel(served.port) as opened:
        served.receiver._in_flight = in_flight
        in_flight.hold("0 127.0.0.1").grow(2 * MIB * CLIENT_SHARE // (CLIENT_SHARE + 1))
        with pytest.raises(grpc.RpcError) as caught:
            unary(opened)(bytes(10), timeout=PATIENCE_S)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert sink.taken == []
    until(lambda: in_flight.clients == 1)
