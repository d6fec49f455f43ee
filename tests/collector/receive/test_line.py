"""Requests wait by turns among clients, and none for longer than its client waits for the answer."""

import socket
from collections.abc import Callable
from functools import partial

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # its stubs come without py.typed
from hypothesis import given
from hypothesis import strategies as st
from otlp import (
    PATIENCE_S,
    FakeSink,
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

from otel_cx_collector.receive import ReceiveLimits
from otel_cx_collector.receive import grpc as receive_grpc
from otel_cx_collector.receive.counts import Reason, Transport
from otel_cx_collector.receive.limits import Standing
from otel_cx_collector.receive.line import Line

SECOND = 1_000_000_000
KIB = 1 << 10
MIB = 1 << 20
NOTHING = Standing(0, 0, 1)
HEAD = ("POST /v1/traces HTTP/1.1", "Content-Type: application/json")
BIG, SMALL = "127.0.0.1", "127.0.0.2"


class Scene:
    """A line under a clock that the test turns, which notes what was done."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.line = Line(2, lambda: round(self.now_s * SECOND))
        self.done: list[str] = []
        self.late: list[str] = []

    def put(self, client: str, name: str, size: int = 100) -> None:
        self.line.put(client, size, partial(self._job, name))

    def _job(self, name: str, late: bool, _: Callable[[], None]) -> None:
        (self.late if late else self.done).append(name)

    def take(self, count: int = 1) -> None:
        for _ in range(count):
            job, late = self.line.take()
            job(late, lambda: None)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_one_client_is_served_in_the_order_it_sent(scene: Scene) -> None:
    for name in "abc":
        scene.put("one", name)
    scene.take(3)
    assert scene.done == ["a", "b", "c"]


def test_a_client_that_comes_later_does_not_wait_for_all_that_another_sent_ahead(scene: Scene) -> None:
    for number in range(100):
        scene.put("big", f"big {number}")
    scene.take(10)
    scene.put("small", "small")
    scene.take(2)
    assert "small" in scene.done[10:]


def test_who_sends_ten_times_the_bytes_a_request_gets_a_tenth_of_the_turns(scene: Scene) -> None:
    for number in range(50):
        scene.put("large", f"large {number}", 10_000)
        scene.put("tiny", f"tiny {number}", 1_000)
    scene.take(44)
    assert sum(name.startswith("large") for name in scene.done) in {4, 5}


def test_a_client_that_was_away_has_saved_up_no_turns(scene: Scene) -> None:
    for number in range(40):
        scene.put("busy", f"busy {number}")
    scene.take(20)
    for number in range(20):
        scene.put("back", f"back {number}")
    scene.take(20)
    assert sum(name.startswith("back") for name in scene.done[20:]) in {10, 11}


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 5_000)), max_size=60))
def test_everything_that_waits_is_done_once_and_each_client_in_its_order(requests: list[tuple[str, int]]) -> None:
    scene = Scene()
    for number, (client, size) in enumerate(requests):
        scene.put(client, f"{client}{number}", size)
    scene.take(len(requests))
    assert sorted(scene.done) == sorted(f"{client}{number}" for number, (client, _) in enumerate(requests))
    for client in "abcd":
        own = [int(name[1:]) for name in scene.done if name[0] == client]
        assert own == sorted(own)
    assert not scene.line._clients


def test_the_line_is_long_for_the_client_whose_oldest_has_waited_and_for_no_other(scene: Scene) -> None:
    scene.put("big", "a")
    scene.now_s = 2
    scene.put("small", "b")
    assert not scene.line.is_long("big", NOTHING)
    scene.now_s = 2.1
    assert scene.line.is_long("big", NOTHING)
    assert not scene.line.is_long("small", NOTHING)
    assert not scene.line.is_long("unknown", NOTHING)
    scene.take(1)
    assert not scene.line.is_long("big", NOTHING)


def moving(scene: Scene, seconds: int) -> None:
    """So many seconds at 1 MiB a second, with more waiting."""
    for number in range(seconds + 3):
        scene.put("big", f"{number}", MIB)
    for _ in range(seconds + 1):
        scene.take()
        scene.now_s += 1
    scene.line._clients["big"].requests[0] = (
        scene.line._clients["big"].requests[0]._replace(since_ns=round(scene.now_s * SECOND))
    )


@pytest.mark.parametrize(
    ("own", "everybody", "clients", "long"),
    [
        (3 * MIB, 3 * MIB, 1, True),
        (MIB, MIB, 1, False),
        (MIB, 9 * MIB, 2, False),  # with another client it gets every second turn
        (2 * MIB, 9 * MIB, 2, True),
        (MIB, MIB + 1, 9, False),  # the others have next to nothing
    ],
)
def test_the_line_is_long_when_what_a_client_has_in_flight_would_take_too_long(
    scene: Scene, own: int, everybody: int, clients: int, *, long: bool
) -> None:
    moving(scene, 5)
    assert scene.line.is_long("big", Standing(own, everybody, clients)) is long


def test_how_long_it_would_take_is_not_known_before_anything_moved_and_not_asked_when_nothing_waits(
    scene: Scene,
) -> None:
    scene.put("big", "a", MIB)
    assert not scene.line.is_long("big", Standing(100 * MIB, 100 * MIB, 1))
    scene.take()
    moving(scene, 5)
    assert not scene.line.is_long("small", Standing(100 * MIB, 100 * MIB, 1))


def test_a_pause_with_nothing_waiting_does_not_count_as_slow(scene: Scene) -> None:
    moving(scene, 5)
    scene.take(2)
    scene.now_s += 3600
    moving(scene, 1)
    assert not scene.line.is_long("big", Standing(MIB, MIB, 1))


def test_what_has_waited_twice_as_long_is_told_that_it_is_late(scene: Scene) -> None:
    scene.put("one", "a")
    scene.put("one", "b")
    scene.now_s = 4
    scene.take()
    scene.now_s = 4.1
    scene.take()
    assert (scene.done, scene.late) == (["a"], ["b"])


# ------------------------------------------------------------------ the receivers


class Clock:
    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def connect(port: int, source: str = BIG) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE_S, (source, 0))


def sent(port: int, body: bytes, source: str = BIG) -> socket.socket:
    wire = connect(port, source)
    wire.sendall(head(*HEAD, f"Content-Length: {len(body)}") + body)
    return wire


def answer(wire: socket.socket) -> int:
    with wire:
        return replies(wire.recv(4 * KIB))[0].status


def test_http_refuses_a_client_whose_requests_wait_too_long_and_serves_another_first() -> None:
    sink, clock = FakeSink(), Clock()
    sink.gate.clear()
    with http_server(sink, ReceiveLimits(workers=1)) as served:
        line = served.receiver._server.line
        line._now_ns = clock
        running = sent(served.port, b"running")
        assert sink.entered.acquire(timeout=PATIENCE_S)
        waiting = [sent(served.port, b"waiting %d" % number) for number in range(3)]
        until(lambda: len(line._clients["0 127.0.0.1"].requests) == 3 if line._clients else False)
        clock.ns = 3 * SECOND
        with connect(served.port) as wire:
            wire.sendall(head(*HEAD, "Content-Length: 1000000"))  # refused before its body
            assert replies(wire.recv(4 * KIB))[0].status == 503
        other = sent(served.port, b"other", SMALL)
        until(lambda: len(line._clients) == 2)
        sink.gate.set()
        assert [answer(wire) for wire in (running, other, *waiting)] == [200] * 5
        assert served.receiver.counts.refused() == {(Transport.HTTP, Reason.QUEUE_TOO_LONG): 1}
    assert [taken.body for taken in sink.taken].index(b"other") <= 2


def test_http_turns_away_what_waited_longer_than_a_client_does_and_gives_its_bytes_back() -> None:
    sink, clock = FakeSink(), Clock()
    sink.gate.clear()
    with http_server(sink, ReceiveLimits(workers=1)) as served:
        line, in_flight = served.receiver._server.line, served.receiver._server.in_flight
        line._now_ns = clock
        running = sent(served.port, b"running")
        assert sink.entered.acquire(timeout=PATIENCE_S)
        late = sent(served.port, b"late")
        until(lambda: bool(line._clients))
        clock.ns = 5 * SECOND
        sink.gate.set()
        assert [answer(running), answer(late)] == [200, 503]
        assert in_flight.used_bytes == 0
    assert [taken.body for taken in sink.taken] == [b"running"]


@pytest.mark.parametrize(("waited_s", "refused"), [(1, False), (3, True)])
def test_grpc_refuses_new_calls_while_the_oldest_has_waited_too_long(
    monkeypatch: pytest.MonkeyPatch, waited_s: int, *, refused: bool
) -> None:
    sink, clock = FakeSink(), Clock()
    monkeypatch.setattr(receive_grpc, "now_ns", clock)
    sink.gate.clear()
    with grpc_server(sink, ReceiveLimits(workers=1)) as served, channel(served.port) as opened:
        export = unary(opened)
        held = begun(export, sink, lambda: len(served.receiver._service._arrived_ns) == 1)
        clock.ns = waited_s * SECOND
        another = export.future(b"another", timeout=PATIENCE_S)
        if refused:
            error = another.exception()
            assert isinstance(error, grpc.RpcError)
            assert rich_status(error).details[0].Is(RetryInfo.DESCRIPTOR)
        sink.gate.set()
        assert [each.result() for each in held] == [b""] * 2
        assert refused or another.result() == b""
        assert served.receiver.counts.refused().get((Transport.GRPC, Reason.QUEUE_TOO_LONG), 0) == refused


def begun(
    export: "grpc.UnaryUnaryMultiCallable[bytes, bytes]", sink: FakeSink, waits: Callable[[], bool]
) -> "list[grpc.Future[bytes]]":
    """A call that holds the only worker, and one that waits for it."""
    running = export.future(b"running", timeout=PATIENCE_S)
    assert sink.entered.acquire(timeout=PATIENCE_S)
    waiting = export.future(b"waiting", timeout=PATIENCE_S)
    until(waits)
    return [running, waiting]


def test_grpc_turns_away_what_waited_longer_than_a_client_does(monkeypatch: pytest.MonkeyPatch) -> None:
    sink, clock = FakeSink(), Clock()
    monkeypatch.setattr(receive_grpc, "now_ns", clock)
    sink.gate.clear()
    with grpc_server(sink, ReceiveLimits(workers=1)) as served, channel(served.port) as opened:
        running, late = begun(unary(opened), sink, lambda: len(served.receiver._service._arrived_ns) == 1)
        clock.ns = 5 * SECOND
        sink.gate.set()
        assert running.result() == b""
        error = late.exception()
        assert isinstance(error, grpc.RpcError)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert [taken.body for taken in sink.taken] == [b"running"]


# ------------------------------------------------------------------ clients that are slow on purpose


def test_clients_that_drip_heads_and_bodies_hold_up_nobody_and_are_let_go() -> None:
    sink = FakeSink()
    limits = ReceiveLimits(workers=1, head_s=1, body_s=1)
    with http_server(sink, limits) as served:
        heads = [connect(served.port) for _ in range(20)]
        bodies = [connect(served.port) for _ in range(20)]
        for wire in heads:
            wire.sendall(b"POST /v1/traces HTTP/1.1\r\nX-Slow: ")
        for wire in bodies:
            wire.sendall(head(*HEAD, "Content-Length: 100") + b"x")
        assert answer(sent(served.port, b"{}", SMALL)) == 200
        ends = [replies(read_all(wire))[0].status for wire in (*heads, *bodies)]
        assert ends == [408] * 40
        assert served.receiver.counts.refused() == {
            (Transport.HTTP, Reason.HEAD_TOO_SLOW): 20,
            (Transport.HTTP, Reason.BODY_TOO_SLOW): 20,
        }
        assert served.receiver._server.in_flight.used_bytes == 0
        for wire in (*heads, *bodies):
            wire.close()
