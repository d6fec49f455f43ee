"""Error budgets (measures.md 2.4, 2.5, 3.4): of a journey, its segments and its accounts. Not alerts (burn.py).

Everything is a sum by group: executions by their own segment and account, attempts by those of their first execution
that names one. So the budgets of all groups add up to the journey's.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from otel_cx_collector.events import NS, WEIGHT_ONE
from otel_cx_collector.inventory import Journey, Objective
from otel_cx_collector.measure.columns import FAILED, MINUTE_NS, Bools, Columns, Floats, Ints, Labelled, coded
from otel_cx_collector.measure.evaluation import Evaluation
from otel_cx_collector.measure.figures import Budget
from otel_cx_collector.measure.slis import good_and_total

PACE_NS: Final = 3600 * NS
"""Burn now is that of the last hour."""
FLOOR_MINUTES: Final = 15
FLOOR_ATTEMPTS: Final = 5
FLOOR_SHARE: Final = 0.9
"""An account is hurt when this share of at least so many attempts in so many closed minutes failed (4.9)."""
ACCOUNTS_LIMIT: Final = 100
"""Accounts in one answer, the worst."""
UNNAMED: Final = ("", "unset")


@dataclass(frozen=True, slots=True)
class Carried:
    """What one objective came to over a closed span whose rows may be gone, under the definition of good of then."""

    objective: str
    """``key`` of the objective: the same before and after a change of what is good."""
    generation: str
    from_s: int
    until_s: int
    good: float
    total: float


@dataclass(frozen=True, slots=True)
class _Group:
    """Which group each execution and each attempt belongs to, numbered from 0."""

    executions: Ints
    attempts: Ints
    count: int


@dataclass(frozen=True, slots=True)
class _Sums:
    """Good and total of each group, in executions."""

    good: Floats
    total: Floats


def budgets(found: Evaluation, carried: Iterable[Carried] = ()) -> list[Budget]:
    """The budget of every objective of the journey over its own window that ends at the moment.

    Args:
        found: The journey.
        carried: Disjoint closed spans, as ``closed`` made them: added where they lie in the window, while rows of that
            time are not counted again. Of a span that the window's start cuts, the share inside is taken. The budget
            is marked approximate when a span was cut, or closed under another definition of good (2.5).
    """
    spans = list(carried)
    return [
        _carried(found, objective, [span for span in spans if span.objective == key(objective, found.journey)])
        for objective in found.journey.objectives
    ]


def by_segment(found: Evaluation) -> dict[str, list[Budget]]:
    """The budgets of each segment that was seen."""
    segment = found.columns.dimensions["segment"]
    groups = _groups(found.columns, segment)
    table = [_each(found, objective, groups) for objective in found.journey.objectives]
    return {label: [row[at] for row in table] for at, label in enumerate(segment.labels)}


def by_account(found: Evaluation, limit: int = ACCOUNTS_LIMIT) -> list[tuple[str, list[Budget], int, int]]:
    """The accounts that are worst off: pseudonym, budgets, attempts and failed attempts in the longest window.

    Worst is who has most executions (or attempts, for completion) that were not good beyond what the target allows, by
    any one objective; then who has most failed attempts. So neither one failure of a rare visitor leads the list, nor
    the everyday failures of a large account.
    """
    columns = found.columns
    account = coded(columns.table["account"])
    groups = _groups(columns, account)
    objectives = found.journey.objectives
    windows = [_sums(columns, o, groups, *_window(found, o)) for o in objectives]
    hours = [_sums(columns, o, groups, *_window(found, o, PACE_NS)) for o in objectives]
    longest = max((o.window_ns for o in objectives), default=found.as_of_ns)
    attempts, failed = _attempts(columns, groups, found.as_of_ns - longest, found.as_of_ns)
    beyond, active = np.full(groups.count, -np.inf), attempts > 0
    for objective, sums in zip(objectives, windows, strict=True):
        beyond = np.maximum(beyond, sums.total * objective.target - sums.good)
        active |= sums.total > 0
    active &= np.array([label not in UNNAMED for label in account.labels], dtype=np.bool_)
    order = np.lexsort((np.arange(groups.count), -failed, -beyond))
    worst = order[active[order]][: min(limit, ACCOUNTS_LIMIT)]
    return [
        (
            account.labels[at],
            [
                _budget(found, o, float(w.good[at]), float(w.total[at]), float(h.good[at]), float(h.total[at]))
                for o, w, h in zip(objectives, windows, hours, strict=True)
            ],
            int(attempts[at]),
            int(failed[at]),
        )
        for at in worst.tolist()
    ]


def hurt_accounts(found: Evaluation, last_minutes: int = FLOOR_MINUTES) -> list[tuple[str, int, int]]:
    """Accounts that the floor of 4.9 is about: pseudonym, attempts, failed ones; those with most failed first.

    Attempts are those with an execution in the last closed minutes; one has failed when the last execution of some step
    in it, as known now, failed. Maintenance counts in neither.
    """
    columns = found.columns
    account = coded(columns.table["account"])
    to_ns = found.as_of_ns // MINUTE_NS * MINUTE_NS
    groups = _groups(columns, account)
    attempts, failed = _attempts(columns, groups, to_ns - last_minutes * MINUTE_NS, to_ns)
    hurt = (attempts >= FLOOR_ATTEMPTS) & (failed >= FLOOR_SHARE * attempts)
    found_hurt = [
        (account.labels[at], int(attempts[at]), int(failed[at]))
        for at in np.flatnonzero(hurt).tolist()
        if account.labels[at] not in UNNAMED
    ]
    return sorted(found_hurt, key=lambda each: (-each[2], each[0]))


def key(objective: Objective, journey: Journey) -> str:
    """Which objective it is, whatever it calls good: ``latency/payment over 2592000s``; a second such one says so."""
    alike = [o for o in journey.objectives if _promise(o) == _promise(objective)]
    sli, step, window_ns = _promise(objective)
    number = f" #{alike.index(objective) + 1}" if alike.index(objective) else ""
    return f"{sli}{f'/{step}' if step else ''} over {window_ns // NS}s{number}"


def _promise(objective: Objective) -> tuple[str, str | None, int]:
    return objective.sli, objective.step, objective.window_ns


def generation(objective: Objective, journey: Journey) -> str:
    """Fingerprint of what counts as good: it changes with the threshold and the rules of outcome, not with the target.

    Availability: ``slow_after`` of its steps, for giving up on a slow one is a failure. Completion: terminal steps,
    timeout, and what tells attempts apart.
    """
    rules: dict[str, object] = {"sli": objective.sli, "step": objective.step}
    if objective.sli == "latency":
        rules["threshold_ns"] = objective.threshold_ns
    elif objective.sli == "availability":
        steps = [step for step in journey.steps if objective.step in (None, step.name)]
        rules["slow_after_ns"] = {step.name: step.slow_after_ns for step in steps}
    else:
        rules |= {"terminal": sorted(journey.terminal), "timeout_ns": journey.timeout_ns, "attempt": journey.attempt}
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:16]


def closed(found: Evaluation, from_s: int, until_s: int) -> list[Carried]:
    """What every objective came to over ``[from_s, until_s)``, to be carried over once its rows are gone.

    Close a span only when all of it is certain: for completion ``until_s`` lies ``timeout`` before the moment.
    """
    groups = _whole(found.columns)
    spans = []
    for objective in found.journey.objectives:
        sums = _sums(found.columns, objective, groups, from_s * NS, until_s * NS)
        good, total = float(sums.good[0]), float(sums.total[0])
        name, meaning = key(objective, found.journey), generation(objective, found.journey)
        spans.append(Carried(name, meaning, from_s, until_s, good, total))
    return spans


def _whole(columns: Columns) -> _Group:
    return _Group(np.zeros(len(columns), dtype=np.int64), np.zeros(len(columns.attempts), dtype=np.int64), 1)


def _groups(columns: Columns, labelled: Labelled) -> _Group:
    """By the executions' own labels; an attempt by its first execution whose label names something."""
    count = len(labelled.labels)
    if not len(columns):
        return _Group(labelled.codes, np.zeros(0, dtype=np.int64), count)
    first = np.flatnonzero(np.diff(columns.attempt, prepend=-1))
    named = np.array([label not in UNNAMED for label in labelled.labels], dtype=np.bool_)
    position = np.where(named[labelled.codes], np.arange(len(columns)), len(columns))
    earliest = np.minimum.reduceat(position, first)
    chosen = np.where(earliest < len(columns), earliest, first)
    return _Group(labelled.codes, labelled.codes[chosen], count)


def _window(found: Evaluation, objective: Objective, length_ns: int | None = None) -> tuple[int, int]:
    """Start and end (exclusive) of the objective's window, or of the last stretch of it.

    Completion counts by cohort: it ends ``timeout`` before the moment (2.1), and so does its last hour.
    """
    if objective.sli != "completion":
        return found.as_of_ns - (length_ns or objective.window_ns), found.as_of_ns
    to_ns = found.as_of_ns - found.journey.timeout_ns
    return (to_ns - length_ns if length_ns else found.as_of_ns - objective.window_ns), to_ns + 1


def _sums(columns: Columns, objective: Objective, groups: _Group, from_ns: int, to_ns: int) -> _Sums:
    if objective.sli == "completion":
        attempts = columns.attempts
        chosen = (attempts.start >= from_ns) & (attempts.start < to_ns) & columns.attempts_counted()
        good, of, weight = chosen & attempts.completed, groups.attempts, attempts.weight
    else:
        good, counts = good_and_total(columns, objective)
        inside = (columns.time >= from_ns) & (columns.time < to_ns)
        chosen, of, weight = counts & inside, groups.executions, columns.weight
        good = good & inside
    return _Sums(_by(of, good, weight, groups.count), _by(of, chosen, weight, groups.count))


def _by(group: Ints, chosen: Bools, weight: Ints, count: int) -> Floats:
    """Sums of weights, exact: whole numbers below 2^53 divided by a power of two."""
    return np.bincount(group[chosen], weight[chosen], minlength=count) / WEIGHT_ONE


def _attempts(columns: Columns, groups: _Group, from_ns: int, to_ns: int) -> tuple[Ints, Ints]:
    """Of each group, the attempts with an execution in the window, and those in which some step ended failed."""
    inside = (columns.time >= from_ns) & (columns.time < to_ns) & ~columns.maintenance
    active = np.zeros(len(columns.attempts), dtype=np.bool_)
    active[columns.attempt[inside]] = True
    failed = active & _ended_failed(columns, active)
    return (
        np.bincount(groups.attempts[active], minlength=groups.count),
        np.bincount(groups.attempts[failed], minlength=groups.count),
    )


def _ended_failed(columns: Columns, wanted: Bools) -> Bools:
    """Of each wanted attempt, whether the last execution of some step in it failed, outside maintenance."""
    found = np.zeros(len(columns.attempts), dtype=np.bool_)
    rows = np.flatnonzero(wanted[columns.attempt])
    order = rows[np.lexsort((rows, columns.step[rows], columns.attempt[rows]))]
    attempt, step = columns.attempt[order], columns.step[order]
    last = np.ones(len(order), dtype=np.bool_)
    last[:-1] = (attempt[1:] != attempt[:-1]) | (step[1:] != step[:-1])
    found[attempt[last & (columns.outcome[order] == FAILED) & ~columns.maintenance[order]]] = True
    return found


def _each(found: Evaluation, objective: Objective, groups: _Group) -> list[Budget]:
    window = _sums(found.columns, objective, groups, *_window(found, objective))
    hour = _sums(found.columns, objective, groups, *_window(found, objective, PACE_NS))
    four = (sums.tolist() for sums in (window.good, window.total, hour.good, hour.total))
    return [_budget(found, objective, *each) for each in zip(*four, strict=True)]


def _carried(found: Evaluation, objective: Objective, spans: list[Carried]) -> Budget:
    """The journey's budget: rows from the end of the last closed span on, and the spans before."""
    begin_ns, end_ns = _window(found, objective)
    begin_s = begin_ns // NS
    spans = [span for span in spans if begin_s < span.until_s <= end_ns // NS]
    rows_from = max([begin_ns, *(span.until_s * NS for span in spans)])
    window = _sums(found.columns, objective, _whole(found.columns), rows_from, end_ns)
    hour = _sums(found.columns, objective, _whole(found.columns), *_window(found, objective, PACE_NS))
    good, total = float(window.good[0]), float(window.total[0])
    approximate = False
    for span in spans:
        share = (span.until_s - max(span.from_s, begin_s)) / (span.until_s - span.from_s)
        good, total = good + share * span.good, total + share * span.total
        approximate |= share < 1 or span.generation != generation(objective, found.journey)
    since_s = min((span.from_s for span in spans), default=None)
    return _budget(
        found, objective, good, total, float(hour.good[0]), float(hour.total[0]), since_s, approximate=approximate
    )


def _budget(
    found: Evaluation,
    objective: Objective,
    good: float,
    total: float,
    hour_good: float,
    hour_total: float,
    carried_from_s: int | None = None,
    *,
    approximate: bool = False,
) -> Budget:
    """Spent, remaining, pace and time to exhaustion of one objective (2.4, 3.4).

    Time to exhaustion is how long what remains lasts at the pace of the last hour, for a window in which as much comes
    as came so far: the budget that flows back when old failures leave a rolling window is not counted on.
    """
    spent = _burn(good, total, objective.target)
    pace = _burn(hour_good, hour_total, objective.target)
    remaining = None if spent is None else 1 - spent
    window_s = objective.window_ns // NS
    starts = [int(found.columns.time.min())] if len(found.columns) else []
    starts += [] if carried_from_s is None else [carried_from_s * NS]
    since_ns = min(starts, default=None)
    return Budget(
        sli=objective.sli,
        step=objective.step,
        target=objective.target,
        window_s=window_s,
        since_ns=since_ns if since_ns is not None and since_ns > found.as_of_ns - objective.window_ns else None,
        good=good,
        total=total,
        spent=spent,
        remaining=remaining,
        pace=pace,
        exhausted_in_s=_exhausted_in_s(remaining, pace, window_s),
        approximate=approximate,
    )


def _burn(good: float, total: float, target: float) -> float | None:
    return (1 - good / total) / (1 - target) if total else None


def _exhausted_in_s(remaining: float | None, pace: float | None, window_s: int) -> float | None:
    if remaining is None:
        return None
    if remaining <= 0:
        return 0.0
    return remaining / pace * window_s if pace else None
