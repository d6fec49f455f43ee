"""One journey at one slice boundary, with figures as a test sets them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from otel_cx_collector.decide.words import Completions, Failures, Ranks
from otel_cx_collector.events import NS
from otel_cx_collector.inventory.decisions import Rule

START_S = 1_767_603_600
"""2026-01-05T09:00:00Z."""
USUAL = Completions(150, 250, "recent", 60, 600, 1000, 16.0)
"""60 % as usual."""


@dataclass(frozen=True)
class FakeEvidence:
    at_s: int = START_S
    measured: bool = True
    """The last slice."""
    share: float = 1.0
    """Coverage of every longer window."""
    seconds: Sequence[float] = ()
    """Durations of ok executions."""
    completed: Completions = USUAL
    failed: Failures | None = field(default_factory=lambda: Failures(0, 1000, 0.999))
    shares: dict[str, float] = field(default_factory=dict)
    live: float = 0.0
    band: str = "P4"
    asked: list[tuple[object, ...]] = field(default_factory=list, compare=False)
    """What was asked for, in order."""

    def covered(self, over_ns: int) -> bool:
        return self.measured if over_ns == 10 * NS else self.share >= 0.9

    def coverage(self, over_ns: int) -> float:
        return float(self.measured) if over_ns == 10 * NS else self.share

    def ranks(self, step: str | None, over_ns: int, above_ns: int) -> Ranks:
        durations = self.durations(step, over_ns)
        return Ranks(len(durations), sum(duration <= above_ns for duration in durations))

    def durations(self, step: str | None, over_ns: int) -> list[int]:
        self.asked.append(("durations", step, over_ns))
        return sorted(round(each * NS) for each in self.seconds)

    def completions(self, over_ns: int) -> Completions:
        self.asked.append(("completions", over_ns))
        return self.completed

    def failures(self, step: str | None, over_ns: int) -> Failures | None:
        self.asked.append(("failures", step, over_ns))
        return self.failed

    def saturation(self, resource: str) -> float | None:
        self.asked.append(("saturation", resource))
        return self.shares.get(resource)

    def score(self) -> float:
        return self.live

    def severity(self) -> str:
        return self.band

    def after(self, seconds: int, **changed: Any) -> "FakeEvidence":
        return replace(self, at_s=self.at_s + seconds, **changed)


def completions(completed: int, started: int, base_completed: int = 600, base_started: int = 1000) -> Completions:
    return replace(
        USUAL, completed=completed, started=started, base_completed=base_completed, base_started=base_started
    )


def rule(when: dict[str, Any], **parts: Any) -> Rule:
    written = {"name": "a rule", "journey": "checkout", "then": {"severity": "P1", "notify": ["oncall"]}}
    return Rule.model_validate({**written, "when": when, **parts})
