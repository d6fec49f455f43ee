"""One journey as of one moment: rows read once, then every figure that is asked of them. Pure; judges nothing.

``evaluate`` prepares what all figures share (attempts, minutes, episodes, normal traffic); the functions below it
answer one question each. Live and replay call the same functions.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from otel_cx_collector.events import NS, SLICE_S, WEIGHT_ONE
from otel_cx_collector.inventory import Inventory, Journey
from otel_cx_collector.measure import histogram, impact
from otel_cx_collector.measure.columns import (
    FAILED,
    GRADES,
    OK,
    OUTCOMES,
    REJECTED,
    Bools,
    Columns,
    Ints,
    build,
)
from otel_cx_collector.measure.episodes import Span, Walk, clean, find
from otel_cx_collector.measure.figures import Episode, Exemplar, Factors, Figures, Live, Reach, Series, Share
from otel_cx_collector.measure.minutes import Minutes, Normal, grid, normal, seconds
from otel_cx_collector.measure.slis import attempt_counts, grade, slis, step_figures
from otel_cx_collector.measure.stats import REACH_HIGH, REACH_LOW, jeffreys

LIVE_MINUTES: Final = 60
"""Severity looks back one hour (4.5)."""
SERIES_LIMIT: Final = 2_000
"""Steps of time in one series: more than a screen has pixels for."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A journey's executions before ``as_of_ns``, and what was found in them."""

    journey: Journey
    inventory: Inventory
    as_of_ns: int
    columns: Columns
    minutes: Minutes
    walk: Walk
    affected: Bools
    """Executions that affect their customer (4.10)."""
    mature: Normal
    """N of a journey that is not young."""
    young: Normal

    def normal(self, span: Span) -> Normal:
        """N of one episode (4.3)."""
        return self.young if span.young else self.mature


def evaluate(
    table: pa.Table, journey: Journey, inventory: Inventory, as_of_ns: int, measured: Bools | None = None
) -> Evaluation:
    """Read the rows of ``table`` as of ``as_of_ns``.

    Args:
        table: Rows of ``STEP_SCHEMA``, one an execution, sorted by attempt key, end, span id.
        journey: The journey they belong to.
        inventory: The file in force.
        as_of_ns: A slice boundary; later rows are not looked at.
        measured: Of each closed minute from the journey's first data on; None when all are.
    """
    columns = build(table, journey, inventory, as_of_ns)
    minutes = grid(columns, as_of_ns, measured)
    walk = find(columns, minutes)
    usable = clean(minutes, walk.spans)
    return Evaluation(
        journey=journey,
        inventory=inventory,
        as_of_ns=as_of_ns,
        columns=columns,
        minutes=minutes,
        walk=walk,
        affected=_affected(columns, minutes, walk.spans),
        mature=normal(minutes, usable, young=False),
        young=normal(minutes, usable, young=True),
    )


def figures(found: Evaluation, from_ns: int, to_ns: int | None = None) -> Figures:
    """Everything the report and the pages say about ``[from_ns, to_ns)``; ``to_ns`` defaults to the moment itself."""
    to_ns = found.as_of_ns if to_ns is None else to_ns
    columns = found.columns
    inside = (columns.time >= from_ns) & (columns.time < to_ns)
    episodes = tuple(
        episode(found, span)
        for span in found.walk.spans
        if seconds(found.minutes, span.start) * NS < to_ns and seconds(found.minutes, span.end + 1) * NS > from_ns
    )
    return Figures(
        journey=found.journey.name,
        from_ns=from_ns,
        to_ns=to_ns,
        grade=GRADES[grade(columns, from_ns, to_ns)],
        attempts=attempt_counts(columns, from_ns, to_ns, found.as_of_ns),
        customers=reach(columns, inside, found.affected),
        slis=slis(columns, found.journey, found.as_of_ns),
        steps=step_figures(columns, inside),
        by={name: _by(columns, name, inside, found.affected) for name in columns.dimensions},
        harm_minutes=sum(e.harm_minutes for e in episodes),
        episodes=episodes,
    )


def reach(columns: Columns, inside: Bools, affected: Bools) -> Reach:
    """Distinct customers affected of active among the chosen rows (4.10)."""
    active, hurt = _customers(columns, inside), _customers(columns, inside & affected)
    if not active:
        return Reach()
    return Reach(hurt, active, jeffreys(hurt, active, REACH_LOW), jeffreys(hurt, active, REACH_HIGH))


def episode(found: Evaluation, span: Span) -> Episode:
    """One episode with all that is known at the moment."""
    columns, minutes, traffic = found.columns, found.minutes, found.normal(span)
    rows = minutes.rows_of(list(range(span.start, span.end + 1)))
    harmed = impact.most_hurtful(columns, rows, rejections=span.reference.rejections)
    parts = impact.factors(columns, harmed, traffic.steps, traffic.started, span.reference)
    inside = np.zeros(len(columns), dtype=np.bool_)
    inside[rows] = True
    equivalent = impact.harm_minutes(parts)
    return Episode(
        start_s=seconds(minutes, span.start),
        end_s=seconds(minutes, span.end + 1),
        confirmed_s=seconds(minutes, span.confirmed + 1),
        over=span.over,
        young=span.young,
        baseline=span.reference.baseline,
        harm_minutes=equivalent,
        score=impact.score(equivalent),
        vector=impact.vector(parts),
        factors=parts,
        reach=reach(columns, inside, found.affected),
        by_step=impact.minutes_by_step(columns, harmed, traffic.steps),
        segments=_reach_by(columns, "segment", inside, found.affected),
        regions=_reach_by(columns, "region", inside, found.affected),
    )


def live(found: Evaluation) -> Live:
    """The live score as of the last closed minute (4.5)."""
    minutes, columns = found.minutes, found.columns
    last = len(minutes) - 1
    span = found.walk.open
    at_s = found.as_of_ns // NS
    quiet = impact.vector(_nothing(found))
    if last < 0:
        return Live(at_s, 0.0, 0.0, 0.0, harmed=False, episode=None, vector=quiet)
    reference = span.reference if span else found.walk.reference(max(0, last - max(impact.RHO_WINDOWS) + 1))
    traffic = found.normal(span) if span else found.mature
    lead = impact.rho(columns, minutes.first + last, traffic.steps, reference)
    harmed = bool(span and span.harmed(minutes, last))
    hour = 0.0
    if span and harmed:
        rows = minutes.rows_of(list(range(max(span.start, last - LIVE_MINUTES + 1), last + 1)))
        recent = impact.most_hurtful(columns, rows, rejections=reference.rejections)
        hour = impact.harm_minutes(impact.factors(columns, recent, traffic.steps, traffic.started, reference))
    current = episode(found, span) if span else None
    return Live(
        at_s=at_s,
        score=impact.score(hour + impact.LEAD_MINUTES * lead),
        h60=hour,
        rho=lead,
        harmed=harmed,
        episode=current,
        vector=current.vector if current else quiet,
    )


def _nothing(found: Evaluation) -> Factors:
    nobody = impact.most_hurtful(found.columns, np.zeros(0, dtype=np.int64), rejections=False)
    reference = impact.reference(found.columns, None)
    return impact.factors(found.columns, nobody, found.mature.steps, found.mature.started, reference)


def series(found: Evaluation, from_s: int, to_s: int, step_s: int, settled_s: int) -> Series:
    """Figures of equal steps of time.

    Args:
        found: The journey; its moment may be later than what is settled.
        from_s: Start, seconds since the epoch, a multiple of ``step_s``.
        to_s: End, exclusive.
        step_s: Length of a step, a multiple of 10 s.
        settled_s: Steps that end after it are provisional.
    """
    columns = found.columns
    count = min(SERIES_LIMIT, max(0, -(-(to_s - from_s) // step_s)))
    bin_of = (columns.time // NS - from_s) // step_s
    inside = (columns.time >= from_s * NS) & (bin_of < count)
    bins, attempt = bin_of[inside], columns.attempt[inside]
    outcome, weight = columns.outcome[inside], columns.weight[inside]
    hurt = columns.harm_with(rejections=found.walk.has_baseline(len(found.minutes)))[inside] > 0
    sums = {code: np.zeros(count, dtype=np.int64) for code in (OK, FAILED, REJECTED)}
    for code, total in sums.items():
        np.add.at(total, bins[outcome == code], weight[outcome == code])
    good, bad = sums[OK], sums[FAILED]
    return Series(
        start_s=from_s,
        step_s=step_s,
        active=_distinct(attempt, bins, count),
        harmed=_distinct(attempt[hurt], bins[hurt], count),
        ok=(good / WEIGHT_ONE).tolist(),
        failed=(bad / WEIGHT_ONE).tolist(),
        rejected=(sums[REJECTED] / WEIGHT_ONE).tolist(),
        success=[g / (g + b) if g + b else None for g, b in zip(good.tolist(), bad.tolist(), strict=True)],
        p95_ms=_quantiles(bins, columns.duration[inside], weight, outcome == OK, count),
        measured=[_measured(found, from_s + i * step_s, step_s) for i in range(count)],
        provisional=[from_s + (i + 1) * step_s > settled_s for i in range(count)],
    )


def _distinct(attempt: Ints, bins: Ints, count: int) -> list[int]:
    pairs = np.unique(attempt * max(count, 1) + bins)
    return [int(n) for n in np.bincount(pairs % max(count, 1), minlength=count)]


def _quantiles(bins: Ints, duration: Ints, weight: Ints, ok: Bools, count: int) -> list[float | None]:
    order = np.argsort(bins, kind="stable")
    edges = np.searchsorted(bins[order], np.arange(count + 1))
    answers: list[float | None] = []
    for at in range(count):
        rows = order[edges[at] : edges[at + 1]]
        rows = rows[ok[rows]]
        value = histogram.quantile(histogram.of(duration[rows], weight[rows]), 95, WEIGHT_ONE) if len(rows) else None
        answers.append(None if value is None else value / 1e6)
    return answers


def _measured(found: Evaluation, from_s: int, step_s: int) -> bool:
    """Whether every closed minute that the step touches was measured; before the first data nothing was expected."""
    low = from_s // 60 - found.minutes.first
    high = (from_s + max(step_s, SLICE_S) - 1) // 60 - found.minutes.first
    if high < 0:
        return False
    return bool(found.minutes.measured[max(low, 0) : high + 1].all())


def matrix(found: Evaluation, from_ns: int, to_ns: int, rows: str, columns: str) -> dict[tuple[str, str], Share]:
    """Executions and customers of every pair of values of two dimensions; pairs with nothing are left out."""
    cells = found.columns
    inside = (cells.time >= from_ns) & (cells.time < to_ns)
    down, across = cells.dimensions[rows], cells.dimensions[columns]
    return {
        (row, column): share
        for i, row in enumerate(down.labels)
        for j, column in enumerate(across.labels)
        if (share := _share(cells, inside & (down.codes == i) & (across.codes == j), found.affected)) is not None
    }


def exemplars(found: Evaluation, from_ns: int, to_ns: int, limit: int) -> list[Exemplar]:
    """The most hurtful executions of distinct attempts, newest first, to look up in the trace back end."""
    columns = found.columns
    inside = (columns.time >= from_ns) & (columns.time < to_ns)
    harmed = impact.most_hurtful(columns, inside, rejections=True)
    order = np.lexsort((-columns.time[harmed.rows], -np.round(harmed.worth, 1)))[:limit]
    chosen = harmed.rows[order]
    chosen = chosen[np.argsort(-columns.time[chosen], kind="stable")]
    wanted = ["trace_id", "span_id", "end", "step", "duration_ns", "error_class", "service", "service_version"]
    picked = columns.table.select(wanted).take(pa.array(chosen)).to_pylist()
    segment, region = columns.dimensions["segment"], columns.dimensions["region"]
    return [
        Exemplar(
            trace_id=row["trace_id"].hex(),
            span_id=row["span_id"].hex(),
            at_ns=row["end"],
            step=row["step"],
            outcome=str(OUTCOMES[columns.outcome[at]]),
            duration_ms=row["duration_ns"] / 1e6,
            error_class=row["error_class"],
            segment=segment.labels[segment.codes[at]],
            region=region.labels[region.codes[at]],
            service=row["service"],
            service_version=row["service_version"],
        )
        for at, row in zip(chosen.tolist(), picked, strict=True)
    ]


def _affected(columns: Columns, minutes: Minutes, spans: list[Span]) -> Bools:
    """Executions that affect their customer: failed (gave up too), slow, or rejected inside an episode (4.10)."""
    affected = (columns.outcome == FAILED) | columns.slow
    for span in spans:
        low, high = minutes.first + span.start, minutes.first + span.end
        affected |= (columns.outcome == REJECTED) & (columns.minute >= low) & (columns.minute <= high)
    return np.asarray(affected & ~columns.maintenance)


def _customers(columns: Columns, chosen: Bools) -> int:
    """Distinct customers among the chosen executions."""
    units = columns.attempts.unit
    seen = np.zeros(int(units.max(initial=-1)) + 1, dtype=np.bool_)
    seen[units[columns.attempt[chosen]]] = True
    return int(np.count_nonzero(seen))


def _by(columns: Columns, name: str, inside: Bools, affected: Bools) -> dict[str, Share]:
    dimension = columns.dimensions[name]
    shares = {
        label: _share(columns, inside & (dimension.codes == code), affected)
        for code, label in enumerate(dimension.labels)
    }
    return {label: share for label, share in shares.items() if share is not None}


def _share(columns: Columns, chosen: Bools, affected: Bools) -> Share | None:
    if not chosen.any():
        return None
    return Share(
        ok=int(columns.weight[chosen & (columns.outcome == OK)].sum()) / WEIGHT_ONE,
        failed=int(columns.weight[chosen & (columns.outcome == FAILED)].sum()) / WEIGHT_ONE,
        customers=_customers(columns, chosen),
        affected=_customers(columns, chosen & affected),
    )


def _reach_by(columns: Columns, name: str, inside: Bools, affected: Bools) -> dict[str, Reach]:
    dimension = columns.dimensions[name]
    return {
        label: reach(columns, inside & (dimension.codes == code), affected)
        for code, label in enumerate(dimension.labels)
        if (inside & (dimension.codes == code)).any()
    }
