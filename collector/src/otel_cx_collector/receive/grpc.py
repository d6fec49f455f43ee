"""OTLP over gRPC: three unary methods with raw bytes. Not the meaning of a request, which is the sink's."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final
from urllib.parse import unquote

import grpc

from otel_cx_collector.clock import now_ns
from otel_cx_collector.errors import UserError
from otel_cx_collector.receive.answers import Refused, clean, crowded, queued, status, success_body, unavailable
from otel_cx_collector.receive.auth import Access, Tokens, client
from otel_cx_collector.receive.compression import Compression, sniff
from otel_cx_collector.receive.counts import Counts, Reason, Transport
from otel_cx_collector.receive.desk import Desk, Request
from otel_cx_collector.receive.limits import InFlight, InFlightFull, ReceiveLimits
from otel_cx_collector.receive.line import NS, PATIENCE
from otel_cx_collector.receive.listen import Address, bind, listen_address
from otel_cx_collector.receive.sink import Answer, Encoding, Signal, Sink
from otel_cx_collector.receive.turn import Turn

_METHODS: Final = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": Signal.TRACES,
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": Signal.METRICS,
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": Signal.LOGS,
}
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_RICH_STATUS: Final = "grpc-status-details-bin"
_SECOND_EVENT_S: Final = 0.1
_REFUSERS: Final = 2
"""Threads that refuse while every worker is busy."""


class GrpcReceiver:
    """An OTLP/gRPC server. Start it once, stop it once.

    The sync server of grpcio, because for unary calls it costs less CPU than the asyncio one. Methods are declared
    stream-unary, which is the same on the wire as unary and lets a call be refused before its message is read.
    """

    def __init__(
        self,
        endpoint: str,
        sink: Sink,
        limits: ReceiveLimits | None = None,
        *,
        access: Access | None = None,
        counts: Counts | None = None,
        in_flight: InFlight | None = None,
        shared: bool = False,
    ) -> None:
        """Check the settings; ``shared``: other processes of ours listen on the port as well.

        Raises:
            UserError: the endpoint is no address, or open to others without authentication; or a token file is bad.
        """
        access = access or Access()
        self._limits = limits or ReceiveLimits()
        self._address = listen_address(endpoint, access)
        self._shared = shared
        self.counts = counts or Counts()
        self._in_flight = in_flight or InFlight(self._limits.in_flight_bytes, self._limits.client_share)
        self._desk = Desk(Transport.GRPC, sink, self._limits, self.counts)
        self._stalls = _Stalls(self._limits.body_s)
        self._workers = ThreadPoolExecutor(self._limits.workers, "otlp-grpc")
        self._decoding = threading.Semaphore(self._limits.decoders)
        self._refusers = ThreadPoolExecutor(_REFUSERS, "otlp-grpc-refuse")
        self._service = _Service(Tokens.load(access), self._limits, self._export, self._refuse, self._refusers)
        self._server: grpc.Server | None = None

    def start(self) -> int:
        """Listen; the port bound.

        Raises:
            UserError: the address cannot be bound.
        """
        server = grpc.server(
            self._workers, handlers=[self._service], options=_options(self._limits, shared=self._shared)
        )
        port = _listen(server, self._address, shared=self._shared)
        self._stalls.start()
        server.start()
        self._server = server
        return port

    def stop(self, grace_s: float) -> None:
        """Take no new calls, finish those under way within ``grace_s``, cancel what is left."""
        if self._server is not None:
            self._service.stopping = True
            self._server.stop(grace_s).wait()
            self._stalls.stop()
            self._server = None
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._refusers.shutdown(wait=False, cancel_futures=True)

    def _export(self, signal: Signal, token: int, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        with self._in_flight.hold(client(token, _address(context.peer()))) as hold:
            request = Request(signal, Encoding.PROTOBUF, Compression.IDENTITY, hold)
            try:
                hold.check(1)
            except InFlightFull as error:  # before the message is read
                return self._answer(request, signal, crowded(error), context)
            try:
                wire = self._stalls.read(messages, context)
            except Exception:
                # grpcio raises a bare exception of its own for a call that was cancelled, and expects it back
                self._desk.abandon(request)
                raise
            if wire is None and _ended(context):
                self._desk.abandon(request)
                return b""
            return self._answer(request, signal, self._serve(request, signal, wire), context)

    def _serve(self, request: Request, signal: Signal, wire: bytes | None) -> Answer | Refused:
        if wire is None:
            return Refused(Reason.NO_MESSAGE, "the call ended without a message; send one Export request")
        request.wire_bytes = len(wire)
        try:
            request.hold.grow(len(wire))
        except InFlightFull as error:
            return crowded(error)
        request.wire, request.compression = wire, sniff(wire)
        with Turn(self._decoding) as turn:
            return self._desk.serve(request, signal, Encoding.PROTOBUF, turn.end)

    def _refuse(self, signal: Signal, refused: Refused, _: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        request = Request(signal, Encoding.PROTOBUF, Compression.IDENTITY, self._in_flight.hold())
        return self._answer(request, signal, refused, context)

    def _answer(
        self, request: Request, signal: Signal, outcome: Answer | Refused, context: grpc.ServicerContext
    ) -> bytes:
        self._desk.count(request, outcome)
        if isinstance(outcome, Answer):
            return success_body(signal, Encoding.PROTOBUF, outcome)
        context.set_code(_CODES[outcome.statuses.code])
        context.set_details(clean(outcome.message))
        context.set_trailing_metadata(((_RICH_STATUS, status(outcome).SerializeToString()),))
        return b""


class _Service(grpc.GenericRpcHandler):
    """Decides, before anything of a call is read, who answers it."""

    def __init__(
        self,
        tokens: Tokens,
        limits: ReceiveLimits,
        export: Callable[[Signal, int, Iterator[bytes], grpc.ServicerContext], bytes],
        refuse: Callable[[Signal, Refused, Iterator[bytes], grpc.ServicerContext], bytes],
        refusers: ThreadPoolExecutor,
    ) -> None:
        self.stopping = False
        self._tokens = tokens
        self._limits = limits
        self._calls = 0
        self._arrived_ns: deque[int] = deque()
        """When the calls came that wait for a worker, which takes them in this order."""
        self._lock = threading.Lock()
        self._export = export
        self._refuse = refuse
        self._refusers = refusers
        self._exports: dict[tuple[Signal, int], grpc.RpcMethodHandler[bytes, bytes]] = {
            (signal, token): grpc.stream_unary_rpc_method_handler(partial(self._counted, signal, token))
            for signal in Signal
            for token in range(tokens.count + 1)
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """The handler of one call, or None for a method OTLP does not have."""
        signal = _METHODS.get(handler_call_details.method)
        if signal is None:
            return None
        token = self._tokens.number(_authorization(handler_call_details.invocation_metadata))
        refused = self._admit(token)
        if refused is None:
            return self._exports[signal, token or 0]
        behaviour = _Behaviour(partial(self._refuse, signal, refused), self._refusers)
        return grpc.stream_unary_rpc_method_handler(behaviour)

    def _admit(self, token: int | None) -> Refused | None:
        if token is None:
            return Refused(Reason.UNAUTHENTICATED, "no known token; send the metadata 'authorization: Bearer <token>'")
        if self.stopping:
            return unavailable(Reason.STOPPING, "the collector is stopping; send again")
        with self._lock:
            if self._calls >= self._limits.calls:
                return unavailable(
                    Reason.TOO_MANY_CALLS, f"{self._calls} calls are waiting (calls); send again, or raise it"
                )
            if self._arrived_ns and self._waited_ns(self._arrived_ns[0]) > self._limits.queue_s * NS:
                return queued(self._limits)
            self._calls += 1
            self._arrived_ns.append(now_ns())
        return None

    def _counted(self, signal: Signal, token: int, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        with self._lock:
            waited_ns = self._waited_ns(self._arrived_ns.popleft())
        try:
            if waited_ns > PATIENCE * self._limits.queue_s * NS:
                return self._refuse(signal, queued(self._limits), messages, context)
            return self._export(signal, token, messages, context)
        finally:
            with self._lock:
                self._calls -= 1

    @staticmethod
    def _waited_ns(since_ns: int) -> int:
        return now_ns() - since_ns


class _Behaviour:
    """A behaviour with threads of its own, by the attribute that grpcio looks for."""

    def __init__(
        self, call: Callable[[Iterator[bytes], grpc.ServicerContext], bytes], threads: ThreadPoolExecutor
    ) -> None:
        self._call = call
        self.experimental_thread_pool = threads

    def __call__(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        return self._call(messages, context)


class _Stalls:
    """Cancels calls whose message does not come: grpcio has no deadline of the server's own, and each holds a worker.

    Time is counted in ticks of its thread.
    """

    _TICK_S: Final = 1.0

    def __init__(self, patience_s: int) -> None:
        self._patience = patience_s
        self._tick = 0
        self._waiting: dict[grpc.ServicerContext, int] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp-grpc-stalls", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def read(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes | None:
        """The call's message, None when it ends without one; raises grpcio's exception when the call is cancelled."""
        with self._lock:
            self._waiting[context] = self._tick
        try:
            return next(messages, None)
        finally:
            with self._lock:
                del self._waiting[context]

    def _run(self) -> None:
        while not self._stopped.wait(self._TICK_S):
            with self._lock:
                self._tick += 1
                stalled = [call for call, since in self._waiting.items() if self._tick - since > self._patience]
            for call in stalled:
                call.cancel()


def _ended(context: grpc.ServicerContext) -> bool:
    """Whether a call without a message was refused by grpcio itself, for a message over ``wire_bytes``.

    It says so in a second event, which comes within milliseconds.
    """
    ended = threading.Event()
    return not context.add_callback(ended.set) or ended.wait(_SECOND_EVENT_S)


def _listen(server: grpc.Server, address: Address, *, shared: bool) -> int:
    """Bind; a socket of our own goes first, because grpcio does not say why it fails."""
    bind("OTLP/gRPC", address, backlog=1, shared=shared).close()
    try:
        return server.add_insecure_port(str(address))
    except RuntimeError as error:
        raise UserError(f"OTLP/gRPC cannot listen on {address}: {error}; set another endpoint") from error


def _authorization(metadata: "Sequence[tuple[str, str | bytes]]") -> str | None:
    """The header's value; of several, one that no token matches."""
    values = [
        value if isinstance(value, str) else value.decode("latin-1")
        for key, value in metadata
        if key == "authorization"
    ]
    return ", ".join(values) if values else None


def _address(peer: str) -> str:
    """The address in what grpcio calls a peer: ``ipv4:127.0.0.1:80``, ``ipv6:%5B::1%5D:80``, ``unix:...``."""
    family, _, rest = peer.partition(":")
    if family not in {"ipv4", "ipv6"}:
        return family
    return unquote(rest.rpartition(":")[0]).strip("[]")


def _options(limits: ReceiveLimits, *, shared: bool) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", int(shared)),
        ("grpc.max_receive_message_length", limits.wire_bytes),
        ("grpc.per_message_decompression", 0),  # we inflate: within limits, and charged to the bytes in flight
        ("grpc.max_metadata_size", limits.head_bytes),
        ("grpc.max_concurrent_streams", limits.streams),
        ("grpc.keepalive_time_ms", limits.ping_s * 1000),
        ("grpc.keepalive_timeout_ms", limits.ping_timeout_s * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", limits.client_ping_s * 1000),
    ]
