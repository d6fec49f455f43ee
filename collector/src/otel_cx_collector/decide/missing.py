"""How much more evidence a verdict needs: the smallest number at the same rate. Not the verdicts (laws.py)."""

from collections.abc import Callable
from math import ceil
from typing import Final

from otel_cx_collector.decide import laws
from otel_cx_collector.decide.text import counted, rounded, waiting
from otel_cx_collector.decide.words import Completions, Truth

MOST_MISSING: Final = 1_000_000
"""Looked for up to here: with more, the figure is too near its threshold for anybody to wait for."""


def executions(count: int, at_most: int, thousandths: int, per_minute: float) -> str:
    """For a quantile against a threshold; without any execution: as if all were within it."""

    def definite(more: int) -> bool:
        within = _scaled(at_most, count, more) if count else more
        return laws.quantile_above(more, within, thousandths) is not Truth.UNKNOWN

    return _words(_needed(definite, count), "execution", per_minute)


def failures(failed: int, total: int, target: float, per_minute: float) -> str:
    """For the error rate against the target."""

    def definite(more: int) -> bool:
        return laws.available(_scaled(failed, total, more), more, target) is not Truth.UNKNOWN

    return _words(_needed(definite, total), "execution", per_minute)


def sessions(found: Completions, verdict: Callable[[laws.Counts], Truth]) -> str:
    """For completion against its baseline; without any attempt: as if they completed as usual."""
    completed, started = found.completed, found.started
    if not started:
        completed, started = found.base_completed, found.base_started

    def definite(more: int) -> bool:
        counts = (_scaled(completed, started, more), more, found.base_completed, found.base_started)
        return verdict(counts) is not Truth.UNKNOWN

    more = _needed(definite, found.started)
    if more is None:
        return (
            f"over {MOST_MISSING:,} more sessions at this rate, or a larger baseline than "
            f"{counted(found.base_started, 'session')}"
        )
    return _words(more, "session", found.per_minute)


def baseline(found: Completions) -> str:
    """What the baseline lacks."""
    if found.base_minutes < laws.LEAST_MINUTES or found.baseline == "none":
        minutes = found.base_minutes if found.baseline != "none" else 0
        return f"baseline: {minutes} of {laws.LEAST_MINUTES} clean minutes"
    return f"baseline: {found.base_started} of {laws.LEAST_STARTED} sessions"


def _scaled(part: int, whole: int, more: int) -> int:
    """The same share of ``more``, to the nearest whole."""
    return (2 * part * more + whole) // (2 * whole)


def _needed(definite: Callable[[int], bool], have: int) -> int | None:
    """How many beyond ``have`` make it definite; None when ``MOST_MISSING`` do not."""
    low, high = have, max(2 * have, 1)
    while not definite(high):
        if high >= have + MOST_MISSING:
            return None
        low, high = high, min(2 * high, have + MOST_MISSING)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if definite(middle) else (middle, high)
    return high - have


def _words(more: int | None, what: str, per_minute: float) -> str:
    if more is None:
        return f"over {MOST_MISSING:,} more {what}s at this rate"
    said = f"about {rounded(more):,} more {what}{'' if rounded(more) == 1 else 's'}"
    return f"{said}, {waiting(ceil(more / per_minute))} at this rate" if per_minute > 0 else said
