"""OTLP over HTTP/1.1, protobuf and JSON, and facts: one port, an event loop in a thread of its own. Not the parsing."""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from typing import Final

from otel_cx_collector.clock import now_ns
from otel_cx_collector.receive.auth import Access, Tokens
from otel_cx_collector.receive.connection import Connection, Done
from otel_cx_collector.receive.counts import Counts, Transport
from otel_cx_collector.receive.desk import Desk, Request
from otel_cx_collector.receive.limits import InFlight, ReceiveLimits
from otel_cx_collector.receive.line import Line
from otel_cx_collector.receive.listen import bind, listen_address
from otel_cx_collector.receive.readers import Readers
from otel_cx_collector.receive.route import Router
from otel_cx_collector.receive.sink import Encoding, Signal, Sink
from otel_cx_collector.receive.turn import Turn

_SWEEP_S: Final = 1.0
"""How often deadlines are looked at."""
_READ_BYTES: Final = 64 * 1024
"""Read of one connection before the next has its turn: with many that send at once, all of them wait for this."""
_POLL_S: Final = 0.02
_NS: Final = 1_000_000_000


class HttpReceiver:
    """An OTLP/HTTP server. Start it once, stop it once.

    asyncio and httptools without a framework between them: a request of 1,000 spans cost 0.2 ms of CPU here and 0.6 ms
    with uvicorn, one of 100 the same; and every deadline, size and order is ours to set.
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
        limits = limits or ReceiveLimits()
        self.counts = counts or Counts()
        self._address = listen_address(endpoint, access)
        self._shared = shared
        self._server = _Server(
            limits,
            Router(limits, access, Tokens.load(access)),
            Desk(Transport.HTTP, sink, limits, self.counts),
            in_flight or InFlight(limits.in_flight_bytes, limits.client_share),
        )
        self._thread: threading.Thread | None = None

    def start(self) -> int:
        """Listen; the port bound.

        Raises:
            UserError: the address cannot be bound.
        """
        backlog = self._server.limits.connections
        listening = bind("OTLP/HTTP", self._address, backlog, shared=self._shared)
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._server.run, args=(listening, started), name="otlp-http", daemon=True
        )
        self._thread.start()
        started.result()
        port: int = listening.getsockname()[1]
        return port

    def stop(self, grace_s: float) -> None:
        """Take no new connections, finish requests under way within ``grace_s``, close what is left."""
        if self._thread is not None:
            self._server.stop(grace_s)
            self._thread.join()
            self._thread = None
        self._server.workers.shutdown(wait=False, cancel_futures=True)


class _Server:
    """The event loop's side. Its methods run in the loop's thread, but for ``stop``."""

    def __init__(self, limits: ReceiveLimits, router: Router, desk: Desk, in_flight: InFlight) -> None:
        self.limits = limits
        self.router = router
        self.desk = desk
        self.in_flight = in_flight
        self.workers = ThreadPoolExecutor(limits.workers, "otlp-http-worker")
        self.line = Line(limits.queue_s, now_ns)
        self._decoding = threading.Semaphore(limits.decoders)
        self.buffer = memoryview(bytearray(_READ_BYTES))
        self.stopping = False
        self.date = ""
        self.readers: Readers
        self._connections: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._grace_s = 0.0

    def run(self, listening: socket.socket, started: "Future[None]") -> None:
        """The thread's whole life."""
        try:
            asyncio.run(self._serve(listening, started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    def stop(self, grace_s: float) -> None:
        """Begin to stop; ``run`` returns when it is done. From any thread."""
        self._grace_s = grace_s
        self._loop.call_soon_threadsafe(self._stop.set)

    def now_s(self) -> float:
        """Monotonic seconds."""
        return self._loop.time()

    def opened(self, connection: Connection) -> int:
        """A client connected: by how many connections the limit is passed."""
        self._connections.add(connection)
        return len(self._connections) - self.limits.connections

    def closed(self, connection: Connection) -> None:
        """It is gone."""
        self._connections.discard(connection)

    def work(self, request: Request, signal: Signal, encoding: Encoding, done: Done) -> None:
        """Have ``request`` served by a worker; ``done`` is called with the outcome."""
        job = partial(self._work, request, signal, encoding, done)
        self.line.put(request.hold.client or "", len(request.wire), job)
        self.workers.submit(self._next)

    def _next(self) -> None:
        with Turn(self._decoding) as turn:
            job, late = self.line.take()
            job(late, turn.end)

    def _work(
        self,
        request: Request,
        signal: Signal,
        encoding: Encoding,
        done: Done,
        late: bool,
        decoded: Callable[[], None],
    ) -> None:
        outcome = self.desk.turn_away(request) if late else self.desk.serve(request, signal, encoding, decoded)
        with suppress(RuntimeError):  # the loop is closed when the grace has passed: there is nobody to answer
            self._loop.call_soon_threadsafe(done, outcome)

    async def _serve(self, listening: socket.socket, started: "Future[None]") -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.readers = Readers(self.limits.readers, self._loop)
        server = await self._loop.create_server(
            lambda: Connection(self), sock=listening, backlog=self.limits.connections
        )
        self._sweep()
        started.set_result(None)
        while not self._stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _SWEEP_S)
            self._sweep()
        self.stopping = True
        server.close()
        await self._finish()

    def _sweep(self) -> None:
        self.date = formatdate(now_ns() // _NS, usegmt=True)
        now_s = self.now_s()
        for connection in list(self._connections):
            connection.expire(now_s)

    async def _finish(self) -> None:
        """Let requests under way end, then end them."""
        await asyncio.sleep(_POLL_S)  # until what was accepted at the last moment is known
        for connection in list(self._connections):
            connection.stop()
        until_s = self.now_s() + self._grace_s
        while self._connections and self.now_s() < until_s:
            await asyncio.sleep(_POLL_S)
            self._sweep()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)  # one turn of the loop, in which the connections learn of it
