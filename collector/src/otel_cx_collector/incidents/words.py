"""The words of incidents: status, what stands at a slice boundary, what people do, the record. Not the machine."""

from dataclasses import dataclass, field
from enum import StrEnum

from otel_cx_collector.decide.words import Finding, Severity, Truth
from otel_cx_collector.measure.figures import Factors, Reach


class Status(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"


class Act(StrEnum):
    """What a person does to an incident."""

    ACKNOWLEDGE = "acknowledge"
    MITIGATE = "mitigate"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    ANNOTATE = "annotate"


class Happening(StrEnum):
    """What is told about an incident."""

    OPENED = "opened"
    RAISED = "raised"
    LOWERED = "lowered"
    ACKNOWLEDGED = "acknowledged"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    ANNOTATED = "annotated"


@dataclass(frozen=True, slots=True)
class Trigger:
    """Why an incident is open or opens: the rule that decides, or a burn alert of kind page (5.8)."""

    kind: str
    """``rule`` or ``alert``."""
    name: str
    severity: Severity
    notify: tuple[str, ...]
    because: tuple[Finding, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class Standing:
    """One journey at slice boundary T, as the machine reads it."""

    at_s: int
    journey: str
    verdict: Truth
    """``true`` with a trigger; ``false``: the opposite verdict; ``unknown``: a gap, which counts for neither."""
    trigger: Trigger | None
    episode_s: int | None
    """Start of the open episode, if any."""


@dataclass(frozen=True, slots=True)
class Change:
    """A deploy, a flag, or another fact shortly before the start."""

    id: str
    at_s: int
    kind: str
    """``deploy`` or ``flag``."""
    what: str
    """``billing 1.8.2`` or ``new-checkout = on``."""
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A key account that is hurt. ``account`` is a pseudonym; ``name`` comes from a renewal fact."""

    account: str
    name: str | None
    attempts: int
    failed: int
    renewal_due: str | None
    """ISO date."""
    arr: str | None
    """Annual recurring revenue, decimal string in the inventory's currency."""


@dataclass(frozen=True, slots=True)
class ErrorShare:
    """One class of errors in the incident (row M6)."""

    error_class: str
    step: str
    stage: float
    count: int
    customers: int
    recoverable: bool
    consequence: str | None


@dataclass(frozen=True, slots=True)
class Advice:
    """One action of the plan; the first whose condition holds is recommended."""

    do: str
    when: str
    link: str | None
    holds: bool
    """Whether its condition is met by what was found."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an incident's harm, as of ``at_s``. Frozen with the incident's end."""

    at_s: int
    score: float
    harm_minutes: float
    vector: str
    factors: Factors
    reach: Reach
    segments: dict[str, Reach] = field(default_factory=dict)
    regions: dict[str, Reach] = field(default_factory=dict)
    by_step: dict[str, float] = field(default_factory=dict)
    """Equivalent minutes by step."""
    errors: tuple[ErrorShare, ...] = ()
    accounts: tuple[Account, ...] = ()
    saturated: tuple[str, ...] = ()
    """Resources above their warning line that a step of the journey depends on."""
    services: tuple[str, ...] = ()
    """Services whose executions did the harm, most harm first."""
    traces: tuple[str, ...] = ()
    """Trace ids to look at, hex."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the history: never changed, only added to."""

    at_s: int
    what: Happening
    who: str
    """A person's name, or ``otel-cx``."""
    text: str
    severity: Severity
    status: Status


@dataclass(frozen=True, slots=True)
class Incident:
    """One journey hurt in one stretch of time."""

    id: str
    journey: str
    status: Status
    started_s: int
    opened_s: int
    closed_s: int | None
    severity: Severity
    """The highest reached."""
    current: Severity
    """What it is now; lower only after the lower one has held for 10 min."""
    trigger: Trigger
    """What opened it, or last raised or reopened it."""
    episode_s: int | None
    """Start of the last episode that touches it."""
    group: str | None
    """Shared by incidents with the same cause: ``change:<fact id>`` or ``dependency:<resource or service>``."""
    facts: Facts | None
    changes: tuple[Change, ...]
    advice: tuple[Advice, ...]
    history: tuple[Entry, ...]
    quiet_s: int = 0
    """Measured seconds for which the opposite verdict has held."""
    lower_s: tuple[int, ...] = (0, 0, 0)
    """Measured seconds for which nothing worse than P2, P3 and P4 has held; 0 where ``current`` is no worse."""
    told: tuple[str, ...] = ()
    """Channels that were told, so that they hear of the end as well."""
    sequence: int = 0
    """Tellings so far."""
    silenced: bool = False
    """Resolved by hand while its trigger stood: only the opposite verdict or a higher severity lets it ring again."""


@dataclass(frozen=True, slots=True)
class Command:
    """What a person asked for."""

    act: Act
    who: str
    text: str
    at_s: int


@dataclass(frozen=True, slots=True)
class Tell:
    """An effect: channels to be told about an incident."""

    what: Happening
    incident: Incident
    channels: tuple[str, ...]
    sequence: int
    """Grows by one with each telling of an incident: with its id, the deduplication key."""
