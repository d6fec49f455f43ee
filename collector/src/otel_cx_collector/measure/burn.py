"""Burn-rate alerts (measures.md 3.1 to 3.3): when a policy fires and resolves. Not who is told, nor the budget.

Time is a slice boundary T in seconds since the epoch: at T only slices that ended by T are known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from scipy.special import betainc

from otel_cx_collector.events import NS, SLICE_S, WEIGHT_ONE
from otel_cx_collector.inventory import Inventory, Journey, Objective
from otel_cx_collector.inventory.burn_pairs import PAIRS, allowed, can_fire, largest_factor, scaled
from otel_cx_collector.inventory.quantities import format_duration, format_share
from otel_cx_collector.measure.columns import Bools, Floats, Ints
from otel_cx_collector.measure.figures import BurnAlert

MIN_FAILURES: Final = 3
"""Failures, unweighted, that the short window must hold (3.2)."""
CERTAINTY: Final = 0.05
"""The Jeffreys quantile of the long window's error rate that must be above the limit (3.2)."""
COVERAGE_MIN: Final = 0.9
"""Below this share of measured slices a window says nothing (1.4)."""
LONGEST_S: Final = max(pair.long_ns for pair in PAIRS.values()) // NS
"""No policy looks further back."""
_ROUNDING: Final = 1e-12
"""Relative: a burn that equals the factor is not above it, whatever floating point makes of it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One burn-rate pair of one objective."""

    journey: str
    objective: Objective
    pair: str
    """``1h/5m``"""
    long_s: int
    short_s: int
    factor: float
    """Scaled to the objective's window."""
    limit: float
    """factor·(1 - target): the error rate above which it burns too fast."""
    kind: str
    """``page`` or ``ticket``."""


def policies(journey: Journey) -> list[Policy]:
    """What is watched: an objective's ``alerts``, else the default pairs that can fire at its target (3.3).

    Completion has a budget and no burn alerts.
    """
    return [
        _policy(journey, objective, pair)
        for objective in journey.objectives
        for pair in _pairs(objective)
        if objective.alerts is not None or _can_fire(objective, pair)
    ]


def left_out(inventory: Inventory) -> list[str]:
    """A sentence for each default pair that is not watched because it can never fire; for stderr at load."""
    return [
        f"journey {journey.name}: {pair} of {_named(objective)} at {format_share(objective.target)} over "
        f"{format_duration(objective.window_ns)} is left out: it can never fire, it needs a burn above "
        f"{float(scaled(PAIRS[pair], objective.window_ns)):g}; "
        f"largest possible factor: {largest_factor(objective.target)}"
        for journey in inventory.journeys.values()
        for objective in journey.objectives
        if objective.alerts is None
        for pair in _pairs(objective)
        if not _can_fire(objective, pair)
    ]


def eager(inventory: Inventory) -> list[str]:
    """A sentence for each page that fires at a pace the target allows; for stderr at load.

    A factor below 1 follows from a window of less than about 2 (1h/5m) or 5 days (6h/30m).
    """
    return [
        f"journey {journey.name}: {policy.pair} of {_named(policy.objective)} over "
        f"{format_duration(policy.objective.window_ns)} pages at a burn of {policy.factor:g}, below the pace of 1 that "
        "the target allows; lengthen the window, or write alerts: with other pairs, or [] for none"
        for journey in inventory.journeys.values()
        for policy in policies(journey)
        if policy.kind == "page" and policy.factor < 1
    ]


def _named(objective: Objective) -> str:
    return objective.sli if objective.step is None else f"{objective.sli} of step {objective.step}"


def _pairs(objective: Objective) -> Iterator[str]:
    if objective.sli != "completion":
        yield from PAIRS if objective.alerts is None else dict.fromkeys(objective.alerts)


def _can_fire(objective: Objective, pair: str) -> bool:
    return can_fire(scaled(PAIRS[pair], objective.window_ns), objective.target)


def _policy(journey: Journey, objective: Objective, name: str) -> Policy:
    pair = PAIRS[name]
    factor = scaled(pair, objective.window_ns)
    return Policy(
        journey=journey.name,
        objective=objective,
        pair=name,
        long_s=pair.long_ns // NS,
        short_s=pair.short_ns // NS,
        factor=float(factor),
        limit=float(factor * allowed(objective.target)),
        kind=pair.kind,
    )


def fires_after_s(policy: Policy, error_rate: float) -> float:
    """Seconds from a sudden ``error_rate`` until the policy fires: factor·(1 - target)·long/error_rate.

    Steady traffic, no failures before, and enough of it that the evidence of 3.2 is no question. Infinite when the
    rate is not above the limit. Source: The Site Reliability Workbook, chapter 5.
    """
    return policy.limit * policy.long_s / error_rate if error_rate > policy.limit else float("inf")


@dataclass(frozen=True, slots=True)
class Slices:
    """Running sums of one objective over contiguous slices: entry i is the sum of the i slices from ``start_s`` on.

    Weighted sums are in units of 2^-20 and exact up to eight thousand million executions.
    """

    start_s: int
    """Of the journey's first data, or where history was cut."""
    bad: Ints
    """Weighted."""
    total: Ints
    """Weighted."""
    failures: Ints
    """Unweighted: the evidence."""
    events: Ints
    """Unweighted."""

    def __len__(self) -> int:
        """How many slices there are."""
        return len(self.total) - 1

    @property
    def end_s(self) -> int:
        """The last boundary that can be judged."""
        return self.start_s + len(self) * SLICE_S

    @classmethod
    def of_counts(cls, start_s: int, failures: Ints, events: Ints) -> Self:
        """From unweighted counts, one entry a slice."""
        bad, total = _running(failures), _running(events)
        return cls(start_s, bad * WEIGHT_ONE, total * WEIGHT_ONE, bad, total)


def _running(counts: Ints) -> Ints:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts, dtype=np.int64)])


@dataclass(frozen=True, slots=True)
class BurnState:
    """Where a policy stands after a walk; all that the next walk needs to know."""

    fired_s: int | None = None
    """T at which it fired; None while it does not fire."""


def walk(
    slices: Slices,
    policy: Policy,
    from_s: int,
    to_s: int,
    measured: Bools | None = None,
    state: BurnState = BurnState(),
) -> tuple[list[BurnAlert], BurnState]:
    """Judge every slice boundary T in ``(from_s, to_s]`` (3.2).

    While either window has a coverage below 0.9 the policy is frozen: it neither fires nor resolves (1.4). A window
    without executions has no burn and does neither, too: in an outage that stops the traffic nothing has recovered.

    Args:
        slices: The policy's objective.
        policy: What to judge.
        from_s: T of the walk before.
        to_s: The last T, at most ``slices.end_s``.
        measured: Of each slice from ``slices.start_s`` on; None when all are.
        state: As the walk before left it.

    Returns:
        Every alert that was on at one of these T, in order; of one that was on before, or is on still, the part in
        between shows by its ``fired_s`` and a ``resolved_s`` of None. And the state for the next walk.

    Raises:
        ValueError: ``to_s`` is not covered by ``slices``.
    """
    if to_s > slices.end_s:
        raise ValueError(f"slices end at {slices.end_s} and T is {to_s}; sum them up to T first")
    first = max(0, (from_s - slices.start_s) // SLICE_S) + 1
    end = np.arange(first, (to_s - slices.start_s) // SLICE_S + 1)
    if not len(end):
        return ([_alert(policy, state.fired_s, None)] if state.fired_s is not None else []), state
    rising, falling = _edges(slices, policy, end, measured)
    alerts: list[BurnAlert] = []
    fired, at = state.fired_s, 0
    while True:
        turns = rising if fired is None else falling
        where = int(np.searchsorted(turns, at))
        if where == len(turns):
            break
        at = int(turns[where])
        moment = slices.start_s + (first + at) * SLICE_S
        if fired is None:
            fired = moment
        else:
            alerts.append(_alert(policy, fired, moment))
            fired = None
    if fired is not None:
        alerts.append(_alert(policy, fired, None))
    return alerts, BurnState(fired)


def _alert(policy: Policy, fired_s: int, resolved_s: int | None) -> BurnAlert:
    return BurnAlert(
        journey=policy.journey,
        sli=policy.objective.sli,
        step=policy.objective.step,
        policy=policy.pair,
        kind=policy.kind,
        factor=policy.factor,
        fired_s=fired_s,
        resolved_s=resolved_s,
    )


def _edges(slices: Slices, policy: Policy, end: Ints, measured: Bools | None) -> tuple[Ints, Ints]:
    """At which of the boundaries ``end`` (slices known) the policy would fire, and at which it would resolve."""
    oldest = max(0, int(end[0]) - policy.long_s // SLICE_S)
    covered = None if measured is None else _running(measured[oldest : end[-1]].astype(np.int64))
    fast = np.ones(len(end), dtype=np.bool_)
    slow = np.zeros(len(end), dtype=np.bool_)
    seen = np.ones(len(end), dtype=np.bool_)
    for length_s in (policy.long_s, policy.short_s):
        total = _within(slices.total, end, length_s)
        above = _above(_within(slices.bad, end, length_s), total, policy.limit)
        fast &= above
        slow |= ~above & (total > 0)
        if covered is not None:
            expected = np.minimum(end, length_s // SLICE_S)
            seen &= _within(covered, end - oldest, length_s) >= COVERAGE_MIN * expected - _ROUNDING
    evident = _within(slices.failures, end, policy.short_s) >= MIN_FAILURES
    likely = np.flatnonzero(fast & seen & evident)
    failures = _within(slices.failures, end[likely], policy.long_s)
    events = _within(slices.events, end[likely], policy.long_s)
    return likely[certain(failures, events, policy.limit)], np.flatnonzero(slow & seen)


def _within(running: Ints, end: Ints, length_s: int) -> Ints:
    """Sums over the windows of a length that end there, shorter where history is."""
    return running[end] - running[np.maximum(end - length_s // SLICE_S, 0)]


def _above(bad: Ints, total: Ints, limit: float) -> Bools:
    """bad/total > limit; False where there is nothing."""
    return np.asarray(bad > limit * total.astype(np.float64) * (1 + _ROUNDING))


def certain(failures: Ints | Floats, events: Ints | Floats, limit: float) -> Bools:
    """Whether the Jeffreys 5 % quantile of the error rate, Beta(k + 0.5, n - k + 0.5), is above ``limit``.

    Asked of the distribution rather than the quantile, which costs a tenth: it is above where less than 5 % lies below.
    """
    return np.asarray(betainc(failures + 0.5, events - failures + 0.5, min(limit, 1.0)) < CERTAINTY)
