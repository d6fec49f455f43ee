"""The mappings a journey is written with: steps, objectives, rules, actions. Not what refers to what (checks.py).

A field's name, or its alias where it carries a unit here, is the key in the file: there is no second list of keys.
"""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from otel_cx import semconv
from otel_cx_collector.events import NS
from otel_cx_collector.inventory.quantities import UNITS, UnreadableError, shown
from otel_cx_collector.inventory.spelling import nearest
from otel_cx_collector.inventory.vocabulary import (
    NAME_PATTERN,
    Attribute,
    Between,
    Duration,
    Flag,
    Link,
    Name,
    Number,
    OneOf,
    Or,
    Positive,
    Shape,
    Target,
    Text,
    Time,
    Weight,
    at_least_one,
)

MAX_STEPS: Final = 64
MAX_RULES: Final = 1000
"""Match, error and ignore rules in one list: each is tried against spans."""

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY")
"""Known HTTP methods of the OpenTelemetry semantic conventions; any other is recorded as ``_OTHER``."""

Lasting = Annotated[Duration, Between("1ms", "24h")]
"""How long one execution may take: an attempt is over after 24 hours, whatever happens."""

SLIS: Final = ("availability", "latency", "completion")
Sli = Annotated[str, OneOf(SLIS)]


def _route(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    method, _, path = value.partition(" ")
    if not path and method.startswith("/"):
        raise UnreadableError(f"{shown(value)} is a path without a method", f'write it like "GET {value}"')
    if method not in METHODS:
        raise UnreadableError(f"{shown(value)} does not begin with an HTTP method", nearest(method.upper(), METHODS))
    if not path or path != path.strip() or not path.isprintable():
        raise UnreadableError(f"{shown(value)} is not a method and a route", 'write it like "POST /pay"')
    return value


def _rpc(value: Any) -> Any:
    if isinstance(value, str) and not all(value.partition("/")):
        raise UnreadableError(f"{shown(value)} is not an RPC method", "write it like shop.Checkout/Confirm")
    return value


Route = Annotated[
    str,
    BeforeValidator(_route),
    WithJsonSchema({"type": "string", "pattern": rf"^({'|'.join(METHODS)}) \S(.*\S)?$"}),
]
"""Method and ``http.route`` of a SERVER span, ``POST /pay``."""
Rpc = Annotated[str, BeforeValidator(_rpc), WithJsonSchema({"type": "string", "pattern": r"^[^/]+/.+$"})]
"""``rpc.service`` and ``rpc.method`` of a SERVER span, ``shop.Checkout/Confirm``."""


class WrittenIdentity(Shape):
    """Where services without the SDK carry an identity or a dimension's value."""

    attribute: Attribute
    """The span or resource attribute that holds it."""
    hash: Flag | None = None
    """True: the raw id is hashed in the collector. False: it is a pseudonym already."""


class Ignore(Shape):
    """Traffic counted as synthetic: all keys given must match."""

    model_config = ConfigDict(json_schema_extra=at_least_one("route", "user_agent", "service"))

    route: Route | None = None
    """HTTP method and route."""
    user_agent: Text | None = None
    """Beginning of the User-Agent."""
    service: Text | None = None
    """service.name."""


class Maintenance(Shape):
    """Time left out of good and total, and shown."""

    journey: Name
    """The one that is maintained."""
    from_ns: Time = Field(alias="from")
    """Start, with a time zone."""
    to_ns: Time = Field(alias="to")
    """End, exclusive."""


class Kpi(Shape):
    """The business figure the journey stands for."""

    name: Text
    """As people call it: conversion."""
    sli: Sli = "completion"
    """The SLI that moves with it."""


class AttemptKey(Shape):
    """What tells one try at the journey from the next, where the SDK does not."""

    attribute: Attribute
    """The span attribute that holds it, such as cart.id."""


class Impact(Shape):
    """How much a slow execution hurts, beside a failed one (1.0)."""

    per_second: Annotated[Number, Field(ge=0)] = 0.058
    """Harm of each second beyond slow_after."""
    max_slow: Annotated[Number, Field(ge=0, le=1)] = 0.5
    """The most that slowness hurts."""


class Step(Shape):
    """One step of a journey."""

    name: Name
    """As on the span."""
    stage: Weight = 1.0
    """g: how much a failure here means, (0, 1]."""
    slow_after_ns: Lasting = Field(default=2 * NS, alias="slow_after")
    """Longer is slow."""
    terminal: Flag = False
    """Ok here completes the attempt; without any, the last step listed does."""
    depends_on: tuple[Name, ...] = ()
    """Names under saturation."""


class Objective(Shape):
    """One promise: this share of this SLI over this window."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"sli": {"const": "latency"}}},
            "then": {"required": ["threshold"]},
            "else": {"not": {"required": ["threshold"]}},
        }
    )

    sli: Sli
    """What is promised."""
    step: Name | None = None
    """One step alone; else all."""
    threshold_ns: Lasting | None = Field(default=None, alias="threshold")
    """Latency: this long is still good."""
    target: Target
    """Share that is to be good; below 100 %."""
    window_ns: Annotated[Duration, Between("1m", "400d", "10s")] = Field(default=30 * UNITS["d"], alias="window")
    """The time over which the error budget is counted."""
    alerts: tuple[Text, ...] | None = None
    """Burn-rate pairs, such as 6h/30m."""


class Match(Shape):
    """Spans without the SDK that are executions of a step: all keys given must match, first rule in the file wins."""

    model_config = ConfigDict(
        json_schema_extra=at_least_one("service", "route", "rpc") | {"not": {"required": ["route", "rpc"]}}
    )

    step: Name
    """The step they execute."""
    service: Text | None = None
    """service.name."""
    route: Route | None = None
    """HTTP method and route."""
    rpc: Rpc | None = None
    """RPC service and method."""


class ErrorRule(Shape):
    """What a failure is called and what it costs the customer: first match, else by outcome."""

    error_class: Name = Field(alias="class")
    """The name of the class of errors."""
    step: Name | None = None
    """At this step alone; else at any."""
    error_type: Text | None = None
    """error.type, or the exception's type."""
    recoverable: Flag | None = None
    """Trying again may help; else what the span says."""
    consequence: Text | None = None
    """In the words of the business: lost order."""


class Action(Shape):
    """One line of the action plan shown to the commander."""

    when: Text | None = None
    """When this is the thing to do."""
    do: Text
    """What to do."""
    link: Link | None = None
    """The runbook."""


def _step_of_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class WrittenJourney(Shape):
    """Something customers come to do, in steps."""

    # model.Journey is what the rest of the program reads.

    title: Text | None = None
    """As people call it; else the name."""
    owner: Text | None = None
    """The team that is paged."""
    stakeholders: tuple[Text, ...] = ()
    """Who is told."""
    service: Text | None = None
    """Primary service, service.name."""
    criticality: Weight = 1.0
    """c: how much this journey matters, (0, 1]."""
    kpi: Kpi | None = None
    """The business figure it stands for."""
    value: Positive | None = None
    """Worth of one completion where spans carry no amount, in the inventory's currency."""
    attempt: AttemptKey | None = None
    """Else session, customer, trace."""
    timeout_ns: Annotated[Duration, Between("1s", "24h")] = Field(default=30 * UNITS["m"], alias="timeout")
    """Silence after which an attempt is over."""
    mature_ns: Annotated[Duration, Between("1s", "24h")] | None = Field(default=None, alias="mature")
    """Age at which live completion is counted; else the smaller of timeout and 5m."""
    recovery_ns: Annotated[Duration, Between("0s", "24h")] = Field(default=5 * UNITS["m"], alias="recovery")
    """A failure followed by success within this time hurts less."""
    impact: Impact = Impact()
    """How much slowness hurts."""
    strict: Flag = False
    """Steps must come in order."""
    steps: Annotated[
        tuple[Annotated[Step, BeforeValidator(_step_of_name), Or({"type": "string", "pattern": NAME_PATTERN})], ...],
        Field(min_length=1, max_length=MAX_STEPS),
    ]
    """In order; a name alone is enough."""
    objectives: tuple[Objective, ...] = ()
    """What is promised; each has an error budget."""
    match: tuple[Match, ...] = Field(default=(), max_length=MAX_RULES)
    """Which spans without the SDK are which step; first rule in the file wins."""
    errors: tuple[ErrorRule, ...] = Field(default=(), max_length=MAX_RULES)
    """What failures are called and cost; first match, else by outcome."""
    actions: tuple[Action, ...] = ()
    """The action plan."""


IDENTITIES: Final = ("customer", "account", "session", *semconv.DIMENSIONS)
"""What ``identify`` may name."""
HASHABLE: Final = ("customer", "account", "session")
"""Identities that may be hashed."""
HASHED: Final = ("customer", "account")
"""Of these, the ones that are, unless the file says that they are pseudonyms already."""
