"""How receivers end: nothing under way is lost within the grace, nothing holds the end up beyond it."""

import http.client
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import grpc
import pytest
from otlp import PATIENCE_S, FakeSink, call, channel, head, post, read_all, replies, unary, until

from otel_cx_collector.receive import GrpcReceiver, HttpReceiver

START = ("POST /v1/traces HTTP/1.1", "Content-Type: application/json", "Content-Length: 4")


def in_background(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def is_refused(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return False
    return True


def test_http_finishes_what_is_under_way_and_takes_no_new_connections() -> None:
    sink = FakeSink()
    receiver = HttpReceiver("127.0.0.1:0", sink)
    port = receiver.start()
    sink.gate.clear()
    idle = http.client.HTTPConnection("127.0.0.1", port)
    idle.connect()
    with connect(port) as served, connect(port) as sending:
        served.sendall(head(*START) + b"body")
        sending.sendall(head(*START) + b"bo")
        assert sink.entered.acquire(timeout=PATIENCE_S)

        stopping = in_background(lambda: receiver.stop(PATIENCE_S))
        until(lambda: is_refused(port))
        sending.sendall(b"dy")
        sink.gate.set()

        answers = [replies(read_all(wire)) for wire in (served, sending)]
    stopping.join(PATIENCE_S)

    assert not stopping.is_alive()
    assert [(answer.status, answer.headers["connection"]) for (answer,) in answers] == [(200, "close")] * 2
    assert idle.sock.recv(1) == b""
    idle.close()


def test_grpc_finishes_what_is_under_way_and_takes_no_new_calls() -> None:
    sink = FakeSink()
    receiver = GrpcReceiver("127.0.0.1:0", sink)
    port = receiver.start()
    sink.gate.clear()
    with channel(port) as opened:
        future = unary(opened).future(b"body", timeout=PATIENCE_S)
        assert sink.entered.acquire(timeout=PATIENCE_S)

        stopping = in_background(lambda: receiver.stop(PATIENCE_S))
        until(lambda: is_refused(port))
        sink.gate.set()

        assert future.result() == b""
    stopping.join(PATIENCE_S)
    assert not stopping.is_alive()
    with pytest.raises(grpc.RpcError) as caught:
        call(port, b"late")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("kind", [GrpcReceiver, HttpReceiver])
def test_a_sink_that_hangs_holds_the_end_up_no_longer_than_the_grace(
    kind: type[GrpcReceiver] | type[HttpReceiver],
) -> None:
    sink = FakeSink()
    receiver = kind("127.0.0.1:0", sink)
    port = receiver.start()
    sink.gate.clear()

    def send() -> None:
        with suppress(grpc.RpcError, OSError, http.client.HTTPException):
            call(port, b"body") if kind is GrpcReceiver else post(port, b"body")

    sending = in_background(send)
    assert sink.entered.acquire(timeout=PATIENCE_S)
    stopping = in_background(lambda: receiver.stop(0.1))
    stopping.join(PATIENCE_S / 2)
    assert not stopping.is_alive()
    sink.gate.set()
    sending.join(PATIENCE_S)
    assert not sending.is_alive()


@pytest.mark.parametrize("kind", [GrpcReceiver, HttpReceiver])
def test_a_receiver_can_be_stopped_before_it_started_and_twice(kind: type[GrpcReceiver] | type[HttpReceiver]) -> None:
    kind("127.0.0.1:0", FakeSink()).stop(1)
    receiver = kind("127.0.0.1:0", FakeSink())
    port = receiver.start()

    receiver.stop(1)
    receiver.stop(1)

    assert is_refused(port)
    successor = kind(f"127.0.0.1:{port}", FakeSink())
    assert successor.start() == port
    successor.stop(1)
