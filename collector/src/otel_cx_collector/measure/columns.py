"""A journey's step rows as numpy columns, cut into attempts, with the harm of each execution. Not a figure.

Rows are ordered by attempt, then event time, then span id. Attempts are numbered from 0 in that order.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from otel_cx_collector.events import NS, Grade, Outcome
from otel_cx_collector.inventory import Inventory, Journey

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MINUTE_NS: Final = 60 * NS
CUT_NS: Final = 24 * 3600 * NS
"""A session or customer key is cut after 24 h whatever happens (wire.md)."""

FAILED_HARM: Final = 1.0
REJECTED_HARM: Final = 0.3
RECOVERED_HARM: Final = 0.3

NEVER: Final = np.iinfo(np.int64).max
"""A moment that has not come."""

OK, FAILED, REJECTED, CANCELLED = range(4)
OUTCOMES: Final = (Outcome.OK, Outcome.FAILED, Outcome.REJECTED, Outcome.CANCELLED)
GRADES: Final = (Grade.EXPLICIT, Grade.SESSION, Grade.CUSTOMER, Grade.TRACE)


@dataclass(frozen=True, slots=True)
class Labelled:
    """One dimension of the rows: codes into labels."""

    codes: Ints
    labels: list[str]


@dataclass(frozen=True, slots=True)
class Attempts:
    """One entry an attempt (2.2). Times in nanoseconds."""

    start: Ints
    last: Ints
    weight: Ints
    """Of the execution that started it, in units of 2^-20."""
    unit: Ints
    """The customer it counts for (4.10), the same number for the same one: a hash, or counted from 0 once joined."""
    grade: Ints
    completed_at: Ints
    """The first ok of a terminal step, NEVER without one."""

    @property
    def completed(self) -> Bools:
        """Whether a terminal step was ok."""
        return np.asarray(self.completed_at < NEVER)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.start)


@dataclass(frozen=True, slots=True)
class Window:
    """Some executions, as known at one moment: what the score of some minutes is counted from."""

    rows: Ints
    """Where they stand in their columns, ascending within an attempt."""
    time: Ints
    attempt: Ints
    step: Ints
    outcome: Ints
    value: Floats
    harm: Floats
    """Without rejections."""
    rejected: Bools
    """Rejected, and in no maintenance."""

    def harm_with(self, *, rejections: bool) -> Floats:
        """Harm h of every execution, with or without that of rejections."""
        return np.where(self.rejected, REJECTED_HARM, self.harm) if rejections else self.harm

    @staticmethod
    def joined(parts: list[tuple["Window", int]]) -> "Window":
        """Windows over disjoint attempts as one; with each comes how many attempts its columns have."""
        offsets = np.cumsum([0, *(attempts for _, attempts in parts)])
        attempts = [part.attempt + offset for (part, _), offset in zip(parts, offsets[:-1], strict=True)]
        return Window(
            np.concatenate([part.rows for part, _ in parts]),
            np.concatenate([part.time for part, _ in parts]),
            np.concatenate(attempts),
            np.concatenate([part.step for part, _ in parts]),
            np.concatenate([part.outcome for part, _ in parts]),
            np.concatenate([part.value for part, _ in parts]),
            np.concatenate([part.harm for part, _ in parts]),
            np.concatenate([part.rejected for part, _ in parts]),
        )


@dataclass(frozen=True, slots=True)
class Columns:
    """Executions of one journey's known steps."""

    journey: Journey
    table: pa.Table
    """The rows themselves, in the same order."""
    time: Ints
    minute: Ints
    """Whole minutes since the epoch."""
    attempt: Ints
    step: Ints
    """Index into the journey's steps."""
    duration: Ints
    outcome: Ints
    weight: Ints
    slow: Bools
    harm: Floats
    """h of 4.1 without rejections: those carry harm only where there is a baseline."""
    recovered_at: Ints
    """Of a failure, when the same step of the same attempt was ok soon enough after it; else NEVER."""
    value: Floats
    """g*v: the step's stage times the segment's weight."""
    maintenance: Bools
    """Executions inside a maintenance window: in no SLI, and without harm."""
    maintenance_windows: tuple[tuple[int, int], ...]
    """``[from, to)`` in nanoseconds."""
    attempts: Attempts
    dimensions: dict[str, Labelled] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many executions there are."""
        return len(self.time)

    def window(self, rows: Ints, known_ns: int = NEVER) -> Window:
        """The executions at ``rows``, with the harm known before ``known_ns``: no later recovery softens it."""
        harm = self.harm[rows]
        early = (self.recovered_at[rows] < NEVER) & (self.recovered_at[rows] >= known_ns) & (harm > 0)
        outcome = self.outcome[rows]
        return Window(
            rows=rows,
            time=self.time[rows],
            attempt=self.attempt[rows],
            step=self.step[rows],
            outcome=outcome,
            value=self.value[rows],
            harm=np.where(early, FAILED_HARM, harm),
            rejected=(outcome == REJECTED) & ~self.maintenance[rows],
        )

    def of_step(self, step: str | None) -> Bools:
        """Executions of the step of that name; all of them for None."""
        if step is None:
            return np.ones(len(self), dtype=np.bool_)
        return np.asarray(self.step == [each.name for each in self.journey.steps].index(step))

    def attempts_counted(self) -> Bools:
        """Attempts that did not start in a maintenance (2.6)."""
        start = self.attempts.start
        counted = np.ones(len(start), dtype=np.bool_)
        for low, high in self.maintenance_windows:
            counted &= ~((start >= low) & (start < high))
        return counted

    def hurtful(self, *, rejections: bool) -> Bools:
        """Executions with harm."""
        harmful = self.harm > 0
        return harmful | ((self.outcome == REJECTED) & ~self.maintenance) if rejections else harmful


def build(table: pa.Table, journey: Journey, inventory: Inventory, until_ns: int | None = None) -> Columns:
    """Columns of the rows of ``table`` (sorted by attempt key, end, span id) that ended before ``until_ns``.

    Rows of steps the journey no longer has are left out.
    """
    names = pa.array([step.name for step in journey.steps])
    steps = pc.index_in(table["step"].cast(pa.string()), value_set=names)
    keep = pc.is_valid(steps)
    if until_ns is not None:
        keep = pc.and_(keep, pc.less(table["end"], until_ns))
    table = table.append_column("k", steps).filter(keep).combine_chunks()
    time, step = _ints(table["end"]), _ints(table["k"])
    duration = _ints(table["duration_ns"])
    outcome = _ints(pc.index_in(table["outcome"].cast(pa.string()), value_set=pa.array(map(str, OUTCOMES))))
    grade = _ints(pc.index_in(table["grade"].cast(pa.string()), value_set=pa.array(map(str, GRADES))))
    key = coded(table["attempt"]).codes
    terminal = np.array([s.name in journey.terminal for s in journey.steps], dtype=np.bool_)
    done = (outcome == OK) & terminal[step]
    attempt = _cut(key, time, grade, step, done, journey.timeout_ns)
    maintenance = np.zeros(len(time), dtype=np.bool_)
    windows = inventory.maintenance_of(journey.name)
    for low, high in windows:
        maintenance |= (time >= low) & (time < high)
    slow = (outcome == OK) & (duration > _slow_after(journey)[step])
    dimensions = {name: coded(table[name]) for name in inventory.dimensions if not inventory.dimensions[name].own}
    for name, dimension in inventory.dimensions.items():
        if dimension.own:
            dimensions[name] = _own(table["own"], name)
    weights = inventory.dimensions["segment"].values
    segment = dimensions["segment"]
    v = np.array([weights.get(label, 1.0) for label in segment.labels] or [1.0])[segment.codes]
    g = np.array([s.stage for s in journey.steps])[step]
    harm, recovered_at = _harm(journey, attempt, time, step, duration, outcome, slow)
    harm[maintenance] = 0.0
    weight = _ints(table["weight"])
    return Columns(
        journey=journey,
        table=table,
        time=time,
        minute=time // MINUTE_NS,
        attempt=attempt,
        step=step,
        duration=duration,
        outcome=outcome,
        weight=weight,
        slow=slow,
        harm=harm,
        recovered_at=recovered_at,
        value=g * v,
        maintenance=maintenance,
        maintenance_windows=windows,
        attempts=_attempts(table, attempt, time, weight, grade, done),
        dimensions=dimensions,
    )


def joined(parts: list[Columns]) -> Columns:
    """Columns of disjoint attempts as one; at least one part. Customers are numbered from 0 over all of them."""
    first = parts[0]
    attempts = [part.attempts for part in parts]
    offsets = np.cumsum([0, *(len(each) for each in attempts)])
    units = np.concatenate([each.unit for each in attempts])
    return Columns(
        journey=first.journey,
        table=pa.concat_tables([part.table for part in parts], promote_options="permissive"),
        time=np.concatenate([part.time for part in parts]),
        minute=np.concatenate([part.minute for part in parts]),
        attempt=np.concatenate([part.attempt + at for part, at in zip(parts, offsets[:-1], strict=True)]),
        step=np.concatenate([part.step for part in parts]),
        duration=np.concatenate([part.duration for part in parts]),
        outcome=np.concatenate([part.outcome for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
        slow=np.concatenate([part.slow for part in parts]),
        harm=np.concatenate([part.harm for part in parts]),
        recovered_at=np.concatenate([part.recovered_at for part in parts]),
        value=np.concatenate([part.value for part in parts]),
        maintenance=np.concatenate([part.maintenance for part in parts]),
        maintenance_windows=first.maintenance_windows,
        attempts=Attempts(
            start=np.concatenate([each.start for each in attempts]),
            last=np.concatenate([each.last for each in attempts]),
            weight=np.concatenate([each.weight for each in attempts]),
            unit=np.unique(units, return_inverse=True)[1],
            grade=np.concatenate([each.grade for each in attempts]),
            completed_at=np.concatenate([each.completed_at for each in attempts]),
        ),
        dimensions={name: _labels_joined([part.dimensions[name] for part in parts]) for name in first.dimensions},
    )


def _labels_joined(parts: list[Labelled]) -> Labelled:
    labels = sorted({label for part in parts for label in part.labels})
    at = {label: code for code, label in enumerate(labels)}
    codes = [np.array([at[label] for label in part.labels] or [0], dtype=np.int64)[part.codes] for part in parts]
    return Labelled(np.concatenate(codes), labels)


def _slow_after(journey: Journey) -> Ints:
    return np.array([step.slow_after_ns for step in journey.steps], dtype=np.int64)


def _ints(column: pa.ChunkedArray | pa.Array) -> Ints:
    plain = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(plain.to_numpy(zero_copy_only=False)).astype(np.int64)


def coded(column: pa.ChunkedArray) -> Labelled:
    """A text column as codes whose order is the order of the labels; it may be dictionary-encoded already."""
    plain = column.combine_chunks()
    if not pa.types.is_dictionary(plain.type):
        plain = plain.dictionary_encode()
    labels = plain.dictionary.cast(pa.string()).to_pylist()
    order = sorted(range(len(labels)), key=labels.__getitem__)
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels))
    codes = _ints(plain.indices)
    return Labelled(rank[codes] if len(codes) else codes, [labels[i] for i in order])


def _own(column: pa.ChunkedArray, name: str) -> Labelled:
    values = [dict(entry or ()).get(name, "unset") for entry in column.to_pylist()]
    return coded(pa.chunked_array([pa.array(values, pa.string())]))


def _cut(key: Ints, time: Ints, grade: Ints, step: Ints, done: Bools, timeout_ns: int) -> Ints:
    """Attempt number of each row. Explicit and trace keys are whole; session and customer keys are cut (wire.md)."""
    count = len(key)
    starts = np.ones(count, dtype=np.bool_)
    if count:
        starts[1:] = key[1:] != key[:-1]
    loose = np.flatnonzero((grade == 1) | (grade == 2))
    began = 0
    completed = False
    for at in loose.tolist():
        if not starts[at]:
            silent = time[at] - time[at - 1] > timeout_ns
            again = completed and step[at] == 0
            starts[at] = silent or again or time[at] - began > CUT_NS
        if starts[at]:
            began, completed = time[at], False
        completed = completed or bool(done[at])
    return np.cumsum(starts) - 1


def _harm(
    journey: Journey, attempt: Ints, time: Ints, step: Ints, duration: Ints, outcome: Ints, slow: Bools
) -> tuple[Floats, Ints]:
    """Harm h of 4.1, rejections left at 0, and when each failure was made good."""
    failed = outcome == FAILED
    harm = np.where(failed, FAILED_HARM, 0.0)
    late_s = (duration - _slow_after(journey)[step]) / NS
    harm = np.where(slow, np.minimum(journey.max_slow, journey.per_second * late_s), harm)
    count = len(time)
    recovered_at = np.full(count, NEVER)
    if not failed.any():
        return harm, recovered_at
    # The next ok of the same step of the same attempt, looking forward in time within (attempt, step).
    order = np.lexsort((np.arange(count), step, attempt))
    position = np.where(outcome[order] == OK, np.arange(count), count)
    following = np.minimum.accumulate(position[::-1])[::-1]
    found = np.minimum(following, count - 1)
    rows, later = order, order[found]
    same = (following < count) & (attempt[later] == attempt[rows]) & (step[later] == step[rows])
    soon = same & (time[later] - time[rows] <= journey.recovery_ns) & failed[rows]
    recovered_at[rows[soon]] = time[later[soon]]
    harm[recovered_at < NEVER] = RECOVERED_HARM
    return harm, recovered_at


def _attempts(table: pa.Table, attempt: Ints, time: Ints, weight: Ints, grade: Ints, done: Bools) -> Attempts:
    if not len(attempt):
        none = np.zeros(0, dtype=np.int64)
        return Attempts(none, none, none, none, none, none)
    first = np.flatnonzero(np.diff(attempt, prepend=-1))
    last = np.append(first[1:], len(attempt)) - 1
    return Attempts(
        start=time[first],
        last=time[last],
        weight=weight[first],
        unit=_units(table, first, time[first]),
        grade=grade[first],
        completed_at=np.minimum.reduceat(np.where(done, time, NEVER), first),
    )


def _units(table: pa.Table, first: Ints, start: Ints) -> Ints:
    """The customer that each attempt counts for: the smallest of its rows, by customer, else session, else itself."""
    unit = np.zeros(len(first), dtype=np.int64)
    nameless = np.ones(len(first), dtype=np.bool_)
    for name in ("customer", "session"):
        labelled = coded(table[name])
        nothing = len(labelled.labels)
        named = np.array([bool(label) for label in labelled.labels], dtype=np.bool_)
        smallest = np.minimum.reduceat(np.where(named[labelled.codes], labelled.codes, nothing), first)
        keys = np.array([hash((name, label)) for label in labelled.labels], dtype=np.int64)
        known = nameless & (smallest < nothing)
        unit[known] = keys[smallest[known]]
        nameless &= ~known
    rest = np.flatnonzero(nameless)
    if len(rest):
        attempts = table["attempt"].take(pa.array(first[rest])).to_pylist()
        at = start[rest].tolist()
        unit[rest] = [hash(("attempt", key, when)) for key, when in zip(attempts, at, strict=True)]
    return unit
