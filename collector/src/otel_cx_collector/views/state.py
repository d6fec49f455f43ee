"""What a journey's state is called, from live score and coverage. Not a severity: that is decided with incidents."""

from enum import StrEnum
from typing import Final

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
    UNMEASURED = "unmeasured"
    IDLE = "idle"
    HEALTHY = "healthy"


HURT: Final = frozenset({State.SEVERE, State.MAJOR, State.MINOR, State.SLIGHT})

BANDS: Final = ((40.0, State.SEVERE), (15.0, State.MAJOR), (4.0, State.MINOR))
"""measures.md 4.9."""

IN_WORDS: Final[dict[State, str]] = {
    State.SEVERE: "Severely hurt",
    State.MAJOR: "Badly hurt",
    State.MINOR: "Hurt",
    State.SLIGHT: "Slightly hurt",
    State.RECOVERING: "Recovering",
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


def state_of(live: Live, recent: Coverage) -> State:
    """The state now. ``recent`` covers the last ``VERDICT_WINDOW_S``; unmeasured is never shown as healthy."""
    if recent.expected == 0:
        return State.IDLE
    if not is_measured(recent):
        return State.UNMEASURED
    if live.score > 0:
        return next((state for least, state in BANDS if live.score >= least), State.SLIGHT)
    return State.RECOVERING if live.episode is not None and not live.episode.over else State.HEALTHY
