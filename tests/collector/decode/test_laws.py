"""Laws over random requests: one answer from both encodings, in any order, and no error but the two for any bytes."""

import json
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
from spans import (
    BOUNDS,
    INVENTORY,
    KEYS,
    LIMITS,
    NOW,
    SECOND,
    STEP,
    TAGGER,
    block,
    both,
    json_body,
    pairs,
    request,
    step,
)

from otel_cx import semconv
from otel_cx_collector.decode import BadRequest, TooLarge, logs, metrics
from otel_cx_collector.events import STEP_SCHEMA, to_batch
from otel_cx_collector.inventory import parse
from otel_cx_collector.tag import Tagger, decode_traces, decode_traces_dict, decode_traces_json, median_end_ns

WORDS = st.sampled_from(["checkout", "login", "cart", "payment", "confirm", "password", "ok", "failed", "cancelled"])
VALUES = st.sampled_from(
    ["enterprise", "eu", "mobile", "shop", "a-1", "POST", "/pay", "/pay?x=1", "shop.Checkout", "CANCELLED"]
)
HOSTILE = st.sampled_from(
    ["", "\x00", "\x1f", "x" * 70, "x" * 130, "x" * 5_000, "é🙂", "TimeoutError", "a.CancelledError"]
)
SCALARS = st.one_of(
    WORDS,
    VALUES,
    HOSTILE,
    st.text(max_size=80),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([0, 1, 14, 200, 404, 429, 499, 500, 503]),
    st.floats(),
    st.none(),
    st.binary(max_size=5),
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
ATTRIBUTE_KEYS = st.sampled_from(
    [
        *semconv.CONTEXT,
        *(semconv.JOURNEY_STEP, semconv.STEP_OUTCOME, semconv.STEP_RECOVERABLE, semconv.EXACT),
        *(semconv.REVENUE_AMOUNT, semconv.REVENUE_CURRENCY, semconv.SESSION_ID, semconv.ERROR_TYPE),
        *("http.request.method", "http.method", "http.route", "http.target", "url.path", "rpc.service", "rpc.method"),
        *("http.response.status_code", "http.status_code", "rpc.grpc.status_code", "rpc.response.status_code"),
        *("feature_flag.key", "feature_flag.result.variant", "feature_flag.variant", "exception.type"),
        *("enduser.id", "tenant.pseudo", "tenant.tier", "shop.market", "cart.id", "user_agent.original"),
        *("service.name", "service.version", "deployment.environment", "deployment.environment.name", "anything", ""),
        "k" * 130,
    ]
)
ATTRIBUTES = st.dictionaries(ATTRIBUTE_KEYS, ANY, max_size=8)
LIKELY = st.fixed_dictionaries(
    {},
    optional={
        semconv.JOURNEY_NAME: st.just("checkout"),
        semconv.JOURNEY_STEP: st.sampled_from(["cart", "payment", "confirm"]),
        "otelcx.segment": VALUES,
        "http.request.method": st.just("POST"),
        "http.route": st.just("/pay"),
        "error.type": st.sampled_from(["timeout", "card_declined", "CancelledError"]),
        "session.id": VALUES,
    },
)
TIMES = st.one_of(
    st.integers(NOW - SECOND, NOW + SECOND),
    st.sampled_from(
        [0, 1, BOUNDS.earliest_ns, BOUNDS.latest_ns, BOUNDS.latest_ns + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
    ),
)
TRACE_STATES = st.sampled_from(["", "ot=th:8", "ot=th:028f5c28f5c29", "a=b, ot=rv:00;th:c", "ot=th:zz", "ñ"])
TRACE_IDS = st.binary(min_size=16, max_size=16) | st.binary(max_size=20)
SPAN_IDS = st.binary(min_size=8, max_size=8) | st.binary(max_size=10)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    start, end = draw(TIMES), draw(TIMES)
    made = Span(
        trace_id=draw(TRACE_IDS),
        span_id=draw(SPAN_IDS),
        trace_state=draw(TRACE_STATES),
        name=draw(HOSTILE),
        kind=draw(st.sampled_from([0, 1, 2, 2, 3, 5, 99, -1])),  # type: ignore[arg-type] # values no enum has
        start_time_unix_nano=start,
        end_time_unix_nano=max(start, end) if draw(st.booleans()) else end,
        attributes=pairs(draw(ATTRIBUTES) | draw(LIKELY)),
        status=Status(code=draw(st.sampled_from([0, 1, 2, 50]))),  # type: ignore[arg-type] # likewise
    )
    for attributes in draw(st.lists(ATTRIBUTES, max_size=3)):
        made.events.add(name="exception", attributes=pairs(attributes))
    return made


BLOCKS = st.builds(
    lambda attributes, scopes: ResourceSpans(
        resource=Resource(attributes=pairs(attributes)), scope_spans=[ScopeSpans(spans=each) for each in scopes]
    ),
    ATTRIBUTES | st.sampled_from([{"service.name": "shop"}, {"service.name": "worker"}]),
    st.lists(st.lists(spans(), max_size=3), max_size=2),
)
REQUESTS = st.builds(lambda blocks: ExportTraceServiceRequest(resource_spans=blocks), st.lists(BLOCKS, max_size=3))

PARSED_INVENTORY = parse(INVENTORY)
LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""No law is about time: the machine may be busy."""


@LAW
@given(REQUESTS)
def test_protobuf_and_json_give_the_same_answer(message: ExportTraceServiceRequest) -> None:
    decoded = both(message)
    assert decoded.spans == sum(len(s.spans) for b in message.resource_spans for s in b.scope_spans)


@LAW
@given(REQUESTS)
def test_rows_fit_the_schema_and_hold_only_what_may_be_stored(message: ExportTraceServiceRequest) -> None:
    rows = both(message).rows
    assert to_batch(rows).schema == STEP_SCHEMA
    for row in rows:
        for name in ("attempt", "environment", "segment", "plan", "region", "device", "workflow", "revenue_class"):
            assert semconv.VALUE.fullmatch(getattr(row, name)), name
        for name in ("customer", "account", "session", "error_class"):
            assert not getattr(row, name) or semconv.VALUE.fullmatch(getattr(row, name)), name
        assert len(row.service) <= 128
        assert row.service.isprintable()
        assert row.duration_ns >= 0
        assert BOUNDS.earliest_ns <= row.end <= BOUNDS.latest_ns
        assert row.minute == row.end // (60 * SECOND) * 60
        assert (row.error_class == "") == (row.outcome in {"ok", "cancelled"})


@LAW
@given(st.lists(spans(), max_size=6), st.randoms(use_true_random=False), st.integers(0, 6))
def test_order_and_grouping_of_spans_change_nothing(given_spans: list[Span], random: Any, cut: int) -> None:
    together = both(request(*given_spans))
    shuffled = [*given_spans]
    random.shuffle(shuffled)
    split = both(request(*map(block, shuffled[:cut]), *shuffled[cut:]))
    assert sorted(split.rows, key=repr) == sorted(together.rows, key=repr)
    assert (split.spans, split.synthetic, split.rejected) == (together.spans, together.synthetic, together.rejected)
    assert split.overflow == together.overflow


@LAW
@given(st.lists(REQUESTS, min_size=1, max_size=3))
def test_what_was_decoded_before_changes_nothing(messages: list[ExportTraceServiceRequest]) -> None:
    used, last = Tagger(PARSED_INVENTORY, KEYS), messages[-1].SerializeToString()
    for message in messages:
        decode_traces(message.SerializeToString(), used, BOUNDS, LIMITS)
    fresh = Tagger(PARSED_INVENTORY, KEYS)
    assert decode_traces(last, used, BOUNDS, LIMITS) == decode_traces(last, fresh, BOUNDS, LIMITS)


@LAW
@given(st.binary(max_size=300))
def test_any_bytes_are_answered(body: bytes) -> None:
    _answered(body)


@LAW
@given(REQUESTS, st.data())
def test_a_mutated_request_is_answered(message: ExportTraceServiceRequest, data: st.DataObject) -> None:
    body = bytearray(message.SerializeToString())
    assume(body)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        mutation = data.draw(st.sampled_from(["flip", "cut", "insert", "repeat"]))
        if mutation == "flip":
            body[at] = data.draw(st.integers(0, 255))
        elif mutation == "insert":
            body[at:at] = data.draw(st.binary(min_size=1, max_size=4))
        elif mutation == "repeat":
            body[at:at] = body[at : at + 40]
        elif at:
            del body[at:]
    _answered(bytes(body))


def _answered(body: bytes) -> None:
    """Decodes as everything there is; raises what is no answer."""
    for decode in (decode_traces, decode_traces_json):
        try:
            rows = decode(body, TAGGER, BOUNDS, LIMITS).rows
        except (BadRequest, TooLarge) as error:
            assert "; send" in str(error)  # noqa: PT017 - the message's cure is the point
        else:
            to_batch(rows)
    for count in (metrics.count, logs.count):
        for as_json in (False, True):
            try:
                assert count(body, as_json, LIMITS) >= 0
            except (BadRequest, TooLarge) as error:
                assert "; send" in str(error)  # noqa: PT017 - likewise


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
NAMES = st.sampled_from(
    [
        "resourceSpans",
        "resource",
        "attributes",
        "key",
        "value",
        "stringValue",
        "intValue",
        "doubleValue",
        "boolValue",
        "arrayValue",
        "kvlistValue",
        "values",
        "scopeSpans",
        "spans",
        "traceId",
        "spanId",
        "traceState",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "events",
        "links",
        "status",
        "code",
    ]
)


@LAW
@given(
    st.recursive(
        JSON, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=30
    )
)
def test_any_document_is_answered(document: Any) -> None:
    for body in (document, {"resourceSpans": [{"scopeSpans": [{"spans": [document]}]}]}):
        for answer in (lambda: decode_traces_dict(body, TAGGER, BOUNDS, LIMITS), lambda: median_end_ns(body)):  # noqa: B023 - called at once
            try:
                answer()
            except (BadRequest, TooLarge) as error:
                assert "; send" in str(error)  # noqa: PT017 - the message's cure is the point


@LAW
@given(
    st.sampled_from(sorted(json.loads(json_body(request(step())))["resourceSpans"][0]["scopeSpans"][0]["spans"][0])),
    JSON,
)
def test_any_value_of_any_field_of_a_step_is_answered(field: str, value: Any) -> None:
    document = json.loads(json_body(request(step(), step(STEP, span_id=b"neighbor"))))
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0][field] = value
    try:
        decoded = decode_traces_dict(document, TAGGER, BOUNDS, LIMITS)
    except BadRequest as error:
        assert "; send" in str(error)  # noqa: PT017 - the message's cure is the point
    else:
        assert any(row.span_id == b"neighbor" for row in decoded.rows)
