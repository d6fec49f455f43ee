"""The log as a state machine against a list, with crashes and failing disks between any two steps."""

import errno
import os
import shutil
import tempfile
from pathlib import Path
from unittest import TestCase

import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from otel_cx_collector.errors import Unavailable
from otel_cx_collector.log import Log, LogLimits

LIMITS = LogLimits(max_bytes=1 << 20, segment_bytes=2048, batch_bytes=4096, min_free_bytes=0)


class LogMachine(RuleBasedStateMachine):
    """``model`` is what was acknowledged, by position; everything up to ``stored`` need not be there any more.

    Numbers below zero were refused while even taking them back failed: they may come back from the dead, once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.model: dict[int, list[int]] = {}
        self.stored = 0
        self.patch = pytest.MonkeyPatch()

    @initialize()
    def open(self) -> None:
        self.log = Log(self.directory, LIMITS)

    def teardown(self) -> None:
        self.log.close()
        shutil.rmtree(self.directory)

    def batch(self, numbers: list[int]) -> pa.RecordBatch:
        return pa.RecordBatch.from_pydict({"id": pa.array(numbers, pa.int64())})

    @rule(numbers=st.lists(st.integers(0, 2**40), max_size=60))
    def append(self, numbers: list[int]) -> None:
        position = self.log.append(self.batch(numbers))
        assert position > max(self.model, default=0)
        assert position == self.log.last
        self.model[position] = numbers

    @rule(
        number=st.integers(-9, -1),
        fails=st.sampled_from(["fdatasync", "pwritev", "statvfs", "ftruncate and fdatasync"]),
    )
    def append_while_the_disk_fails(self, number: int, fails: str) -> None:
        def failing(*_: object) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with self.patch.context() as patch:
            for call in fails.split(" and "):
                patch.setattr(os, call, failing)
            with pytest.raises(Unavailable):
                self.log.append(self.batch([number]))

    @rule(share=st.floats(0, 1))
    def mark_stored(self, share: float) -> None:
        positions = [0, *sorted(self.model)]
        position = positions[round(share * (len(positions) - 1))]
        self.log.mark_stored(position)
        self.stored = max(self.stored, position)

    @rule()
    def open_again(self) -> None:
        self.log.close()
        self.log = Log(self.directory, LIMITS)

    @rule(tail=st.binary(max_size=80))
    def crash_in_the_middle_of_a_write(self, tail: bytes) -> None:
        segments = sorted(self.directory.glob("*.seg"))
        self.log.close()
        if segments:
            with segments[-1].open("ab") as file:
                file.write(tail)
        self.log = Log(self.directory, LIMITS)

    @invariant()
    def what_the_store_may_lack_is_there_once_and_in_order(self) -> None:
        if not hasattr(self, "log"):
            return
        assert self.log.stored == self.stored
        expected = [(position, ids) for position, ids in sorted(self.model.items()) if position > self.stored]
        found = [(position, it["id"].to_pylist()) for position, it in self.log.read(self.stored)]
        assert [it for it in found if min(it[1], default=0) >= 0] == expected
        assert [position for position, _ in found] == sorted({position for position, _ in found})

    @invariant()
    def the_bytes_used_are_those_on_disk(self) -> None:
        if not hasattr(self, "log"):
            return
        on_disk = sum(path.stat().st_size for path in self.directory.glob("*.seg"))
        assert self.log.bytes_used <= on_disk


LogMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestLogAgainstItsModel: type[TestCase] = LogMachine.TestCase
