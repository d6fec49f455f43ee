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

REJECTED_HARM: Final = 0.3
RECOVERED_HARM: Final = 0.3

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
    """The customer it counts for (4.10), numbered from 0."""
    grade: Ints
    completed: Bools

    def __len__(self) -> int:
        """How many there are."""
        return len(self.start)


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

    def harm_with(self, *, rejections: bool) -> Floats:
        """Harm h of every execution, with or without that of rejections."""
        if not rejections:
            return self.harm
        rejected = (self.outcome == REJECTED) & ~self.maintenance
        return np.where(rejected, REJECTED_HARM, self.harm)


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
    windows = tuple((w.from_ns, w.to_ns) for w in inventory.maintenance if w.journey == journey.name)
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
    harm = _harm(journey, attempt, time, step, duration, outcome, slow)
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
        value=g * v,
        maintenance=maintenance,
        maintenance_windows=windows,
        attempts=_attempts(table, attempt, time, weight, grade, done),
        dimensions=dimensions,
    )


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
) -> Floats:
    """Harm h of 4.1, rejections left at 0."""
    failed = outcome == FAILED
    harm = np.where(failed, 1.0, 0.0)
    late_s = (duration - _slow_after(journey)[step]) / NS
    harm = np.where(slow, np.minimum(journey.max_slow, journey.per_second * late_s), harm)
    count = len(time)
    if not failed.any():
        return harm
    # The next ok of the same step of the same attempt, looking forward in time within (attempt, step).
    order = np.lexsort((np.arange(count), step, attempt))
    position = np.where(outcome[order] == OK, np.arange(count), count)
    following = np.minimum.accumulate(position[::-1])[::-1]
    found = np.minimum(following, count - 1)
    rows, later = order, order[found]
    same = (following < count) & (attempt[later] == attempt[rows]) & (step[later] == step[rows])
    recovered = np.zeros(count, dtype=np.bool_)
    recovered[rows] = same & (time[later] - time[rows] <= journey.recovery_ns)
    harm[failed & recovered] = RECOVERED_HARM
    return harm


def _attempts(table: pa.Table, attempt: Ints, time: Ints, weight: Ints, grade: Ints, done: Bools) -> Attempts:
    if not len(attempt):
        none = np.zeros(0, dtype=np.int64)
        return Attempts(none, none, none, none, none, np.zeros(0, dtype=np.bool_))
    first = np.flatnonzero(np.diff(attempt, prepend=-1))
    last = np.append(first[1:], len(attempt)) - 1
    customer, session = coded(table["customer"]), coded(table["session"])
    customers, sessions = len(customer.labels), len(session.labels)
    unit = customers + sessions + np.arange(len(first))
    for labelled, offset in ((session, customers), (customer, 0)):
        nothing = len(labelled.labels)
        named = np.array([bool(label) for label in labelled.labels], dtype=np.bool_)
        codes = np.where(named[labelled.codes], labelled.codes, nothing)
        smallest = np.minimum.reduceat(codes, first)
        unit = np.where(smallest < nothing, smallest + offset, unit)
    return Attempts(
        start=time[first],
        last=time[last],
        weight=weight[first],
        unit=np.unique(unit, return_inverse=True)[1],
        grade=grade[first],
        completed=np.logical_or.reduceat(done, first),
    )
