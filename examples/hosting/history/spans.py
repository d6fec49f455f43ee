"""Made executions as OTLP spans, in the shape the live services give theirs. Not the sending of them.

A protobuf message is the concatenation of its parts, so the parts that many spans share (a step's, a customer's) are
serialised once and put together for each span: that is what makes a day of history a matter of seconds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import islice
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from examples.hosting.everyday import NEXT_PLAN_EUR, Verdict
from examples.hosting.history.attempts import Execution
from examples.hosting.people import Customer
from examples.hosting.settings import STABLE_RELEASE
from examples.hosting.telemetry import resource_attributes
from otel_cx import semconv
from otel_cx.pseudonym import Keyring

A_REQUEST: Final = 2_000
"""Spans in one request at most."""

BILLING, PANEL, WORKER, HELPDESK = "billing", "control-panel", "worker", "helpdesk"


class Known(Enum):
    """What a live span says of its customer."""

    EVERYTHING = auto()
    PERSON = auto()
    """Who they are, but nothing of the money they bring: they have not logged in yet."""
    DEVICE = auto()
    """Nothing but the device, before anybody knows who they are."""
    TIER = auto()
    """What the help desk, which has no SDK, says."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How the live platform records one step."""

    service: str
    failed: str
    """``error.type`` of a failure, or its status code when the step is a server span; likewise of a rejection."""
    rejected: str = ""
    static: dict[str, str] = field(default_factory=dict)
    """What the journey in the code says of every attempt."""
    knows: Known = Known.EVERYTHING
    """What is on record of the person."""
    route: str = ""
    """Set when the request's server span is the step: by the middleware's table or by a match rule."""


_NEW: Final = {semconv.REVENUE_CLASS: "new"}
_BATCH: Final = {semconv.WORKFLOW_TYPE: "batch"}
SHAPES: Final = {
    ("checkout", "cart"): Shape(BILLING, "BookkeepingError"),
    ("checkout", "payment"): Shape(BILLING, "GatewayUnavailableError", "CardDeclinedError"),
    ("checkout", "confirm"): Shape(BILLING, "BookkeepingError"),
    ("login", "credentials"): Shape(PANEL, "UnavailableError", "RefusedError", knows=Known.PERSON),
    ("login", "session"): Shape(PANEL, "UnavailableError", knows=Known.PERSON),
    ("signup", "form"): Shape(PANEL, "503", "422", knows=Known.DEVICE, route="POST /signup/form"),
    ("signup", "account"): Shape(BILLING, "BookkeepingError", static=_NEW, knows=Known.PERSON),
    ("signup", "verify"): Shape(PANEL, "UnavailableError", static=_NEW, knows=Known.PERSON),
    ("dns-change", "edit"): Shape(PANEL, "UnavailableError", "RefusedError"),
    ("dns-change", "publish"): Shape(PANEL, "UnavailableError"),
    ("deployment", "submit"): Shape(PANEL, "UnavailableError", "RefusedError"),
    ("deployment", "build"): Shape(WORKER, "BuildError", static=_BATCH),
    ("deployment", "go-live"): Shape(WORKER, "BuildError", static=_BATCH),
    ("deployment", "progress"): Shape(PANEL, "UnavailableError"),
    ("support", "open"): Shape(HELPDESK, "500", knows=Known.TIER, route="GET /tickets/new"),
    ("support", "submit"): Shape(HELPDESK, "500", knows=Known.TIER, route="POST /tickets"),
}


def _attributes(values: dict[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in values.items()]


def _part(values: dict[str, str]) -> bytes:
    return Span(attributes=_attributes(values)).SerializeToString()


@dataclass(slots=True)
class Encoder:
    """Turns executions into requests; keeps the parts it has serialised."""

    keys: Keyring
    _steps: dict[tuple[str, str, Verdict], bytes] = field(default_factory=dict)
    _people: dict[tuple[str, Known], bytes] = field(default_factory=dict)

    def requests(self, executions: Iterable[Execution]) -> Iterator[bytes]:
        """Serialised ``ExportTraceServiceRequest`` messages of at most A_REQUEST spans each."""
        rest = iter(executions)
        while batch := list(islice(rest, A_REQUEST)):
            yield self._request(batch)

    def _request(self, batch: Iterable[Execution]) -> bytes:
        by_service: dict[str, list[bytes]] = {}
        for execution in batch:
            service = SHAPES[execution.journey, execution.step].service
            by_service.setdefault(service, []).append(self.span(execution))
        return b"".join(
            _field(1, _HEADS[service] + _field(2, _SCOPE + b"".join(_field(2, span) for span in spans)))
            for service, spans in by_service.items()
        )

    def span(self, execution: Execution) -> bytes:
        """One serialised span."""
        own = Span(
            trace_id=execution.trace_id,
            span_id=execution.span_id,
            start_time_unix_nano=execution.start_ns,
            end_time_unix_nano=execution.end_ns,
            attributes=_attributes(_own(execution)),
        )
        return self._step(execution) + self._person(execution) + own.SerializeToString()

    def _step(self, execution: Execution) -> bytes:
        key = (execution.journey, execution.step, execution.verdict)
        if key not in self._steps:
            self._steps[key] = _step(*key)
        return self._steps[key]

    def _person(self, execution: Execution) -> bytes:
        knows = SHAPES[execution.journey, execution.step].knows
        key = (execution.who.id, knows)
        if key not in self._people:
            self._people[key] = _part(self._identity(execution.who, knows))
        return self._people[key]

    def _identity(self, who: Customer, knows: Known) -> dict[str, str]:
        if knows is Known.TIER:
            return {"tenant.tier": who.segment, "tenant.region": who.region}
        if knows is Known.DEVICE:
            return {semconv.DEVICE_CLASS: who.device}
        known = {
            semconv.CUSTOMER_ID: self.keys.pseudonym(who.id),
            semconv.ACCOUNT_ID: self.keys.pseudonym(who.account),
            semconv.SEGMENT: who.segment,
            semconv.PLAN: who.plan,
            semconv.REGION: who.region,
            semconv.DEVICE_CLASS: who.device,
        }
        return known if knows is Known.PERSON else {**known, semconv.REVENUE_CLASS: who.revenue_class}


def _own(execution: Execution) -> dict[str, str]:
    """What is on this span alone."""
    if execution.journey == "support":
        return {semconv.SESSION_ID: execution.attempt}
    own = {semconv.JOURNEY_ATTEMPT: execution.attempt}
    if execution.step == "confirm" and execution.verdict is Verdict.OK:
        own |= {semconv.REVENUE_AMOUNT: NEXT_PLAN_EUR[execution.who.plan], semconv.REVENUE_CURRENCY: "EUR"}
    return own


def _step(journey: str, step: str, verdict: Verdict) -> bytes:
    """What every span of a step that ended like this has in common."""
    shape = SHAPES[journey, step]
    name, kind = f"{journey}/{step}", Span.SPAN_KIND_INTERNAL
    attributes = [] if journey == "support" else _attributes(_tags(journey, step, shape))
    if shape.route:
        name, kind = shape.route, Span.SPAN_KIND_SERVER
        attributes += _http(shape, verdict)
    elif verdict is not Verdict.OK:
        attributes += _attributes(_ending(shape, verdict))
    status = Status(code=Status.STATUS_CODE_ERROR) if verdict is Verdict.FAILED else None
    return Span(name=name, kind=kind, status=status, attributes=attributes).SerializeToString()


def _tags(journey: str, step: str, shape: Shape) -> dict[str, str]:
    return {semconv.JOURNEY_NAME: journey, semconv.JOURNEY_STEP: step, **shape.static}


def _ending(shape: Shape, verdict: Verdict) -> dict[str, str]:
    if verdict is Verdict.FAILED:
        return {semconv.ERROR_TYPE: shape.failed}
    return {semconv.ERROR_TYPE: shape.rejected, semconv.STEP_OUTCOME: "rejected"}


def _http(shape: Shape, verdict: Verdict) -> list[KeyValue]:
    method, _, route = shape.route.partition(" ")
    code = {Verdict.OK: "200", Verdict.FAILED: shape.failed, Verdict.REJECTED: shape.rejected}[verdict]
    new = shape.service == PANEL  # the help desk still speaks the old names
    verb, status = ("http.request.method", "http.response.status_code") if new else ("http.method", "http.status_code")
    number = KeyValue(key=status, value=AnyValue(int_value=int(code)))
    return [*_attributes({verb: method, "http.route": route}), number]


def _head(service: str) -> bytes:
    resource = Resource(attributes=_attributes(resource_attributes(service, STABLE_RELEASE, "history")))
    return ResourceSpans(resource=resource).SerializeToString()


_HEADS: Final = {service: _head(service) for service in (BILLING, PANEL, WORKER, HELPDESK)}
_SCOPE: Final = ScopeSpans(scope=InstrumentationScope(name="examples.hosting.history")).SerializeToString()


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field: tag, length as a varint, payload."""
    length, size = len(payload), bytearray((number << 3 | 2,))
    while length > 127:
        size.append(length & 127 | 128)
        length >>= 7
    size.append(length)
    return bytes(size) + payload
