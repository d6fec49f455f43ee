"""What the tests of the log share: small batches, and a log to break."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from otel_cx_collector.log import Log, LogLimits

SMALL = LogLimits(max_bytes=1 << 20, segment_bytes=4096, batch_bytes=1 << 16, min_free_bytes=0)
"""Segments of a dozen records, so that a test sees several."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def batch() -> Callable[..., pa.RecordBatch]:
    """A batch of one column that holds the given numbers."""

    def make(*ids: int) -> pa.RecordBatch:
        return pa.RecordBatch.from_pydict({"id": pa.array(ids, pa.int64())})

    return make


@pytest.fixture
def log(directory: Path) -> Iterator[Log]:
    with Log(directory, SMALL) as log:
        yield log


@pytest.fixture
def small() -> LogLimits:
    return SMALL


@pytest.fixture
def ids() -> Callable[..., list[int]]:
    """The numbers a log holds after a position."""

    def read(log: Log, after: int = 0) -> list[int]:
        return [number for _, batch in log.read(after) for number in batch["id"].to_pylist()]

    return read
