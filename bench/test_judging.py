"""What judging costs: a live round of many journeys, a boundary, and the replay of a quiet month.

    .venv/bin/pytest bench/test_judging.py --benchmark-only -q -s

Times are CPU seconds of the whole process.
"""

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from crowds import crowd
from rows import START_S

from otel_cx_collector import inventory
from otel_cx_collector.coverage import Beats
from otel_cx_collector.events import NS, SLICE_S
from otel_cx_collector.judging.judge import judge
from otel_cx_collector.judging.state import State
from otel_cx_collector.judging.subject import Subject
from otel_cx_collector.judging.world import World
from otel_cx_collector.measure.track import Track

JOURNEYS = 50
SEGMENTS = [f"s{number}" for number in range(40)]
DAY_S = 24 * 3600
ROWS = 750_000
ROUNDS = 18
"""Three minutes: one round in six closes a minute."""
NAMES = [f"j{number}" for number in range(JOURNEYS)]
JOURNEY = "{steps: [cart, payment], objectives: [{sli: availability, target: 99%, window: 30d}]}"
FILE = inventory.parse(
    f"dimensions: {{segment: [{', '.join(SEGMENTS)}]}}\n"
    f"journeys: {{{', '.join(f'{name}: {JOURNEY}' for name in NAMES)}}}"
)
QUIET = inventory.parse(f"journeys: {{checkout: {JOURNEY}}}")
MONTH_S = 30 * DAY_S


def some(rng: np.random.Generator, name: str, from_s: int, to_s: int, count: int, failed: float) -> pa.Table:
    """Executions at random times, two an attempt, in random segments."""
    end_ns = from_s * NS + np.sort(rng.integers(0, (to_s - from_s) * NS, count))
    attempt = np.arange(count) // 2 + from_s * 1000
    return crowd(
        end_ns,
        from_s * 1000,
        journey=name,
        attempt=np.char.add("a", attempt.astype(str)),
        step=np.where(np.arange(count) % 2 == 0, "cart", "payment"),
        outcome=np.where(rng.random(count) < failed, "failed", "ok"),
        segment=np.array(SEGMENTS)[rng.integers(0, len(SEGMENTS), count)],
        customer=np.char.add("k", (attempt % 5000).astype(str)),
    )


def world(now_s: int) -> World:
    """Heartbeats as live rounds have them."""
    beats = Beats(now_s - 8 * DAY_S, np.ones(8 * DAY_S // SLICE_S, dtype=np.bool_))
    return World(FILE, measured_slices=beats.between, measured_minutes=beats.minutes)


@pytest.mark.parametrize("hurt", [0, 10])
@pytest.mark.benchmark(group="a live round of 50 journeys, 750,000 rows over 24 h", timer=time.process_time)
def test_live_round(benchmark: Any, hurt: int) -> None:
    """Rows of ten seconds are added and one boundary is judged; ``hurt`` journeys are in an outage all the while."""
    rng = np.random.default_rng(1)
    each = ROWS // JOURNEYS
    subjects = {}
    for name in NAMES:
        track = Track(FILE.journeys[name], FILE)
        track.add(some(rng, name, START_S, START_S + DAY_S, each, 0.005))
        subjects[name] = Subject(track, world(START_S + DAY_S))
    state = State(START_S + DAY_S - SLICE_S)
    judge(subjects, state, START_S + DAY_S, world(START_S + DAY_S))
    at_s = [START_S + DAY_S]
    spent: list[float] = []

    def one_round() -> None:
        begin = time.process_time()
        around = world(at_s[0] + SLICE_S)
        for name in NAMES:
            subjects[name].world = around
            subjects[name].track.add(fresh[name][(at_s[0] - START_S - DAY_S) // SLICE_S])
        at_s[0] += SLICE_S
        judge(subjects, state, at_s[0], around)
        spent.append(time.process_time() - begin)

    a_round = max(2, each * SLICE_S // DAY_S)
    fresh = {
        name: [
            some(rng, name, from_s, from_s + SLICE_S, a_round * (5 if at < hurt else 1), 0.4 if at < hurt else 0.005)
            for from_s in range(START_S + DAY_S, START_S + DAY_S + (ROUNDS + 1) * SLICE_S, SLICE_S)
        ]
        for at, name in enumerate(NAMES)
    }
    benchmark.pedantic(one_round, rounds=ROUNDS, warmup_rounds=0)
    benchmark.extra_info["worst_s"] = round(max(spent), 3)
    print(f"\n{hurt} hurt: mean {np.mean(spent):.3f} s, worst {max(spent):.3f} s, others {np.median(spent):.3f} s")


@pytest.mark.parametrize("an_hour", [10, 120])
@pytest.mark.benchmark(group="a quiet month judged, as replay does", timer=time.process_time)
def test_quiet_month(benchmark: Any, an_hour: int) -> None:
    rng = np.random.default_rng(1)
    table = some(rng, "checkout", START_S, START_S + MONTH_S, an_hour * 24 * 30, 0.005)

    def replayed() -> None:
        around = World(QUIET)
        track = Track(QUIET.journeys["checkout"], QUIET)
        track.add(table)
        judge({"checkout": Subject(track, around)}, State(START_S), START_S + MONTH_S, around)

    benchmark.pedantic(replayed, rounds=1)
    each_us = benchmark.stats["mean"] / (MONTH_S // SLICE_S) * 1e6
    print(f"\n{an_hour} an hour: {benchmark.stats['mean']:.1f} s, {each_us:.1f} us a boundary")
