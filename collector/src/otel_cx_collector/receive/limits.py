"""What one client may ask of us, and how many bytes of requests we hold at once. Not limits of what a body means."""

import threading
from collections import Counter
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Final, NamedTuple, Self

from otel_cx_collector.errors import Unavailable, UserError

MIB: Final = 1 << 20
CLIENT_SHARE: Final = 4
"""Alone, a client gets four fifths of the bytes in flight; of n that all want more, each gets 4 / (4 n + 1)."""


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
    client_share: int = CLIENT_SHARE
    """One client's bytes in flight may be this many times what is left free, so that a small request finds room while
    a big client takes all it can get. Over it: 503, UNAVAILABLE, come back."""
    workers: int = 32
    """Threads of each protocol that wait for the sink; each waits for the disk most of its time."""
    decoders: int = 2
    """Requests of each protocol that are decoded at once: more take turns at one interpreter lock, and all are late."""
    queue_s: int = 2
    """When a client's oldest request has waited this long for a worker, or by the pace of late its next one would,
    its next ones are refused before they are read; over gRPC, where a client is not known so early, those of all.
    Over it: 503, UNAVAILABLE, come back."""
    calls: int = 256
    """gRPC calls running or waiting for a worker. Over it: UNAVAILABLE, come back."""
    streams: int = 100
    """Calls at once on one gRPC connection; the client itself queues what is over."""
    connections: int = 512
    """HTTP connections, half of the usual 1,024 file descriptors. Over it: 503, come back."""
    surplus_connections: int = 64
    """HTTP connections over that limit which are told so; any more are closed unheard."""
    readers: int = 8
    """HTTP bodies read at once, once their first bytes came; the others are held by TCP, so that heads are heard."""
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


class ShareFull(InFlightFull):
    """There is room, but not for more of this client."""


class Standing(NamedTuple):
    """What is in flight of one client and of all."""

    own_bytes: int
    all_bytes: int
    clients: int


class InFlight:
    """Bytes of request bodies held at this moment. Thread-safe; share one between receivers to bound them together.

    Room is shared as shared-memory switches share their buffer (Choudhury and Hahne, Dynamic Queue Length Thresholds,
    1998): a client may grow while it holds no more than ``client_share`` times what is free. Those that want more than
    their share get the same, those that want less get all of it, and some room is always free for one that is new.
    What is alone in flight may take everything: the largest request that is allowed must fit.
    """

    def __init__(self, limit_bytes: int, client_share: int = CLIENT_SHARE) -> None:
        self.limit_bytes = limit_bytes
        self._client_share = client_share
        self._used_bytes = 0
        self._clients: Counter[str] = Counter()
        """Bytes of each client that holds any; there are no more of them than requests."""
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """Bytes held now."""
        return self._used_bytes

    @property
    def clients(self) -> int:
        """Clients that hold any."""
        return len(self._clients)

    def standing(self, client: str) -> Standing:
        """How ``client`` stands among all."""
        with self._lock:
            return Standing(self._clients.get(client, 0), self._used_bytes, len(self._clients))

    def hold(self, client: str | None = None) -> "Hold":
        """An empty share for one request of ``client``; of nobody in particular, only the whole is bounded."""
        return Hold(self, client)

    def check(self, hold: "Hold", size_bytes: int) -> None:
        """Whether ``size_bytes`` more would fit now; raises like ``Hold.grow`` if not."""
        with self._lock:
            self._check(hold, size_bytes)

    def move(self, hold: "Hold", change_bytes: int) -> None:
        """Take or give back; for holds."""
        with self._lock:
            if change_bytes > 0:
                self._check(hold, change_bytes)
            self._used_bytes += change_bytes
            if hold.client is not None:
                self._clients[hold.client] += change_bytes
                if not self._clients[hold.client]:
                    del self._clients[hold.client]

    def _check(self, hold: "Hold", size_bytes: int) -> None:
        free_bytes = self.limit_bytes - self._used_bytes - size_bytes
        if free_bytes < 0:
            raise InFlightFull(
                f"{self._used_bytes} bytes of requests are in flight, the limit is {self.limit_bytes};"
                " send again, or raise in_flight_bytes"
            )
        if hold.client is None or self._used_bytes == hold.held_bytes:
            return
        own_bytes = self._clients[hold.client] + size_bytes
        if own_bytes > self._client_share * free_bytes:
            raise ShareFull(
                f"{own_bytes} bytes of this client would be in flight beside {free_bytes} left for others, over"
                f" {self._client_share} times that (client_share); send again, or send less at once"
            )


class Hold:
    """One request's share of the bytes in flight; not thread-safe, handed from thread to thread with its request."""

    __slots__ = ("_in_flight", "client", "held_bytes")

    def __init__(self, in_flight: InFlight, client: str | None) -> None:
        self._in_flight = in_flight
        self.client = client
        self.held_bytes = 0

    def check(self, size_bytes: int) -> None:
        """Ask for room without taking it.

        Raises:
            InFlightFull: there is none now.
        """
        self._in_flight.check(self, size_bytes)

    def grow(self, size_bytes: int) -> None:
        """Take ``size_bytes`` more.

        Raises:
            InFlightFull: there is no room; what was held before stays held.
        """
        self._in_flight.move(self, size_bytes)
        self.held_bytes += size_bytes

    def release(self) -> None:
        """Give everything back; a second time does nothing."""
        held_bytes, self.held_bytes = self.held_bytes, 0
        if held_bytes:
            self._in_flight.move(self, -held_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
