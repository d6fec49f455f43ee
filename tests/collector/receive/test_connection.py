"""What travels on one HTTP connection besides a plain request: order, framing, deadlines, and rubbish."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from otlp import JSON, FakeSink, ServedHttp, head, http_server, post, read_all, replies, talk, until
from structlog.testing import capture_logs

from otel_cx_collector.receive import Answer, ReceiveLimits
from otel_cx_collector.receive.counts import Reason, Transport

KIB = 1 << 10
MIB = 1 << 20
ROOM_S = 15.0
POST = ("POST /v1/traces HTTP/1.1", "Content-Type: application/json")


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink()


@pytest.fixture
def server(sink: FakeSink) -> Iterator[ServedHttp]:
    with http_server(sink, ReceiveLimits(head_bytes=8 * KIB)) as served:
        yield served


def request(body: bytes, *lines: str) -> bytes:
    return head(*POST, f"Content-Length: {len(body)}", *lines) + body


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=ROOM_S)


def test_a_connection_serves_request_after_request(server: ServedHttp, sink: FakeSink) -> None:
    with connect(server.port) as wire:
        for number in range(3):
            wire.sendall(request(b"%d" % number))
            assert replies(wire.recv(4 * KIB))[0].status == 200

    assert [taken.body for taken in sink.taken] == [b"0", b"1", b"2"]


def test_requests_sent_ahead_are_answered_in_their_order(server: ServedHttp, sink: FakeSink) -> None:
    sink.script = {b"%d" % number: Answer(number, "n") for number in range(1, 6)}
    ahead = [request(b"1"), request(b"2"), head("GET / HTTP/1.1"), request(b"3"), request(b"4"), request(b"5")]

    answers = talk(server.port, b"".join(ahead))

    assert [answer.status for answer in answers] == [200, 200, 404, 200, 200, 200]
    assert [taken.body for taken in sink.taken] == [b"1", b"2", b"3", b"4", b"5"]


def test_a_request_in_pieces_of_one_byte_is_one_request(server: ServedHttp, sink: FakeSink) -> None:
    whole = request(b"body")

    assert [answer.status for answer in talk(server.port, *(whole[at : at + 1] for at in range(len(whole))))] == [200]
    assert sink.taken[0].body == b"body"


def test_a_chunked_body_with_extensions_and_trailers_is_read(server: ServedHttp, sink: FakeSink) -> None:
    chunks = b"2;name=value\r\nbo\r\n2\r\ndy\r\n0\r\nContent-Type: text/plain\r\n\r\n"

    answers = talk(server.port, head(*POST, "Transfer-Encoding: chunked") + chunks)

    assert ([answer.status for answer in answers], sink.taken[0].body) == ([200], b"body")


def test_connection_close_and_http_1_0_end_the_connection_after_the_answer(server: ServedHttp) -> None:
    old = head("POST /v1/traces HTTP/1.0", "Content-Type: application/json", "Content-Length: 0")

    for only in (request(b"", "Connection: close"), old):
        (answer,) = talk(server.port, only, end=False)
        assert (answer.status, answer.headers["connection"]) == (200, "close")


@pytest.mark.parametrize("offer", ["h2c", "websocket"])
def test_an_offer_to_upgrade_is_passed_over_and_loses_no_body(server: ServedHttp, sink: FakeSink, offer: str) -> None:
    offering = request(b"body", "Connection: Upgrade, HTTP2-Settings", f"Upgrade: {offer}", "HTTP2-Settings: AAMAAABk")
    chunked = head(*POST, "Connection: Upgrade", f"Upgrade: {offer}", "Transfer-Encoding: chunked")

    answers = talk(server.port, offering * 3 + chunked + b"4\r\nlast\r\n0\r\n\r\n" + head("GET / HTTP/1.1"))

    assert [answer.status for answer in answers] == [200, 200, 200, 200, 404]
    assert [taken.body for taken in sink.taken] == [b"body"] * 3 + [b"last"]


def test_a_client_that_expects_100_continue_gets_it_before_it_sends_its_body(server: ServedHttp) -> None:
    with connect(server.port) as wire:
        wire.sendall(head(*POST, "Content-Length: 4", "Expect: 100-continue"))
        assert wire.recv(KIB) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.sendall(b"body")
        assert replies(wire.recv(4 * KIB))[0].status == 200


def test_a_client_that_expects_100_continue_is_refused_before_it_sends_its_body(server: ServedHttp) -> None:
    (answer,) = talk(server.port, head(*POST, "Content-Length: 99999999", "Expect: 100-continue"), end=False)

    assert (answer.status, answer.headers["connection"]) == (413, "close")


@pytest.mark.parametrize("size", [20 * MIB + 1, 64 * MIB])
def test_an_oversized_body_is_read_off_so_that_its_answer_arrives(server: ServedHttp, size: int) -> None:
    with connect(server.port) as wire:
        wire.sendall(head(*POST, f"Content-Length: {size}"))
        block = bytes(MIB)
        for _ in range(size // MIB):
            wire.sendall(block)
        wire.sendall(block[: size % MIB])
        wire.sendall(request(b"after"))
        wire.shutdown(socket.SHUT_WR)
        answers = replies(read_all(wire))

    assert [answer.status for answer in answers] == [413, 200]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # a TLS client
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),  # a gRPC client
        (b"POST /v1/traces HTTP/9.9\r\n\r\n", 400),
        (b"P", 400),
        (b"POST /v1/traces HTTP/1.1\r\nContent-Le", 400),
        (request(b"body")[:-1], 400),
        (head(*POST, "Content-Length: -1"), 400),
        (head(*POST, "Content-Length: 99999999999999999999"), 400),
        (head(*POST, "Content-Length: 1", "Content-Length: 2") + b"xx", 400),
        (head(*POST, "Content-Length: 1", "Transfer-Encoding: chunked") + b"x", 400),
        (head(*POST, "Transfer-Encoding: chunked") + b"zz\r\n", 400),
        (head(*POST, "Transfer-Encoding: chunked") + b"4\r\nbo", 400),
        (head(*POST, "Na me: x"), 400),
        (head("CONNECT collector:443 HTTP/1.1"), 400),
        (b"POST /v1/traces HTTP/1.1\r\nX: " + b"y" * MIB, 431),
        (b"POST /" + b"y" * MIB, 431),
        (b"\r\n" * MIB, 431),
        (head(*POST, "Transfer-Encoding: chunked") + b"0\r\nX: " + b"y" * MIB, 431),
        (head(*POST, "Transfer-Encoding: chunked") + b"1;" + b"y" * MIB, 431),
    ],
)
def test_what_is_no_request_is_answered_and_the_connection_closed(
    server: ServedHttp, sink: FakeSink, sent: bytes, status: int
) -> None:
    *_, answer = talk(server.port, sent)

    assert (answer.status, answer.headers["content-type"], answer.headers["connection"]) == (status, JSON, "close")
    assert sink.taken == []
    assert post(server.port, b"after").status == 200


def test_a_whole_head_over_the_limit_is_refused_and_the_connection_goes_on(server: ServedHttp) -> None:
    answers = talk(server.port, request(b"body", "X: " + "y" * 9 * KIB) + request(b"body"))

    assert [answer.status for answer in answers] == [431, 200]


def test_rubbish_after_a_request_costs_that_request_nothing(server: ServedHttp, sink: FakeSink) -> None:
    sink.gate.clear()
    with connect(server.port) as wire:
        wire.sendall(request(b"body") + b"\x00rubbish")
        assert sink.entered.acquire(timeout=ROOM_S)
        sink.gate.set()
        answers = replies(read_all(wire))

    assert [answer.status for answer in answers] == [200, 400]


def test_a_client_that_closes_its_half_still_gets_its_answer(server: ServedHttp, sink: FakeSink) -> None:
    sink.gate.clear()
    with connect(server.port) as wire:
        wire.sendall(request(b"body"))
        assert sink.entered.acquire(timeout=ROOM_S)
        wire.shutdown(socket.SHUT_WR)
        sink.gate.set()
        assert [answer.status for answer in replies(read_all(wire))] == [200]


def test_a_client_that_goes_away_gives_its_bytes_back_and_is_counted(server: ServedHttp, sink: FakeSink) -> None:
    in_flight = server.receiver._server.in_flight
    with connect(server.port) as wire:
        wire.sendall(head(*POST, "Content-Length: 2000") + bytes(1000))
        until(lambda: in_flight.used_bytes == 2000)  # what was announced
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    until(lambda: in_flight.used_bytes == 0)
    assert server.receiver.counts.abandonments() == {Transport.HTTP: 1}
    assert sink.taken == []


def test_a_defect_of_ours_in_the_middle_of_a_request_is_503_and_not_the_clients_fault(
    server: ServedHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(server.receiver._server.router, "_limits")

    with capture_logs() as lines:
        (answer,) = talk(server.port, request(b"body"))

    assert (answer.status, answer.headers["retry-after"] in {"1", "2", "3"}) == (503, True)
    assert [line["event"] for line in lines] == ["request.failed"]


# Limits


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [(b"POST /v1/tra", [408]), (request(b"body")[:-1], [408]), (b"", []), (request(b"body"), [200])],
)
def test_a_client_that_stops_sending_is_answered_and_closed(sent: bytes, statuses: list[int]) -> None:
    with http_server(FakeSink(), ReceiveLimits(head_s=1, body_s=1, keep_alive_s=1)) as served:
        assert [answer.status for answer in talk(served.port, sent, end=False)] == statuses


def test_a_client_that_sends_a_byte_now_and_then_wins_no_time() -> None:
    with http_server(FakeSink(), ReceiveLimits(head_s=1, linger_s=1)) as served, connect(served.port) as wire:
        wire.settimeout(0.1)
        received = b""
        for byte in b"POST /v1/traces HTTP/1.1\r\n" + b"X: y\r\n" * 100:
            try:
                wire.sendall(bytes([byte]))
                piece = wire.recv(KIB)
            except TimeoutError:
                continue
            received += piece
            break

    assert replies(received)[0].status == 408


def test_a_slow_sink_is_no_slow_client(sink: FakeSink) -> None:
    limits = ReceiveLimits(head_s=1, body_s=1, keep_alive_s=1)
    sink.gate.clear()
    with http_server(sink, limits) as served, connect(served.port) as wire:
        wire.sendall(request(b"body"))
        assert sink.entered.acquire(timeout=ROOM_S)
        time.sleep(2.5)
        sink.gate.set()
        assert replies(wire.recv(4 * KIB))[0].status == 200


def test_connections_over_the_limit_are_refused_retryably_and_far_over_it_closed() -> None:
    with http_server(FakeSink(), ReceiveLimits(connections=2, surplus_connections=1)) as served:
        first, second, third, fourth = (connect(served.port) for _ in range(4))
        with first, second, third, fourth:
            assert fourth.recv(KIB) == b""
            third.sendall(request(b"body"))
            (refused,) = replies(read_all(third))
            assert (refused.status, refused.headers["retry-after"] in {"1", "2", "3"}) == (503, True)
            second.sendall(request(b"body"))
            assert replies(second.recv(4 * KIB))[0].status == 200
        assert served.receiver.counts.refused() == {(Transport.HTTP, Reason.TOO_MANY_CONNECTIONS): 2}


def test_bytes_over_the_limit_in_flight_are_refused_retryably_and_those_within_are_not(sink: FakeSink) -> None:
    limits = ReceiveLimits(wire_bytes=MIB, body_bytes=MIB, in_flight_bytes=2 * MIB, client_share=10_000)
    sink.gate.clear()
    with http_server(sink, limits) as served:
        with connect(served.port) as one, connect(served.port) as two:
            for wire in (one, two):
                wire.sendall(request(bytes(MIB - KIB)))
                assert sink.entered.acquire(timeout=ROOM_S)
            assert post(served.port, bytes(MIB)).status == 503
            assert served.receiver.counts.refused() == {(Transport.HTTP, Reason.IN_FLIGHT_FULL): 1}
            sink.gate.set()
            assert [replies(wire.recv(4 * KIB))[0].status for wire in (one, two)] == [200, 200]
        assert post(served.port, bytes(MIB)).status == 200


def test_a_client_that_never_reads_its_answers_is_not_read_either(server: ServedHttp) -> None:
    counts, ahead = server.receiver.counts, 60_000

    def answered() -> int:
        return sum(total.requests for total in counts.totals().values())

    with connect(server.port) as wire:
        wire.settimeout(1)
        with suppress(TimeoutError):
            wire.sendall(head("GET / HTTP/1.1") * ahead)
        settled(answered)
        (connection,) = server.receiver._server._connections

        assert answered() < ahead
        assert connection._transport.get_write_buffer_size() < 4 * MIB
        assert post(server.port, b"after").status == 200


def settled(value: Callable[[], int]) -> None:
    """Wait until ``value`` no longer changes."""
    last = -1
    while (now := value()) != last:
        last = now
        time.sleep(0.3)


# Laws


WORDS = st.one_of(
    st.sampled_from(["POST", "GET", "/v1/traces", "HTTP/1.1", " ", "\r\n", ":", "\x00", "ÿ", "{}", "5", "0\r\n\r\n"]),
    st.sampled_from(["Content-Type", "application/json", "Content-Length", "Content-Encoding", "gzip", "chunked"]),
    st.sampled_from(["Transfer-Encoding", "Expect", "100-continue", "Connection", "Upgrade", "h2c", "close"]),
)
RUBBISH = st.one_of(st.binary(min_size=1), st.lists(WORDS, min_size=1, max_size=40).map(lambda w: "".join(w).encode()))
TOKENS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20)
VALUES = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\x00", exclude_categories=["C"]), max_size=100)


@pytest.fixture(scope="module")
def shared() -> Iterator[int]:
    with http_server(FakeSink()) as served:
        yield served.port


@given(sent=RUBBISH.filter(lambda sent: sent.strip(b"\r\n") != b""), cut=st.integers(0, 100))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_get_an_answer_that_is_no_5xx(shared: int, sent: bytes, cut: int) -> None:
    answers = talk(shared, sent[:cut], sent[cut:])

    assert answers
    assert all(answer.status < 500 for answer in answers)


@given(
    method=st.sampled_from(["POST", "GET", "OPTIONS", "PUT"]),
    path=st.sampled_from(["/v1/traces", "/v1/logs", "/", "*", "//", "/%00", "http://[", "/v1/traces?" + "x" * 99]),
    headers=st.dictionaries(
        st.one_of(st.sampled_from(["Content-Type", "Content-Encoding", "Authorization", "Origin", "Expect"]), TOKENS),
        st.one_of(st.sampled_from([JSON, "gzip", "deflate", "100-continue"]), VALUES),
        max_size=8,
    ),
    body=st.binary(max_size=200),
)
@settings(max_examples=300, deadline=None)
def test_arbitrary_headers_and_bodies_get_an_answer_that_is_no_5xx(
    shared: int, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    lines = [f"{name}: {value}" for name, value in headers.items()]

    answers = talk(shared, head(f"{method} {path} HTTP/1.1", f"Content-Length: {len(body)}", *lines) + body)

    assert answers
    assert all(answer.status < 500 for answer in answers)
