"""One request taken to the sink and its outcome counted, whatever it came by. Not a protocol."""

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from otel_cx_collector.clock import now_ns
from otel_cx_collector.decode import BadRequest, TooLarge
from otel_cx_collector.errors import Unavailable
from otel_cx_collector.logbook import Repeated
from otel_cx_collector.receive.answers import OK, STATUSES, Refused, crowded, queued, taken, unavailable
from otel_cx_collector.receive.compression import Compression, inflate
from otel_cx_collector.receive.counts import Counts, Kind, Reason, Transport
from otel_cx_collector.receive.limits import Hold, InFlightFull, ReceiveLimits
from otel_cx_collector.receive.sink import Answer, Encoding, Signal, Sink

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Request:
    """One request, from its head to its answer. Handed from thread to thread, never shared."""

    signal: Signal | None
    encoding: Encoding | None
    compression: Compression
    hold: Hold
    wire: bytes = b""
    wire_bytes: int = 0
    """Size of the body as it travelled, also when it was dropped on the way."""
    body_bytes: int = field(default=0, init=False)


class Desk:
    """Takes requests of one transport to the sink. Thread-safe."""

    def __init__(
        self, transport: Transport, sink: Sink, limits: ReceiveLimits, counts: Counts, now: Callable[[], int] = now_ns
    ) -> None:
        self._transport = transport
        self._sink = sink
        self._limits = limits
        self._counts = counts
        self._defects = Repeated(_log, "request.failed", now, message=False)  # its words may show what a client sent

    def serve(
        self, request: Request, signal: Signal, encoding: Encoding, decoded: Callable[[], None]
    ) -> Answer | Refused:
        """Inflate the body and have it made durable. Blocks; never raises; gives the request's bytes back."""
        try:
            body = inflate(request.wire, request.compression, self._limits, request.hold.grow)
            request.body_bytes = len(body)
            return taken(self._sink.accept(signal, encoding, body, decoded))
        except BadRequest as error:
            return Refused(Reason.UNDECODABLE, str(error))
        except TooLarge as error:
            return Refused(Reason.TOO_LARGE, str(error))
        except InFlightFull as error:
            return crowded(error)
        except Unavailable as error:
            return unavailable(Reason.SINK_UNAVAILABLE, str(error), error.retry_after_s)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not cost the client its data
            return self.failed(error)
        finally:
            request.wire = b""
            request.hold.release()

    def turn_away(self, request: Request) -> Refused:
        """Its turn came too late; gives the request's bytes back."""
        request.wire = b""
        request.hold.release()
        return queued(self._limits)

    def failed(self, error: Exception) -> Refused:
        """What to answer after a defect of ours: the Go Collector too has its clients come back after one."""
        self._defects.failed(error, transport=str(self._transport))
        return unavailable(Reason.FAILED, "the collector failed on this request; its log says how. Send again")

    def count(self, request: Request, outcome: Answer | Refused) -> None:
        """One request was answered ``outcome``."""
        reason = outcome.reason if isinstance(outcome, Refused) else None
        statuses = STATUSES[reason] if reason else OK
        status = statuses.code if self._transport is Transport.GRPC else statuses.http
        kind = Kind(self._transport, request.signal, request.encoding, int(status))
        self._counts.answered(kind, request.wire_bytes, request.body_bytes, reason)

    def abandon(self, request: Request) -> None:
        """The client went away before ``request`` was complete."""
        request.hold.release()
        self._counts.abandoned(self._transport)
