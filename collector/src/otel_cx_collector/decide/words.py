"""The words of decisions: three values, a predicate's finding, what measure must answer. Not their evaluation."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

Severity = str
"""``P1`` (worst) to ``P4``; see ``inventory.decisions.SEVERITIES``."""


class Truth(StrEnum):
    """A predicate's value (measures.md 5.1). Unknown is not false."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One predicate at one slice boundary, as reports, pages and incidents show it."""

    predicate: str
    """In words: ``p95 of payment over 5m above 1.5s for 5m``."""
    verdict: Truth
    value: float | None = None
    """The measured figure: seconds for a latency; of completion the relative fall (``drop``) or signed change
    (``unchanged``) against the baseline; of availability the error rate; of saturation the share of the limit; of
    impact the score, 0 to 100."""
    low: float | None = None
    high: float | None = None
    """The interval the verdict rests on, in the unit of ``value``."""
    evidence: int = 0
    """Raw executions, attempts or points that the figure was counted from."""
    missing: str | None = None
    """What is missing when it is unknown: ``about 430 more sessions, 9 min at this rate``."""
    clause: str = ""
    """The same as part of a sentence: ``p95 of payment was 2.4 s (2.1 to 2.8 s) against 1.5 s for 5 min``."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """Durations of ok executions in a window, as far as a quantile's rank bounds need them."""

    count: int
    """Raw ok executions."""
    at_most: int
    """Of these, the ones that lasted at most the threshold."""


@dataclass(frozen=True, slots=True)
class Completions:
    """Attempts of a window and of its baseline, counted at the same age (2.1, 5.3). Raw counts."""

    completed: int
    started: int
    baseline: str
    """``seasonal``, ``recent`` or ``none``."""
    base_minutes: int
    """Clean minutes that the baseline was counted from."""
    base_completed: int
    base_started: int
    per_minute: float
    """Attempts started a minute in the window: how fast evidence comes."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Executions of a window that count for availability. Raw counts."""

    failed: int
    total: int
    target: float
    """The journey's availability target."""


class Evidence(Protocol):
    """One journey at one slice boundary T. Windows end at T, lengths are in nanoseconds and whole slices."""

    @property
    def at_s(self) -> int:
        """T, seconds since the epoch."""
        ...

    def covered(self, over_ns: int) -> bool:
        """Whether at least 0.9 of the window's expected slices were measured (1.4)."""
        ...

    def coverage(self, over_ns: int) -> float:
        """Measured slices of the window's expected ones, 0 to 1: for what a finding says is missing."""
        ...

    def ranks(self, step: str | None, over_ns: int, above_ns: int) -> Ranks:
        """Counts around a threshold; ``step`` None: all steps."""
        ...

    def durations(self, step: str | None, over_ns: int) -> list[int]:
        """Durations of the ok executions, ascending, nanoseconds: for the figures of a finding."""
        ...

    def completions(self, over_ns: int) -> Completions:
        """The live form of completion, and its baseline."""
        ...

    def failures(self, step: str | None, over_ns: int) -> Failures | None:
        """None without an availability objective to compare with."""
        ...

    def saturation(self, resource: str) -> float | None:
        """Share of the limit, as of the slice that ends at T, carried at most 60 s; None: nothing was reported."""
        ...

    def score(self) -> float:
        """S_live as of the last closed minute."""
        ...

    def severity(self) -> Severity:
        """Severity by score, floors included (4.9): what ``severity: by-score`` means."""
        ...


@dataclass(frozen=True, slots=True)
class Record:
    """A rule's verdict that is new: the first one, and every change (5.7)."""

    rule: str
    journey: str
    at_s: int
    verdict: Truth
    severity: Severity | None
    """What the rule asks for where it is true, or unknown with an action taken; else None."""
    action: str | None
    """``monitor``, or None."""
    because: tuple[Finding, ...]
    sentence: str
    """The verdict in one sentence."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the tree says of a journey at T: the first rule that is true decides."""

    at_s: int
    journey: str
    rule: str | None
    """The rule that decides; None when none is true."""
    verdict: Truth
    """``true`` with a rule, ``false`` when every rule that opens an incident is false, else ``unknown``."""
    severity: Severity | None
    """Resolved (by-score is a band by now); None for ``monitor`` and without a rule."""
    notify: tuple[str, ...]
    """Channels' names."""
    monitor_until_s: int | None
    because: tuple[Finding, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class Node:
    """One place in a rule's condition, with what it says at T."""

    op: str
    """``all``, ``any``, ``not`` or ``leaf``."""
    verdict: Truth
    finding: Finding | None = None
    """Of a leaf; None elsewhere."""
    progress: str | None = None
    """Of a leaf with ``for``: ``180 s of 300 s``."""
    parts: tuple["Node", ...] = ()
    """In file order; empty for a leaf."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One rule of the tree with live values, as pages and ``explain`` show it."""

    rule: str
    then: str
    """What it would do, in words: ``P1, tell oncall and business``."""
    on_unknown: str
    """What it does without evidence, in words: ``hold``."""
    verdict: Truth
    """Of the condition alone, before ``on_unknown``."""
    decides: bool
    """It is the first rule that counts as true."""
    node: Node
