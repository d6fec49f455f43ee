"""What durability costs: CPU and latency of appending row batches, and of reading them back and opening again.

    .venv/bin/pytest bench/test_log.py --benchmark-only -q -s

Times under ``cpu`` are CPU seconds of the whole process, the others wall clock. The disk is that of ``--basetemp``.
"""

import os
import resource
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


@pytest.mark.parametrize("kinds", [1, 2])
@pytest.mark.parametrize("threads", [1, 4, 16])
@pytest.mark.benchmark(group="latency of an append, wall")
def test_append_latency(benchmark: Any, log: Log, threads: int, kinds: int) -> None:
    """How long a caller waits until its batch is durable; with two kinds of batches they come in turns."""
    batches = [BATCH, BATCH.replace_schema_metadata({"table": "other"})][:kinds]
    waits_ms: list[float] = []

    def work(start: int) -> None:
        for number in range(start, start + 1600 // threads):
            began = time.perf_counter()
            log.append(batches[number % kinds])
            waits_ms.append((time.perf_counter() - began) * 1e3)

    def all_at_once() -> None:
        workers = [threading.Thread(target=work, args=(start,)) for start in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    benchmark.pedantic(all_at_once, rounds=1)
    waits_ms.sort()
    shares = {f"p{share}": round(waits_ms[len(waits_ms) * share // 100], 2) for share in (50, 90, 99)}
    benchmark.extra_info.update(shares, within_5_ms=sum(wait <= 5 for wait in waits_ms) / len(waits_ms))
    print(f"\n{threads} threads, {kinds} kinds: {benchmark.extra_info}")


@pytest.mark.parametrize("rows", [10, 100, 20_000])
@pytest.mark.benchmark(group="open a log of 1 GiB that no memory holds, wall")
def test_open(benchmark: Any, log: Log, tmp_path: Path, rows: int) -> None:
    """All of it unsent, so every byte is checked; the kernel is told to forget the files before each round."""
    batch = to_batch([step_row(number) for number in range(rows)])
    while log.bytes_used < 1 << 30:
        for _ in range(2_000 // rows):
            log._enqueue(batch)  # noqa: SLF001 - many to a sync, or the making takes longest
        log.append(batch)
    log.close()

    def forget() -> None:
        for path in (tmp_path / "log").glob("*.seg"):
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    benchmark.pedantic(lambda: Log(tmp_path / "log").close(), setup=forget, rounds=3)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    benchmark.extra_info.update(records=log.last, peak_memory_grew_mib=grown_kib // 1024)
    print(f"\n{rows} rows a record: {benchmark.stats['mean']:.2f} s, {benchmark.extra_info}")
    for path in (tmp_path / "log").glob("*.seg"):
        path.unlink()
