"""Few bodies are read at once and each has its turn, so that heads are heard; few are decoded at once."""

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from otlp import PATIENCE_S, FakeSink, head, http_server, replies, until

from otel_cx_collector.receive import Answer, Encoding, ReceiveLimits, Signal
from otel_cx_collector.receive.readers import Readers
from otel_cx_collector.receive.turn import Turn

TURNS = 2
HEAD = ("POST /v1/traces HTTP/1.1", "Content-Type: application/json")


class Loop:
    """Keeps what is to be called later until the test says that it is later."""

    def __init__(self) -> None:
        self.later: list[Callable[[], None]] = []

    def call_later(self, _: float, do: Callable[[], None]) -> object:
        self.later.append(do)
        return object()

    def rotate(self) -> None:
        due, self.later = self.later, []
        for do in due:
            do()


class Reader:
    """A connection that reads unless it is held."""

    def __init__(self) -> None:
        self.reads = True

    def go_on(self) -> None:
        self.reads = True

    def hold(self) -> None:
        self.reads = False


def scene(count: int) -> tuple[Loop, Readers, list[Reader]]:
    loop = Loop()
    return loop, Readers(TURNS, cast("asyncio.AbstractEventLoop", loop)), [Reader() for _ in range(count)]


def reading(connections: list[Reader]) -> list[int]:
    return [number for number, each in enumerate(connections) if each.reads]


def test_who_comes_first_reads_and_the_next_follows_when_one_is_done() -> None:
    _, readers, connections = scene(4)
    for each in connections:
        readers.heard(each)
    assert reading(connections) == [0, 1]
    readers.done(connections[0])
    assert reading(connections) == [0, 1, 2]  # the first reads its next request's head
    readers.done(connections[3])  # it went away while it waited
    readers.done(connections[1])
    assert reading(connections) == [0, 1, 2, 3]


def test_who_sends_nothing_gives_its_turn_to_one_that_waits_and_who_sends_keeps_it() -> None:
    loop, readers, connections = scene(3)
    for each in connections:
        readers.heard(each)
    loop.rotate()
    readers.heard(connections[0])
    loop.rotate()
    assert reading(connections) == [0, 2]
    readers.done(connections[0])
    assert reading(connections) == [0, 1, 2]
    loop.rotate()
    assert not loop.later, "with nobody waiting there is nothing to look at"


EVENTS = st.lists(st.tuples(st.sampled_from(["heard", "done", "rotate"]), st.integers(0, 4)), max_size=60)


@given(EVENTS)
def test_never_more_read_than_have_turns_and_everyone_who_waits_gets_one(events: list[tuple[str, int]]) -> None:
    loop, readers, connections = scene(5)
    begun: set[int] = set()
    for event, number in events:
        if event == "rotate":
            loop.rotate()
        elif event == "heard" and connections[number].reads:
            readers.heard(connections[number])
            begun.add(number)
        elif event == "done":
            readers.done(connections[number])
            begun.discard(number)
        assert len([each for each in begun if connections[each].reads]) == min(TURNS, len(begun))
    for number in [*begun]:
        while not connections[number].reads:
            loop.rotate()
        readers.done(connections[number])
    assert all(each.reads for each in connections)


def begin(port: int, part: bytes) -> socket.socket:
    """The first bytes of a body of ten."""
    wire = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    wire.sendall(head(*HEAD, "Content-Length: 10") + part)
    return wire


def test_a_body_that_does_not_come_holds_up_no_other() -> None:
    with http_server(FakeSink(), ReceiveLimits(readers=1)) as served:
        readers = served.receiver._server.readers
        stalled = begin(served.port, b"{")
        until(lambda: len(readers._reading) == 1)
        other = begin(served.port, b"{")
        until(lambda: len(readers._reading) + len(readers._waiting) == 2)
        other.sendall(b" " * 8 + b"}")
        assert replies(other.recv(4096))[0].status == 200
        stalled.sendall(b" " * 8 + b"}")
        assert replies(stalled.recv(4096))[0].status == 200
        assert (readers._reading, readers._waiting) == ({}, {})
        for wire in (stalled, other):
            wire.close()


class Decoding(FakeSink):
    """Counts how many it decodes at once, and how many wait for the disk at once."""

    def __init__(self) -> None:
        super().__init__()
        self.decoding = self.most = 0
        self.counting = threading.Lock()
        self.all_wait = threading.Barrier(4, timeout=PATIENCE_S)

    def accept(self, signal: Signal, encoding: Encoding, body: bytes, decoded: Callable[[], None]) -> Answer:
        with self.counting:
            self.decoding += 1
            self.most = max(self.most, self.decoding)
        threading.Event().wait(0.01)  # long enough for another to come in, if it could
        with self.counting:
            self.decoding -= 1
        decoded()
        self.all_wait.wait()
        return super().accept(signal, encoding, body, decoded)


def test_no_more_are_decoded_at_once_than_the_limit_says_though_all_wait_for_the_disk_together() -> None:
    sink = Decoding()
    with http_server(sink, ReceiveLimits(decoders=1)) as served:
        wires = [begin(served.port, b"{" + b" " * 8 + b"}") for _ in range(4)]
        assert [replies(wire.recv(4096))[0].status for wire in wires] == [200] * 4
        for wire in wires:
            wire.close()
    assert sink.most == 1


def test_a_turn_that_was_ended_is_not_given_back_twice() -> None:
    turns = threading.Semaphore(1)
    with Turn(turns) as turn:
        turn.end()
        turn.end()
    assert cast("Any", turns)._value == 1
