"""What a journey's state is called: what was decided of it, else what the live score says. It decides nothing."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from otel_cx_collector.decide.words import Decision
    from otel_cx_collector.incidents.words import Incident
    from otel_cx_collector.measure.figures import Coverage, Live

VERDICT_WINDOW_S: Final = 300
"""Coverage of the last five minutes decides whether the state now can be told."""

COVERAGE_NEEDED: Final = 0.9
"""measures.md 1.4: below it the verdict is unmeasured."""


class State(StrEnum):
    """How a journey is now, worst first; the order is the rank on the overview."""

    SEVERE = "severe"
    MAJOR = "major"
    MINOR = "minor"
    SLIGHT = "slight"
    RECOVERING = "recovering"
    WATCHED = "watched"
    UNMEASURED = "unmeasured"
    IDLE = "idle"
    HEALTHY = "healthy"


HURT: Final = frozenset({State.SEVERE, State.MAJOR, State.MINOR, State.SLIGHT})

BANDS: Final = ((40.0, State.SEVERE), (15.0, State.MAJOR), (4.0, State.MINOR))
"""measures.md 4.9."""

OF_SEVERITY: Final = {"P1": State.SEVERE, "P2": State.MAJOR, "P3": State.MINOR, "P4": State.SLIGHT}

IN_WORDS: Final[dict[State, str]] = {
    State.SEVERE: "Severely hurt",
    State.MAJOR: "Badly hurt",
    State.MINOR: "Hurt",
    State.SLIGHT: "Slightly hurt",
    State.RECOVERING: "Recovering",
    State.WATCHED: "Being watched",
    State.UNMEASURED: "Unmeasured",
    State.IDLE: "No traffic yet",
    State.HEALTHY: "Healthy",
}


def share_measured(coverage: Coverage) -> float | None:
    """Measured of expected slices; None when none was expected."""
    return coverage.measured / coverage.expected if coverage.expected else None


def is_measured(coverage: Coverage) -> bool:
    """Whether figures over this window may be judged."""
    share = share_measured(coverage)
    return share is not None and share >= COVERAGE_NEEDED


def state_of(live: Live, recent: Coverage, incident: Incident | None, decision: Decision) -> State:
    """The state now, of an open ``incident`` if any. ``recent`` covers the last ``VERDICT_WINDOW_S``.

    Unmeasured is never shown as healthy. An open incident whose trigger is over and that hurts nobody is recovering.
    """
    if recent.expected == 0:
        return State.IDLE
    if not is_measured(recent):
        return State.UNMEASURED
    if incident is not None:
        lasting = live.score > 0 or decision.severity is not None
        return OF_SEVERITY[incident.current] if lasting else State.RECOVERING
    if live.score > 0:
        return next((state for least, state in BANDS if live.score >= least), State.SLIGHT)
    if live.episode is not None and not live.episode.over:
        return State.RECOVERING
    return State.HEALTHY if decision.monitor_until_s is None else State.WATCHED
