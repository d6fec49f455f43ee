"""Figures of spans of time whose rows may be gone, from roll-ups. Approximate; nothing is judged by it.

Counts, weights and harm are those of the rows. Latency comes from histograms (measures.md 2.3: within 0.55 %).
Customers are estimated from states (about 1 % of many, exact of few), each attempt's by what is known within an hour or
so around it; affected are those with a failed or slow execution, rejected ones not, because episodes are not in
roll-ups. Slow, harm and maintenance are as the inventory had them when the minute was closed.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from otel_cx_collector.events import WEIGHT_ONE
from otel_cx_collector.inventory import Journey
from otel_cx_collector.measure import histogram
from otel_cx_collector.measure.figures import Share, StepFigures
from otel_cx_collector.measure.slis import QUANTILES

HARM_UNIT: Final = 1_000_000
"""Roll-ups count harm in millionths of an execution."""


@dataclass(frozen=True, slots=True)
class RolledFigures:
    """One journey over one span of time, from roll-ups."""

    steps: dict[str, StepFigures]
    started: float
    """Weighted attempts that started in it."""
    completed: float
    """Of these, the ones that completed within the reach of a roll-up."""
    customers: int
    affected: int
    harm: float
    """Sum of h (4.1) over executions, rejections without any."""
    approximate: bool = True


@dataclass(frozen=True, slots=True)
class RolledSeries:
    """Equal steps of time, one list entry each; None where there was no traffic. Approximate."""

    start_s: int
    step_s: int
    ok: list[float]
    failed: list[float]
    rejected: list[float]
    success: list[float | None]
    """ok / (ok + failed)."""
    p95_ms: list[float | None]
    started: list[float]
    completed: list[float]
    customers: list[int]
    affected: list[int]


def figures(rows: pa.Table, journey: Journey) -> RolledFigures:
    """Figures of ``Store.rollups`` over the whole span in one step, without a dimension."""
    whole = [row for row in rows.to_pylist() if not row["step"]]
    return RolledFigures(
        steps=steps(rows, journey),
        started=sum(row["started"] for row in whole) / WEIGHT_ONE,
        completed=sum(row["completed"] for row in whole) / WEIGHT_ONE,
        customers=sum(row["active"] for row in whole),
        affected=sum(row["affected"] for row in whole),
        harm=sum(row["harm"] for row in whole) / HARM_UNIT,
    )


def steps(rows: pa.Table, journey: Journey) -> dict[str, StepFigures]:
    """Figures of every step of the journey, steps without any included; of all values and moments in ``rows``."""
    named = rows["step"].cast(pa.string())
    return {step.name: _step(rows.filter(pc.equal(named, step.name))) for step in journey.steps}


def shares(rows: pa.Table) -> dict[str, Share]:
    """Executions and customers by value of the dimension that ``rows`` are of, over the whole span in one step."""
    return {
        row["value"]: Share(row["ok"] / WEIGHT_ONE, row["failed"] / WEIGHT_ONE, row["active"], row["affected"])
        for row in rows.to_pylist()
        if not row["step"]
    }


def series(rows: pa.Table, from_s: int, to_s: int, step_s: int) -> RolledSeries:
    """The span in equal steps, of ``Store.rollups`` without a dimension."""
    at = {row["start_s"]: row for row in rows.to_pylist() if not row["step"]}
    found = [at.get(start_s) for start_s in range(from_s, to_s, step_s)]
    ok, failed = _column(found, "ok"), _column(found, "failed")
    return RolledSeries(
        start_s=from_s,
        step_s=step_s,
        ok=ok,
        failed=failed,
        rejected=_column(found, "rejected"),
        success=[good / (good + bad) if good + bad else None for good, bad in zip(ok, failed, strict=True)],
        p95_ms=[None if row is None else _quantile(_histogram([row["latency"]]), 95) for row in found],
        started=_column(found, "started"),
        completed=_column(found, "completed"),
        customers=[0 if row is None else row["active"] for row in found],
        affected=[0 if row is None else row["affected"] for row in found],
    )


def _step(rows: pa.Table) -> StepFigures:
    latency = _histogram(rows["latency"].to_pylist())
    p50, p95, p99 = (_quantile(latency, percent) for percent in QUANTILES)
    sums = {name: (pc.sum(rows[name]).as_py() or 0) / WEIGHT_ONE for name in _OUTCOMES}
    return StepFigures(**sums, p50_ms=p50, p95_ms=p95, p99_ms=p99)


_OUTCOMES: Final = ("ok", "failed", "rejected", "cancelled", "slow")


def _column(rows: list[dict[str, int] | None], name: str) -> list[float]:
    return [0 if row is None else row[name] / WEIGHT_ONE for row in rows]


def _histogram(maps: list[list[tuple[int, int]]]) -> Counter[int]:
    """Histograms merge by adding their buckets up."""
    merged: Counter[int] = Counter()
    for each in maps:
        for bucket, weight in each:
            merged[bucket] += weight
    return merged


def _quantile(latency: Counter[int], percent: int) -> float | None:
    value = histogram.quantile(latency, percent, WEIGHT_ONE)
    return None if value is None else value / 1e6
