"""An hour in any order, repeated, through four writers into two shards: judged to the byte as in one directory."""

import random
import threading
from dataclasses import replace

import pyarrow as pa
import pytest
from cluster.conftest import Opens
from cluster.nodes import Node
from recordings import START_S, Step, write

from otel_cx_collector import inventory, replay
from otel_cx_collector.events import NS, Fact, FactKind, SignalPoint, signal_batch
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.measure.report import dump
from otel_cx_collector.recording import NEVER_NS, Recording, read
from otel_cx_collector.store import Store

INVENTORY = """
dimensions: {segment: {enterprise: 1.0, trial: 0.4}, region: [eu, us]}
journeys:
  checkout:
    timeout: 10m
    steps: [cart, {name: payment, depends_on: [payments-db]}, confirm]
    objectives:
      - {sli: availability, target: 99%, window: 30d}
      - {sli: latency, step: payment, threshold: 1.5s, target: 95%, window: 30d}
      - {sli: completion, target: 60%, window: 30d}
  login: {steps: [password]}
saturation:
  payments-db: {metric: db.client.connection.count, limit: 50, warn: 80%}
escalation:
  - {name: full, journey: checkout, when: {saturation: payments-db, above: 80%, for: 5m}, then: {severity: P3}}
  - {name: impact, journey: "*", when: {impact: score, above: 4}, then: {severity: by-score}}
"""


def an_hour() -> list[Step]:
    """Three steps an attempt; for ten minutes after a deploy half of the payments fail, and the database fills up."""
    rng = random.Random(7)
    steps = []
    for number in range(1200):
        begin, attempt = number * 3, f"a{number}"
        dims = {"otelcx.segment": rng.choice(["enterprise", "trial"]), "otelcx.region": rng.choice(["eu", "us"])}
        failing = 50 if 1200 <= begin < 1800 else 3
        for offset, step in ((0, "cart"), (20, "payment"), (40, "confirm")):
            outcome = rng.choices([None, "failed", "cancelled"], [100 - failing, failing, 1])[0]
            how = {"outcome": outcome, "duration_s": rng.lognormvariate(-1, 1), "customer": f"k.{number % 400:022d}"}
            steps.append(Step(begin + offset, attempt, step=step, attributes=dims, **how))  # type: ignore[arg-type]
            if outcome:
                break
        steps.append(Step(begin, f"l{number}", journey="login", step="password"))
    return sorted(steps, key=lambda one: one.at_s)


@pytest.fixture(scope="module")
def file() -> Inventory:
    return inventory.parse(INVENTORY)


@pytest.fixture(scope="module")
def recording(file: Inventory, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    found = read([str(write(tmp_path_factory.mktemp("hour") / "hour.jsonl", an_hour()))], file)
    times = range(START_S, START_S + 3600, 10)
    found.points = [
        SignalPoint("payments-db", "i", series, at * NS, 22.0 if 1260 <= at - START_S < 1860 else 5.0)
        for at in times
        for series in ("used", "idle")
    ]
    found.facts = [Fact("d-1", (START_S + 1190) * NS, FactKind.DEPLOY, service="shop", version="2")]
    return found


def report(store: Store, recording: Recording, file: Inventory) -> str:
    """What a replay would say of the rows, facts and levels that a store gives back."""
    rows = recording.rows()
    tables = {name: store.steps(name, 0, NEVER_NS, file.environments) for name in file.journeys}
    back = replace(recording, facts=store.facts(0, NEVER_NS), points=_points(store))
    bench = replay.court(back, tables, rows, file)
    distinct = sum(count.rows for count in store.counts(0, NEVER_NS))
    return dump(replay._head(recording, rows, distinct, bench) | replay._as_of(bench, bench.last_s))


def _points(store: Store) -> list[SignalPoint]:
    return [SignalPoint(**row) for row in store.signals(["payments-db"], 0, NEVER_NS).to_pylist()]


def sendings(recording: Recording, rng: random.Random) -> list[pa.Table]:
    """The rows in pieces: each at least once, some two and three times, in no order."""
    rows = recording.rows()
    order = list(range(rows.num_rows)) + rng.sample(range(rows.num_rows), rows.num_rows // 2) * 2
    rng.shuffle(order)
    size = len(order) // 40
    return [rows.take(pa.array(order[first : first + size])) for first in range(0, len(order), size)]


def test_a_shuffled_hour_with_repeats_through_four_writers_is_judged_as_in_one_directory(
    two: list[Node], opens: Opens, recording: Recording, file: Inventory
) -> None:
    with Store.temporary() as embedded:
        embedded.insert_steps(recording.rows())
        embedded.insert_facts(recording.facts)
        embedded.insert_signals(pa.Table.from_batches([signal_batch(recording.points)]))
        expected = report(embedded, recording, file)
        rows = {name: embedded.steps(name, 0, NEVER_NS, file.environments) for name in file.journeys}

    rng = random.Random(1)
    pieces = sendings(recording, rng)
    writers = [opens(node) for node in [*two, *two]]

    def send(number: int) -> None:
        for piece in pieces[number :: len(writers)]:
            writers[number].insert_steps(piece)
        writers[number].insert_facts(recording.facts)
        shuffled = random.Random(number).sample(recording.points, len(recording.points))
        writers[number].insert_signals(pa.Table.from_batches([signal_batch(shuffled)]))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(len(writers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for store in writers[:2]:
        for name, table in rows.items():
            same = store.steps(name, 0, NEVER_NS, file.environments)
            assert same.drop_columns("inserted_at").to_pylist() == table.drop_columns("inserted_at").to_pylist()
        assert report(store, recording, file) == expected
    assert '"severity": "P' in expected or '"severity":"P' in expected
