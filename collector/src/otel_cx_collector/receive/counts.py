"""What the receivers did, as numbers. Not how they are exposed."""

import threading
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from otel_cx_collector.receive.sink import Encoding, Signal


class Transport(StrEnum):
    """The two ways OTLP travels."""

    GRPC = "grpc"
    HTTP = "http"


class Reason(StrEnum):
    """Why a request was refused."""

    UNDECODABLE = "undecodable"
    TOO_LARGE = "too_large"
    SINK_UNAVAILABLE = "sink_unavailable"
    FAILED = "failed"
    IN_FLIGHT_FULL = "in_flight_full"
    CLIENT_SHARE = "client_share"
    QUEUE_TOO_LONG = "queue_too_long"
    TOO_MANY_CALLS = "too_many_calls"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    STOPPING = "stopping"
    UNAUTHENTICATED = "unauthenticated"
    UNKNOWN_PATH = "unknown_path"
    WRONG_METHOD = "wrong_method"
    WRONG_CONTENT_TYPE = "wrong_content_type"
    WRONG_CONTENT_ENCODING = "wrong_content_encoding"
    BAD_HTTP = "bad_http"
    HEAD_TOO_LARGE = "head_too_large"
    HEAD_TOO_SLOW = "head_too_slow"
    BODY_TOO_SLOW = "body_too_slow"
    NO_MESSAGE = "no_message"


@dataclass(frozen=True, slots=True)
class Kind:
    """What is counted together. ``signal`` and ``encoding`` are None where a request ended before they were known."""

    transport: Transport
    signal: Signal | None
    encoding: Encoding | None
    status: int
    """google.rpc.Code over gRPC, the HTTP status over HTTP."""


@dataclass(frozen=True, slots=True)
class Total:
    """Requests of one kind and their bytes."""

    requests: int
    wire_bytes: int
    body_bytes: int

    def __add__(self, other: "Total") -> "Total":
        return Total(
            self.requests + other.requests, self.wire_bytes + other.wire_bytes, self.body_bytes + other.body_bytes
        )


class Counts:
    """Totals since the start. Thread-safe; one may serve several receivers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[Kind] = Counter()
        self._wire_bytes: Counter[Kind] = Counter()
        self._body_bytes: Counter[Kind] = Counter()
        self._refused: Counter[tuple[Transport, Reason]] = Counter()
        self._abandoned: Counter[Transport] = Counter()

    def answered(self, kind: Kind, wire_bytes: int, body_bytes: int, refused: Reason | None) -> None:
        """One request got its answer."""
        with self._lock:
            self._requests[kind] += 1
            self._wire_bytes[kind] += wire_bytes
            self._body_bytes[kind] += body_bytes
            if refused is not None:
                self._refused[kind.transport, refused] += 1

    def abandoned(self, transport: Transport) -> None:
        """A client went away in the middle of its request, or was answered by grpcio: a message over ``wire_bytes``."""
        with self._lock:
            self._abandoned[transport] += 1

    def totals(self) -> dict[Kind, Total]:
        """Every kind seen so far."""
        with self._lock:
            return {
                kind: Total(requests, self._wire_bytes[kind], self._body_bytes[kind])
                for kind, requests in self._requests.items()
            }

    def refused(self) -> dict[tuple[Transport, Reason], int]:
        """Requests refused, by reason."""
        with self._lock:
            return dict(self._refused)

    def abandonments(self) -> dict[Transport, int]:
        """Requests whose client went away, by transport."""
        with self._lock:
            return dict(self._abandoned)
