"""What one client may ask of us, and how many bytes of requests we hold at once. Not limits of what a body means."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Final, Self

from otel_cx_collector.errors import Unavailable, UserError

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveLimits:
    """Limits of the receivers.

    Every one is counted when it is hit, but for those that grpcio keeps: of streams, pings and metadata it tells
    nothing, and a message over ``wire_bytes`` counts as abandoned.
    """

    wire_bytes: int = 20 * MIB
    """One request body as it travels: the default OTLP 1.11 recommends. Over it: 413, RESOURCE_EXHAUSTED."""
    body_bytes: int = 64 * MIB
    """One request body decompressed, counted while inflating, so that a bomb costs no more than this."""
    gzip_members: int = 1_000
    """Members of one gzip stream: a million empty ones cost minutes of CPU and hold nothing."""
    in_flight_bytes: int = 128 * MIB
    """Bodies held at once, on the wire and decompressed, over both protocols; what bounds memory under many clients.
    Over it: 503, UNAVAILABLE, come back."""
    workers: int = 32
    """Threads of each protocol that wait for the sink; each waits for the disk most of its time."""
    calls: int = 256
    """gRPC calls running or waiting for a worker. Over it: UNAVAILABLE, come back."""
    streams: int = 100
    """Calls at once on one gRPC connection; the client itself queues what is over."""
    connections: int = 512
    """HTTP connections, half of the usual 1,024 file descriptors. Over it: 503, come back."""
    surplus_connections: int = 64
    """HTTP connections over that limit which are told so; any more are closed unheard."""
    head_bytes: int = 32 * 1024
    """Request line and headers; for gRPC its metadata."""
    head_s: int = 10
    """From the first byte of an HTTP request to the end of its headers."""
    body_s: int = 30
    """From there to the end of the body; for gRPC from the call to its message."""
    keep_alive_s: int = 120
    """An idle HTTP connection is kept this long: twice the usual export interval of metrics, so that an exporter
    seldom meets a connection that is just being closed."""
    linger_s: int = 2
    """After an answer that ends a connection early, what the client still sends is read and dropped for this long:
    closing at once would reset the connection, and the answer would be lost."""
    ping_s: int = 60
    """How often an idle gRPC connection is checked."""
    ping_timeout_s: int = 20
    """How long such a check may take before the connection counts as dead."""
    client_ping_s: int = 10
    """How often a gRPC client may ping us; Go clients are often set to this."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            UserError: a limit is not positive, or no largest request would ever fit in flight.
        """
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise UserError(f"{field.name} is {getattr(self, field.name)}; set it to 1 or more")
        if self.in_flight_bytes < self.wire_bytes + self.body_bytes:
            raise UserError(
                f"in_flight_bytes is {self.in_flight_bytes}, less than one largest request (wire_bytes"
                f" {self.wire_bytes} + body_bytes {self.body_bytes}), which would be refused for ever; raise it"
            )


class InFlightFull(Unavailable):
    """The bytes in flight are at their limit."""


class InFlight:
    """Bytes of request bodies held at this moment. Thread-safe; share one between receivers to bound them together."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """Bytes held now."""
        return self._used_bytes

    def hold(self) -> "Hold":
        """An empty share for one request."""
        return Hold(self._move)

    def _move(self, change_bytes: int) -> None:
        with self._lock:
            if change_bytes > 0 and self._used_bytes + change_bytes > self._limit_bytes:
                raise InFlightFull(
                    f"{self._used_bytes} bytes of requests are in flight, the limit is {self._limit_bytes};"
                    " send again, or raise in_flight_bytes"
                )
            self._used_bytes += change_bytes


class Hold:
    """One request's share of the bytes in flight; not thread-safe, handed from thread to thread with its request."""

    __slots__ = ("_move", "held_bytes")

    def __init__(self, move: Callable[[int], None]) -> None:
        self._move = move
        self.held_bytes = 0

    def grow(self, size_bytes: int) -> None:
        """Take ``size_bytes`` more.

        Raises:
            InFlightFull: there is no room; what was held before stays held.
        """
        self._move(size_bytes)
        self.held_bytes += size_bytes

    def release(self) -> None:
        """Give everything back; a second time does nothing."""
        held_bytes, self.held_bytes = self.held_bytes, 0
        if held_bytes:
            self._move(-held_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
