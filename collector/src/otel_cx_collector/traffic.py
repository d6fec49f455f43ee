"""What traffic is seen, tagged or not: a bounded count of kinds of spans. Not rows, and nothing is judged from it.

Called for a sample of the accepted requests. What cannot be read is counted and passed over; nothing is raised.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from threading import Lock
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from otel_cx import semconv
from otel_cx_collector.decode import document
from otel_cx_collector.decode.limits import BadRequest, DecodeLimits, TooLarge
from otel_cx_collector.decode.span import CONSUMER, OLD_ENVIRONMENT, SERVER, SERVICE_NAME, label
from otel_cx_collector.decode.wire import fields, tag_of
from otel_cx_collector.inventory import Ignore, Inventory, Match
from otel_cx_collector.inventory.observed import Observed
from otel_cx_collector.inventory.shape import METHODS
from otel_cx_collector.tag.matching import HTTP_METHODS, HTTP_ROUTES, RPC, USER_AGENTS, route_of, rpc_of

__all__ = ["Observed", "Traffic", "unmapped"]

MAX_KINDS: Final = 2_000
"""Kinds of spans kept apart; a platform of 50 services has some hundreds."""
MAX_VALUES: Final = 64
"""Values kept of one dimension of one kind."""
MAX_ATTEMPTS: Final = 5_000
"""Attempts whose order of steps is remembered, the latest."""
MAX_STEPS: Final = 64
"""Kinds remembered of one attempt, for their order."""
MAX_TEXT: Final = 200
"""Characters kept of any text."""
MAX_SPAN_BYTES: Final = 64 << 10
"""Larger spans and resources are not read: protobuf may take 80 times its size once built."""
MAX_SPANS: Final = 20_000
"""Spans read of one request, as many as a request may have."""

_KINDS: Final = {SERVER: "server", CONSUMER: "consumer"}
_IDS: Final = ("enduser.id", "user.id", "enduser.pseudo.id", "user.hash")
_PROBES: Final = (
    "kube-probe/",
    "GoogleHC/",
    "ELB-HealthChecker/",
    "Prometheus/",
    "Blackbox Exporter/",
    "Consul Health Check",
)
_DIMENSION_OF: Final = {attribute: name for name, attribute in semconv.DIMENSIONS.items()}
_DESTINATIONS: Final = ("messaging.destination.name", "messaging.destination")
_WANTED: Final = frozenset(
    {
        *(semconv.JOURNEY_NAME, semconv.JOURNEY_STEP, semconv.JOURNEY_ATTEMPT, semconv.SESSION_ID, semconv.CUSTOMER_ID),
        *(*HTTP_METHODS, *HTTP_ROUTES, *RPC, *USER_AGENTS, *_DESTINATIONS),
        *(SERVICE_NAME, semconv.ENVIRONMENT, OLD_ENVIRONMENT),
        *_DIMENSION_OF,
        *_IDS,
    }
)
_RESOURCE_SPANS: Final = tag_of(1)
_RESOURCE: Final = tag_of(1)
_INNER: Final = tag_of(2)
"""ScopeSpans in ResourceSpans, Span in ScopeSpans: opentelemetry-proto, trace.proto."""
_ID_SEGMENT: Final = re.compile(r"\d+|[0-9a-fA-F-]{8,}|.{33,}")
"""A part of a path that is more likely an id than a word."""

_Attributes = dict[str, str]
_Kind = tuple[str, str, str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class _Span:
    """What is read of a span, the resource's attributes beneath its own."""

    kind: int
    trace_id: str
    root: bool
    end_ns: int
    attributes: _Attributes


@dataclass(slots=True)
class _Tally:
    """What is counted of one kind."""

    number: int
    spans: int = 0
    entries: int = 0
    attempts: int = 0
    sessions: int = 0
    customers: int = 0
    first_ns: int = 0
    last_ns: int = 0
    sets: dict[str, set[str]] = field(default_factory=dict)
    """Values seen by what they are values of."""

    def add(self, span: _Span) -> None:
        attributes = span.attributes
        self.spans += 1
        self.entries += span.root
        self.attempts += semconv.JOURNEY_ATTEMPT in attributes
        self.sessions += semconv.SESSION_ID in attributes
        self.customers += semconv.CUSTOMER_ID in attributes
        if span.end_ns:
            self.first_ns = min(self.first_ns or span.end_ns, span.end_ns)
            self.last_ns = max(self.last_ns, span.end_ns)
        self.note("environment", _environment(attributes))
        for attribute, name in _DIMENSION_OF.items():
            if attribute in attributes:
                self.note(f"dimension {name}", attributes[attribute])
        for name in _IDS:
            if name in attributes:
                self.note("id", name)
        agent = _first(attributes, USER_AGENTS)
        for probe in _PROBES:
            if agent.startswith(probe):
                self.note("probe", probe)

    def note(self, what: str, value: str) -> None:
        seen = self.sets.setdefault(what, set())
        if len(seen) < MAX_VALUES:
            seen.add(value)

    def seen(self, what: str) -> tuple[str, ...]:
        return tuple(sorted(self.sets.get(what, ())))


class Traffic:
    """Kinds of spans seen. Thread-safe; memory is bounded by the constants above whatever arrives."""

    def __init__(self) -> None:
        self.requests = 0
        self.unreadable = 0
        """Requests that could not be read to their end."""
        self.passed_over = 0
        """Spans that are not counted: of kinds beyond MAX_KINDS, or larger than MAX_SPAN_BYTES."""
        self._tallies: dict[_Kind, _Tally] = {}
        self._order: OrderedDict[tuple[str, str], dict[int, int]] = OrderedDict()
        """Attempt and what is ordered in it -> number of the kind -> its earliest end; the latest attempts."""
        self._lock = Lock()

    def observe(self, body: bytes, encoding_json: bool) -> None:
        """Count the spans of one ExportTraceServiceRequest, decompressed. Never raises."""
        spans = _json_spans(body) if encoding_json else _protobuf_spans(body)
        unreadable = False
        try:
            for span in islice(spans, MAX_SPANS):
                self._see(span)
        except (BadRequest, TooLarge, DecodeError, IndexError, ValueError):
            unreadable = True
        with self._lock:
            self.requests += 1
            self.unreadable += unreadable

    def observed(self) -> list[Observed]:
        """What was seen so far, most frequent first; equal counts in the order of their texts."""
        with self._lock:
            positions = self._positions()
            found = [_observed(kind, tally, positions.get(tally.number)) for kind, tally in self._tallies.items()]
        return sorted(found, key=lambda each: (-each.spans, each.service, each.kind, *_called(each)))

    def _see(self, span: _Span | None) -> None:
        kind = None if span is None else _kind(span)
        with self._lock:
            if span is None:
                self.passed_over += 1
            elif kind is not None:
                self._count(kind, span)

    def _count(self, kind: _Kind, span: _Span) -> None:
        tally = self._tallies.get(kind)
        if tally is None:
            if len(self._tallies) >= MAX_KINDS:
                self.passed_over += 1
                return
            tally = self._tallies[kind] = _Tally(len(self._tallies))
        tally.add(span)
        self._remember(kind, tally.number, span)

    def _remember(self, kind: _Kind, number: int, span: _Span) -> None:
        attributes = span.attributes
        attempt = attributes.get(semconv.JOURNEY_ATTEMPT) or attributes.get(semconv.SESSION_ID) or span.trace_id
        group = (attempt, _group(kind))
        done = self._order.setdefault(group, {})
        self._order.move_to_end(group)
        if number in done or len(done) < MAX_STEPS:
            done[number] = min(done.get(number, span.end_ns), span.end_ns)
        if len(self._order) > MAX_ATTEMPTS:
            self._order.popitem(last=False)

    def _positions(self) -> dict[int, float]:
        """Mean place of each kind, by its number, among the others of its attempts."""
        places: dict[int, list[int]] = {}
        for done in self._order.values():
            if len(done) > 1:
                for place, number in enumerate(sorted(done, key=lambda each: (done[each], each))):
                    places.setdefault(number, []).append(place)
        return {number: sum(found) / len(found) for number, found in places.items()}


def unmapped(observed: list[Observed], inventory: Inventory) -> list[Observed]:
    """The kinds that no journey of the inventory counts: neither by their own tags nor by a match rule."""
    return [each for each in observed if not _mapped(each, inventory)]


def _mapped(each: Observed, inventory: Inventory) -> bool:
    journey = inventory.journeys.get(each.journey)
    if each.journey or each.kind == "other":
        return journey is not None and (not each.step or any(each.step == step.name for step in journey.steps))
    if any(_covers(entry, each) for entry in inventory.ignore if entry.user_agent is None):
        return True
    rules = (rule for journey in inventory.journeys.values() for rule in journey.match)
    return any(_covers(rule, each) and rule.rpc in (None, each.rpc) for rule in rules)


def _covers(rule: Match | Ignore, each: Observed) -> bool:
    return rule.service in (None, each.service) and rule.route in (None, each.route)


def _called(each: Observed) -> tuple[str, ...]:
    return each.route, each.rpc, each.destination, each.journey, each.step


def _observed(kind: _Kind, tally: _Tally, position: float | None) -> Observed:
    service, name, route, rpc, destination, journey, step = kind
    dimensions = {each: tally.seen(f"dimension {each}") for each in semconv.DIMENSIONS}
    return Observed(
        service=service,
        kind=name,
        route=route,
        rpc=rpc,
        destination=destination,
        journey=journey,
        step=step,
        spans=tally.spans,
        entries=tally.entries,
        attempts=tally.attempts,
        sessions=tally.sessions,
        customers=tally.customers,
        first_ns=tally.first_ns,
        last_ns=tally.last_ns,
        position=position,
        environments=tally.seen("environment"),
        dimensions={each: values for each, values in dimensions.items() if values},
        ids=tally.seen("id"),
        probes=tally.seen("probe"),
    )


def _kind(span: _Span) -> _Kind | None:
    """What the span is counted as; None when it is neither a step nor where work arrives."""
    attributes = span.attributes
    step = attributes.get(semconv.JOURNEY_STEP, "")
    kind = _KINDS.get(span.kind, "other")
    if kind == "other" and not step:
        return None
    return (
        label(attributes.get(SERVICE_NAME)),
        kind,
        _route(attributes),
        rpc_of(dict(attributes)) or "",
        _first(attributes, _DESTINATIONS),
        attributes.get(semconv.JOURNEY_NAME, ""),
        step,
    )


def _group(kind: _Kind) -> str:
    """Kinds that are ordered among each other: those of one journey, else of one service."""
    service, *_, journey, step = kind
    return f"journey {journey}" if journey and step else f"service {service}"


def _route(attributes: _Attributes) -> str:
    """As match rules see it, but for paths without a route that hold an id: each customer would be a kind."""
    route = route_of(dict(attributes)) or ""
    method, _, path = route.partition(" ")
    if method not in METHODS or not path:
        return ""
    bare = "http.route" not in attributes
    return "" if bare and any(_ID_SEGMENT.fullmatch(part) for part in path.split("/")) else route


def _environment(attributes: _Attributes) -> str:
    return _first(attributes, (semconv.ENVIRONMENT, OLD_ENVIRONMENT)) or semconv.UNSET


def _first(attributes: _Attributes, names: tuple[str, ...]) -> str:
    return next((attributes[name] for name in names if name in attributes), "")


def _text(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "".join(char if char.isprintable() else "?" for char in text[:MAX_TEXT])


def _usable(end_ns: int) -> int:
    return end_ns if 0 < end_ns < 1 << 63 else 0


def _protobuf_spans(body: bytes) -> Iterator[_Span | None]:
    """Spans one by one, so that no request is ever built as a whole; None for one that is too large."""
    for tag, start, stop in fields(body, 0, len(body)):
        if tag == _RESOURCE_SPANS:
            blocks = list(islice(fields(body, start, stop), MAX_SPANS))
            resource: _Attributes = {}
            for inner, begin, end in blocks:
                if inner == _RESOURCE and end - begin <= MAX_SPAN_BYTES:
                    resource |= _pairs(resource_pb2.Resource.FromString(body[begin:end]).attributes)
            for inner, begin, end in blocks:
                if inner == _INNER:
                    yield from _scope_spans(body, begin, end, resource)


def _scope_spans(body: bytes, start: int, stop: int, resource: _Attributes) -> Iterator[_Span | None]:
    for tag, begin, end in fields(body, start, stop):
        if tag == _INNER and end - begin > MAX_SPAN_BYTES:
            yield None
        elif tag == _INNER:
            span = trace_pb2.Span.FromString(body[begin:end])
            yield _Span(
                kind=span.kind,
                trace_id=span.trace_id[:16].hex(),
                root=not span.parent_span_id,
                end_ns=_usable(span.end_time_unix_nano),
                attributes=resource | _pairs(span.attributes),
            )


def _pairs(attributes: Any) -> _Attributes:
    found = {}
    for pair in attributes:
        if pair.key in _WANTED:
            which = pair.value.WhichOneof("value")
            if which in ("string_value", "int_value", "bool_value", "double_value"):
                found[pair.key] = _text(getattr(pair.value, which))
    return found


def _json_spans(body: bytes) -> Iterator[_Span]:
    request = document.mapping(document.parse(body, DecodeLimits()), "the request")
    for block in document.objects(request, "resourceSpans"):
        resource = _json_pairs(document.mapping(block.get("resource"), "resource"))
        for scope in document.objects(block, "scopeSpans"):
            for span in document.objects(scope, "spans"):
                yield _Span(
                    kind=document.enum(span, "kind"),
                    trace_id=str(span.get("traceId", ""))[:32],
                    root=not span.get("parentSpanId"),
                    end_ns=_usable(document.uint64(span, "endTimeUnixNano")),
                    attributes=resource | _json_pairs(span),
                )


def _json_pairs(holder: dict[str, Any]) -> _Attributes:
    found = {}
    for pair in document.objects(holder, "attributes"):
        key, value = pair.get("key"), pair.get("value")
        if isinstance(key, str) and key in _WANTED and isinstance(value, dict):
            scalars = (value.get(name) for name in ("stringValue", "intValue", "boolValue", "doubleValue"))
            scalar = next((each for each in scalars if isinstance(each, str | int | float)), None)
            if scalar is not None:
                found[key] = _text(scalar)
    return found
