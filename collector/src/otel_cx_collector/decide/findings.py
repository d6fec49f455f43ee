"""Full findings of leaves: value, interval, evidence, what is missing, and the clause for a sentence. Not the truth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from otel_cx_collector.decide import bounds, laws, missing
from otel_cx_collector.decide.laws import SURE, UNLIKELY, Counts
from otel_cx_collector.decide.text import WRITTEN, condition, digits, lasting, percent, probability, seconds
from otel_cx_collector.decide.words import Completions, Evidence, Finding, Truth
from otel_cx_collector.events import NS
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

LEAST_COVERAGE: Final = 0.9
"""Below, a window is unmeasured (1.4)."""


@dataclass(frozen=True, slots=True)
class _Figures:
    """What was measured, and the ways to say it."""

    subject: str
    said: str = ""
    """Subject, figure, interval and threshold; empty when there is no figure."""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    evidence: int = 0
    missing: str | None = None
    lacks: str = "is missing"
    """The verb before what is missing."""


def of(leaf: Leaf, evidence: Evidence, verdict: Truth, inner: Truth, held_s: int) -> Finding:
    """One leaf at T.

    Args:
        leaf: The predicate.
        evidence: What was measured.
        verdict: With its ``for``.
        inner: Without it.
        held_s: How long it has been true on measured slices.
    """
    found = _FIGURES[type(leaf)](leaf, evidence, inner)
    return Finding(
        predicate=condition(leaf),
        verdict=verdict,
        value=found.value,
        low=found.low,
        high=found.high,
        evidence=found.evidence,
        missing=found.missing if verdict is Truth.UNKNOWN else None,
        clause=_clause(leaf, found, verdict, inner, held_s),
    )


def _clause(leaf: Leaf, found: _Figures, verdict: Truth, inner: Truth, held_s: int) -> str:
    clause = found.said
    if inner is Truth.UNKNOWN:
        clause = f"{found.said} but" if found.said else found.subject
        clause = f"{clause} {found.lacks} {found.missing}"
    if not leaf.for_ns:
        return clause
    if inner is Truth.TRUE and verdict is Truth.TRUE:
        return f"{clause} for {lasting(held_s)}"
    if inner is Truth.TRUE:
        return f"{clause}, for {held_s} s of {leaf.for_ns // NS} s"
    return f"{clause}, true for {lasting(held_s)} until the gap" if verdict is Truth.TRUE else clause


def _uncovered(subject: str, evidence: Evidence, over_ns: int) -> _Figures:
    share = f"coverage {digits(evidence.coverage(over_ns))} of {LEAST_COVERAGE}"
    return _Figures(subject, missing=share, lacks="has")


def _latency(asked: LatencyAbove, evidence: Evidence, inner: Truth) -> _Figures:
    subject = f"{asked.latency} of {asked.step}" if asked.step else asked.latency
    if not evidence.covered(asked.over_ns):
        return _uncovered(subject, evidence, asked.over_ns)
    thousandths = bounds.THOUSANDTHS[asked.latency]
    durations = evidence.durations(asked.step, asked.over_ns)
    found = evidence.ranks(asked.step, asked.over_ns, asked.above_ns)
    lacking = None
    if inner is Truth.UNKNOWN:
        lacking = missing.executions(found.count, found.at_most, thousandths, _rate(found.count, asked.over_ns))
    count = len(durations)
    if not count:
        return _Figures(subject, missing=lacking)
    lower, upper = bounds.rank_bounds(count, thousandths)
    value = durations[bounds.quantile_rank(count, thousandths) - 1] / NS
    low = durations[lower - 1] / NS if lower else None
    high = durations[upper - 1] / NS if upper else None
    against = f"against {seconds(asked.above_ns / NS, WRITTEN)}"
    said = f"{subject} was {seconds(value)}{_between(low, high, seconds)} {against}"
    return _Figures(subject, said, value, low, high, count, lacking)


def _drop(asked: CompletionDrop, evidence: Evidence, inner: Truth) -> _Figures:
    found = evidence.completions(asked.over_ns)
    lacking = _incomparable(found, evidence, asked.over_ns)
    if lacking:
        return lacking
    counts = laws.counts_of(found)
    low, high = 1 - bounds.ratio(*counts, SURE), 1 - bounds.ratio(*counts, UNLIKELY)
    lacks = missing.sessions(found, lambda more: laws.dropped(more, asked.by)) if inner is Truth.UNKNOWN else None
    value = _change(counts)
    if value is None:
        return _Figures("completion", _without_change(counts), None, low, high, found.started, lacks)
    moved = f"fell by {percent(-value)} (" if value <= 0 else f"rose by {percent(value)} (down "
    chance = probability(bounds.below(*counts, 1 - asked.by))
    said = f"completion {moved}at least {percent(asked.by, WRITTEN)} with probability {chance})"
    return _Figures("completion", said, -value, low, high, found.started, lacks)


def _unchanged(asked: CompletionUnchanged, evidence: Evidence, inner: Truth) -> _Figures:
    found = evidence.completions(asked.over_ns)
    lacking = _incomparable(found, evidence, asked.over_ns)
    if lacking:
        return lacking
    counts = laws.counts_of(found)
    low, high = (bounds.ratio(*counts, share) - 1 for share in (laws.OUTSIDE, 1 - laws.OUTSIDE))
    lacks = missing.sessions(found, lambda more: laws.unchanged(more, asked.within)) if inner is Truth.UNKNOWN else None
    value = _change(counts)
    if value is None:
        return _Figures("completion", _without_change(counts), None, low, high, found.started, lacks)
    interval = _between(low, high, percent)
    said = f"completion changed by {percent(value)}{interval} against {percent(asked.within, WRITTEN)} allowed"
    return _Figures("completion", said, value, low, high, found.started, lacks)


def _incomparable(found: Completions, evidence: Evidence, over_ns: int) -> _Figures | None:
    if not evidence.covered(over_ns):
        return _uncovered("completion", evidence, over_ns)
    if not laws.has_baseline(found):
        lacks = missing.baseline(found)
        return _Figures("completion", evidence=found.started, missing=lacks, lacks="is missing its")
    return None


def _change(counts: Counts) -> float | None:
    """p/p0 - 1; None where either share does not exist or the baseline's is 0."""
    completed, started, base_completed, base_started = counts
    if not started or not base_completed:
        return None
    return completed * base_started / (started * base_completed) - 1


def _without_change(counts: Counts) -> str:
    """What there is to say without ``_change``: nothing without attempts."""
    completed, started, _, _ = counts
    return f"completion was {percent(completed / started)} where its baseline had none" if started else ""


def _availability(asked: AvailabilityOk, evidence: Evidence, inner: Truth) -> _Figures:
    subject = f"error rate of {asked.step}" if asked.step else "error rate"
    if not evidence.covered(asked.over_ns):
        return _uncovered(subject, evidence, asked.over_ns)
    found = evidence.failures(asked.step, asked.over_ns)
    if found is None:
        return _Figures(subject, missing="an availability objective to compare with")
    if not found.total:
        return _Figures(subject, missing="any execution to count")
    low, high = bounds.error_rate(found.failed, found.total)
    value = found.failed / found.total
    rate = percent(laws.allowed(found.target), WRITTEN)
    said = f"{subject} was {percent(value)}{_between(low, high, percent)} against {rate} allowed"
    lacks = None
    if inner is Truth.UNKNOWN:
        lacks = missing.failures(found.failed, found.total, found.target, _rate(found.total, asked.over_ns))
    return _Figures(subject, said, value, low, high, found.total, lacks)


def _saturation(asked: SaturationAbove, evidence: Evidence, _inner: Truth) -> _Figures:
    share = evidence.saturation(asked.saturation)
    if share is None:
        return _Figures("there", missing=f"no point of {asked.saturation} in the last 60 s", lacks="is")
    said = f"{asked.saturation} was at {percent(share)} of its limit against {percent(asked.above, WRITTEN)}"
    return _Figures(asked.saturation, said, share, evidence=1)


def _impact(asked: ImpactAbove, evidence: Evidence, inner: Truth) -> _Figures:
    value = evidence.score()
    said = f"impact score was {digits(value)} against {digits(asked.above, WRITTEN)}"
    if inner is Truth.UNKNOWN:
        gap = _uncovered("impact score", evidence, laws.SCORE_WINDOW_NS)
        return _Figures(gap.subject, said, value, missing=gap.missing, lacks=gap.lacks)
    return _Figures("impact score", said, value)


def _rate(count: int, over_ns: int) -> float:
    """A minute."""
    return count * UNITS["m"] / over_ns


def _between(low: float | None, high: float | None, unit: Callable[[float], str]) -> str:
    """The interval in brackets; an end that is not known is said to be open."""
    if low is None and high is None:
        return ""
    if high is None or low is None:
        known = low if low is not None else high
        return f" ({unit(known)} or {'more' if high is None else 'less'})" if known is not None else ""
    first, last = unit(low), unit(high)
    number, _, measure = first.partition(" ")
    return f" ({number} to {last})" if last.endswith(f" {measure}") else f" ({first} to {last})"


_FIGURES: Final[dict[type, Callable[[Any, Evidence, Truth], _Figures]]] = {
    LatencyAbove: _latency,
    CompletionDrop: _drop,
    CompletionUnchanged: _unchanged,
    AvailabilityOk: _availability,
    SaturationAbove: _saturation,
    ImpactAbove: _impact,
}
