"""What the embedded store costs: CPU of inserting rows, and how long the readers of control wait.

    .venv/bin/pytest bench/test_store.py --benchmark-only -q

Times under ``cpu`` are CPU seconds of the whole process, the engine's threads included; the others are wall clock.
"""

import random
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from step_rows import T0, step_row, table

from otel_cx_collector.events import NS
from otel_cx_collector.store import Store

JOURNEYS = 10
ROWS = 1_000_000
HOURS = 24


def some_rows(count: int, seed: int) -> pa.Table:
    """Rows over a day and ten journeys, four executions an attempt, with ids as random as real ones."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        attempt = number // 4
        journey = f"journey-{attempt % JOURNEYS}"
        customer = f"k1.{draw.getrandbits(132):033x}"[:25]
        end = T0 * NS + draw.randrange(HOURS * 3600 * NS)
        trace = draw.randbytes(16)
        row = step_row(
            number,
            journey=journey,
            attempt=f"{seed}-{attempt}",
            customer=customer,
            end=end,
            trace_id=trace,
            duration_ns=draw.randrange(NS),
        )
        rows.append(row._replace(span_id=trace[:8]))
    return table(*rows)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with Store.temporary() as store:
        yield store


@pytest.fixture(scope="module")
def full(store: Store) -> Store:
    """A million rows of one day, one in fifty of them sent twice."""
    block = some_rows(50_000, 0)
    for number in range(ROWS // 50_000):
        attempts = pa.array([f"{number}-{attempt}" for attempt in block["attempt"].to_pylist()])
        copy = block.set_column(block.schema.get_field_index("attempt"), "attempt", attempts)
        store.insert_steps(copy)
        store.insert_steps(copy.slice(0, 1000))
    return store


@pytest.mark.parametrize("rows", [100, 1_000, 10_000, 50_000])
@pytest.mark.benchmark(group="insert, cpu", timer=time.process_time)
def test_insert_cpu(benchmark: Any, store: Store, rows: int) -> None:
    block = some_rows(rows, 1)
    benchmark.pedantic(store.insert_steps, args=(block,), rounds=8, warmup_rounds=2)
    benchmark.extra_info["us_per_row"] = benchmark.stats["mean"] / rows * 1e6


@pytest.mark.parametrize("rows", [100, 50_000])
@pytest.mark.benchmark(group="insert, wall")
def test_insert_wall(benchmark: Any, store: Store, rows: int) -> None:
    benchmark.pedantic(store.insert_steps, args=(some_rows(rows, 1),), rounds=8, warmup_rounds=2)


@pytest.mark.parametrize("minutes", [2, 60, HOURS * 60])
@pytest.mark.benchmark(group="steps of one journey in ten, one million rows a day, wall")
def test_read_steps(benchmark: Any, full: Store, minutes: int) -> None:
    start = (T0 + 6 * 3600) * NS if minutes < 1000 else T0 * NS
    rows = benchmark(full.steps, "journey-1", start, start + minutes * 60 * NS, ["production"])
    benchmark.extra_info["rows"] = rows.num_rows


@pytest.mark.benchmark(group="steps inserted since the last look, nothing new, wall")
def test_read_nothing_new(benchmark: Any, full: Store) -> None:
    rows, _ = benchmark(full.steps_inserted_since, "journey-1", full.cursor_us())
    assert rows.num_rows == 0


@pytest.mark.benchmark(group="steps inserted since the last look, 1,000 new in 10,000, wall")
def test_read_what_is_new(benchmark: Any, full: Store) -> None:
    cursor = full.cursor_us()
    full.insert_steps(some_rows(10_000, 2))
    rows, _ = benchmark(full.steps_inserted_since, "journey-1", cursor)
    assert rows.num_rows == 1_000


@pytest.mark.benchmark(group="counts of an hour, wall")
def test_counts(benchmark: Any, full: Store) -> None:
    benchmark(full.counts, T0 * NS, (T0 + 3600) * NS)
    benchmark.extra_info["bytes_per_row"] = full.stats()["steps"].bytes / full.stats()["steps"].rows
