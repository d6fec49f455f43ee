"""Sends made history to the collector by OTLP/gRPC. Not the making of it."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeAlias

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from examples.hosting.everyday import ATTEMPTS_A_MINUTE
from examples.hosting.history import attempts
from examples.hosting.history.attempts import NS, Execution
from examples.hosting.history.spans import Encoder
from otel_cx.pseudonym import Keyring

Export: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, ExportTraceServiceResponse]"
METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
AT_ONCE: Final = 4
"""Requests under way at the same time."""
PATIENCE_S: Final = 60
"""How long an unavailable collector is asked again."""


class HistoryError(Exception):
    """The collector did not take the history."""


@dataclass(slots=True)
class Sent:
    """What was sent, and what the collector said to it."""

    spans: int = 0
    requests: int = 0
    rejected: int = 0
    message: str = ""


def executions(from_s: float, until_s: float, now_s: float, rate: float) -> Iterator[Execution]:
    """Every execution of the attempts that began in ``[from_s, until_s)``, minute by minute, the newest first.

    The collector judges while this is under way: were the oldest first, it would see nobody come in the last minutes,
    and take that for an outage.

    Attempts that began before ``until_s`` are kept whole, though their last steps end a few seconds after it: they
    are the people already on the platform when live traffic sets in.
    """
    for minute_s in reversed(range(int(from_s) // 60 * 60, int(until_s) + 1, 60)):
        for journey in ATTEMPTS_A_MINUTE:
            for attempt in attempts.minute(journey, minute_s, now_s, rate):
                if from_s <= attempt[0].start_ns / NS < until_s:
                    yield from attempt


def send(collector: str, keys: Keyring, made: Iterator[Execution]) -> Sent:
    """Send executions to the collector's OTLP/gRPC endpoint; raises HistoryError when it does not take them."""
    sent = Sent()
    counted = _counted(made, sent)
    with grpc.insecure_channel(collector.removeprefix("http://")) as channel, ThreadPoolExecutor(AT_ONCE) as pool:
        export: Export = channel.unary_unary(METHOD, response_deserializer=ExportTraceServiceResponse.FromString)
        waiting: list[Future[ExportTraceServiceResponse]] = []
        for request in Encoder(keys).requests(counted):
            waiting.append(pool.submit(_export, export, request))
            if len(waiting) >= 2 * AT_ONCE:
                _note(waiting.pop(0).result(), sent)
        for future in waiting:
            _note(future.result(), sent)
    return sent


def _counted(made: Iterator[Execution], sent: Sent) -> Iterator[Execution]:
    for execution in made:
        sent.spans += 1
        yield execution


def _note(response: ExportTraceServiceResponse, sent: Sent) -> None:
    sent.requests += 1
    sent.rejected += response.partial_success.rejected_spans
    sent.message = response.partial_success.error_message or sent.message


def _export(export: Export, request: bytes) -> ExportTraceServiceResponse:
    """Send one request, again as long as the collector says that it is unavailable: it keys rows, so none doubles."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            return export(request, timeout=30, wait_for_ready=True)
        except grpc.RpcError as error:
            retryable = error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
            if not retryable or time.monotonic() > give_up:
                raise HistoryError(
                    f"the collector refused the history: {error.code().name} {error.details()}"
                ) from error
            time.sleep(1)
