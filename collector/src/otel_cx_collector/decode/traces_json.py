"""ExportTraceServiceRequest as OTLP/JSON to spans that may be steps: the same spans as traces.py makes of protobuf."""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from operator import itemgetter
from typing import Any, Final

from otel_cx import semconv
from otel_cx_collector.decode.document import enum, mapping, objects, uint64
from otel_cx_collector.decode.errors import TooLarge
from otel_cx_collector.decode.json_values import check_json_nesting, read_json_value
from otel_cx_collector.decode.limits import DecodeLimits
from otel_cx_collector.decode.span import (
    CONSUMER,
    EVENT_KEYS,
    SERVER,
    Found,
    Resource,
    Scalar,
    Span,
    Wanted,
    unread,
)

_KEY: Final = itemgetter("key")
_MATCHED_KINDS: Final = frozenset({SERVER, CONSUMER})


def decode(document: Any, wanted: Wanted, limits: DecodeLimits) -> Found:
    """All spans of a parsed request counted, those that may be steps read. Raises BadRequest or TooLarge alone."""
    spans = 0
    candidates: list[Span] = []
    for block in objects(mapping(document, "request"), "resourceSpans"):
        resource = _resource(mapping(block.get("resource"), "resource"), wanted, limits)
        matched = bool(wanted.needles_for(resource.service))
        for scope in objects(block, "scopeSpans"):
            for span in objects(scope, "spans"):
                spans += 1
                if spans > limits.spans:
                    raise TooLarge(f"request has more than {limits.spans} spans; send smaller batches")
                if _may_be_step(span, matched=matched):
                    candidates.append(_span(span, resource, wanted, limits))
    return Found(spans, candidates)


def ends(document: Any) -> Iterator[int]:
    """End times of all spans of a parsed request that have one, nanoseconds. Raises BadRequest."""
    for block in objects(mapping(document, "request"), "resourceSpans"):
        for scope in objects(block, "scopeSpans"):
            for span in objects(scope, "spans"):
                end = uint64(span, "endTimeUnixNano")
                if end > 0:
                    yield end


def _may_be_step(span: dict[str, Any], *, matched: bool) -> bool:
    """Whether it carries the step attribute, or a match rule may map it."""
    kind = enum(span, "kind")
    if matched and kind in _MATCHED_KINDS:
        return True
    attributes = span.get("attributes")
    if type(attributes) is list:
        with suppress(KeyError, TypeError):
            return semconv.JOURNEY_STEP in map(_KEY, attributes)
    return any(pair.get("key") == semconv.JOURNEY_STEP for pair in objects(span, "attributes"))


def _resource(resource: dict[str, Any], wanted: Wanted, limits: DecodeLimits) -> Resource:
    pairs = list(objects(resource, "attributes"))
    if len(pairs) > limits.attributes:
        return Resource(oversized=True)
    return Resource.of(_attributes(pairs, wanted.resource_keys, limits), wanted.context_keys)


def _span(span: dict[str, Any], resource: Resource, wanted: Wanted, limits: DecodeLimits) -> Span:
    pairs = list(objects(span, "attributes"))
    events = list(objects(span, "events"))
    if len(pairs) + len(events) + sum(1 for _ in objects(span, "links")) > limits.fields:
        return unread(resource, carries_step=any(pair.get("key") == semconv.JOURNEY_STEP for pair in pairs))
    return Span(
        resource=resource,
        trace_id=_id(span.get("traceId")),
        span_id=_id(span.get("spanId")),
        trace_state=_text(span.get("traceState"), limits),
        kind=enum(span, "kind"),
        start_ns=uint64(span, "startTimeUnixNano"),
        end_ns=uint64(span, "endTimeUnixNano"),
        status=enum(mapping(span.get("status"), "status"), "code"),
        attributes=resource.context | _attributes(pairs, wanted.span_keys, limits),
        events=tuple(_events(events, limits)),
        oversized=resource.oversized or len(pairs) > limits.attributes,
    )


def _events(events: Iterable[dict[str, Any]], limits: DecodeLimits) -> Iterator[dict[str, Scalar]]:
    """Of each event the attributes in EVENT_KEYS, if it has any."""
    for event in events:
        pairs = list(objects(event, "attributes"))
        read = _attributes(pairs, EVENT_KEYS, limits) if len(pairs) <= limits.fields else {}
        if read:
            yield read


def _id(value: Any) -> bytes:
    """The bytes of a hexadecimal id, upper or lower case; empty when it is none."""
    if not isinstance(value, str) or not value.isalnum():
        return b""
    try:
        return bytes.fromhex(value)
    except ValueError:
        return b""


def _text(value: Any, limits: DecodeLimits) -> str:
    return value[: limits.value_chars] if isinstance(value, str) else ""


def _attributes(pairs: Iterable[dict[str, Any]], keys: AbstractSet[str], limits: DecodeLimits) -> dict[str, Scalar]:
    """Of these KeyValues the ones in ``keys`` that are not empty."""
    read: dict[str, Scalar] = {}
    for pair in pairs:
        value = mapping(pair.get("value"), "an attribute's value")
        if "arrayValue" in value or "kvlistValue" in value:
            check_json_nesting(value, limits.nesting)
        key = pair.get("key")
        if isinstance(key, str) and key in keys:
            scalar = read_json_value(value, limits)
            if scalar is not None:
                read[key] = scalar
    return read
