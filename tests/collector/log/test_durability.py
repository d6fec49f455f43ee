"""What is acknowledged is durable: the log on a modelled file system that crashes at every call, fails, and fills."""

import errno
import random
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from modelled_disk import Crash, ModelledDisk

from otel_cx_collector.errors import Unavailable, UserError
from otel_cx_collector.log import Log, LogLimits

LIMITS: Final = LogLimits(max_bytes=1 << 20, segment_bytes=2048, batch_bytes=4096, min_free_bytes=0)
AHEAD: Final = 128
"""Bytes written ahead of the records, as the log does with segments of a real size."""
DIRECTORY: Final = Path("log")


class Append(NamedTuple):
    """Threads that wait together; each number is the rows of one batch."""

    group: tuple[int, ...]


class Mark(NamedTuple):
    """The store has this share of what was acknowledged."""

    share: float


class Reopen(NamedTuple):
    """A clean end and a new start."""


Step = Append | Mark | Reopen

STEPS: Final = st.lists(
    st.one_of(
        st.lists(st.integers(0, 40), min_size=1, max_size=6).map(lambda rows: Append(tuple(rows))),
        st.lists(st.integers(0, 40), min_size=1, max_size=6).map(lambda rows: Append(tuple(rows))),
        st.floats(0, 1).map(Mark),
        st.just(Reopen()),
    ),
    min_size=1,
    max_size=6,
)


def a_batch(number: int, rows: int) -> pa.RecordBatch:
    """Of one of three kinds, recognised by its number even without rows."""
    schema = pa.schema([("id", pa.int64())], metadata={"table": f"kind-{number % 3}", "number": ""})
    return pa.RecordBatch.from_arrays([pa.array([number] * (rows + 1), pa.int64())], schema=schema)


class Life:
    """A log over several processes, and what its callers know of it."""

    def __init__(self, disk: ModelledDisk, chance: random.Random, *, power_cut: bool = True) -> None:
        self.disk = disk
        self.chance = chance
        self.power_cut = power_cut
        self.acknowledged: dict[int, int] = {}
        """Batch by position."""
        self.tried: set[int] = set()
        self.numbers = iter(range(1 << 30))
        self.marked = 0
        """The last mark that returned."""
        self.perhaps_marked = 0
        """The highest mark that was tried."""
        self.log: Log | None = None

    def open(self) -> Log:
        """The log, opened unless it is; checked if it was."""
        if self.log is None:
            self.log = Log(DIRECTORY, LIMITS, disk=self.disk, ahead_bytes=AHEAD if self.chance.random() < 0.7 else 0)
            self.check(self.log)
        return self.log

    def run(self, step: Step) -> None:
        """One step, as far as it comes."""
        log = self.open()
        if isinstance(step, Append):
            self.append(log, step.group)
        elif isinstance(step, Mark):
            positions = [0, *sorted(self.acknowledged)]
            position = positions[round(step.share * (len(positions) - 1))]
            self.perhaps_marked = max(self.perhaps_marked, position)
            log.mark_stored(position)
            self.marked = max(self.marked, position)
        else:
            log.close()
            self.log = None

    def append(self, log: Log, group: tuple[int, ...]) -> None:
        """All but the last are in line when the last one comes and writes."""
        waiting = []
        for rows in group[:-1]:
            number = next(self.numbers)
            self.tried.add(number)
            waiting.append((number, log._enqueue(a_batch(number, rows))))
        number = next(self.numbers)
        self.tried.add(number)
        try:
            position = log.append(a_batch(number, group[-1]))
            self.acknowledge(position, number)
        finally:
            for each, it in waiting:
                if it.settled and not it.refused:
                    self.acknowledge(it.sequence, each)

    def acknowledge(self, position: int, number: int) -> None:
        """A caller was told."""
        assert position not in self.acknowledged
        self.acknowledged[position] = number

    def crash(self) -> None:
        """Another process finds what is left."""
        self.log = None
        self.disk = self.disk.restart(power_cut=self.power_cut, chance=self.chance)

    def check(self, log: Log) -> None:
        """All that was acknowledged and may not be in the store is there once, in order; nothing is called lost."""
        assert log.damage == ()
        assert self.marked <= log.stored <= self.perhaps_marked
        found = {position: set(it["id"].to_pylist()) for position, it in log.read(log.stored)}
        assert list(found) == sorted(found)
        numbers = [number for ids in found.values() for number in ids]
        assert len(numbers) == len(found) == len(set(numbers))
        assert set(numbers) <= self.tried
        expected = {at: {number} for at, number in self.acknowledged.items() if at > self.perhaps_marked}
        assert expected.items() <= found.items()
        kept = {position: min(ids) for position, ids in found.items()}
        self.marked = log.stored  # what was seen once does not go back
        # A position beyond what is there may be given again: what had it was in the store.
        self.acknowledged = {at: it for at, it in self.acknowledged.items() if at <= log.last} | kept


def live(steps: list[Step], crash_at: int, seed: int) -> int:
    """Take the steps with a crash at a call, and sometimes more crashes soon after; return the calls of a life."""
    chance = random.Random(seed)
    life = Life(ModelledDisk(), chance, power_cut=chance.random() < 0.7)
    life.disk.crash_at = crash_at
    for step in steps:
        try:
            life.run(step)
        except Crash:
            life.crash()
            if chance.random() < 0.5:
                life.disk.crash_at = chance.randint(1, 30)
            life.power_cut = chance.random() < 0.7
    calls = life.disk.calls
    life.disk.dead, life.disk.crash_at, life.power_cut = False, None, True
    for _ in range(2):
        life.crash()
        life.open()
    return calls


@settings(max_examples=12, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 1 << 30))
def test_a_crash_at_any_call_loses_nothing_that_was_acknowledged(steps: list[Step], seed: int) -> None:
    calls = live(steps, -1, seed)
    for crash_at in range(1, calls + 1):
        live(steps, crash_at, seed + crash_at)


def live_with_failures(steps: list[Step], failing: range, seed: int) -> int:
    """Take the steps while some calls fail; then the disk is well, the power is cut, and another process looks."""
    life = Life(ModelledDisk(), random.Random(seed))
    life.disk.fail_at = failing
    for step in steps:
        try:
            life.run(step)
        except (Unavailable, UserError, OSError):
            if life.log is not None and life.log._closed:
                life.log = None
    calls = life.disk.calls
    life.disk.fail_at = range(0)
    life.append(life.open(), (3, 3))  # it goes on by itself
    for _ in range(2):
        life.crash()
        life.open()
    return calls


@settings(max_examples=12, deadline=None)
@given(steps=STEPS, length=st.integers(1, 6), seed=st.integers(0, 1 << 30))
def test_calls_that_fail_cost_what_they_were_made_for_and_nothing_else(
    steps: list[Step], length: int, seed: int
) -> None:
    calls = live_with_failures(steps, range(0), seed)
    for first in range(1, calls + 1):
        live_with_failures(steps, range(first, first + length), seed + first)


@settings(max_examples=30, deadline=None)
@given(steps=STEPS, capacity=st.integers(0, 6000), seed=st.integers(0, 1 << 30))
def test_a_full_disk_leaves_the_log_untorn_and_it_resumes_when_there_is_room(
    steps: list[Step], capacity: int, seed: int
) -> None:
    life = Life(ModelledDisk(capacity), random.Random(seed))
    refused: list[Unavailable] = []
    failed: list[OSError] = []
    for step in steps:
        try:
            life.run(step)
        except Unavailable as refusal:
            refused.append(refusal)
        except OSError as error:
            failed.append(error)
    assert all("full" in str(it) or "No space left" in str(it) for it in refused)
    assert all(1 <= it.retry_after_s <= 3 for it in refused)
    assert {it.errno for it in failed} <= {errno.ENOSPC}
    log = life.open()
    life.check(log)
    life.disk.capacity = 1 << 20
    life.append(log, (1, 2, 3))
    life.check(log)
    for _ in range(2):
        life.crash()
        life.open()


def test_the_model_forgets_what_was_not_synced_and_keeps_what_was() -> None:
    disk = ModelledDisk()
    fd = disk.create(DIRECTORY / "a")
    disk.write(fd, [b"kept"], 0)
    disk.sync(fd)
    disk.sync_directory(DIRECTORY)
    disk.write(fd, [b"perhaps"], 4)
    disk.create(DIRECTORY / "b")
    found = set()
    for seed in range(200):
        after = disk.restart(power_cut=True, chance=random.Random(seed)).files()
        assert after["a"].startswith(b"kept")
        found.add((after["a"], "b" in after))
    assert {(b"kept", False), (b"keptperhaps", True), (b"kept", True), (b"keptper", False)} <= found
    killed = disk.restart(power_cut=False, chance=random.Random(0)).files()
    assert killed == {"a": b"keptperhaps", "b": b""}
