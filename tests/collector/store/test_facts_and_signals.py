"""Facts and levels in the store: each once, the latest text of a fact, and what is new since last time."""

import threading
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from otel_cx_collector.clock import now_ns
from otel_cx_collector.config import StoreLimits
from otel_cx_collector.events import NS, STORED_NS, Fact, FactKind, SignalPoint, signal_batch
from otel_cx_collector.store import Store

T0 = 1_767_603_600
DAY_NS = 86_400 * NS
ALWAYS = (0, 2**62)
DEPLOY = Fact("d-1", T0 * NS, FactKind.DEPLOY, service="shop", version="1.8.2", link="https://ci.example/1")
RENEWAL = Fact(
    "r-1", T0 * NS + 1, FactKind.RENEWAL, account="k1.0123456789012345678901", due="2026-02-01", arr="48000", name="Ä"
)
WINDOW = Fact("m-1", T0 * NS + 2, FactKind.MAINTENANCE, journey="checkout", until_ns=STORED_NS)


def point(second: float, value: float = 1.0, *, resource: str = "db", series: str = "s") -> SignalPoint:
    return SignalPoint(resource, "i", series, round((T0 + second) * NS), value)


def signals(*points: SignalPoint) -> pa.Table:
    return pa.Table.from_batches([signal_batch(list(points))])


def points_of(table: pa.Table) -> list[SignalPoint]:
    return sorted((SignalPoint(**row) for row in table.to_pylist()), key=lambda each: (each.resource, each.at_ns))


def test_facts_come_back_as_they_were_by_time(store: Store) -> None:
    store.insert_facts([WINDOW, RENEWAL, DEPLOY])
    assert store.facts(*ALWAYS) == [DEPLOY, RENEWAL, WINDOW]


def test_a_fact_sent_again_is_one_fact_with_its_latest_text(store: Store) -> None:
    moved = replace(DEPLOY, version="1.8.3", at_ns=DEPLOY.at_ns + 30 * DAY_NS)
    store.insert_facts([DEPLOY])
    store.insert_facts([moved])
    assert store.facts(*ALWAYS) == [moved]
    store.insert_facts([moved, DEPLOY])
    assert store.facts(*ALWAYS) == [DEPLOY]


def test_facts_are_found_by_their_time(store: Store) -> None:
    store.insert_facts([DEPLOY, RENEWAL, WINDOW])
    assert store.facts(DEPLOY.at_ns, WINDOW.at_ns) == [DEPLOY, RENEWAL]


def test_only_what_is_new_is_read_and_nothing_new_costs_no_query(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = store.cursor_us()
    assert store.facts_since(cursor) == ([], cursor)
    store.insert_facts([DEPLOY])
    store.insert_signals(signals(point(1)))
    facts, cursor_facts = store.facts_since(cursor)
    table, cursor_signals = store.signals_since(cursor)
    assert (facts, points_of(table)) == ([DEPLOY], [point(1)])
    store.insert_facts([RENEWAL])
    assert store.facts_since(cursor_facts)[0] == [RENEWAL]

    def refuse(*_: object) -> None:
        raise AssertionError("nothing is new")

    monkeypatch.setattr(store._engine, "query", refuse)
    assert store.signals_since(cursor_signals)[0].num_rows == 0


def test_a_fact_that_was_sent_again_is_new_again(store: Store) -> None:
    store.insert_facts([DEPLOY])
    _, cursor = store.facts_since(0)
    store.insert_facts([replace(DEPLOY, version="2")])
    assert [fact.version for fact in store.facts_since(cursor)[0]] == ["2"]


def test_nothing_is_missed_and_nothing_comes_twice_while_another_thread_inserts(store: Store) -> None:
    def insert() -> None:
        for number in range(30):
            store.insert_signals(signals(point(number)))

    thread = threading.Thread(target=insert)
    cursor, seen = store.cursor_us(), list[SignalPoint]()
    thread.start()
    while thread.is_alive():
        table, cursor = store.signals_since(cursor)
        seen += points_of(table)
    seen += points_of(store.signals_since(cursor)[0])
    assert seen == [point(number) for number in range(30)]


def test_levels_are_found_by_resource_and_time_each_once(store: Store) -> None:
    rows = [point(0), point(9.5), point(10), point(5, resource="cache"), point(6, resource="queue")]
    for _ in range(2):
        store.insert_signals(signals(*rows))
    found = points_of(store.signals(["db", "cache"], T0 * NS, (T0 + 10) * NS))
    assert found == [rows[3], rows[0], rows[1]]


def test_levels_of_several_days_are_inserted_together(store: Store) -> None:
    rows = [point(day * 86_400) for day in range(3)]
    store.insert_signals(signals(*rows))
    assert points_of(store.signals(["db"], *ALWAYS)) == rows


def test_the_last_second_that_can_be_stored_is_stored(store: Store) -> None:
    last = SignalPoint("db", "i", "s", STORED_NS, 1.0)
    store.insert_signals(signals(last))
    assert points_of(store.signals(["db"], *ALWAYS)) == [last]


def test_levels_are_kept_like_rows_and_facts_for_400_days(tmp_path: Path) -> None:
    now = now_ns()
    with Store.temporary() as replaying:
        replaying.insert_facts([replace(DEPLOY, at_ns=NS)])
        replaying._engine.command("OPTIMIZE TABLE facts FINAL")
        assert len(replaying.facts(*ALWAYS)) == 1
    with Store(tmp_path / "store", StoreLimits()) as store:
        store.insert_facts([replace(DEPLOY, id=str(days), at_ns=now - days * DAY_NS) for days in (399, 401)])
        store.insert_signals(signals(*(SignalPoint("db", "i", "s", now - days * DAY_NS, days) for days in (7, 10))))
        for table in ("facts", "signals"):
            store._engine.command(f"OPTIMIZE TABLE {table} FINAL")
        assert [fact.id for fact in store.facts(*ALWAYS)] == ["399"]
        assert [each.value for each in points_of(store.signals(["db"], *ALWAYS))] == [7]
