"""Clients that know every step they sent and which of them were acknowledged. Not a test."""

import http.client
import itertools
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Final, Self

import grpc
from spans import request, step

from otel_cx_collector.clock import now_ns

STEPS: Final = 5
"""In a request."""
PAUSE_S: Final = 0.05
"""Between two requests of a connection."""
RETRY_S: Final = 0.2
"""Before a request that was not acknowledged is sent again."""
TIMEOUT_S: Final = 10.0
_EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_HEADERS: Final = {"Content-Type": "application/x-protobuf"}
_GONE: Final = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
"""What a call ends with when the collector dies, stops or has no room."""
_CHANNEL: Final = [
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]

Sends = Callable[[bytes], bool]
"""Whether a body was acknowledged."""


def ids_of(number: int) -> range:
    """Span ids of the steps in a request."""
    return range(number * STEPS, (number + 1) * STEPS)


def body_of(number: int) -> bytes:
    """A request of one attempt."""
    attributes = {"otelcx.journey.name": "checkout", "otelcx.journey.attempt": f"a{number}"}
    end = now_ns()
    spans = (step(attributes, span_id=each.to_bytes(8), end_time_unix_nano=end) for each in ids_of(number))
    return request(*spans).SerializeToString()


class Clients:
    """Connections of both protocols, as many of each, that send every request until it is acknowledged.

    Attributes:
        acknowledged: Numbers of the requests that were, in this order.
        repeats: How often a request was sent again.
        odd: Answers that are neither yes nor "come back".
    """

    def __init__(self, grpc_port: int, http_port: int, connections: int) -> None:
        self.acknowledged: list[int] = []
        self.repeats = 0
        self.odd: list[str] = []
        self._ports = {"grpc": grpc_port, "http": http_port}
        self._numbers = itertools.count(1)
        self._last = 0
        self._lock = threading.Lock()
        self._done = threading.Event()
        ways = (self._over_grpc, self._over_http)
        self._threads = [threading.Thread(target=way) for way in ways for _ in range(connections)]

    @property
    def last(self) -> int:
        """The highest number that was ever sent; the first is 1."""
        return self._last

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _over_grpc(self) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{self._ports['grpc']}", _CHANNEL) as channel:
            export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_EXPORT)
            self._run(lambda body: self._call(export, body))

    def _over_http(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._ports["http"], timeout=TIMEOUT_S)) as connection:
            self._run(lambda body: self._post(connection, body))

    def _run(self, send: Sends) -> None:
        while not self._done.wait(PAUSE_S):
            with self._lock:
                number = self._last = next(self._numbers)
            body = body_of(number)
            while not send(body):
                if self._done.wait(RETRY_S):
                    return
                with self._lock:
                    self.repeats += 1
            with self._lock:
                self.acknowledged.append(number)

    def _call(self, export: "grpc.UnaryUnaryMultiCallable[bytes, bytes]", body: bytes) -> bool:
        try:
            answer = export(body, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            if error.code() not in _GONE:
                self.odd.append(repr(error))
            return False
        return self._whole(answer)

    def _post(self, connection: http.client.HTTPConnection, body: bytes) -> bool:
        try:
            connection.request("POST", "/v1/traces", body, _HEADERS)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return False
        if response.status != 200:
            if response.status != 503:
                self.odd.append(f"{response.status} {answer!r}")
            return False
        return self._whole(answer)

    def _whole(self, answer: bytes) -> bool:
        """An empty message; anything else says what was not taken."""
        if answer:
            self.odd.append(f"not taken whole: {answer!r}")
        return not answer
