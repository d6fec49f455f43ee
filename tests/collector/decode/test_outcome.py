"""The outcome rules of the wire vocabulary, one by one and in their order, and what errors are called."""

from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from spans import NOW, SECOND, both, request, row_of, span, step

from otel_cx_collector.events import Outcome

ERROR = Status(code=Status.STATUS_CODE_ERROR)
FAILED = {"UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
GRPC = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]


def outcome(attributes: dict[str, Any] | None = None, **fields: Any) -> str:
    return str(row_of(step(attributes, **fields)).outcome)


def confirm(attributes: dict[str, Any], **fields: Any) -> Any:
    """The row of a step no error rule speaks of."""
    return row_of(step({"otelcx.journey.step": "confirm"} | attributes, **fields))


def test_a_span_that_says_nothing_is_ok() -> None:
    row = row_of(step())
    assert (row.outcome, row.error_class, row.recoverable) == (Outcome.OK, "", False)


@pytest.mark.parametrize("said", ["ok", "failed", "rejected", "cancelled"])
def test_what_the_application_says_comes_first(said: str) -> None:
    assert outcome({"otelcx.step.outcome": said, "http.response.status_code": 500}, status=ERROR) == said
    assert outcome({"otelcx.step.outcome": said, "error.type": "asyncio.CancelledError"}) == said


@pytest.mark.parametrize("said", ["OK", "fine", 1, True, ["ok"]])
def test_an_outcome_that_is_none_is_passed_over_and_counted(said: object) -> None:
    decoded = both(request(step({"otelcx.step.outcome": said, "http.response.status_code": 500})))
    assert decoded.rows[0].outcome == Outcome.FAILED
    assert decoded.overflow == {("otelcx.step.outcome", "shop"): 1}


@pytest.mark.parametrize(
    "attributes",
    [
        {"error.type": "asyncio.exceptions.CancelledError"},
        {"error.type": "System.OperationCancelledException", "http.response.status_code": 500},
        {"error.type": "AbortError"},
        {"http.response.status_code": 499},
        {"http.status_code": 499},
        {"rpc.grpc.status_code": 1},
        {"rpc.response.status_code": "CANCELLED"},
        {"rpc.response.status_code": "1"},
    ],
)
def test_cancellations_are_known_by_type_and_code(attributes: dict[str, Any]) -> None:
    row = row_of(step(attributes, status=ERROR))
    assert (row.outcome, row.error_class) == (Outcome.CANCELLED, "")


def test_a_recorded_exception_tells_a_cancellation_too() -> None:
    event = {"exception.type": "trio.CancelledError", "exception.message": "bye"}
    assert outcome(events=[{"exception.type": "ValueError"}, event, {"other": 1}]) == "cancelled"
    assert outcome(events=[{"exception.type": "CancelledErrors"}]) == "ok"


@pytest.mark.parametrize(("duration", "expected"), [(SECOND, ("cancelled", "")), (SECOND + 1, ("failed", "gave_up"))])
@pytest.mark.parametrize("attributes", [{"error.type": "CancelledError"}, {"otelcx.step.outcome": "cancelled"}])
def test_giving_up_after_slow_after_is_a_failure(
    attributes: dict[str, Any], duration: int, expected: tuple[str, str]
) -> None:
    row = row_of(step(attributes, start_time_unix_nano=NOW - duration))
    assert (row.outcome, row.error_class) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (100, "ok"),
        (200, "ok"),
        (302, "ok"),
        (399, "ok"),
        (400, "rejected"),
        (402, "rejected"),
        (404, "rejected"),
        (428, "rejected"),
        (429, "failed"),
        (430, "rejected"),
        (500, "failed"),
        (503, "failed"),
        (599, "failed"),
        ("500", "failed"),
        (0, "ok"),
        (-500, "ok"),
        (50_000, "ok"),
        ("5xx", "ok"),
        ("٥٠٠", "ok"),
        (2**62, "ok"),
        (500.0, "failed"),
        (float("nan"), "ok"),
        (float("inf"), "ok"),
    ],
)
@pytest.mark.parametrize("name", ["http.response.status_code", "http.status_code"])
def test_http_codes(name: str, code: object, expected: str) -> None:
    assert outcome({name: code}) == expected


def test_the_new_http_name_wins() -> None:
    assert outcome({"http.response.status_code": 200, "http.status_code": 500}) == "ok"


@pytest.mark.parametrize(("number", "name"), list(enumerate(GRPC)))
def test_grpc_codes_by_number_and_by_name(number: int, name: str) -> None:
    expected = {"OK": "ok", "CANCELLED": "cancelled"}.get(name, "failed" if name in FAILED else "rejected")
    for attributes in (
        {"rpc.grpc.status_code": number},
        {"rpc.response.status_code": name},
        {"rpc.response.status_code": str(number)},
        {"rpc.response.status_code": name, "rpc.grpc.status_code": 0},
    ):
        assert outcome(attributes) == expected


def test_codes_of_other_rpc_systems_decide_nothing() -> None:
    assert outcome({"rpc.response.status_code": "-32602"}) == "ok"
    assert outcome({"rpc.response.status_code": "17"}) == "ok"


def test_http_comes_before_grpc_and_both_before_the_status() -> None:
    assert outcome({"http.response.status_code": 404, "rpc.grpc.status_code": 13}, status=ERROR) == "rejected"
    assert outcome({"rpc.grpc.status_code": 5}, status=ERROR) == "rejected"
    assert outcome({"http.response.status_code": 200, "rpc.grpc.status_code": 0}, status=ERROR) == "failed"


@pytest.mark.parametrize(
    ("status", "expected"),
    [(Status(), "ok"), (Status(code=Status.STATUS_CODE_OK), "ok"), (ERROR, "failed"), (Status(message="x"), "ok")],
)
def test_the_span_status_decides_last(status: Status, expected: str) -> None:
    assert outcome(status=status) == expected


def test_the_first_matching_error_rule_names_the_class() -> None:
    declined = row_of(step({"otelcx.step.outcome": "rejected", "error.type": "card_declined"}))
    assert (declined.outcome, declined.error_class, declined.recoverable) == (Outcome.REJECTED, "declined", False)
    gateway = row_of(step({"error.type": "timeout"}, status=ERROR))
    assert (gateway.error_class, gateway.recoverable) == ("gateway", True)
    assert row_of(step({"otelcx.journey.step": "cart", "error.type": "x"}, status=ERROR)).error_class == "cart-failure"
    assert confirm({"error.type": "timeout"}, status=ERROR).error_class == "timeout"


def test_a_rule_may_name_the_type_of_a_recorded_exception() -> None:
    row = row_of(step(events=[{"exception.type": "timeout"}], status=ERROR))
    assert row.error_class == "gateway"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"error.type": "shop.CardError"}, "shop.CardError"),
        ({"error.type": "no route to host!"}, "no_route_to_host_"),
        ({"error.type": "x" * 100}, "x" * 64),
        ({"error.type": "ошибка"}, "_"),
        ({"error.type": ["a"]}, "_"),
        ({"error.type": 503}, "503"),
        ({"http.response.status_code": 503}, "503"),
        ({"rpc.grpc.status_code": 13}, "INTERNAL"),
        ({}, "failed"),
        ({"otelcx.step.outcome": "rejected"}, "rejected"),
    ],
)
def test_without_a_rule_the_error_type_names_the_class_then_the_code_then_the_outcome(
    attributes: dict[str, Any], expected: str
) -> None:
    assert confirm(attributes, status=ERROR).error_class == expected


def test_the_last_recorded_exception_names_the_class_where_there_is_no_error_type() -> None:
    events = [{"exception.type": "RetryError"}, {"exception.type": "PaymentError"}]
    assert confirm({}, status=ERROR, events=events).error_class == "PaymentError"
    assert confirm({"error.type": "x"}, status=ERROR, events=events).error_class == "x"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"http.response.status_code": 503}, True),
        ({"http.response.status_code": 429}, True),
        ({"http.response.status_code": 504}, True),
        ({"http.response.status_code": 500}, False),
        ({"http.response.status_code": 404}, False),
        ({"rpc.grpc.status_code": 14}, True),
        ({"rpc.grpc.status_code": 4}, True),
        ({"rpc.grpc.status_code": 13}, False),
        ({"error.type": "requests.exceptions.ReadTimeout"}, True),
        ({"error.type": "TimeoutError"}, True),
        ({"error.type": "503"}, True),
        ({"error.type": "ValueError"}, False),
        ({"error.type": "ValueError", "otelcx.step.recoverable": True}, True),
        ({"error.type": "TimeoutError", "otelcx.step.recoverable": False}, False),
        ({"error.type": "TimeoutError", "otelcx.step.recoverable": "maybe"}, True),
    ],
)
def test_recoverable_is_said_or_derived(attributes: dict[str, Any], expected: bool) -> None:
    assert confirm(attributes, status=ERROR).recoverable is expected


def test_what_the_application_says_of_recoverability_wins_over_the_rule() -> None:
    assert row_of(step({"error.type": "timeout", "otelcx.step.recoverable": False}, status=ERROR)).recoverable is False


def test_a_matched_span_is_judged_like_a_tagged_one() -> None:
    row = row_of(span({"http.method": "POST", "http.target": "/pay", "http.status_code": 502}))
    assert (row.outcome, row.error_class, row.recoverable) == (Outcome.FAILED, "502", True)
