"""Spans as the published OTLP messages, in both encodings, and what the collector makes of them. Not a test."""

import json
import math
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from otel_cx_collector.decode import DecodeLimits
from otel_cx_collector.inventory import parse
from otel_cx_collector.tag import Bounds, Decoded, HashKeys, Tagger, decode_traces, decode_traces_json

SECOND = 1_000_000_000
NOW = 1_767_603_600 * SECOND
"""2026-01-05T09:00:00Z."""
BOUNDS = Bounds(NOW - 24 * 3600 * SECOND, NOW + 300 * SECOND)
LIMITS = DecodeLimits()
KEYS = HashKeys("k1", b"0123456789abcdef")

INVENTORY = """
currency: EUR
dimensions:
  segment: {enterprise: 1.0, trial: 0.4}
  plan: [free, pro]
  region: [eu, us]
  market: {attribute: shop.market, values: [de, fr]}
identify:
  customer: {attribute: enduser.id, hash: true}
  account: {attribute: tenant.pseudo, hash: false}
  segment: {attribute: tenant.tier}
ignore: [{route: "GET /healthz"}, {user_agent: kube-probe/, service: shop}]
journeys:
  checkout:
    attempt: {attribute: cart.id}
    steps:
      - {name: cart}
      - {name: payment, slow_after: 1s}
      - {name: confirm, terminal: true}
    match:
      - {step: payment, service: shop, route: "POST /pay"}
      - {step: confirm, service: shop, rpc: shop.Checkout/Confirm}
      - {step: cart, route: "POST /pay"}
      - {step: cart, service: worker}
    errors:
      - {class: declined, step: payment, error_type: card_declined, recoverable: false}
      - {class: gateway, step: payment, error_type: timeout, recoverable: true}
      - {class: cart-failure, step: cart}
  login: {steps: [password]}
"""
TAGGER = Tagger(parse(INVENTORY), KEYS)

STEP: dict[str, Any] = {"otelcx.journey.name": "checkout", "otelcx.journey.step": "payment"}
ATTEMPT: dict[str, Any] = {"otelcx.journey.attempt": "a-1"}

Attributes = Mapping[str, Any]

_KINDS = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value", bytes: "bytes_value"}


def any_value(value: Any) -> AnyValue:
    """A Python value as OTLP has it; None is the empty one."""
    if value is None:
        return AnyValue()
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=map(any_value, value)))
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
    return AnyValue(**{_KINDS[type(value)]: value})


def pairs(attributes: Attributes) -> list[KeyValue]:
    """Attributes as OTLP has them."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def span(attributes: Attributes | None = None, **fields: Any) -> Span:
    """A SERVER span that ended now and took 100 ms, with these attributes; fields as in trace.proto."""
    end = fields.pop("end_time_unix_nano", NOW)
    events = fields.pop("events", [])
    made = Span(
        trace_id=fields.pop("trace_id", bytes(range(1, 17))),
        span_id=fields.pop("span_id", bytes(range(1, 9))),
        name=fields.pop("name", "POST /pay"),
        kind=fields.pop("kind", Span.SPAN_KIND_SERVER),
        start_time_unix_nano=fields.pop("start_time_unix_nano", max(end - SECOND // 10, 1)),
        end_time_unix_nano=end,
        attributes=pairs(attributes or {}),
        **fields,
    )
    for event in events:
        made.events.add(name="event", attributes=pairs(event))
    return made


def step(attributes: Attributes | None = None, **fields: Any) -> Span:
    """A span that is one execution of checkout/payment, with more attributes."""
    return span(STEP | dict(attributes or {}), **fields)


def block(*spans: Span, resource: Attributes | None = None) -> ResourceSpans:
    """Spans of one process; of service "shop" unless its attributes are given."""
    made = ResourceSpans()
    made.resource.attributes.extend(pairs({"service.name": "shop"} if resource is None else resource))
    made.scope_spans.add().spans.extend(spans)
    return made


def request(*blocks: ResourceSpans | Span, resource: Attributes | None = None) -> ExportTraceServiceRequest:
    """One export of these blocks; bare spans stand in one block together."""
    loose = [each for each in blocks if isinstance(each, Span)]
    whole = [each for each in blocks if isinstance(each, ResourceSpans)]
    return ExportTraceServiceRequest(resource_spans=[*whole, *([block(*loose, resource=resource)] if loose else [])])


def otlp_json(message: Message) -> dict[str, Any]:
    """A message as OTLP/JSON: camelCase, ids in hexadecimal, enums as integers, 64-bit integers as strings."""
    return {field.json_name: _json(field, value) for field, value in message.ListFields()}


def _json(field: Any, value: Any) -> Any:
    if field.is_repeated:
        return [_json_one(field, each) for each in value]
    return _json_one(field, value)


def _json_one(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return otlp_json(value)
    if isinstance(value, bytes):
        return value.hex() if field.name.endswith("_id") else b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64):
        return str(value)
    return value


def json_body(message: Message) -> bytes:
    """The same as bytes."""
    return json.dumps(otlp_json(message)).encode()


def both(
    message: ExportTraceServiceRequest,
    tagger: Tagger = TAGGER,
    bounds: Bounds = BOUNDS,
    limits: DecodeLimits = LIMITS,
) -> Decoded:
    """What the collector makes of a request: the same of protobuf and of JSON, or it is a failure."""
    decoded = decode_traces(message.SerializeToString(), tagger, bounds, limits)
    assert decode_traces_json(json_body(message), tagger, bounds, limits) == decoded
    return decoded


def row_of(one: Span, resource: Attributes | None = None, tagger: Tagger = TAGGER) -> Any:
    """The row of the one span of a request."""
    decoded = both(request(one, resource=resource), tagger)
    assert not decoded.rejected, decoded.detail
    (row,) = decoded.rows
    return row


def refusals(*spans: Span) -> dict[str, int]:
    """Why spans of one request were refused, by reason."""
    return {str(reason): count for reason, count in both(request(*spans)).rejected.items()}


def ids(decoded: Decoded) -> Iterable[bytes]:
    """Span ids of the rows."""
    return [row.span_id for row in decoded.rows]
