"""A predicate's truth at one boundary, without its ``for``: from counts, cheaply (measures.md 5.2-5.5). No words."""

from collections.abc import Callable
from typing import Any, Final

from otel_cx_collector.decide import bounds
from otel_cx_collector.decide.words import Completions, Evidence, Truth
from otel_cx_collector.inventory.decisions import (
    AvailabilityOk,
    CompletionDrop,
    CompletionUnchanged,
    ImpactAbove,
    LatencyAbove,
    Leaf,
    SaturationAbove,
)
from otel_cx_collector.inventory.quantities import UNITS

Counts = tuple[int, int, int, int]
"""Completed and started, in the window and in the baseline."""

SURE: Final = 0.9
UNLIKELY: Final = 0.1
"""``drop`` is true from the one on, false up to the other (5.3)."""
OUTSIDE: Final = 0.05
"""``unchanged`` is true when either side of the band has at most this probability (5.4)."""
LEAST_MINUTES: Final = 10
LEAST_STARTED: Final = 30
"""Of a baseline (5.3)."""
SCORE_WINDOW_NS: Final = 5 * UNITS["m"]
"""The longest that rho looks back (4.5): a low score that was not measured for as long says nothing."""
DECIMALS: Final = 12
"""1 - 0.9 is 0.1, whatever floats say."""


def allowed(target: float) -> float:
    """The error rate that a target allows."""
    return round(1 - target, DECIMALS)


def counts_of(found: Completions) -> Counts:
    """What the comparison with the baseline needs."""
    return found.completed, found.started, found.base_completed, found.base_started


def has_baseline(found: Completions) -> bool:
    """Whether there is enough to compare with."""
    return found.baseline != "none" and found.base_minutes >= LEAST_MINUTES and found.base_started >= LEAST_STARTED


def quantile_above(count: int, at_most: int, thousandths: int) -> Truth:
    """Quantile threshold by rank bounds (5.2): ``at_most`` of ``count`` durations do not exceed it."""
    lower, upper = bounds.rank_bounds(count, thousandths)
    if at_most < lower:
        return Truth.TRUE
    return Truth.FALSE if upper is not None and at_most >= upper else Truth.UNKNOWN


def dropped(counts: Counts, by: float) -> Truth:
    """Completion is lower than its baseline by a relative share (5.3). No attempt at all tells nothing."""
    if not counts[1]:
        return Truth.UNKNOWN
    chance = bounds.chance(counts, 1 - by, UNLIKELY, SURE)
    if chance >= SURE:
        return Truth.TRUE
    return Truth.FALSE if chance <= UNLIKELY else Truth.UNKNOWN


def unchanged(counts: Counts, within: float) -> Truth:
    """Completion is within a relative share of its baseline (5.4). No attempt at all tells nothing."""
    if not counts[1]:
        return Truth.UNKNOWN
    lower = bounds.chance(counts, 1 - within, OUTSIDE, SURE)
    if lower >= SURE:
        return Truth.FALSE
    higher = 1 - bounds.chance(counts, 1 + within, 1 - SURE, 1 - OUTSIDE)
    if higher >= SURE:
        return Truth.FALSE
    return Truth.TRUE if max(lower, higher) <= OUTSIDE else Truth.UNKNOWN


def available(failed: int, total: int, target: float) -> Truth:
    """The error rate is within the target (5.4). Without a failure nothing is against it, however few there were."""
    if not total:
        return Truth.UNKNOWN
    rate = allowed(target)
    if failed <= rate * total:
        return Truth.TRUE
    return Truth.FALSE if bounds.error_rate(failed, total)[0] > rate else Truth.UNKNOWN


def _latency(asked: LatencyAbove, evidence: Evidence) -> Truth:
    if not evidence.covered(asked.over_ns):
        return Truth.UNKNOWN
    found = evidence.ranks(asked.step, asked.over_ns, asked.above_ns)
    return quantile_above(found.count, found.at_most, bounds.THOUSANDTHS[asked.latency])


def _drop(asked: CompletionDrop, evidence: Evidence) -> Truth:
    if not evidence.covered(asked.over_ns):
        return Truth.UNKNOWN
    found = evidence.completions(asked.over_ns)
    return dropped(counts_of(found), asked.by) if has_baseline(found) else Truth.UNKNOWN


def _unchanged(asked: CompletionUnchanged, evidence: Evidence) -> Truth:
    if not evidence.covered(asked.over_ns):
        return Truth.UNKNOWN
    found = evidence.completions(asked.over_ns)
    return unchanged(counts_of(found), asked.within) if has_baseline(found) else Truth.UNKNOWN


def _availability(asked: AvailabilityOk, evidence: Evidence) -> Truth:
    if not evidence.covered(asked.over_ns):
        return Truth.UNKNOWN
    found = evidence.failures(asked.step, asked.over_ns)
    return available(found.failed, found.total, found.target) if found else Truth.UNKNOWN


def _saturation(asked: SaturationAbove, evidence: Evidence) -> Truth:
    share = evidence.saturation(asked.saturation)
    if share is None:
        return Truth.UNKNOWN
    return Truth.TRUE if share > asked.above else Truth.FALSE


def _impact(asked: ImpactAbove, evidence: Evidence) -> Truth:
    if evidence.score() > asked.above:
        return Truth.TRUE  # harm that was seen is harm; what was not measured could only add to it
    return Truth.FALSE if evidence.covered(SCORE_WINDOW_NS) else Truth.UNKNOWN


LAWS: Final[dict[type, Callable[[Any, Evidence], Truth]]] = {
    LatencyAbove: _latency,
    CompletionDrop: _drop,
    CompletionUnchanged: _unchanged,
    AvailabilityOk: _availability,
    SaturationAbove: _saturation,
    ImpactAbove: _impact,
}


def at(leaf: Leaf, evidence: Evidence) -> Truth:
    """What holds at T, without regard to how long it has."""
    return LAWS[type(leaf)](leaf, evidence)
