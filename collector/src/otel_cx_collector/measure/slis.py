"""SLIs, attempt states and step figures over a window (measures.md 2). Counts are weighted; evidence is not."""

from typing import Final

import numpy as np

from otel_cx_collector.events import NS, WEIGHT_ONE
from otel_cx_collector.inventory import Journey, Objective
from otel_cx_collector.measure.columns import CANCELLED, FAILED, OK, REJECTED, Bools, Columns, Ints
from otel_cx_collector.measure.figures import AttemptCounts, Sli, StepFigures

WEAKEST_SHARE: Final = 0.01
"""A mixture of grades is named by the weakest that holds this share of the attempts (wire.md)."""
QUANTILES: Final = (50, 95, 99)


def grade(columns: Columns, from_ns: int, to_ns: int) -> int:
    """Index of the grade of the attempts that started in the window; explicit when there are none."""
    grades = columns.attempts.grade[_started(columns, from_ns, to_ns)]
    shares = np.bincount(grades, minlength=4) / max(len(grades), 1)
    return int(max(np.flatnonzero(shares >= WEAKEST_SHARE), default=0))


def attempt_counts(columns: Columns, from_ns: int, to_ns: int, as_of_ns: int) -> AttemptCounts:
    """Attempts that started in the window, by state as of ``as_of_ns`` (2.2)."""
    attempts = columns.attempts
    inside = _started(columns, from_ns, to_ns)
    failed, rejected, recovered = last_outcomes(columns)
    pending = ~attempts.completed & (as_of_ns - attempts.last <= columns.journey.timeout_ns)
    ended = ~attempts.completed & ~pending
    states = {
        "completed": attempts.completed,
        "pending": pending,
        "failed": ended & failed,
        "rejected": ended & ~failed & rejected,
        "abandoned": ended & ~failed & ~rejected,
        "recovered": recovered,
    }
    counts = {name: weighted(attempts.weight[inside & state]) for name, state in states.items()}
    return AttemptCounts(started=weighted(attempts.weight[inside]), **counts)


def last_outcomes(columns: Columns) -> tuple[Bools, Bools, Bools]:
    """Of each attempt: whether any step ended failed, ended rejected, and whether a failed step was ok later."""
    count = len(columns.attempts)
    failed, rejected, recovered = (np.zeros(count, dtype=np.bool_) for _ in range(3))
    if not count:
        return failed, rejected, recovered
    order = np.lexsort((np.arange(len(columns)), columns.step, columns.attempt))
    attempt, step, outcome = columns.attempt[order], columns.step[order], columns.outcome[order]
    last = np.append((attempt[1:] != attempt[:-1]) | (step[1:] != step[:-1]), True)
    failed[attempt[last & (outcome == FAILED)]] = True
    rejected[attempt[last & (outcome == REJECTED)]] = True
    # Within a run of one step: an ok after a failure.
    run = np.cumsum(np.insert(last[:-1], 0, False))
    first_failure = np.full(run[-1] + 1, len(order))
    failures = np.flatnonzero(outcome == FAILED)
    np.minimum.at(first_failure, run[failures], failures)
    later = (outcome == OK) & (np.arange(len(order)) > first_failure[run])
    recovered[attempt[later]] = True
    return failed, rejected, recovered


def slis(columns: Columns, journey: Journey, as_of_ns: int) -> tuple[Sli, ...]:
    """Every objective over its own window that ends at ``as_of_ns`` (2.1, 2.4)."""
    return tuple(_sli(columns, objective, as_of_ns) for objective in journey.objectives)


def _sli(columns: Columns, objective: Objective, as_of_ns: int) -> Sli:
    from_ns = as_of_ns - objective.window_ns
    counted = objective.sli == "completion"
    good, total = completion(columns, from_ns, as_of_ns) if counted else _executions(columns, objective, from_ns)
    since = int(columns.time.min()) if len(columns) else None
    return Sli(
        sli=objective.sli,
        step=objective.step,
        good=good / WEIGHT_ONE,
        total=total / WEIGHT_ONE,
        target=objective.target,
        budget_spent=(1 - good / total) / (1 - objective.target) if total else None,
        window_s=objective.window_ns // NS,
        since_ns=since if since is not None and since > from_ns else None,
    )


def good_and_total(columns: Columns, objective: Objective) -> tuple[Bools, Bools]:
    """Which executions are good and which count at all for availability or latency (2.1), maintenance left out."""
    chosen = columns.of_step(objective.step) & ~columns.maintenance
    ok = chosen & (columns.outcome == OK)
    if objective.sli == "latency":
        return ok & (columns.duration <= (objective.threshold_ns or 0)), ok
    return ok, ok | (chosen & (columns.outcome == FAILED))


def _executions(columns: Columns, objective: Objective, from_ns: int) -> tuple[int, int]:
    """Weights of good and total executions of availability or latency."""
    inside = columns.time >= from_ns
    good, total = good_and_total(columns, objective)
    return int(columns.weight[good & inside].sum()), int(columns.weight[total & inside].sum())


def completion(columns: Columns, from_ns: int, as_of_ns: int) -> tuple[int, int]:
    """Weights of attempts completed and started, by cohort: only those that started at least ``timeout`` ago (2.1)."""
    attempts = columns.attempts
    mature = (attempts.start >= from_ns) & (attempts.start <= as_of_ns - columns.journey.timeout_ns)
    mature &= columns.attempts_counted()
    return int(attempts.weight[mature & attempts.completed].sum()), int(attempts.weight[mature].sum())


def step_figures(columns: Columns, inside: Bools) -> dict[str, StepFigures]:
    """Figures of every step of the journey over the chosen rows, steps without any included."""
    found = {}
    for index, step in enumerate(columns.journey.steps):
        chosen = inside & (columns.step == index)
        ok = chosen & (columns.outcome == OK)
        found[step.name] = StepFigures(
            ok=weighted(columns.weight[ok]),
            failed=weighted(columns.weight[chosen & (columns.outcome == FAILED)]),
            rejected=weighted(columns.weight[chosen & (columns.outcome == REJECTED)]),
            cancelled=weighted(columns.weight[chosen & (columns.outcome == CANCELLED)]),
            slow=weighted(columns.weight[chosen & columns.slow]),
            **_quantiles(columns.duration[ok], columns.weight[ok]),
        )
    return found


def _quantiles(duration: Ints, weight: Ints) -> dict[str, float | None]:
    return {f"p{p}_ms": None if (q := quantile(duration, weight, p)) is None else q / 1e6 for p in QUANTILES}


def quantile(duration: Ints, weight: Ints, percent: int) -> int | None:
    """Exact weighted quantile: the value at rank ``ceil(percent/100 * n)`` (2.3), n the weighted count."""
    if not len(duration):
        return None
    order = np.argsort(duration, kind="stable")
    reached = np.cumsum(weight[order])
    total = int(reached[-1])
    rank = min(-(-percent * total // (100 * WEIGHT_ONE)) * WEIGHT_ONE, total)
    return int(duration[order[np.searchsorted(reached, rank)]])


def weighted(weights: Ints) -> float:
    """Sum of weights as a count."""
    return int(weights.sum()) / WEIGHT_ONE


def _started(columns: Columns, from_ns: int, to_ns: int) -> Bools:
    return np.asarray((columns.attempts.start >= from_ns) & (columns.attempts.start < to_ns))
