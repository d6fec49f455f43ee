import gzip

import pytest
from otlp import FakeSink
from structlog.testing import capture_logs

from otel_cx_collector.decode import BadRequest, TooLarge
from otel_cx_collector.errors import Unavailable
from otel_cx_collector.receive import Answer, Counts, Encoding, InFlight, ReceiveLimits, Signal
from otel_cx_collector.receive.answers import Refused
from otel_cx_collector.receive.compression import Compression
from otel_cx_collector.receive.counts import Kind, Reason, Total, Transport
from otel_cx_collector.receive.desk import Desk, Request

MIB = 1 << 20
MINUTE_NS = 60_000_000_000
LIMITS = ReceiveLimits(wire_bytes=MIB, body_bytes=MIB, in_flight_bytes=2 * MIB)


class Clock:
    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def desk(sink: FakeSink, clock: Clock | None = None) -> Desk:
    return Desk(Transport.HTTP, sink, LIMITS, Counts(), clock or Clock())


def at_once() -> None:
    """Nobody waits for a turn to decode."""


def request(in_flight: InFlight, wire: bytes, compression: Compression = Compression.IDENTITY) -> Request:
    hold = in_flight.hold()
    hold.grow(len(wire))
    return Request(Signal.TRACES, Encoding.JSON, compression, hold, wire, len(wire))


def serve(sink: FakeSink, wire: bytes, compression: Compression = Compression.IDENTITY) -> Answer | Refused:
    in_flight = InFlight(LIMITS.in_flight_bytes)
    outcome = desk(sink).serve(request(in_flight, wire, compression), Signal.TRACES, Encoding.JSON, at_once)
    assert in_flight.used_bytes == 0
    return outcome


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BadRequest("byte 3"), Reason.UNDECODABLE),
        (TooLarge("20,001 spans"), Reason.TOO_LARGE),
        (Unavailable("disk full", 3), Reason.SINK_UNAVAILABLE),
        (ValueError("a defect"), Reason.FAILED),
        (MemoryError(), Reason.FAILED),
        (RecursionError(), Reason.FAILED),
    ],
)
def test_what_the_sink_raises_becomes_a_refusal_and_its_bytes_come_back(error: Exception, reason: Reason) -> None:
    outcome = serve(FakeSink({b"body": error}), b"body")

    assert isinstance(outcome, Refused)
    assert outcome.reason is reason


def test_a_defect_is_not_shown_to_the_client() -> None:
    outcome = serve(FakeSink({b"body": ValueError("/secret/path")}), b"body")

    assert isinstance(outcome, Refused)
    assert "secret" not in outcome.message


def test_the_sink_gets_the_body_decompressed() -> None:
    sink = FakeSink()

    assert serve(sink, gzip.compress(b"body"), Compression.GZIP) == Answer()
    assert [taken.body for taken in sink.taken] == [b"body"]


def test_a_body_that_finds_no_room_in_flight_is_refused_retryably() -> None:
    in_flight = InFlight(LIMITS.in_flight_bytes)
    in_flight.hold().grow(LIMITS.in_flight_bytes - MIB // 2)
    bomb = request(in_flight, gzip.compress(bytes(MIB)), Compression.GZIP)

    outcome = desk(FakeSink()).serve(bomb, Signal.TRACES, Encoding.JSON, at_once)

    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.IN_FLIGHT_FULL
    assert outcome.retry_after_s is not None


def test_defects_are_logged_once_a_minute_with_their_number_and_without_what_was_sent() -> None:
    clock = Clock()
    failing = desk(FakeSink({b"body": ValueError("ada@example.org")}), clock)

    with capture_logs() as lines:
        for clock.ns in (1, 2, 3, MINUTE_NS + 1, MINUTE_NS + 2):
            failing.serve(request(InFlight(MIB), b"body"), Signal.TRACES, Encoding.JSON, at_once)

    assert [line["failures"] for line in lines] == [1, 3]
    assert "in accept" in lines[0]["traceback"]
    assert "ada" not in str(lines)


def test_requests_bytes_and_refusals_are_counted_by_kind() -> None:
    counts = Counts()
    counting = Desk(Transport.HTTP, FakeSink({b"bad!": BadRequest("no")}), LIMITS, counts)
    good_kind, bad_kind = (Kind(Transport.HTTP, Signal.TRACES, Encoding.JSON, status) for status in (200, 400))

    for wire in (b"one", b"three", b"bad!"):
        taken = request(InFlight(MIB), wire)
        counting.count(taken, counting.serve(taken, Signal.TRACES, Encoding.JSON, at_once))

    assert counts.totals() == {good_kind: Total(2, 8, 8), bad_kind: Total(1, 4, 4)}
    assert counts.refused() == {(Transport.HTTP, Reason.UNDECODABLE): 1}
