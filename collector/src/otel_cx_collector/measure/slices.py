"""Sums by slice of 10 s that alerts and decisions are judged from: additive, so that they grow by what is new.

Which sums a journey needs follows from its objectives and from the rules that name it. Nothing is judged here.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from otel_cx_collector.events import NS, SLICE_S
from otel_cx_collector.inventory import Inventory, Journey
from otel_cx_collector.inventory.decisions import AvailabilityOk, LatencyAbove, leaves
from otel_cx_collector.measure.burn import LONGEST_S, Slices
from otel_cx_collector.measure.columns import FAILED, OK, Bools, Columns, Ints
from otel_cx_collector.measure.slis import good_and_total
from otel_cx_collector.measure.tally import Tally

SLICE_NS: Final = SLICE_S * NS
STARTED, COMPLETED = 0, 1
"""Attempts by the slice they started in, and those of them completed within the journey's ``mature``."""


@dataclass(frozen=True)
class Questions:
    """Which sums are kept, and in which column of the tally each begins."""

    journey: Journey
    reach_s: int
    """How far back a judgement looks."""
    ranks: dict[tuple[str | None, int], int] = field(default_factory=dict)
    """(step, threshold): ok executions, then those of them that lasted at most the threshold."""
    failures: dict[str | None, int] = field(default_factory=dict)
    """By step: failed executions, then all that count."""
    objectives: dict[int, int] = field(default_factory=dict)
    """By its index: bad and total in weights, failures and events raw."""
    width: int = 2


def questions(inventory: Inventory, journey: Journey) -> Questions:
    """What the journey's objectives and rules ask."""
    asked = [
        leaf for rule in inventory.escalation if rule.journey in ("*", journey.name) for _, leaf in leaves(rule.when)
    ]
    ranks: dict[tuple[str | None, int], int] = {}
    failures: dict[str | None, int] = {}
    width = 2
    for leaf in asked:
        if isinstance(leaf, LatencyAbove) and (leaf.step, leaf.above_ns) not in ranks:
            ranks[leaf.step, leaf.above_ns] = width
            width += 2
        elif isinstance(leaf, AvailabilityOk) and leaf.step not in failures:
            failures[leaf.step] = width
            width += 2
    objectives = {}
    for index, objective in enumerate(journey.objectives):
        if objective.sli != "completion":
            objectives[index] = width
            width += 4
    longest = max([LONGEST_S * NS, *(getattr(leaf, "over_ns", 0) for leaf in asked)])
    return Questions(journey, longest // NS + journey.mature_ns // NS, ranks, failures, objectives, width)


def slices(columns: Columns, asked: Questions) -> Tally:
    """The sums of some executions."""
    if not len(columns):
        return Tally.empty(asked.width)
    first = int(columns.time.min()) // SLICE_NS
    counts = np.zeros((int(columns.time.max()) // SLICE_NS - first + 1, asked.width), dtype=np.int64)
    at = columns.time // SLICE_NS - first
    _attempts(counts, columns, first)
    for (step, above_ns), column in asked.ranks.items():
        ok = columns.of_step(step) & (columns.outcome == OK)
        counts[:, column] = _count(at, ok, counts)
        counts[:, column + 1] = _count(at, ok & (columns.duration <= above_ns), counts)
    for step, column in asked.failures.items():
        chosen = columns.of_step(step) & ~columns.maintenance
        failed = chosen & (columns.outcome == FAILED)
        total = failed | (chosen & (columns.outcome == OK))
        counts[:, column], counts[:, column + 1] = _count(at, failed, counts), _count(at, total, counts)
    for index, column in asked.objectives.items():
        good, total = good_and_total(columns, asked.journey.objectives[index])
        bad = total & ~good
        counts[:, column] = _weigh(at, bad, columns.weight, counts)
        counts[:, column + 1] = _weigh(at, total, columns.weight, counts)
        counts[:, column + 2], counts[:, column + 3] = _count(at, bad, counts), _count(at, total, counts)
    return Tally(first, counts)


def _attempts(counts: Ints, columns: Columns, first: int) -> None:
    attempts, chosen = columns.attempts, columns.attempts_counted()
    at = attempts.start // SLICE_NS - first
    done = chosen & (attempts.completed_at - attempts.start <= columns.journey.mature_ns)
    counts[:, STARTED], counts[:, COMPLETED] = _count(at, chosen, counts), _count(at, done, counts)


def _count(at: Ints, chosen: Bools, counts: Ints) -> Ints:
    return np.bincount(at[chosen], minlength=len(counts))


def _weigh(at: Ints, chosen: Bools, weight: Ints, counts: Ints) -> Ints:
    """Exact below 2^53 units a slice."""
    return np.bincount(at[chosen], weight[chosen], minlength=len(counts)).astype(np.int64)


def running(tally: Tally, column: int, from_s: int, to_s: int) -> Slices:
    """One objective's sums of the slices ``[from_s, to_s)`` as alerts read them; slices without traffic count 0."""
    low, high = max(from_s // SLICE_S, tally.first), to_s // SLICE_S
    size = max(0, high - low)
    counts = np.zeros((size + 1, 4), dtype=np.int64)
    kept = tally.counts[low - tally.first : max(low, min(high, tally.end)) - tally.first, column : column + 4]
    np.cumsum(kept, axis=0, out=counts[1 : len(kept) + 1])
    counts[len(kept) + 1 :] = counts[len(kept)]
    return Slices(low * SLICE_S, counts[:, 0], counts[:, 1], counts[:, 2], counts[:, 3])
