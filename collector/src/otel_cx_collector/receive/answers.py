"""What a request is answered: as OTLP 1.11 writes it, facts as docs/reference/facts.md does. Not how it is sent."""

import random
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

import orjson
from google.protobuf.json_format import MessageToDict
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # its stubs come without py.typed
    BadRequest as BadRequestDetail,
)
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # likewise
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from otel_cx_collector.receive.counts import Reason
from otel_cx_collector.receive.limits import InFlightFull, ReceiveLimits, ShareFull
from otel_cx_collector.receive.sink import Answer, Encoding, Signal

RETRY_AFTER_S: Final = (1, 2, 3)
"""What a refused client is asked to wait. Exporters give a batch up after about 7 s, so never longer."""
_MESSAGE_BYTES: Final = 1_000
"""gRPC carries the message twice, percent-encoded and in base64, in metadata that clients bound at 8 KiB."""
REFUSED_LISTED: Final = 100
"""Refused lines of facts that an answer lists; of the others it tells the number."""


class Code(IntEnum):
    """Those of google.rpc.Code that are used here."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class Statuses(NamedTuple):
    """One refusal in both protocols."""

    code: Code
    http: int


OK: Final = Statuses(Code.OK, 200)
STATUSES: Final[dict[Reason, Statuses]] = {
    Reason.UNDECODABLE: Statuses(Code.INVALID_ARGUMENT, 400),
    Reason.TOO_LARGE: Statuses(Code.RESOURCE_EXHAUSTED, 413),
    Reason.SINK_UNAVAILABLE: Statuses(Code.UNAVAILABLE, 503),
    Reason.FAILED: Statuses(Code.UNAVAILABLE, 503),
    Reason.IN_FLIGHT_FULL: Statuses(Code.UNAVAILABLE, 503),
    Reason.CLIENT_SHARE: Statuses(Code.UNAVAILABLE, 503),
    Reason.QUEUE_TOO_LONG: Statuses(Code.UNAVAILABLE, 503),
    Reason.TOO_MANY_CALLS: Statuses(Code.UNAVAILABLE, 503),
    Reason.TOO_MANY_CONNECTIONS: Statuses(Code.UNAVAILABLE, 503),
    Reason.STOPPING: Statuses(Code.UNAVAILABLE, 503),
    Reason.UNAUTHENTICATED: Statuses(Code.UNAUTHENTICATED, 401),
    Reason.UNKNOWN_PATH: Statuses(Code.NOT_FOUND, 404),
    Reason.WRONG_METHOD: Statuses(Code.UNIMPLEMENTED, 405),
    Reason.WRONG_CONTENT_TYPE: Statuses(Code.INVALID_ARGUMENT, 415),
    Reason.WRONG_CONTENT_ENCODING: Statuses(Code.INVALID_ARGUMENT, 415),
    Reason.BAD_HTTP: Statuses(Code.INVALID_ARGUMENT, 400),
    Reason.HEAD_TOO_LARGE: Statuses(Code.RESOURCE_EXHAUSTED, 431),
    Reason.HEAD_TOO_SLOW: Statuses(Code.DEADLINE_EXCEEDED, 408),
    Reason.BODY_TOO_SLOW: Statuses(Code.DEADLINE_EXCEEDED, 408),
    Reason.NO_MESSAGE: Statuses(Code.INVALID_ARGUMENT, 400),
}
"""OTLP 1.11, "Failures": of these, clients send again after UNAVAILABLE, DEADLINE_EXCEEDED and 503 only; an error of
our own is among them, so that it costs a delay and not data. Too much at once is 503 and not 429, which exporters in
use take for final."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request was not taken."""

    reason: Reason
    message: str
    retry_after_s: int | None = None
    """When to come back, 1 to 3 s; None when coming back is no use."""
    answer: Answer | None = None
    """What the sink said of a request of facts of which it took none."""

    @property
    def statuses(self) -> Statuses:
        """The refusal in both protocols."""
        return STATUSES[self.reason]


def unavailable(reason: Reason, message: str, retry_after_s: int | None = None) -> Refused:
    """A refusal that asks the client to come back.

    After a random while unless one is given, so that a crowd of clients does not come back as a crowd.
    """
    wait_s = retry_after_s or random.choice(RETRY_AFTER_S)  # noqa: S311 - spreads load, guards nothing
    return Refused(reason, message, min(max(wait_s, RETRY_AFTER_S[0]), RETRY_AFTER_S[-1]))


def crowded(error: InFlightFull) -> Refused:
    """The refusal of a request that finds no room in flight."""
    return unavailable(Reason.CLIENT_SHARE if isinstance(error, ShareFull) else Reason.IN_FLIGHT_FULL, str(error))


def queued(limits: ReceiveLimits) -> Refused:
    """The refusal of a request that would wait too long for a worker."""
    message = f"requests have waited over {limits.queue_s} s for a worker (queue_s); send again"
    return unavailable(Reason.QUEUE_TOO_LONG, message)


def clean(message: str) -> str:
    """``message`` on one line, printable, at most 1,000 bytes of UTF-8: messages show values clients sent."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in message[:_MESSAGE_BYTES])
    raw = shown.encode()
    if len(message) <= _MESSAGE_BYTES and len(raw) <= _MESSAGE_BYTES:
        return shown
    return raw[: _MESSAGE_BYTES - 3].decode(errors="ignore") + "\N{HORIZONTAL ELLIPSIS}"


def status(refused: Refused) -> Status:
    """The google.rpc.Status of a refusal, with the details OTLP asks for."""
    message = clean(refused.message)
    answer = Status(code=refused.statuses.code, message=message)
    if refused.reason is Reason.UNDECODABLE:
        violation = BadRequestDetail.FieldViolation(field="body", description=message)
        answer.details.add().Pack(BadRequestDetail(field_violations=[violation]))
    if refused.retry_after_s is not None:
        info = RetryInfo()
        info.retry_delay.seconds = refused.retry_after_s
        answer.details.add().Pack(info)
    return answer


def refusal_body(refused: Refused, encoding: Encoding) -> bytes:
    """The body of an HTTP answer 4xx or 5xx, in the request's encoding."""
    answer = status(refused)
    if encoding is Encoding.JSON:
        return orjson.dumps(MessageToDict(answer) | (_lines(refused.answer) if refused.answer else {}))
    encoded: bytes = answer.SerializeToString()
    return encoded


def success_body(signal: Signal, encoding: Encoding, answer: Answer) -> bytes:
    """The Export*ServiceResponse of ``signal``; ``partial_success`` stays unset unless there is something to say."""
    if signal is Signal.FACTS:
        return orjson.dumps(_lines(answer))
    if not answer.rejected and not answer.message:
        return b"" if encoding is Encoding.PROTOBUF else b"{}"
    response = _RESPONSES[signal](answer.rejected, clean(answer.message))
    return response.SerializeToString() if encoding is Encoding.PROTOBUF else orjson.dumps(MessageToDict(response))


def taken(answer: Answer) -> Answer | Refused:
    """``answer``, or the refusal that a request of facts gets of which no line was taken."""
    if answer.accepted or not answer.refused:
        return answer
    first = answer.refused[0]
    message = f"of {len(answer.refused)} lines none is a fact that can be taken; line {first.line}: {first.why}"
    return Refused(Reason.UNDECODABLE, message, answer=answer)


def _lines(answer: Answer) -> dict[str, Any]:
    """The answer to a request of facts."""
    listed = [each._asdict() for each in answer.refused[:REFUSED_LISTED]]
    more = len(answer.refused) - len(listed)
    return {"accepted": answer.accepted, "refused": listed} | ({"refused_more": more} if more else {})


def _traces(rejected: int, message: str) -> ExportTraceServiceResponse:
    partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=partial)


def _metrics(rejected: int, message: str) -> ExportMetricsServiceResponse:
    partial = ExportMetricsPartialSuccess(rejected_data_points=rejected, error_message=message)
    return ExportMetricsServiceResponse(partial_success=partial)


def _logs(rejected: int, message: str) -> ExportLogsServiceResponse:
    partial = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=message)
    return ExportLogsServiceResponse(partial_success=partial)


_RESPONSES: Final = {Signal.TRACES: _traces, Signal.METRICS: _metrics, Signal.LOGS: _logs}
