"""Error classes by journey stage, frequency, recoverability and consequence (row M6). Nothing is judged here."""

from typing import Final

import numpy as np

from otel_cx_collector.events import WEIGHT_ONE
from otel_cx_collector.inventory import Journey
from otel_cx_collector.measure import impact
from otel_cx_collector.measure.columns import FAILED, OK, OUTCOMES, REJECTED, Bools, Columns, Floats, Ints, coded
from otel_cx_collector.measure.evaluation import Evaluation
from otel_cx_collector.measure.figures import ErrorClass

ERRORS_LIMIT: Final = 100
"""Classes in one answer, the most harmful: a class comes from spans, so there is no end of them."""


def errors(found: Evaluation, from_ns: int, to_ns: int, limit: int = ERRORS_LIMIT) -> list[ErrorClass]:
    """Failures and rejections that ended in ``[from_ns, to_ns)`` by class, step and outcome; worst harm first.

    Counts are weighted, customers are not. Rejections harm where there is a baseline of them. Maintenance is left out.
    """
    columns = found.columns
    inside = np.flatnonzero((columns.time >= from_ns) & (columns.time < to_ns) & ~columns.maintenance)
    wrong = inside[(columns.outcome[inside] == FAILED) | (columns.outcome[inside] == REJECTED)]
    if not len(wrong):
        return []
    classes = coded(columns.table["error_class"].take(wrong))
    steps = len(columns.journey.steps)
    cell = (classes.codes * steps + columns.step[wrong]) * len(OUTCOMES) + columns.outcome[wrong]
    cells, group = np.unique(cell, return_inverse=True)
    count = len(cells)
    weight = columns.weight[wrong]
    totals = np.bincount(group, weight, minlength=count)
    recoverable = np.asarray(columns.table["recoverable"].take(wrong).to_numpy())
    tries = np.bincount(group[recoverable], weight[recoverable], minlength=count)
    again = later_ok(columns)[wrong]
    recovered = np.bincount(group[again], weight[again], minlength=count)
    harm = _harm(found, inside, wrong, group, count)
    customers = _customers(columns, wrong, group, count)
    executed = np.bincount(columns.step[inside], columns.weight[inside], minlength=steps)
    answer = []
    for at in np.lexsort((np.arange(count), -totals, -harm))[: min(limit, ERRORS_LIMIT)].tolist():
        rest, outcome = divmod(int(cells[at]), len(OUTCOMES))
        step = columns.journey.steps[rest % steps]
        name = classes.labels[rest // steps] or str(OUTCOMES[outcome])
        answer.append(
            ErrorClass(
                error_class=name,
                step=step.name,
                stage=step.stage,
                outcome=str(OUTCOMES[outcome]),
                count=float(totals[at]) / WEIGHT_ONE,
                per_thousand=1000 * float(totals[at] / executed[rest % steps]),
                customers=int(customers[at]),
                recoverable=bool(2 * tries[at] > totals[at]),
                recovered=float(recovered[at] / totals[at]),
                harm=float(harm[at]),
                consequence=consequence(columns.journey, name, step.name),
            )
        )
    return answer


def consequence(journey: Journey, error_class: str, step: str) -> str | None:
    """What the inventory's first rule for the class at the step says that it costs."""
    rules = (rule for rule in journey.errors if rule.error_class == error_class and rule.step in (None, step))
    return next((rule.consequence for rule in rules if rule.consequence), None)


def later_ok(columns: Columns) -> Bools:
    """Of each execution, whether the same step of the same attempt was ok after it."""
    count = len(columns)
    order = np.lexsort((np.arange(count), columns.step, columns.attempt))
    run = np.cumsum(np.diff(columns.attempt[order] * len(columns.journey.steps) + columns.step[order], prepend=-1) != 0)
    last_ok = np.full(int(run.max(initial=0)) + 1, -1)
    ok = np.flatnonzero(columns.outcome[order] == OK)
    last_ok[run[ok]] = ok
    found = np.zeros(count, dtype=np.bool_)
    found[order] = last_ok[run] > np.arange(count)
    return found


def _harm(found: Evaluation, inside: Ints, wrong: Ints, group: Ints, count: int) -> Floats:
    """Harm of the attempts whose most hurtful execution is of each group."""
    columns = found.columns
    hurt = inside[columns.hurtful(rejections=found.rejections)[inside]]
    harmed = impact.most_hurtful(columns.window(hurt), len(columns.journey.steps), rejections=found.rejections)
    member = np.full(len(columns), -1)
    member[wrong] = group
    of = member[harmed.rows]
    return np.asarray(np.bincount(of[of >= 0], harmed.worth[of >= 0], minlength=count), dtype=np.float64)


def _customers(columns: Columns, wrong: Ints, group: Ints, count: int) -> Ints:
    """Distinct customers of each group."""
    who = np.unique(columns.attempts.unit[columns.attempt[wrong]], return_inverse=True)[1]
    size = len(wrong)
    pairs = np.unique(group * size + who)
    return np.bincount(pairs // size, minlength=count)
