"""What the rest of the program reads: the inventory with every default filled in. Not how it is written (file.py)."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from otel_cx import semconv
from otel_cx_collector.inventory.decisions import Channel, Rule, Saturation
from otel_cx_collector.inventory.file import Dimensions, File
from otel_cx_collector.inventory.quantities import UNITS
from otel_cx_collector.inventory.shape import (
    HASHED,
    Action,
    ErrorRule,
    Ignore,
    Kpi,
    Maintenance,
    Match,
    Objective,
    Step,
    WrittenIdentity,
    WrittenJourney,
)

MATURE_NS: Final = 5 * UNITS["m"]


@dataclass(frozen=True)
class Dimension:
    """A way to break customers down, and the closed set of its values."""

    name: str
    attribute: str
    """The span or resource attribute that carries it."""
    values: dict[str, float]
    """Value -> weight v; what is not listed is ``other``, absent ``unset``, and both weigh 1."""
    own: bool
    """The user's, not one of the six."""


@dataclass(frozen=True)
class Identify:
    """Where services without the SDK carry an identity or a dimension's value."""

    attribute: str
    """The span or resource attribute that holds it."""
    hash: bool
    """A raw id, to be hashed in the collector; else a pseudonym or a plain value."""


@dataclass(frozen=True)
class Journey:
    """One thing customers come to do, in steps."""

    name: str
    title: str
    owner: str | None
    stakeholders: tuple[str, ...]
    service: str | None
    criticality: float
    kpi: Kpi | None
    value: float | None
    """Worth of one completion, in the inventory's currency."""
    attempt: str | None
    """The attribute that tells attempts apart, where spans carry no attempt."""
    timeout_ns: int
    mature_ns: int
    recovery_ns: int
    per_second: float
    """Harm of each second of an execution beyond its step's ``slow_after``."""
    max_slow: float
    strict: bool
    steps: tuple[Step, ...]
    objectives: tuple[Objective, ...]
    match: tuple[Match, ...]
    errors: tuple[ErrorRule, ...]
    actions: tuple[Action, ...]

    @cached_property
    def terminal(self) -> frozenset[str]:
        """Names of the steps whose ok completes an attempt: the last listed when none is marked."""
        return frozenset(step.name for step in self.steps if step.terminal) or frozenset({self.steps[-1].name})

    @cached_property
    def _by_name(self) -> dict[str, Step]:
        return {step.name: step for step in self.steps}

    def step(self, name: str) -> Step:
        """The step of that name. Raises KeyError."""
        return self._by_name[name]


@dataclass(frozen=True)
class Inventory:
    """The file that governs every other stage."""

    version: int
    currency: str | None
    environments: tuple[str, ...]
    """What is judged; ``unset`` stands for spans without an environment."""
    dimensions: dict[str, Dimension]
    """The six in the order of ``semconv.DIMENSIONS``, then own ones in file order."""
    identify: dict[str, Identify]
    ignore: tuple[Ignore, ...]
    maintenance: tuple[Maintenance, ...]
    journeys: dict[str, Journey]
    """In file order."""
    saturation: dict[str, Saturation] = field(default_factory=dict)
    escalation: tuple[Rule, ...] = ()
    notify: dict[str, Channel] = field(default_factory=dict)

    def maintenance_of(self, journey: str) -> tuple[tuple[int, int], ...]:
        """Maintenance windows of a journey, ``[from, to)`` in nanoseconds since the epoch, in file order."""
        return tuple((each.from_ns, each.to_ns) for each in self.maintenance if each.journey == journey)


def resolve(file: File) -> Inventory:
    """What the file means; the file is right already."""
    return Inventory(
        version=file.version,
        currency=file.currency,
        environments=file.environments,
        dimensions=_dimensions(file.dimensions),
        identify={key: _identify(key, each) for key, each in file.identify.given().items()},
        ignore=file.ignore,
        maintenance=file.maintenance,
        journeys={name: _journey(name, written) for name, written in file.journeys.items()},
        saturation=file.saturation,
        escalation=file.escalation,
        notify=file.notify,
    )


def _dimensions(written: Dimensions) -> dict[str, Dimension]:
    six = {
        name: Dimension(name, attribute, _weights(getattr(written, name)), own=False)
        for name, attribute in semconv.DIMENSIONS.items()
    }
    own = {
        name: Dimension(name, each.attribute, _weights(each.values), own=True)
        for name, each in written.__pydantic_extra__.items()
    }
    return six | own


def _weights(values: tuple[str, ...] | dict[str, float]) -> dict[str, float]:
    return values if isinstance(values, dict) else dict.fromkeys(values, 1.0)


def _identify(key: str, written: WrittenIdentity) -> Identify:
    return Identify(written.attribute, key in HASHED if written.hash is None else written.hash)


def _journey(name: str, written: WrittenJourney) -> Journey:
    return Journey(
        name=name,
        title=written.title or name,
        owner=written.owner,
        stakeholders=written.stakeholders,
        service=written.service,
        criticality=written.criticality,
        kpi=written.kpi,
        value=written.value,
        attempt=written.attempt.attribute if written.attempt else None,
        timeout_ns=written.timeout_ns,
        mature_ns=min(written.timeout_ns, MATURE_NS) if written.mature_ns is None else written.mature_ns,
        recovery_ns=written.recovery_ns,
        per_second=written.impact.per_second,
        max_slow=written.impact.max_slow,
        strict=written.strict,
        steps=written.steps,
        objectives=written.objectives,
        match=written.match,
        errors=written.errors,
        actions=written.actions,
    )
