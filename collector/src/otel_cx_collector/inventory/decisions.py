"""The mappings decisions are written with: saturation, predicates, rules, channels. Not their evaluation."""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag

from otel_cx_collector.inventory.addresses import Allowed, Clock, Host, Mailbox, Port, Zone
from otel_cx_collector.inventory.shape import Lasting
from otel_cx_collector.inventory.vocabulary import (
    Attribute,
    Between,
    Duration,
    Link,
    Name,
    Number,
    OneOf,
    Or,
    Positive,
    Shape,
    Share,
    Text,
)

SEVERITIES: Final = ("P1", "P2", "P3", "P4")
CHANNELS: Final = ("pagerduty", "slack", "webhook", "alertmanager", "email")
ONE_BY_ONE: Final = ("pagerduty", "alertmanager")
"""Channels that keep an alert for each incident, and group them on their own."""
MAX_RECIPIENTS: Final = 50
BY_SCORE: Final = "by-score"
EVERY_JOURNEY: Final = "*"

Quantile = Annotated[str, OneOf(("p50", "p75", "p90", "p95", "p99", "p99.9"))]
Over = Annotated[Duration, Between("1m", "400d", "10s")]
"""A window that ends at the slice boundary that is judged."""
Sustained = Annotated[Duration, Between("0s", "24h", "10s")]


class Saturation(Shape):
    """A resource that can run out, and the metric that says how full it is."""

    metric: Attribute
    """Name of the metric."""
    where: dict[Attribute, Text] = Field(default_factory=dict)
    """Attributes its points must carry."""
    limit: Positive
    """Full, in the metric's unit."""
    warn: Share = 0.8
    """Share of the limit that is worth a word."""


class _Sustained(Shape):
    for_ns: Sustained = Field(default=0, alias="for")
    """True only after this long on measured slices."""


class LatencyAbove(_Sustained):
    """A quantile of a journey's ok executions is above a threshold."""

    latency: Quantile
    """Which quantile."""
    step: Name | None = None
    """One step alone; else all."""
    over_ns: Over = Field(alias="over")
    """The window that ends now."""
    above_ns: Lasting = Field(alias="above")
    """The threshold."""


class CompletionDrop(_Sustained):
    """Completion is lower than its baseline by a relative share."""

    completion: Literal["drop"]
    """Compared with its baseline."""
    by: Share
    """How much lower, of the baseline."""
    over_ns: Over = Field(alias="over")
    """The window that ends now."""


class CompletionUnchanged(_Sustained):
    """Completion is what its baseline says, within a relative share."""

    completion: Literal["unchanged"]
    """Compared with its baseline."""
    within: Share
    """How much it may differ, of the baseline."""
    over_ns: Over = Field(alias="over")
    """The window that ends now."""


class AvailabilityOk(_Sustained):
    """The error rate is within the journey's availability target."""

    availability: Literal["ok"]
    """Compared with the journey's target."""
    step: Name | None = None
    """One step alone; else all."""
    over_ns: Over = Field(alias="over")
    """The window that ends now."""


class SaturationAbove(_Sustained):
    """A resource is fuller than a share of its limit."""

    saturation: Name
    """A name under saturation."""
    above: Share
    """Of the limit."""


class ImpactAbove(_Sustained):
    """The journey's live score is above a number from 0 to 100."""

    impact: Literal["score"]
    """The live score, 0 to 100."""
    above: Annotated[Number, Field(ge=0, lt=100)]
    """The threshold."""


class AllOf(Shape):
    """True when every part is (Kleene's three values)."""

    parts: tuple["Predicate", ...] = Field(alias="all", min_length=1)
    """Each must be true."""


class AnyOf(Shape):
    """True when one part is (Kleene's three values)."""

    parts: tuple["Predicate", ...] = Field(alias="any", min_length=1)
    """One must be true."""


class Not(Shape):
    """True when the part is false."""

    part: "Predicate" = Field(alias="not")
    """Must be false."""


PREDICATES: Final = ("latency", "completion", "availability", "saturation", "impact", "all", "any", "not")
"""The first of these keys in a mapping says which predicate it is."""


def _predicate(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    key = next((key for key in PREDICATES if key in value), None)
    if key == "completion" and value[key] in ("drop", "unchanged"):
        return f"({value[key]})"
    return f"({key})" if key else None


Predicate = Annotated[
    Annotated[LatencyAbove, Tag("(latency)")]
    | Annotated[CompletionDrop, Tag("(drop)")]
    | Annotated[CompletionUnchanged, Tag("(unchanged)")]
    | Annotated[AvailabilityOk, Tag("(availability)")]
    | Annotated[SaturationAbove, Tag("(saturation)")]
    | Annotated[ImpactAbove, Tag("(impact)")]
    | Annotated[AllOf, Tag("(all)")]
    | Annotated[AnyOf, Tag("(any)")]
    | Annotated[Not, Tag("(not)")],
    Discriminator(_predicate, custom_error_type="predicate", custom_error_message="predicate"),
]
"""A condition with three values: true, false, unknown."""


Leaf = LatencyAbove | CompletionDrop | CompletionUnchanged | AvailabilityOk | SaturationAbove | ImpactAbove
"""A predicate that has no parts."""


def leaves(predicate: Predicate, path: str = "when") -> Iterator[tuple[str, Leaf]]:
    """Predicates without parts, in file order, each with its place."""
    if isinstance(predicate, Not):
        yield from leaves(predicate.part, f"{path}.not")
    elif isinstance(predicate, AllOf | AnyOf):
        for index, part in enumerate(predicate.parts):
            yield from leaves(part, f"{path}.{index}")
    else:
        yield path, predicate


class Escalate(Shape):
    """Open an incident of a severity, or raise one, and tell people."""

    severity: Annotated[str, OneOf((*SEVERITIES, BY_SCORE))]
    """Or by-score."""
    notify: tuple[Name, ...] = ()
    """Names under notify."""


class Monitor(Shape):
    """Open nothing; look again for this long."""

    monitor_ns: Annotated[Duration, Between("1m", "24h")] = Field(alias="monitor")
    """How long to look again."""


def _consequence(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    if "monitor" in value:
        return "(monitor)"
    return "(escalate)" if value.keys() & {"severity", "notify"} else None


Consequence = Annotated[
    Annotated[Escalate, Tag("(escalate)")] | Annotated[Monitor, Tag("(monitor)")],
    Discriminator(_consequence, custom_error_type="consequence", custom_error_message="consequence"),
]


def _unknown(value: Any) -> str | None:
    return "(word)" if isinstance(value, str) else _consequence(value)


def _boolean_as_word(value: Any) -> Any:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value


OnUnknown = Annotated[
    Annotated[Literal["hold", "true", "false"], Tag("(word)")]
    | Annotated[Escalate, Tag("(escalate)")]
    | Annotated[Monitor, Tag("(monitor)")],
    Discriminator(_unknown, custom_error_type="on_unknown", custom_error_message="on_unknown"),
    BeforeValidator(_boolean_as_word),
    Or({"type": "boolean"}),
]


class Rule(Shape):
    """One branch of the decision tree: the first rule that is true decides."""

    name: Text
    """As the tree shows it."""
    journey: Name | Literal["*"]
    """A journey, or "*" for every one."""
    when: Predicate
    """The condition."""
    then: Consequence
    """What to do when it is true."""
    on_unknown: OnUnknown = "hold"
    """hold, true, false, or what to do when evidence is missing."""


class PagerDuty(Shape):
    """Events API v2."""

    routing_key_file: Text
    """A file that holds the key; secrets never stand in the inventory."""
    url: Link = "https://events.pagerduty.com/v2/enqueue"
    """Where events go: another region, or a proxy."""


class Slack(Shape):
    """An incoming webhook."""

    webhook_url_file: Text
    """A file that holds the address, which is a secret."""


class Webhook(Shape):
    """A POST of JSON."""

    url: Link
    """Where to; redirects are not followed."""
    secret_file: Text | None = None
    """A file that holds the key requests are signed with."""


class Alertmanager(Shape):
    """Alerts over its API v2."""

    url: Link
    """Its address, without /api."""
    token_file: Text | None = None
    """A file that holds a bearer token."""


class Email(Shape):
    """A mail over SMTP."""

    model_config = ConfigDict(
        json_schema_extra={"dependencies": {"username": ["password_file"], "password_file": ["username"]}}
    )

    host: Host
    """The relay."""
    port: Port
    """587 for starttls, 465 for tls."""
    sender: Mailbox = Field(alias="from")
    """Whom it comes from."""
    to: Annotated[tuple[Mailbox, ...], Field(min_length=1, max_length=MAX_RECIPIENTS)]
    """Whom it goes to."""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """none only to this machine, or to what allow_private lists."""
    username: Text | None = None
    """To log in with."""
    password_file: Text | None = None
    """A file that holds the password."""


class QuietHours(Shape):
    """A time of day in which notices wait for its end."""

    from_min: Clock = Field(alias="from")
    """Begin, by the clocks of the zone."""
    to_min: Clock = Field(alias="to")
    """End; earlier than the begin means the next day."""
    zone: Zone
    """Whose clocks."""
    urgent: Annotated[str, OneOf(SEVERITIES)] = Field(default="P1", alias="except")
    """This severity and worse ones never wait."""


class Channel(Shape):
    """Who is told, and how: exactly one of pagerduty, slack, webhook, alertmanager, email."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [key]} for key in CHANNELS]})

    pagerduty: PagerDuty | None = None
    slack: Slack | None = None
    webhook: Webhook | None = None
    alertmanager: Alertmanager | None = None
    email: Email | None = None
    min_severity: Annotated[str, OneOf(SEVERITIES)] | None = None
    """Nothing below is sent; a paging channel takes P1 and P2 unless this says otherwise."""
    every_ns: Annotated[Duration, Between("10s", "24h")] | None = Field(default=None, alias="every")
    """A heartbeat: sent at this interval as long as the collector works."""
    quiet_hours: QuietHours | None = None
    """When notices wait."""
    group_wait_ns: Annotated[Duration, Between("0s", "10m")] | None = Field(default=None, alias="group_wait")
    """Incidents of one cause within this time go out as one message; 30s for slack, webhook and email."""
    allow_private: tuple[Allowed, ...] = ()
    """Hosts, addresses and ranges that may be reached although they are private."""

    @property
    def kinds(self) -> list[str]:
        """Which targets are given."""
        return [name for name in CHANNELS if getattr(self, name) is not None]


for _recursive in (AllOf, AnyOf, Not, Rule):
    _recursive.model_rebuild()
