"""What decoding hands on: a span that may be a step, with the attributes asked for. Not yet judged by any rule."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from otel_cx import semconv
from otel_cx_collector.decode.limits import DecodeLimits

Scalar = str | int | bool | float

UNREADABLE: Final = "[]"
"""Stands for a value that is no scalar. It breaks every rule for names and values, so that nothing maps it."""

SERVER: Final = 2
CONSUMER: Final = 5
STATUS_ERROR: Final = 2

OLD_ENVIRONMENT: Final = "deployment.environment"
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"

EXCEPTION_TYPE: Final = "exception.type"
FLAG_KEY: Final = "feature_flag.key"
FLAG_VARIANT: Final = "feature_flag.result.variant"
OLD_FLAG_VARIANT: Final = "feature_flag.variant"
EVENT_KEYS: Final = frozenset({EXCEPTION_TYPE, FLAG_KEY, FLAG_VARIANT, OLD_FLAG_VARIANT})
"""Attributes read of span events."""


def text(value: Scalar) -> str:
    """A scalar as text: true and false as JSON writes them."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def label(value: Scalar | None) -> str:
    """A free text as a label: at most 128 characters, those that cannot be shown as ``?``; absent is unset.

    For what names a thing without being one of a closed set, such as a service: two of them stay two.
    """
    if value is None:
        return semconv.UNSET
    shown = text(value)[:128]
    return shown if shown.isprintable() else "".join(c if c.isprintable() else "?" for c in shown)


def environment_of(value: Scalar) -> str:
    """An environment's name, ``other`` when it is no value (semconv.VALUE)."""
    name = text(value)
    return name if semconv.VALUE.fullmatch(name) else semconv.OTHER


@dataclass(frozen=True, slots=True)
class Resource:
    """The process a block of spans came from."""

    service: str = semconv.UNSET
    service_version: str = ""
    environment: str = semconv.UNSET
    context: dict[str, Scalar] = field(default_factory=dict)
    """Of the attributes asked for those that may stand on the resource for all of its spans."""
    oversized: bool = False
    """It has more attributes than the limit; they were not read."""

    @classmethod
    def of(cls, attributes: dict[str, Scalar], context_keys: frozenset[str]) -> "Resource":
        """The resource with these attributes, of which ``context_keys`` stand for its spans."""
        environment = attributes.get(semconv.ENVIRONMENT, attributes.get(OLD_ENVIRONMENT))
        version = attributes.get(SERVICE_VERSION)
        return cls(
            service=label(attributes.get(SERVICE_NAME)),
            service_version="" if version is None else label(version),
            environment=semconv.UNSET if environment is None else environment_of(environment),
            context={key: value for key, value in attributes.items() if key in context_keys},
        )


_OF_THE_RESOURCE: Final = frozenset({SERVICE_NAME, SERVICE_VERSION, semconv.ENVIRONMENT, OLD_ENVIRONMENT})


class Span(NamedTuple):
    """A span that may be a step: it carries the step attribute, or a match rule may name it."""

    resource: Resource
    trace_id: bytes
    span_id: bytes
    trace_state: str
    kind: int
    start_ns: int
    end_ns: int
    """Unsigned 64 bit, as on the wire; -1 when it was no number."""
    status: int
    attributes: dict[str, Scalar]
    """Those asked for, the resource's context beneath the span's own. Empty values are left out."""
    events: tuple[dict[str, Scalar], ...]
    """Of each event that has any of EVENT_KEYS those attributes, in order."""
    oversized: bool
    """It has more attributes, events or links than the limits."""


def unread(resource: Resource, *, carries_step: bool) -> Span:
    """A span with more fields than are read: known is only whether it carries the step attribute."""
    attributes: dict[str, Scalar] = {semconv.JOURNEY_STEP: UNREADABLE} if carries_step else {}
    return Span(resource, b"", b"", "", 0, 0, 0, 0, attributes, (), oversized=True)


class Found(NamedTuple):
    """One request's spans: how many, and the ones that may be steps."""

    spans: int
    candidates: list[Span]


Pairs = dict[bytes, tuple[str, Scalar]]
"""KeyValue message -> key and scalar."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What was read before, by the bytes it was read from; changes nothing but time. Bounded by who fills it."""

    resources: dict[bytes, Resource] = field(default_factory=dict)
    pairs: Pairs = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for in spans. Made once for an inventory, used by many threads."""

    span_keys: frozenset[str]
    """Attributes to read of a span."""
    context_keys: frozenset[str]
    """Attributes that may stand on the resource for all of its spans."""
    unique_keys: frozenset[str] = frozenset()
    """Those of them that differ from span to span, so that remembering their values would help nothing."""
    needles: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    """Service -> texts; a SERVER or CONSUMER span that a match rule maps holds at least one. ``b""`` is in all."""
    needles_of_any: tuple[bytes, ...] = ()
    """The same for the rules that name no service."""
    resource_keys: frozenset[str] = field(init=False)
    """Attributes to read of a resource."""
    span_names: dict[bytes, str] = field(init=False)
    """``span_keys`` as they are on the wire."""
    resource_names: dict[bytes, str] = field(init=False)
    _kept: dict[DecodeLimits, Kept] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "resource_keys", self.context_keys | _OF_THE_RESOURCE)
        object.__setattr__(self, "span_names", {key.encode(): key for key in self.span_keys})
        object.__setattr__(self, "resource_names", {key.encode(): key for key in self.resource_keys})

    @property
    def matches_any(self) -> bool:
        """Whether there are match rules at all."""
        return bool(self.needles or self.needles_of_any)

    def kept(self, limits: DecodeLimits) -> Kept:
        """What was read before under these limits."""
        return self._kept.setdefault(limits, Kept())

    def needles_for(self, service: str) -> tuple[bytes, ...]:
        """Needles for spans of a service; ``()`` when no rule names it."""
        return self.needles.get(service, ()) + self.needles_of_any
