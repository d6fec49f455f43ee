"""One HTTP/1.1 connection: httptools parses, this orders and bounds. Not the listening, and not what OTLP answers."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import httptools

from otel_cx_collector.receive.answers import Refused, crowded, queued, unavailable
from otel_cx_collector.receive.auth import client
from otel_cx_collector.receive.compression import Compression
from otel_cx_collector.receive.counts import Reason
from otel_cx_collector.receive.desk import Desk, Request
from otel_cx_collector.receive.exchange import Exchange, Phase
from otel_cx_collector.receive.limits import InFlight, InFlightFull, ReceiveLimits
from otel_cx_collector.receive.line import Line
from otel_cx_collector.receive.readers import Readers
from otel_cx_collector.receive.render import CONTINUE, render
from otel_cx_collector.receive.route import READ_HEADERS, Head, Judgement, Route, Router
from otel_cx_collector.receive.sink import Answer, Encoding, Signal

_NOWHERE: Final = Judgement(Route(None, None, Compression.IDENTITY))
Done = Callable[[Answer | Refused], None]


class Host(Protocol):
    """What a connection needs of its server. Everything happens in the event loop's thread."""

    limits: ReceiveLimits
    router: Router
    desk: Desk
    in_flight: InFlight
    line: Line
    readers: Readers
    buffer: memoryview
    stopping: bool
    date: str
    """For the Date header of answers."""

    def now_s(self) -> float:
        """Monotonic seconds."""
        ...

    def opened(self, connection: "Connection") -> int:
        """A client connected: by how many connections the limit is passed."""
        ...

    def closed(self, connection: "Connection") -> None:
        """It is gone."""
        ...

    def work(self, request: Request, signal: Signal, encoding: Encoding, done: Done) -> None:
        """Have ``request`` served by a worker; ``done`` is called with the outcome."""
        ...


class Connection(asyncio.BufferedProtocol):
    """Requests are answered in the order they came, one at a time.

    A refused request is read to its end, so that a client in the middle of its body sees the answer. Nothing of such a
    body is kept, and the deadline holds. It is answered at its end, but at once when there is no room for what its
    Content-Length announces: a client that listens while it sends need not send the rest.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._limits = host.limits
        self._transport: asyncio.Transport
        self._address = ""
        self._parser = httptools.HttpRequestParser(self)
        self._phase = Phase.IDLE
        self._deadline_s = 0.0
        self._surplus = False
        self._ended = False
        """The client has closed its half."""
        self._silent_bytes = 0
        """Bytes fed to the parser since it last gave something of a body: what it may be hoarding."""
        self._head_bytes = 0
        self._target = b""
        self._headers: dict[str, str] = {}
        self._current: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._busy = False
        self._clogged = False
        self._held = False

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected; one over the limit is refused politely, one far over it is not heard."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_server makes no other kind
        self._transport = transport
        self._address = str(transport.get_extra_info("peername", ("",))[0])
        over = self._host.opened(self)
        self._surplus = over > 0
        self._enter(Phase.IDLE, self._limits.keep_alive_s)
        if over > self._limits.surplus_connections:
            self._host.desk.count(self._unknown(), self._too_many())
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason changes nothing
        """The client or we closed it."""
        self._host.closed(self)
        self._enter(Phase.LINGER, self._limits.linger_s)
        self._drop()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the size is ours to choose
        """Where the next bytes are put: every connection takes them out before another one reads."""
        return self._host.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Feed the parser, which calls the methods below."""
        data = self._host.buffer[:nbytes]
        if self._phase is Phase.LINGER:
            return
        self._silent_bytes += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserCallbackError as error:
            self._break_off(self._host.desk.failed(error))
        except httptools.HttpParserError as error:
            message = f"not HTTP/1.1 ({error}); send OTLP/HTTP here, OTLP/gRPC goes to a port of its own"
            self._break_off(Refused(Reason.BAD_HTTP, message))
        if self._silent_bytes > self._limits.head_bytes:
            self._break_off(self._head_too_large())
        if self._phase is Phase.BODY:
            self._host.readers.heard(self)

    def eof_received(self) -> bool:
        """The client sends no more; True keeps our half open for the answers it may wait for."""
        self._ended = True
        if self._phase in {Phase.HEAD, Phase.BODY}:
            self._break_off(Refused(Reason.BAD_HTTP, "the request ended before its end; send it whole"))
        return self._busy or bool(self._waiting)

    def pause_writing(self) -> None:
        """The client does not read its answers: then we do not read its requests."""
        self._clogged = True
        self._throttle()

    def resume_writing(self) -> None:
        """It reads again."""
        self._clogged = False
        self._throttle()

    # What the host calls

    def go_on(self) -> None:
        """Its body has a turn."""
        self._held = False
        self._throttle()

    def hold(self) -> None:
        """Its body has none: TCP keeps what comes."""
        self._held = True
        self._throttle()

    def expire(self, now_s: float) -> None:
        """End what has passed its deadline."""
        if now_s < self._deadline_s:
            return
        if self._phase is Phase.HEAD:
            message = f"the headers took over {self._limits.head_s} s (head_s); send them at once"
            self._break_off(Refused(Reason.HEAD_TOO_SLOW, message))
        elif self._phase is Phase.BODY:
            message = f"the body took over {self._limits.body_s} s (body_s); send smaller batches"
            self._break_off(Refused(Reason.BODY_TOO_SLOW, message))
        elif not self._busy:
            self._transport.abort()

    def stop(self) -> None:
        """Close when nothing is under way; else after the answer, as ``host.stopping`` says."""
        if self._phase is Phase.IDLE and not self._busy and not self._waiting:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    # What httptools calls

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if self._phase is not Phase.LINGER:
            self._target, self._headers, self._head_bytes = b"", {}, 0
            self._enter(Phase.HEAD, self._limits.head_s)

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        self._target += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; one after the body (a trailer) changes nothing."""
        if self._phase is not Phase.HEAD:
            return
        self._head_bytes += len(name) + len(value)
        key = name.decode("latin-1").lower()
        if key in READ_HEADERS:
            text = value.decode("latin-1")
            self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """Judge the request."""
        if self._phase is not Phase.HEAD or self._parser.should_upgrade():
            return
        method = self._parser.get_method().decode("latin-1")
        judgement = self._host.router.judge(Head(method, self._target, self._headers))
        request = Request(*judgement.route, self._host.in_flight.hold(client(judgement.token, self._address)))
        refused = self._refusal() or judgement.refused
        crowd = None if refused or judgement.preflight else self._crowd(request)
        exchange = Exchange(
            request,
            judgement,
            refused or crowd,
            keep_alive=self._parser.should_keep_alive() and not self._surplus,
            bodiless=method == "HEAD",
        )
        self._current = exchange
        self._enter(Phase.BODY, self._limits.body_s)
        if self._headers.get("expect", "").lower() == "100-continue":
            self._expected(exchange)
        elif exchange.refused is crowd is not None and not self._busy and not self._waiting:
            exchange.answered = True
            self._answer(exchange, crowd)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        exchange = self._current
        if exchange is None:
            return
        self._silent_bytes = 0
        exchange.request.wire_bytes += len(body)
        if exchange.refused is not None:
            return
        oversize = self._host.router.oversize(exchange.request.wire_bytes)
        if oversize is not None:
            exchange.refuse(oversize)
            return
        try:
            exchange.request.hold.grow(max(0, exchange.request.wire_bytes - exchange.request.hold.held_bytes))
        except InFlightFull as error:
            exchange.refuse(crowded(error))
            return
        exchange.chunks.append(body)

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        exchange = self._current
        if exchange is None:
            return
        self._silent_bytes = 0
        self._current = None
        self._enter(Phase.IDLE if exchange.keep_alive else Phase.LINGER, self._limits.keep_alive_s)
        if exchange.answered:
            return
        self._waiting.append(exchange)
        self._advance()

    # Reading

    def _feed(self, data: memoryview) -> None:
        """Parse ``data``, passing over offers to upgrade.

        RFC 9110 7.8 lets a server ignore Upgrade, and clients that offer h2c send a body all the same. The parser stops
        after such a head, so another one reads the head again without the offer.
        """
        rest = data
        while self._phase is not Phase.LINGER:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
                head = self._head_again()
                self._parser = httptools.HttpRequestParser(self)
                self._parser.feed_data(head)
            else:
                return

    def _head_again(self) -> bytes:
        method = self._parser.get_method()
        if method == b"CONNECT":  # always an upgrade, whatever its headers
            method = b"OPTIONS"
        headers = [f"{name}: {value}\r\n" for name, value in self._headers.items()]
        return b"%s %s HTTP/1.1\r\n%s\r\n" % (method, self._target, "".join(headers).encode("latin-1"))

    def _refusal(self) -> Refused | None:
        """What the connection itself has against a request."""
        if self._surplus:
            return self._too_many()
        return self._head_too_large() if self._head_bytes > self._limits.head_bytes else None

    def _crowd(self, request: Request) -> Refused | None:
        """Take room for a body of the size announced, if there is any, and a worker for it in time.

        One in chunks is measured as it comes.
        """
        who = request.hold.client or ""
        if self._host.line.is_long(who, self._host.in_flight.standing(who)):
            return queued(self._limits)
        try:
            request.hold.grow(int(self._headers.get("content-length", "0")))
        except InFlightFull as error:
            return crowded(error)
        return None

    def _too_many(self) -> Refused:
        limit = self._limits.connections
        return unavailable(Reason.TOO_MANY_CONNECTIONS, f"over {limit} connections (connections); send again")

    def _head_too_large(self) -> Refused:
        limit = self._limits.head_bytes
        return Refused(Reason.HEAD_TOO_LARGE, f"the headers are over {limit} bytes (head_bytes); send fewer")

    def _expected(self, exchange: Exchange) -> None:
        """RFC 9110 10.1.1: the client waits for our word before it sends the body."""
        if exchange.refused is not None:
            self._break_off(exchange.refused)
        elif not self._busy and not self._waiting:
            self._transport.write(CONTINUE)

    def _break_off(self, refused: Refused) -> None:
        """Answer what is being received with ``refused``, after what waits before it, and hear no more."""
        if self._phase is Phase.LINGER:
            return
        exchange = self._current or Exchange(self._unknown(), _NOWHERE, refused, keep_alive=False)
        if exchange.answered:
            self._transport.close()
            return
        exchange.refuse(refused)
        exchange.keep_alive = False
        self._current = None
        self._enter(Phase.LINGER, self._limits.linger_s)
        self._waiting.append(exchange)
        self._advance()

    def _unknown(self) -> Request:
        """A request of which nothing is known yet."""
        return Request(*_NOWHERE.route, self._host.in_flight.hold())

    # Answering

    def _advance(self) -> None:
        """Take up what waits, unless something is under way."""
        while self._waiting and not self._busy:
            exchange = self._waiting.popleft()
            _, encoding, _ = exchange.judgement.route
            signal = exchange.judgement.route.signal
            if exchange.refused is not None or exchange.judgement.preflight or signal is None or encoding is None:
                self._answer(exchange, exchange.refused)
                continue
            self._busy = True
            exchange.request.wire = b"".join(exchange.chunks)
            exchange.chunks.clear()
            self._host.work(exchange.request, signal, encoding, partial(self._done, exchange))
        self._throttle()

    def _done(self, exchange: Exchange, outcome: Answer | Refused) -> None:
        self._busy = False
        self._answer(exchange, outcome)
        self._advance()

    def _answer(self, exchange: Exchange, outcome: Answer | Refused | None) -> None:
        """Write the answer; ``outcome`` None answers a preflight, which is no request for telemetry to count."""
        exchange.request.hold.release()
        if outcome is not None:
            self._host.desk.count(exchange.request, outcome)
        if self._transport.is_closing():
            return
        keep_alive = exchange.keep_alive and not self._host.stopping
        answer = render(
            exchange.judgement, outcome, date=self._host.date, keep_alive=keep_alive, bodiless=exchange.bodiless
        )
        self._transport.write(answer)
        if not keep_alive:
            self._finish()
        elif self._phase is Phase.IDLE:
            self._enter(Phase.IDLE, self._limits.keep_alive_s)
            if self._ended and not self._waiting:
                self._transport.close()

    def _finish(self) -> None:
        """Close our half, and read what still comes until the client closes its own."""
        self._drop()
        self._enter(Phase.LINGER, self._limits.linger_s)
        if self._ended:
            self._transport.close()
        else:
            self._transport.write_eof()

    def _drop(self) -> None:
        """Forget the requests that will not be answered."""
        unanswered = [*self._waiting, self._current] if self._current else self._waiting
        for exchange in unanswered:
            if not exchange.answered:
                self._host.desk.abandon(exchange.request)
        self._waiting.clear()
        self._current = None

    def _throttle(self) -> None:
        """Read on only while nothing waits: a client that sends ahead is held by TCP, not by our memory."""
        if self._waiting or self._clogged or self._held:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _enter(self, phase: Phase, patience_s: int) -> None:
        if self._phase is Phase.BODY:
            self._host.readers.done(self)
        self._phase = phase
        self._deadline_s = self._host.now_s() + patience_s
