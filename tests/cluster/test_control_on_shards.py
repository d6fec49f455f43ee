"""Control over two shards: what it reads again changes nothing, and after a shard was away nothing is missed."""

from collections.abc import Iterator

import pyarrow as pa
import pytest
from cluster.conftest import Opens
from cluster.nodes import Node
from control_scene import FILE, Scene
from rows import START_S, Row, table

from otel_cx_collector.errors import Unavailable
from otel_cx_collector.events import NS, Fact, FactKind, SignalPoint, signal_batch
from otel_cx_collector.measure.evaluation import figures, of_track
from otel_cx_collector.store.remote import RemoteStore


@pytest.fixture
def shard(two: list[Node]) -> Iterator[Node]:
    yield two[1]
    if not two[1].answers():
        two[1].start()
        two[1].wait()


def attempts(first: int, at_s: float) -> list[Row]:
    """Fifty attempts of one step, at one moment; every tenth fails."""
    return [
        Row(at_s, f"a-{number}", outcome="failed" if number % 10 == 0 else "ok") for number in range(first, first + 50)
    ]


def scene(store: RemoteStore) -> Scene:
    return Scene(store=store, inventory=FILE)  # type: ignore[arg-type] # the real one has more than the fake


def payments(judged: Scene) -> tuple[float, float]:
    track = judged.control.subjects["checkout"].track
    step = figures(of_track(track, (START_S + round(judged.now_s)) * NS), START_S * NS).steps["payment"]
    return step.ok, step.failed


def test_control_takes_rows_again_fails_while_a_shard_is_away_and_then_has_them_all(
    two: list[Node], shard: Node, opens: Opens
) -> None:
    store, ingest = opens(two[0]), opens(two[0])
    now_s = store._servers.now_ns() // NS - START_S
    ingest.insert_steps(table(attempts(0, now_s - 200)))
    ingest.insert_facts([Fact("d-1", NS, FactKind.DEPLOY, service="shop")])
    ingest.insert_signals(pa.Table.from_batches([signal_batch([SignalPoint("db", "i", "s", START_S * NS, 1.0)])]))
    judged = scene(store)
    for second in (0, 10):
        judged.judge(now_s + second)
        assert payments(judged) == (45, 5)
    ingest.insert_steps(table(attempts(50, now_s - 100)))
    judged.judge(now_s + 20)
    assert payments(judged) == (90, 10)

    shard.kill()
    with pytest.raises(Unavailable, match="shard 2"):
        judged.judge(now_s + 30)
    assert payments(judged) == (90, 10)
    shard.start()
    shard.wait()
    ingest.insert_steps(table(attempts(100, now_s - 90)))
    ingest.insert_steps(table(attempts(50, now_s - 100)))
    for second in (40, 50):
        judged.judge(now_s + second)
        assert payments(judged) == (135, 15)
