import orjson
import pytest
from google.protobuf.json_format import Parse
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # its stubs come without py.typed
    BadRequest as BadRequestDetail,
)
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # likewise
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_cx_collector.receive import Answer, Encoding, Signal
from otel_cx_collector.receive.answers import (
    STATUSES,
    Code,
    Refused,
    clean,
    refusal_body,
    status,
    success_body,
    unavailable,
)
from otel_cx_collector.receive.counts import Reason

RESPONSES: dict[Signal, tuple[type[Message], str]] = {
    Signal.TRACES: (ExportTraceServiceResponse, "rejectedSpans"),
    Signal.METRICS: (ExportMetricsServiceResponse, "rejectedDataPoints"),
    Signal.LOGS: (ExportLogsServiceResponse, "rejectedLogRecords"),
}
RETRYABLE_CODES = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED}
RETRYABLE_HTTP = {429, 502, 503, 504}


@pytest.mark.parametrize("signal", RESPONSES)
def test_full_success_leaves_partial_success_unset(signal: Signal) -> None:
    message, _ = RESPONSES[signal]

    assert success_body(signal, Encoding.JSON, Answer()) == b"{}"
    assert not message.FromString(success_body(signal, Encoding.PROTOBUF, Answer())).HasField("partial_success")


@pytest.mark.parametrize("signal", RESPONSES)
def test_rejected_items_stand_in_the_field_of_their_signal_in_both_encodings(signal: Signal) -> None:
    message, field = RESPONSES[signal]
    answer = Answer(3, "too late")

    raw = success_body(signal, Encoding.JSON, answer)

    assert orjson.loads(raw) == {"partialSuccess": {field: "3", "errorMessage": "too late"}}
    assert message.FromString(success_body(signal, Encoding.PROTOBUF, answer)) == Parse(raw, message())


@pytest.mark.parametrize("signal", RESPONSES)
def test_a_warning_rejects_nothing_and_says_something(signal: Signal) -> None:
    raw = success_body(signal, Encoding.JSON, Answer(0, "a value became other"))

    assert orjson.loads(raw) == {"partialSuccess": {"errorMessage": "a value became other"}}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_statuses_and_clients_of_both_protocols_agree_whether_to_come_back(reason: Reason) -> None:
    code, http = STATUSES[reason]

    assert 400 <= http < 600
    if code is not Code.DEADLINE_EXCEEDED:  # 408: this HTTP client's time is over, whatever it does
        assert (code in RETRYABLE_CODES) == (http in RETRYABLE_HTTP)


@pytest.mark.parametrize("reason", Reason)
def test_a_refusal_is_the_same_status_in_both_encodings(reason: Reason) -> None:
    refused = unavailable(reason, "why, and what to do")

    read = Status.FromString(refusal_body(refused, Encoding.PROTOBUF))

    assert read == Parse(refusal_body(refused, Encoding.JSON), Status())
    assert (read.code, read.message) == (STATUSES[reason].code, "why, and what to do")


def test_bad_data_is_described_by_a_bad_request_detail() -> None:
    detail = BadRequestDetail()

    assert status(Refused(Reason.UNDECODABLE, "byte 7 is wrong")).details[0].Unpack(detail)

    assert detail.field_violations[0].description == "byte 7 is wrong"


@given(st.none() | st.integers())
def test_clients_are_asked_back_within_three_seconds(wanted_s: int | None) -> None:
    refused = unavailable(Reason.SINK_UNAVAILABLE, "full", wanted_s)
    detail = RetryInfo()

    assert refused.retry_after_s is not None
    assert 1 <= refused.retry_after_s <= 3
    assert status(refused).details[0].Unpack(detail)
    assert detail.retry_delay.seconds == refused.retry_after_s


@given(st.text(st.characters(exclude_categories=[]), max_size=3_000))
def test_a_message_is_sent_bounded_printable_and_as_valid_text(message: str) -> None:
    shown = clean(message)

    assert len(shown.encode()) <= 1_000
    assert shown.isprintable()


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=200))
def test_an_ordinary_message_is_sent_as_it_is(message: str) -> None:
    assert clean(message) == message
