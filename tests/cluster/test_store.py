"""What every store does, embedded, on one server and on two shards: the same questions, the same answers."""

import itertools
import threading
from dataclasses import replace

import pyarrow as pa
from step_rows import T0, rows_of, step_row, table

from otel_cx_collector.events import NS, STEP_SCHEMA, STORED_NS, Fact, FactKind, SignalPoint, StepRow, signal_batch
from otel_cx_collector.store import Count, Store

ALWAYS = (0, 2**62)
ATTEMPTS = [f"cart-{number}" for number in range(20)]
"""Enough that both shards have some."""
DEPLOY = Fact("d-1", T0 * NS, FactKind.DEPLOY, service="shop", version="1.8.2", link="https://ci.example/1")
FACTS = [replace(DEPLOY, id=f"d-{number}", at_ns=(T0 + number) * NS) for number in range(20)]


def everything(store: Store, journey: str = "checkout") -> list[StepRow]:
    return rows_of(store.steps(journey, *ALWAYS, ["production"]))


def signals(*points: SignalPoint) -> pa.Table:
    return pa.Table.from_batches([signal_batch(list(points))])


def points_of(answer: pa.Table) -> list[SignalPoint]:
    return sorted((SignalPoint(**row) for row in answer.to_pylist()), key=lambda each: (each.at_ns, each.series))


def test_a_row_comes_back_as_it_was(store: Store) -> None:
    row = step_row(
        7,
        trace_id=bytes(range(16)),
        attempt="Ünïcode ' \\ \n \0 %s {x:String}",
        own={},
        flags={"a": "", "": "b"},
        weight=2**64 - 1,
        version=2**64 - 1,
        exact=True,
        recoverable=True,
        duration_ns=2**63 - 1,
    )
    store.insert_steps(table(row))
    assert everything(store) == [row]


def test_columns_and_their_kinds_are_those_of_the_schema_also_of_no_rows(store: Store) -> None:
    empty = store.steps("checkout", *ALWAYS, ["production"])
    store.insert_steps(table(*(step_row(attempt=attempt) for attempt in ATTEMPTS)))
    rows = store.steps("checkout", *ALWAYS, ["production"])
    assert rows.column_names == [*STEP_SCHEMA.names, "inserted_at"]
    assert empty.schema.equals(rows.schema)
    for column in STEP_SCHEMA:
        kind = rows.schema.field(column.name).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        assert plain == column.type or column.name in {"own", "flags"}
    assert {column.num_chunks for column in rows.columns} == {1}
    assert pa.types.is_dictionary(rows.schema.field("step").type)


def test_of_several_copies_the_highest_version_is_seen_whatever_their_order(store: Store) -> None:
    for version in (2, 3, 1, 3):
        store.insert_steps(table(*(step_row(attempt=attempt, version=version) for attempt in ATTEMPTS)))
    assert [row.version for row in everything(store)] == [3] * len(ATTEMPTS)


def test_rows_are_found_by_event_time_and_sorted_by_attempt_end_and_span(store: Store) -> None:
    cells = list(itertools.product(ATTEMPTS, (0, 59, 60, 120), (2, 1)))
    store.insert_steps(table(*(step_row(span, attempt=attempt, end=(T0 + at) * NS) for attempt, at, span in cells)))
    found = rows_of(store.steps("checkout", (T0 + 59) * NS, (T0 + 120) * NS, ["production"]))
    keys = [(row.attempt, row.end // NS - T0, row.span_id[-1]) for row in found]
    assert keys == sorted(cell for cell in cells if cell[1] in (59, 60))


def test_only_what_was_asked_for_is_given(store: Store) -> None:
    for environment, journey in itertools.product(("production", "unset", "it's"), ("checkout", "login")):
        rows = [step_row(attempt=attempt, environment=environment, journey=journey) for attempt in ATTEMPTS]
        store.insert_steps(table(*rows))
    found = rows_of(store.steps("checkout", *ALWAYS, ["production", "it's"]))
    assert {(row.environment, row.journey) for row in found} == {("it's", "checkout"), ("production", "checkout")}
    assert len(found) == 2 * len(ATTEMPTS)
    assert store.steps("checkout", *ALWAYS, []).num_rows == 0


def test_rows_of_many_days_go_in_together(store: Store) -> None:
    rows = [step_row(day, attempt=f"{day:02}", end=(T0 + day * 86_400) * NS) for day in range(20)]
    store.insert_steps(table(*rows))
    assert everything(store) == rows


def test_each_execution_is_counted_once(store: Store) -> None:
    for _ in range(2):
        store.insert_steps(table(*(step_row(attempt=attempt) for attempt in ATTEMPTS)))
    expected = Count("production", "checkout", "payment", "checkout-api", "explicit", len(ATTEMPTS), T0 * NS)
    assert store.counts(*ALWAYS) == [expected]
    assert store.counts((T0 + 1) * NS, 2**62) == []


def test_whatever_is_inserted_after_a_cursor_is_given_and_may_be_given_again(store: Store) -> None:
    seen: set[bytes] = set()
    cursor = store.cursor_us()
    for number in range(6):
        store.insert_steps(table(step_row(number, attempt=ATTEMPTS[number]), step_row(99, journey="login")))
        new, cursor = store.steps_inserted_since("checkout", cursor)
        keys = [(row.attempt, row.end, row.span_id) for row in rows_of(new)]
        assert keys == sorted(keys)
        seen |= {key[2] for key in keys}
        assert seen == {row.span_id for row in everything(store)}
    assert len(seen) == 6


def test_what_several_threads_insert_at_once_is_all_there_and_all_seen_by_a_cursor(store: Store) -> None:
    def insert(first: int) -> None:
        for number in range(first, first + 8):
            store.insert_steps(table(step_row(number, attempt=f"a-{number}"), step_row(7, attempt="the same")))

    threads = [threading.Thread(target=insert, args=(first,)) for first in (100, 200, 300)]
    cursor, polled = store.cursor_us(), set()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        new, cursor = store.steps_inserted_since("checkout", cursor)
        polled |= {row.attempt for row in rows_of(new)}
    for thread in threads:
        thread.join()
    polled |= {row.attempt for row in rows_of(store.steps_inserted_since("checkout", cursor)[0])}
    found = [row.attempt for row in everything(store)]
    assert len(found) == 25
    assert polled == set(found)


def test_a_fact_sent_again_is_one_fact_with_its_latest_text(store: Store) -> None:
    store.insert_facts(FACTS)
    moved = [replace(fact, version="2", at_ns=fact.at_ns + 30 * 86_400 * NS) for fact in FACTS[::2]]
    store.insert_facts(moved)
    assert store.facts(*ALWAYS) == [*FACTS[1::2], *moved]
    assert store.facts(FACTS[3].at_ns, FACTS[5].at_ns) == [FACTS[3]]


def test_facts_inserted_after_a_cursor_are_given_by_time(store: Store) -> None:
    _, cursor = store.facts_since(0)
    store.insert_facts(FACTS[10:])
    found, cursor = store.facts_since(cursor)
    assert found == FACTS[10:]
    store.insert_facts(FACTS[:10])
    assert set(FACTS[:10]) <= set(store.facts_since(cursor)[0])
    assert store.facts_since(0)[0] == FACTS


def test_levels_are_found_by_resource_and_time_each_once(store: Store) -> None:
    times = (0, 9, 10, 86_400)
    points = [SignalPoint("db", "i", series, (T0 + at) * NS, at) for at, series in itertools.product(times, "abcdefgh")]
    last = SignalPoint("db", "i", "s", STORED_NS, 1.0)
    _, cursor = store.signals_since(0)
    for _ in range(2):
        store.insert_signals(signals(*points, last, SignalPoint("cache", "i", "s", T0 * NS, 1.0)))
    assert points_of(store.signals(["db", "queue"], T0 * NS, (T0 + 10) * NS)) == points[:16]
    assert points_of(store.signals(["db"], *ALWAYS)) == [*points, last]
    assert set(points_of(store.signals_since(cursor)[0])) >= {*points, last}


def test_a_node_s_slices_are_noted_once(store: Store) -> None:
    for _ in range(2):
        store.heartbeat("b", [T0 + 10, T0, T0 + 20])
        store.heartbeat("a", [T0, T0 + 86_400])
    assert store.heartbeats(T0, T0 + 20) == {"a": [T0], "b": [T0, T0 + 10]}
    assert store.heartbeats(0, 2**32 - 1) == {"a": [T0, T0 + 86_400], "b": [T0, T0 + 10, T0 + 20]}


def test_tables_have_a_size_and_rows_are_counted_until_merged(store: Store) -> None:
    assert store.stats()["steps"].rows == 0
    store.insert_steps(table(*(step_row(attempt=attempt) for attempt in ATTEMPTS)))
    store.insert_facts(FACTS)
    sizes = store.stats()
    assert (sizes["steps"].rows, sizes["facts"].rows, sizes["signals"].rows) == (20, 20, 0)
    assert sizes["steps"].bytes > 0


def test_a_customer_is_erased_wherever_the_rows_are(store: Store) -> None:
    theirs = [step_row(1, attempt=attempt, customer="k1.gone") for attempt in ATTEMPTS]
    others = [step_row(2, attempt=attempt, customer="k1.stays") for attempt in ATTEMPTS]
    store.insert_steps(table(*theirs, *others))
    assert store.erase("customer", "k1.gone") == {"steps": len(ATTEMPTS), "facts": 0}
    assert {row.customer for row in everything(store)} == {"k1.stays"}
    assert len(everything(store)) == len(ATTEMPTS)
    assert store.erase("customer", "k1.gone") == {"steps": 0, "facts": 0}
