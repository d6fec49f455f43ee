"""One shard is away: reads fail and say which, rows wait in the log, and when it is back the figures are exact."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster.conftest import Opens
from cluster.nodes import Node
from step_rows import T0, rows_of, step_row, table

from otel_cx_collector.errors import Unavailable
from otel_cx_collector.events import NS, to_batch
from otel_cx_collector.log import Log
from otel_cx_collector.store import Flusher, StoreError, StoreLimits
from otel_cx_collector.store.remote import RemoteStore

ALWAYS = (0, 2**62)
ROWS = [step_row(attempt=f"cart-{number}") for number in range(100)]


@pytest.fixture
def shard(two: list[Node]) -> Iterator[Node]:
    """The one that is stopped, and back after the test."""
    yield two[1]
    if not two[1].answers():
        two[1].start()
        two[1].wait()


def attempts(store: RemoteStore) -> list[str]:
    return [row.attempt for row in rows_of(store.steps("checkout", *ALWAYS, ["production"]))]


def test_every_question_fails_and_names_the_shard(two: list[Node], shard: Node, opens: Opens) -> None:
    store = opens(two[0])
    store.insert_steps(table(*ROWS))
    cursor = store.cursor_us()
    shard.kill()
    which = rf"shard 2 .*{shard.host}"
    for ask in (
        lambda: store.steps("checkout", *ALWAYS, ["production"]),
        lambda: store.steps_inserted_since("checkout", cursor),
        lambda: store.facts(*ALWAYS),
        lambda: store.facts_since(0),
        lambda: store.signals(["db"], *ALWAYS),
        lambda: store.signals_since(0),
        lambda: store.heartbeats(T0, T0 + 60),
        lambda: store.counts(*ALWAYS),
        store.stats,
    ):
        with pytest.raises(Unavailable, match=which):
            ask()
    assert "shard 2" in store.health()
    shard.start()
    shard.wait()
    assert store.health() == ""
    assert len(attempts(store)) == 100


def test_an_insert_fails_retryably_and_trying_again_makes_it_whole(two: list[Node], shard: Node, opens: Opens) -> None:
    store = opens(two[0])
    shard.kill()
    for _ in range(3):
        with pytest.raises(StoreError, match="shard 2") as caught:
            store.insert_steps(table(*ROWS))
        assert isinstance(caught.value, Unavailable)
        assert caught.value.retry_after_s > 0
    shard.start()
    shard.wait()
    store.insert_steps(table(*ROWS))
    assert sorted(attempts(store)) == sorted(row.attempt for row in ROWS)
    assert [count.rows for count in store.counts(*ALWAYS)] == [100]


def test_what_was_acknowledged_meanwhile_is_there_once_when_the_shard_is_back(
    two: list[Node], shard: Node, opens: Opens, tmp_path: Path
) -> None:
    store = opens(two[0])
    cursor = store.cursor_us()
    with Log(tmp_path / "log") as log:
        flusher = Flusher(log, store, StoreLimits(block_ns=NS // 100))
        flusher.start()
        log.append(to_batch(ROWS[:30]))
        assert flusher.flush(30)
        shard.kill()
        for number in range(30, 100):
            log.append(to_batch([ROWS[number]]))
        assert not flusher.flush(1)
        assert flusher.state.failing
        assert "shard 2" in flusher.state.last_error
        shard.start()
        shard.wait()
        assert flusher.flush(60)
        assert flusher.stop(30)
    assert sorted(attempts(store)) == sorted(row.attempt for row in ROWS)
    seen, _ = store.steps_inserted_since("checkout", cursor)
    assert {row.attempt for row in rows_of(seen)} == {row.attempt for row in ROWS}


def test_a_collector_starts_while_a_shard_is_away_and_goes_on_when_it_is_back(
    two: list[Node], shard: Node, opens: Opens
) -> None:
    shard.kill()
    store = opens(two[0])
    with pytest.raises(Unavailable, match="shard 2"):
        store.insert_steps(table(*ROWS))
    shard.start()
    shard.wait()
    with pytest.raises(StoreError):  # this shard has never seen our tables
        store.insert_steps(table(*ROWS))
    store.insert_steps(table(*ROWS))
    assert len(attempts(store)) == 100


def test_a_collector_starts_while_the_server_it_asks_is_away(two: list[Node], shard: Node, opens: Opens) -> None:
    shard.kill()
    store = opens(shard)
    with pytest.raises(Unavailable, match=rf"the ClickHouse server at {shard.host}:\d+ does not answer"):
        store.insert_steps(table(*ROWS))
    shard.start()
    shard.wait()
    store.insert_steps(table(*ROWS))
    assert len(attempts(store)) == 100
