"""What durability costs: CPU and latency of appending row batches, and of reading them back and opening again.

    .venv/bin/pytest bench/test_log.py --benchmark-only -q

Times under ``cpu`` are CPU seconds of the whole process, the others wall clock.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from step_rows import T0, step_row

from otel_cx_collector.events import NS, to_batch
from otel_cx_collector.log import Log, LogLimits

BATCH = to_batch([step_row(n, attempt=f"cart-{n}", end=(T0 + n) * NS, session=f"{n:032x}") for n in range(100)])
APPENDS = 100


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log(tmp_path / "log", LogLimits(min_free_bytes=0)) as log:
        yield log


def append_all(log: Log, threads: int) -> None:
    """APPENDS batches, one at a time in each thread; then the log forgets them."""

    def work() -> None:
        for _ in range(APPENDS // threads):
            log.append(BATCH)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    log.mark_stored(log.last)


@pytest.mark.parametrize("threads", [1, 4, 20])
@pytest.mark.benchmark(group="100 appends of 100 rows, cpu", timer=time.process_time)
def test_append_cpu(benchmark: Any, log: Log, threads: int) -> None:
    benchmark.pedantic(append_all, args=(log, threads), rounds=10, warmup_rounds=1)
    benchmark.extra_info["us_per_append"] = benchmark.stats["mean"] / APPENDS * 1e6
    benchmark.extra_info["us_per_row"] = benchmark.stats["mean"] / APPENDS / BATCH.num_rows * 1e6


@pytest.mark.parametrize("threads", [1, 4, 20])
@pytest.mark.benchmark(group="100 appends of 100 rows, wall")
def test_append_wall(benchmark: Any, log: Log, threads: int) -> None:
    benchmark.pedantic(append_all, args=(log, threads), rounds=10, warmup_rounds=1)


@pytest.mark.benchmark(group="read 100 batches of 100 rows, cpu", timer=time.process_time)
def test_read_cpu(benchmark: Any, log: Log) -> None:
    for _ in range(APPENDS):
        log.append(BATCH)
    assert benchmark(lambda: sum(batch.num_rows for _, batch in log.read(0))) == APPENDS * BATCH.num_rows


@pytest.mark.benchmark(group="open a log of 256 MiB, wall")
def test_open(benchmark: Any, log: Log, tmp_path: Path) -> None:
    large = to_batch([step_row(number) for number in range(20_000)])
    while log.bytes_used < 256 << 20:
        log.append(large)
    log.close()
    benchmark.pedantic(lambda: Log(tmp_path / "log").close(), rounds=5)
