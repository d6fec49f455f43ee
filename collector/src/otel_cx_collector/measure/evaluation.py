"""One journey as of one moment: rows read once, then every figure that is asked of them. Pure; judges nothing.

``evaluate`` prepares what all figures share (attempts, minutes, episodes, normal traffic); the functions below it
answer one question each. Live and replay call the same functions.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otel_cx_collector.events import MINUTE_S, NS, SLICE_S, WEIGHT_ONE
from otel_cx_collector.inventory import Inventory, Journey
from otel_cx_collector.measure import histogram, impact
from otel_cx_collector.measure.columns import FAILED, GRADES, MINUTE_NS, OK, OUTCOMES, REJECTED, Bools, Columns, Ints
from otel_cx_collector.measure.episodes import Span
from otel_cx_collector.measure.figures import Episode, Exemplar, Figures, Reach, Series, Share
from otel_cx_collector.measure.minutes import Normal, nanoseconds, seconds
from otel_cx_collector.measure.slis import attempt_counts, grade, slis, step_figures
from otel_cx_collector.measure.stats import REACH_HIGH, REACH_LOW, jeffreys
from otel_cx_collector.measure.track import Measured, Track, always

SERIES_LIMIT: Final = 2_000
"""Steps of time in one series: more than a screen has pixels for."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A journey's executions before ``as_of_ns``, and what was found in them."""

    journey: Journey
    as_of_ns: int
    columns: Columns
    spans: tuple[Span, ...]
    affected: Bools
    """Executions that affect their customer (4.10)."""
    first: int
    """Minute of the journey's first data, since the epoch."""
    measured: Bools
    """Of each minute from the first on."""
    missing: dict[int, float]
    """X_m by minute since the epoch."""
    mature: Normal
    """N of a journey that is not young."""
    young: Normal
    rejections: bool
    """Whether there is a baseline for rejections now."""

    def normal(self, span: Span) -> Normal:
        """N of one episode (4.3)."""
        return self.young if span.young else self.mature


def evaluate(
    table: pa.Table, journey: Journey, inventory: Inventory, as_of_ns: int, measured: Measured = always
) -> Evaluation:
    """Read the rows of ``table`` as of ``as_of_ns``.

    Args:
        table: Rows of ``STEP_SCHEMA``.
        journey: The journey they belong to.
        inventory: The file in force.
        as_of_ns: A slice boundary; later rows are not looked at.
        measured: Of each minute from the journey's first data on.
    """
    track = Track(journey, inventory, part_s=None)
    track.add(table.filter(pc.less(table["end"], as_of_ns)))
    track.close(as_of_ns // NS, measured)
    return of_track(track, as_of_ns)


def of_track(track: Track, as_of_ns: int, from_ns: int = 0) -> Evaluation:
    """A track that is walked up to ``as_of_ns``; with ``from_ns`` only the attempts that were active since."""
    columns, walk, closed = track.columns(as_of_ns, from_ns), track.walk, as_of_ns // MINUTE_NS
    spans = tuple(replace(span) for span in walk.spans)
    return Evaluation(
        journey=track.journey,
        as_of_ns=as_of_ns,
        columns=columns,
        spans=spans,
        affected=_affected(columns, spans),
        first=track.first,
        measured=track.measured[: max(0, closed - track.first)],
        missing=dict(walk.missing),
        mature=walk.normal(closed, young=False),
        young=walk.normal(closed, young=True),
        rejections=walk.has_baseline(closed),
    )


def figures(found: Evaluation, from_ns: int, to_ns: int | None = None) -> Figures:
    """Everything the report and the pages say about ``[from_ns, to_ns)``; ``to_ns`` defaults to the moment itself."""
    to_ns = found.as_of_ns if to_ns is None else to_ns
    columns = found.columns
    inside = (columns.time >= from_ns) & (columns.time < to_ns)
    episodes = tuple(
        episode(found, span)
        for span in found.spans
        if nanoseconds(span.start) < to_ns and nanoseconds(span.end + 1) > from_ns
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
    columns, journey, normal = found.columns, found.journey, found.normal(span)
    inside = (columns.minute >= span.start) & (columns.minute <= span.end)
    window = columns.window(np.flatnonzero(inside))
    harmed = impact.most_hurtful(window, len(journey.steps), rejections=span.reference.rejections)
    missing = sum(x for minute, x in found.missing.items() if span.start <= minute <= span.end)
    parts = impact.factors(journey, harmed, normal, span.reference, missing)
    equivalent = impact.harm_minutes(parts)
    return Episode(
        start_s=seconds(span.start),
        end_s=seconds(span.end + 1),
        confirmed_s=seconds(span.confirmed + 1),
        over=span.over,
        young=span.young,
        baseline=span.reference.baseline,
        harm_minutes=equivalent,
        score=impact.score(equivalent),
        vector=impact.vector(parts),
        factors=parts,
        reach=reach(columns, inside, found.affected),
        by_step=impact.minutes_by_step(journey, harmed, normal),
        segments=reach_by(columns, "segment", inside, found.affected),
        regions=reach_by(columns, "region", inside, found.affected),
    )


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
    hurt = columns.hurtful(rejections=found.rejections)[inside]
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
    low = from_s // MINUTE_S - found.first
    high = (from_s + max(step_s, SLICE_S) - 1) // MINUTE_S - found.first
    if high < 0 or not len(found.measured):
        return False
    return bool(found.measured[max(low, 0) : high + 1].all())


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
    window = columns.window(np.flatnonzero(inside))
    harmed = impact.most_hurtful(window, len(columns.journey.steps), rejections=True)
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


def _affected(columns: Columns, spans: tuple[Span, ...]) -> Bools:
    """Executions that affect their customer: failed (gave up too), slow, or rejected inside an episode (4.10)."""
    affected = (columns.outcome == FAILED) | columns.slow
    for span in spans:
        within = (columns.minute >= span.start) & (columns.minute <= span.end)
        affected |= (columns.outcome == REJECTED) & within
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


def reach_by(columns: Columns, name: str, inside: Bools, affected: Bools) -> dict[str, Reach]:
    """Reach by the values of one dimension; values that nobody had are left out."""
    dimension = columns.dimensions[name]
    return {
        label: reach(columns, inside & (dimension.codes == code), affected)
        for code, label in enumerate(dimension.labels)
        if (inside & (dimension.codes == code)).any()
    }
