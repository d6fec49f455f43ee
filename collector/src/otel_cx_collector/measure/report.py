"""Figures as the JSON of the replay report (inventory.md), rounded the one way: the same figures, the same bytes."""

import json
from datetime import UTC, datetime
from typing import Final

from otel_cx_collector.measure.figures import AttemptCounts, BurnAlert, Episode, Figures, Share, Sli, StepFigures

DECIMALS: Final = 6
MS_DECIMALS: Final = 3

Json = dict[str, object]


def journey_report(figures: Figures) -> Json:
    """One journey of the report."""
    return {
        "grade": figures.grade,
        "attempts": attempts(figures.attempts),
        "customers": {"active": figures.customers.active, "affected": figures.customers.affected},
        "slis": [sli(one) for one in figures.slis],
        "steps": {name: step(one) for name, one in figures.steps.items()},
        "by": {name: {value: share(one) for value, one in values.items()} for name, values in figures.by.items()},
        "harm_minutes": rounded(figures.harm_minutes),
        "episodes": [episode(one) for one in figures.episodes],
    }


def attempts(counts: AttemptCounts) -> Json:
    """Attempts by state."""
    names = ("started", "completed", "failed", "rejected", "abandoned", "pending", "recovered")
    return {name: count(getattr(counts, name)) for name in names}


def sli(one: Sli) -> Json:
    """One objective."""
    return {
        "sli": one.sli,
        "step": one.step,
        "good": count(one.good),
        "total": count(one.total),
        "target": rounded(one.target),
        "budget_spent": rounded(one.budget_spent),
    }


def step(one: StepFigures) -> Json:
    """One step."""
    counts = {name: count(getattr(one, name)) for name in ("ok", "failed", "rejected", "cancelled", "slow")}
    return counts | {name: milliseconds(getattr(one, name)) for name in ("p50_ms", "p95_ms", "p99_ms")}


def share(one: Share) -> Json:
    """One dimension value."""
    return {"ok": count(one.ok), "failed": count(one.failed), "customers": one.customers, "affected": one.affected}


def episode(one: Episode) -> Json:
    """One episode."""
    return {
        "started_at": timestamp(one.start_s),
        "ended_at": timestamp(one.end_s) if one.over else None,
        "harm_minutes": rounded(one.harm_minutes),
        "score": rounded(one.score),
        "vector": one.vector,
    }


def alert(one: BurnAlert) -> Json:
    """One burn-rate alert."""
    return {
        "journey": one.journey,
        "sli": one.sli,
        "step": one.step,
        "policy": one.policy,
        "fired_at": timestamp(one.fired_s),
        "resolved_at": None if one.resolved_s is None else timestamp(one.resolved_s),
    }


def rounded(value: float | None) -> float | None:
    """At most six decimals."""
    return None if value is None else round(value, DECIMALS) + 0.0


def milliseconds(value: float | None) -> float | None:
    """At most three decimals."""
    return None if value is None else round(value, MS_DECIMALS) + 0.0


def count(value: float) -> int | float:
    """A whole number where it is one: sampling weights make counts fractional."""
    return int(value) if value == int(value) else round(value, DECIMALS)


def timestamp(seconds: int) -> str:
    """RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def dump(value: object) -> str:
    """Canonical JSON: sorted keys, two spaces, plain ASCII, a final newline."""
    return json.dumps(value, sort_keys=True, indent=2) + "\n"
