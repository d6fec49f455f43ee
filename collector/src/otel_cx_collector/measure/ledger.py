"""Small incidents that add up, and customers hurt again and again (row M19; measures.md 4.8). Nobody is told here.

The ledger's entries are plain values, one an episode, so that they can outlive the rows they were counted from.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otel_cx_collector.events import NS
from otel_cx_collector.inventory import Journey
from otel_cx_collector.measure import impact
from otel_cx_collector.measure.columns import FAILED, REJECTED, Columns, Ints, coded
from otel_cx_collector.measure.evaluation import Evaluation
from otel_cx_collector.measure.figures import Episode, HurtAgain, PaperCut

SLOW: Final = "slow"
MISSING: Final = "missing customers"
"""The cause of an episode in which nobody was harmed who came."""
BUDGET_SHARE: Final = 0.2
"""One class of outages above this share of a budget is raised. Source: Google's error budget policy, outage clause."""
SCORE_RAISED: Final = 15.0
"""As is a sum whose score is in P2's band."""
DAY_S: Final = 24 * 3600
PAPER_CUT_DAYS: Final = 30
HURT_ATTEMPTS: Final = 3
HURT_LIMIT: Final = 100
CUSTOMERS_LIMIT: Final = 10_000
"""Customers an entry names; of a larger episode, which is no paper cut, the first ones."""


NOBODY: Final = pa.schema(
    [
        ("customer", pa.string()),
        ("segment", pa.string()),
        ("account", pa.string()),
        ("end", pa.int64()),
        ("attempts", pa.int64()),
        ("journey", pa.string()),
    ]
).empty_table()


@dataclass(frozen=True, slots=True)
class Entry:
    """One episode in the ledger."""

    journey: str
    cause: str
    start_s: int
    end_s: int
    harm_minutes: float
    customers: frozenset[str]
    """Pseudonyms of those harmed; of who has none the session, else the attempt."""


def entry(found: Evaluation, episode: Episode) -> Entry:
    """An episode of the journey as the ledger keeps it, with all that is known at the moment."""
    return Entry(
        journey=found.journey.name,
        cause=cause(found, episode),
        start_s=episode.start_s,
        end_s=episode.end_s,
        harm_minutes=episode.harm_minutes,
        customers=frozenset(_people(found.columns, _harmed(found.columns, episode).rows)),
    )


def cause(found: Evaluation, episode: Episode) -> str:
    """Fingerprint of most of an episode's harm: ``step/error class``, the class of slow executions being ``slow``.

    Each attempt counts with its most hurtful execution, in equivalent minutes; those of customers who did not come are
    a cause of their own. Ties go to the first in the alphabet.
    """
    causes = {MISSING: episode.factors.x} | _minutes_by_cause(found.columns, episode)
    return min(causes, key=lambda each: (-causes[each], each))


def _minutes_by_cause(columns: Columns, episode: Episode) -> dict[str, float]:
    """The equivalent minutes of each step, shared out by the worth of the executions of each class."""
    harmed = _harmed(columns, episode)
    if not len(harmed.rows):
        return {}
    outcome, steps = columns.outcome[harmed.rows], columns.journey.steps
    wrong = (outcome == FAILED) | (outcome == REJECTED)
    classes = columns.table["error_class"].take(harmed.rows).cast(pa.string())
    names = coded(pc.if_else(pa.chunked_array([wrong]), classes, SLOW))
    cells = harmed.step * len(names.labels) + names.codes
    sums = np.bincount(cells, harmed.worth, minlength=len(steps) * len(names.labels)).reshape(len(steps), -1)
    return {
        f"{steps[at].name}/{names.labels[code] or 'failed'}": float(
            episode.by_step.get(steps[at].name, 0.0) * sums[at, code] / sums[at].sum()
        )
        for at, code in np.argwhere(sums > 0).tolist()
    }


def paper_cuts(
    entries: Iterable[Entry], journeys: Mapping[str, Journey], now_s: int, days: int = PAPER_CUT_DAYS
) -> list[PaperCut]:
    """Harm by journey and cause over the episodes that ended in the last ``days`` before ``now_s``; most harm first.

    Episodes below every alert's threshold are in it. Entries of journeys that are no longer there are left out.
    """
    groups: dict[tuple[str, str], list[Entry]] = {}
    for each in entries:
        if each.journey in journeys and now_s - days * DAY_S < each.end_s <= now_s:
            groups.setdefault((each.journey, each.cause), []).append(each)
    cuts = [_paper_cut(journeys[journey], name, of, days) for (journey, name), of in groups.items()]
    return sorted(cuts, key=lambda cut: (-cut.harm_minutes, cut.journey, cut.cause))


def hurt_again(harmed: Iterable[pa.Table], at_least: int = HURT_ATTEMPTS, limit: int = HURT_LIMIT) -> list[HurtAgain]:
    """Customers harmed in at least ``at_least`` attempts, over journeys and spans; most attempts first.

    Args:
        harmed: What ``harmed_customers`` found, one a journey and span; spans of one journey do not overlap.
        at_least: Attempts below which a customer is not named.
        limit: The most that are answered.
    """
    hurt = pa.concat_tables([NOBODY, *harmed])
    each = hurt.group_by("customer").aggregate([("attempts", "sum"), ("end", "max")])
    many = each.filter(pc.greater_equal(each["attempts_sum"], at_least)).sort_by(
        [("attempts_sum", "descending"), ("end_max", "descending"), ("customer", "ascending")]
    )
    chosen = many.slice(0, min(limit, HURT_LIMIT))
    theirs: dict[str, list[dict[str, str]]] = {name: [] for name in chosen["customer"].to_pylist()}
    kept = hurt.filter(pc.is_in(hurt["customer"], value_set=chosen["customer"].combine_chunks()))
    for row in kept.sort_by([("end", "ascending"), ("journey", "ascending")]).to_pylist():
        theirs[row["customer"]].append(row)
    return [
        HurtAgain(
            customer=who["customer"],
            segment=theirs[who["customer"]][-1]["segment"],
            account=theirs[who["customer"]][-1]["account"],
            attempts=who["attempts_sum"],
            journeys=tuple(sorted({row["journey"] for row in theirs[who["customer"]]})),
            last_s=who["end_max"] // NS,
        )
        for who in chosen.to_pylist()
    ]


def harmed_customers(found: Evaluation, from_s: int, to_s: int) -> pa.Table:
    """One row a customer (schema of ``NOBODY``) harmed in attempts of the journey that started in ``[from_s, to_s)``.

    Their number, and segment, account and end of the last harmful execution. Only who has a pseudonym can be known
    again. A rejection alone, a card declined, is no harm here. Tables of closed spans may be kept longer than rows.
    """
    columns = found.columns
    start = columns.attempts.start
    inside = (start >= from_s * NS) & (start < to_s * NS)
    rows = np.flatnonzero((columns.harm > 0) & inside[columns.attempt])
    named = coded(columns.table["customer"].take(rows))
    size = len(columns.attempts) + 1
    pairs = np.unique(named.codes * size + columns.attempt[rows])
    attempts = np.bincount(pairs // size, minlength=len(named.labels))
    order = np.lexsort((rows, columns.time[rows], named.codes))
    last = order[np.flatnonzero(np.diff(named.codes[order], append=-1))]
    picked = columns.table.select(["customer", "segment", "account", "end"]).take(rows[last])
    picked = picked.append_column("attempts", pa.array(attempts[named.codes[last]], pa.int64()))
    picked = picked.append_column("journey", pa.array([found.journey.name] * len(last), pa.string()))
    return picked.cast(NOBODY.schema).filter(pc.not_equal(picked["customer"].cast(pa.string()), ""))


def _harmed(columns: Columns, episode: Episode) -> impact.Harmed:
    """The most hurtful execution of each attempt that an episode harmed."""
    rows = np.flatnonzero((columns.time >= episode.start_s * NS) & (columns.time < episode.end_s * NS))
    rejections = episode.baseline != "none"
    return impact.most_hurtful(columns.window(rows), len(columns.journey.steps), rejections=rejections)


def _people(columns: Columns, rows: Ints) -> list[str]:
    picked = columns.table.select(["customer", "session", "attempt"]).take(rows)
    names = picked["attempt"].cast(pa.string())
    for better in ("session", "customer"):
        known = picked[better].cast(pa.string())
        names = pc.if_else(pc.equal(known, ""), names, known)
    people: list[str] = pc.unique(names).to_pylist()
    return sorted(people)[:CUSTOMERS_LIMIT]


def _paper_cut(journey: Journey, name: str, entries: list[Entry], days: int) -> PaperCut:
    harm = sum(each.harm_minutes for each in sorted(entries, key=lambda each: each.start_s))
    share = _budget_share(journey, harm, days)
    return PaperCut(
        journey=journey.name,
        cause=name,
        episodes=len(entries),
        harm_minutes=harm,
        score=impact.score(harm),
        budget_share=share,
        customers=len(frozenset().union(*(each.customers for each in entries))),
        raised=(share is not None and share > BUDGET_SHARE) or impact.score(harm) >= SCORE_RAISED,
        last_s=max(each.end_s for each in entries),
    )


def _budget_share(journey: Journey, harm_minutes: float, days: int) -> float | None:
    """Equivalent minutes of the outage minutes that the availability target allows in so many days (4.6)."""
    if not any(objective.sli == "availability" for objective in journey.objectives):
        return None
    return harm_minutes / (impact.tolerance(journey) * days * DAY_S / 60)
