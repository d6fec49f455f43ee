"""Step rows in the store: each execution once, whatever was sent how often; and what is new since last time."""

import itertools
import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from step_rows import T0, rows_of, step_row, table

from otel_cx_collector.events import NS, STEP_SCHEMA, StepRow
from otel_cx_collector.store import Count, Store, StoreError

HOUR_NS = 3600 * NS
ALWAYS = (0, 2**62)


def everything(store: Store, journey: str = "checkout") -> list[StepRow]:
    return rows_of(store.steps(journey, *ALWAYS, ["production"]))


def test_a_row_comes_back_as_it_was(store: Store) -> None:
    row = step_row(
        7,
        trace_id=bytes(range(16)),
        end=T0 * NS + 123_456_789,
        recoverable=True,
        attempt="Ünïcode ' \\ \n \0 %s {x:String}",
        own={},
        flags={"a": "", "": "b"},
        weight=2**64 - 1,
        version=2**64 - 1,
        exact=True,
        duration_ns=2**63 - 1,
    )
    store.insert_steps(table(row))
    assert everything(store) == [row]


def test_columns_are_those_of_the_schema_and_when_the_row_was_inserted(store: Store) -> None:
    store.insert_steps(table(step_row()))
    rows = store.steps("checkout", *ALWAYS, ["production"])
    assert rows.column_names == [*STEP_SCHEMA.names, "inserted_at"]
    plain = {
        name: kind.value_type if pa.types.is_dictionary(kind) else kind
        for name, kind in zip(rows.column_names, rows.schema.types, strict=True)
    }
    for column in STEP_SCHEMA:
        assert plain[column.name] == column.type or column.name in {"own", "flags"}
    assert plain["inserted_at"] == pa.int64()
    assert {column.num_chunks for column in rows.columns} == {1}
    for name in ("environment", "journey", "step", "outcome", "segment", "region", "service"):
        assert pa.types.is_dictionary(rows.schema.field(name).type)


def test_an_empty_answer_has_the_same_columns(store: Store) -> None:
    empty = store.steps("checkout", *ALWAYS, ["production"])
    store.insert_steps(table(step_row()))
    assert empty.num_rows == 0
    assert empty.schema.equals(store.steps("checkout", *ALWAYS, ["production"]).schema)


def test_inserting_nothing_is_nothing(store: Store) -> None:
    store.insert_steps(table())
    assert everything(store) == []


def test_of_several_copies_the_highest_version_is_seen_whatever_the_order(store: Store) -> None:
    copies = [step_row(version=version, service_version=str(version)) for version in (2, 3, 1)]
    for number, order in enumerate(itertools.permutations(copies)):
        journey = f"journey-{number}"
        for row in order:
            store.insert_steps(table(row._replace(journey=journey)))
        assert [row.version for row in everything(store, journey)] == [3]


def test_copies_within_one_insert_are_one_row(store: Store) -> None:
    store.insert_steps(table(step_row(version=1), step_row(version=2), step_row(version=2)))
    assert [row.version for row in everything(store)] == [2]


def test_rows_are_found_by_event_time_and_sorted_by_attempt_end_and_span(store: Store) -> None:
    rows = [
        step_row(number, attempt=attempt, end=(T0 + second) * NS)
        for number, (attempt, second) in enumerate(itertools.product(("b", "a"), (0, 59, 60, 119, 120)), 1)
    ]
    store.insert_steps(table(*rows))
    found = rows_of(store.steps("checkout", (T0 + 59) * NS, (T0 + 120) * NS, ["production"]))
    assert [(row.attempt, row.end // NS - T0) for row in found] == [
        ("a", 59), ("a", 60), ("a", 119), ("b", 59), ("b", 60), ("b", 119),
    ]  # fmt: skip


def test_a_span_of_time_holds_its_start_and_not_its_end(store: Store) -> None:
    store.insert_steps(table(*(step_row(number, end=(T0 + number) * NS) for number in (9, 10, 20))))
    found = rows_of(store.steps("checkout", (T0 + 10) * NS, (T0 + 20) * NS, ["production"]))
    assert [row.end // NS - T0 for row in found] == [10]
    assert [count.rows for count in store.counts((T0 + 10) * NS, (T0 + 20) * NS)] == [1]


def test_a_copy_that_lost_is_not_found_even_where_the_winner_is_outside(store: Store) -> None:
    store.insert_steps(table(step_row(end=(T0 + 5) * NS, version=1)))
    store.insert_steps(table(step_row(end=(T0 + 25) * NS, version=2)))
    assert rows_of(store.steps("checkout", T0 * NS, (T0 + 10) * NS, ["production"])) == []
    assert len(rows_of(store.steps("checkout", (T0 + 20) * NS, (T0 + 30) * NS, ["production"]))) == 1


def test_only_the_environments_and_the_journey_asked_for_are_given(store: Store) -> None:
    for number, (environment, journey) in enumerate(
        itertools.product(("production", "unset", "it's"), ("checkout", "login"))
    ):
        store.insert_steps(table(step_row(number, environment=environment, journey=journey)))
    found = rows_of(store.steps("checkout", *ALWAYS, ["production", "it's"]))
    assert sorted((row.environment, row.journey) for row in found) == [("it's", "checkout"), ("production", "checkout")]
    assert store.steps("checkout", *ALWAYS, []).num_rows == 0


def test_rows_of_many_days_go_in_together(store: Store) -> None:
    rows = [step_row(day, end=(T0 + day * 86_400) * NS) for day in range(40)]
    store.insert_steps(table(*rows))
    assert [row.end for row in everything(store)] == [row.end for row in rows]


def test_rows_older_than_any_retention_stay_in_a_temporary_store(store: Store) -> None:
    store.insert_steps(table(step_row(end=60 * NS)))
    store._engine.command("OPTIMIZE TABLE steps FINAL")
    assert len(everything(store)) == 1


def test_what_is_new_since_a_cursor_is_given_once(store: Store) -> None:
    store.insert_steps(table(step_row(1)))
    cursor = store.cursor_us()
    empty, cursor = store.steps_inserted_since("checkout", cursor)
    assert empty.num_rows == 0
    store.insert_steps(table(step_row(2), step_row(3, journey="login")))
    store.insert_steps(table(step_row(4, end=(T0 - 20 * 3600) * NS)))
    new, cursor = store.steps_inserted_since("checkout", cursor)
    assert sorted(row.span_id[-1] for row in rows_of(new)) == [2, 4]
    assert store.steps_inserted_since("checkout", cursor)[0].num_rows == 0


def test_a_copy_that_replaces_a_row_is_new(store: Store) -> None:
    store.insert_steps(table(step_row(version=1)))
    cursor = store.cursor_us()
    store.insert_steps(table(step_row(version=2)))
    new, _ = store.steps_inserted_since("checkout", cursor)
    assert [row.version for row in rows_of(new)] == [2]


def test_a_cursor_of_zero_gives_everything(store: Store) -> None:
    store.insert_steps(table(step_row(1)))
    new, cursor = store.steps_inserted_since("checkout", 0)
    assert new.num_rows == 1
    assert cursor == store.cursor_us()


@pytest.mark.parametrize("step_us", [0, -5, 1, 1000])
def test_a_clock_that_stands_still_or_goes_back_hides_nothing_from_a_cursor(step_us: int) -> None:
    ticks = itertools.count(T0 * 1_000_000, step_us)
    with Store.temporary(clock=lambda: next(ticks) * 1000) as store:
        cursor = store.cursor_us()
        for number in range(5):
            store.insert_steps(table(step_row(number)))
            new, cursor = store.steps_inserted_since("checkout", cursor)
            assert [row.span_id[-1] for row in rows_of(new)] == [number]


def test_a_reader_beside_a_writer_misses_nothing_and_sees_nothing_twice(store: Store) -> None:
    cursor = store.cursor_us()
    failed: list[Exception] = []

    def write() -> None:
        try:
            for number in range(60):
                store.insert_steps(table(step_row(number, attempt=str(number)), step_row(number, attempt="b")))
        except Exception as error:  # noqa: BLE001 - told by the assertion below
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[int] = []
    while writer.is_alive() or len(seen) < 120:
        assert not failed
        new, cursor = store.steps_inserted_since("checkout", cursor)
        seen += [row.span_id[-1] for row in rows_of(new)]
    writer.join()
    assert sorted(seen) == sorted([*range(60), *range(60)])


def test_threads_read_and_write_at_once(store: Store) -> None:
    failed: list[Exception] = []

    def work(worker: int) -> None:
        try:
            for number in range(8):
                store.insert_steps(table(step_row(number, attempt=f"{worker}")))
                assert len(everything(store)) > number
        except Exception as error:  # noqa: BLE001 - told by the assertion below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(everything(store)) == 48


def test_counts_are_of_executions_by_where_they_were_seen(store: Store) -> None:
    store.insert_steps(
        table(step_row(1), step_row(2, end=(T0 + 9) * NS), step_row(3, environment="unset", step="cart"))
    )
    store.insert_steps(table(step_row(1), step_row(4, end=T0 * NS + HOUR_NS)))
    assert store.counts(T0 * NS, T0 * NS + HOUR_NS) == [
        Count("production", "checkout", "payment", "checkout-api", "explicit", rows=2, last_end_ns=(T0 + 9) * NS),
        Count("unset", "checkout", "cart", "checkout-api", "explicit", rows=1, last_end_ns=T0 * NS),
    ]


def test_sizes_are_told_for_every_table(store: Store) -> None:
    sizes = {name: size.rows for name, size in store.stats().items()}
    assert sizes == {"steps": 0, "heartbeats": 0, "facts": 0, "signals": 0}
    store.insert_steps(table(step_row(1), step_row(2)))
    steps = store.stats()["steps"]
    assert (steps.rows, steps.parts) == (2, 1)
    assert steps.bytes > 0


def test_heartbeats_are_the_slices_each_node_has_reported_for(store: Store) -> None:
    store.heartbeat("b", [T0 + 10, T0])
    store.heartbeat("a", [T0, T0])
    store.heartbeat("a", [T0, T0 + 20, T0 + 86_400])
    store.heartbeat("a", [])
    assert store.heartbeats(T0, T0 + 86_400) == {"a": [T0, T0 + 20], "b": [T0, T0 + 10]}
    assert store.heartbeats(T0 + 10, T0 + 86_401) == {"a": [T0 + 20, T0 + 86_400], "b": [T0 + 10]}
    assert store.heartbeats(0, T0) == {}


def test_an_error_of_the_engine_is_a_store_error_without_its_stack(store: Store) -> None:
    with pytest.raises(StoreError, match=r"Unknown table expression identifier .nothing") as caught:
        store._engine.query("SELECT * FROM nothing")
    assert "version" not in str(caught.value)
    with pytest.raises(StoreError, match="nothing"):
        store._engine.insert("steps", pa.table({"nothing": [1]}))


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreError, match="the store is closed"):
        store.stats()
    with pytest.raises(StoreError, match="the store is closed"):
        store.insert_steps(table(step_row()))


@pytest.fixture(scope="module")
def shared() -> Iterator[Store]:
    """One store for all examples of a law; each has a journey of its own."""
    with Store.temporary() as store:
        yield store


_journeys = itertools.count()
_copies = st.builds(
    lambda number, attempt, second, version: step_row(
        number, attempt=attempt, end=(T0 + second) * NS, version=version, duration_ns=version * 1000 + second
    ),
    st.integers(1, 3),
    st.sampled_from("ab"),
    st.sampled_from([0, 9, 10, 59, 60, 86_399, 54_000]),
    st.integers(1, 4),
)


def _key(row: StepRow) -> tuple[object, ...]:
    return row.environment, row.attempt, row.minute, row.span_id


@settings(max_examples=25, deadline=None)
@given(sent=st.lists(st.tuples(st.lists(_copies, min_size=1, max_size=6), st.booleans()), max_size=4))
def test_whatever_was_sent_in_whatever_order_is_one_row_for_each_execution(
    shared: Store, sent: list[tuple[list[StepRow], bool]]
) -> None:
    journey = f"law-{next(_journeys)}"
    newest: dict[tuple[object, ...], StepRow] = {}
    polled: dict[tuple[object, ...], StepRow] = {}
    versions: dict[tuple[object, ...], StepRow] = {}
    cursor = shared.cursor_us()
    for rows, poll in [*sent, ([], True)]:
        # one version of an execution has one content, as tag.row_version sees to
        copies = [versions.setdefault((*_key(row), row.version), row)._replace(journey=journey) for row in rows]
        shared.insert_steps(table(*copies))
        for row in copies:
            newest[_key(row)] = max(newest.get(_key(row), row), row, key=lambda it: it.version)
        if poll:
            new, cursor = shared.steps_inserted_since(journey, cursor)
            for row in rows_of(new):
                polled[_key(row)] = max(polled.get(_key(row), row), row, key=lambda it: it.version)
            assert polled == newest
    expected = sorted(newest.values(), key=lambda row: (row.attempt, row.end, row.span_id))
    assert everything(shared, journey) == expected
