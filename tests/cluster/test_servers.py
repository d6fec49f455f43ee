"""What is particular to servers: who is let in, whose schema it is, and several who insert by one clock."""

import threading
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import trustme
from cluster.conftest import Opens
from cluster.nodes import CLUSTER, USER, Node
from cluster.tls_front import tls_before
from step_rows import rows_of, step_row, table

from otel_cx_collector.config import ClickHouse, StoreLimits
from otel_cx_collector.errors import CollectorError, Unavailable, UserError
from otel_cx_collector.events import NS
from otel_cx_collector.store import StoreError, cluster, sql
from otel_cx_collector.store.remote import OVERLAP_S, RemoteStore
from otel_cx_collector.store.server import INSERT_S

ALWAYS = (0, 2**62)
ROWS = table(*(step_row(attempt=f"cart-{number}") for number in range(100)))


def test_copies_that_came_through_different_servers_meet_on_one_shard(two: list[Node], opens: Opens) -> None:
    stores = [opens(node) for node in two]
    for store in stores:
        store.insert_steps(ROWS)
    on_shards = [
        server.query("SELECT DISTINCT attempt FROM steps")["attempt"].to_pylist()
        for server in stores[0]._servers.everywhere()
    ]
    assert all(on_shards)
    assert sorted(attempt for attempts in on_shards for attempt in attempts) == sorted(ROWS["attempt"].to_pylist())
    assert [store.steps("checkout", *ALWAYS, ["production"]).num_rows for store in stores] == [100, 100]


def test_nodes_that_start_at_once_make_one_schema(two: list[Node], opens: Opens) -> None:
    failed = []

    def start(node: Node) -> None:
        try:
            opens(node).insert_steps(ROWS)
        except CollectorError as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=(node,)) for node in [*two, *two]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert opens(two[0]).steps("checkout", *ALWAYS, ["production"]).num_rows == 100


def test_a_node_that_looked_before_another_made_the_tables_leaves_them(
    two: list[Node], opens: Opens, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opens(two[0])
    first.insert_steps(ROWS)
    made = "SELECT name, uuid FROM system.tables WHERE database = {database:String} ORDER BY name"
    before = first._servers.query(made, {"database": database}).to_pylist()
    look = cluster._tables
    monkeypatch.setattr(cluster, "_tables", lambda server, of: [] if of == database else look(server, of))
    opens(two[0]).insert_steps(ROWS)
    assert first._servers.query(made, {"database": database}).to_pylist() == before != []


def test_what_becomes_visible_after_a_cursor_with_an_earlier_stamp_is_found(two: list[Node], opens: Opens) -> None:
    reader, writer = (opens(node) for node in two)
    server_ns = writer._servers.now_ns
    writer._clock = lambda: server_ns() - (OVERLAP_S - 5) * NS
    cursor = reader.cursor_us()
    writer.insert_steps(ROWS)
    new, cursor = reader.steps_inserted_since("checkout", cursor)
    assert new.num_rows == 100
    again, _ = reader.steps_inserted_since("checkout", cursor)
    assert again.num_rows in {0, 100}


def test_a_cursor_of_a_clock_that_was_ahead_hides_nothing(one: Node, opens: Opens) -> None:
    store = opens(one, cluster="")
    ahead = store.cursor_us() + 3600 * 1_000_000
    store.insert_steps(ROWS)
    new, cursor = store.steps_inserted_since("checkout", ahead)
    assert new.num_rows == 100
    assert cursor < ahead


def test_minutes_are_closed_as_of_a_moment_that_no_late_insert_precedes(one: Node, opens: Opens) -> None:
    store = opens(one, cluster="")
    before_us = store.cursor_us()
    stamps = [store._stamp() for _ in range(3)]
    assert sorted(set(stamps)) == stamps
    assert stamps[-1] < store.cursor_us() - OVERLAP_S * 1_000_000 + 1_000
    assert stamps[0] >= before_us - OVERLAP_S * 1_000_000


def test_an_insert_that_took_longer_than_cursors_wait_for_counts_as_failed(one: Node, opens: Opens) -> None:
    store = opens(one, cluster="")
    times = iter([0, (INSERT_S + 1) * NS])
    store._clock = lambda: next(times)
    with pytest.raises(StoreError, match=rf"took {INSERT_S + 1} s, longer than {INSERT_S} s"):
        store.insert_steps(ROWS)


def test_a_password_that_is_not_taken_is_refused_with_the_cure_and_a_new_one_is_read(
    one: Node, password_file: Path, database: str, tmp_path: Path
) -> None:
    address, mine = ClickHouse(one.host, one.http, USER, database), tmp_path / "password"
    mine.write_text("wrong")
    with pytest.raises(UserError, match=r"does not take user 'otel_cx' .*; check the user in store, and store_pass"):
        RemoteStore(address, StoreLimits(), mine)
    mine.write_text(password_file.read_text())
    with RemoteStore(address, StoreLimits(), mine) as store:
        assert store.health() == ""
    with pytest.raises(UserError, match=r"cannot be read from .*none: .*; name a file this user may read"):
        RemoteStore(address, StoreLimits(), tmp_path / "none")


def test_a_cluster_that_is_not_known_is_refused_with_those_that_are(one: Node, opens: Opens) -> None:
    with pytest.raises(UserError, match=rf"knows no cluster 'other', only: .*{CLUSTER}.*; name one of these"):
        opens(one, cluster="other")


@pytest.mark.parametrize("cluster", ["", CLUSTER])
def test_a_schema_of_a_later_version_is_refused_with_the_cure(two: list[Node], opens: Opens, cluster: str) -> None:
    known = max(sql.migrations())
    later = {"version": pa.array([known + 1], pa.uint32()), "applied_at": pa.array([0], pa.timestamp("us"))}
    opens(two[0], cluster=cluster)._servers.everywhere()[-1].insert("schema_version", pa.table(later))
    with pytest.raises(UserError, match=rf"has schema {known + 1}, .* knows up to {known}; run the version that"):
        opens(two[0], cluster=cluster)


def test_a_column_that_a_migration_added_to_the_shards_is_seen_over_all_of_them(two: list[Node], opens: Opens) -> None:
    for server in opens(two[0])._servers.everywhere():
        server.command("ALTER TABLE steps ADD COLUMN later String DEFAULT 'x'")
    store = opens(two[1])
    store.insert_steps(ROWS)
    assert store._engine.query("SELECT DISTINCT later FROM steps")["later"].to_pylist() == ["x"]


def test_rows_are_dropped_by_their_age_on_every_shard(two: list[Node], opens: Opens) -> None:
    store = opens(two[0], keep_ns=7 * 86_400 * NS)
    now = store._servers.now_ns()
    for days in (1, 9):
        rows = [step_row(days, attempt=f"cart-{n}", end=now - days * 86_400 * NS) for n in range(50)]
        store.insert_steps(table(*rows))
    for server in store._servers.everywhere():
        server.command("OPTIMIZE TABLE steps FINAL")
    assert {row.span_id[-1] for row in rows_of(store.steps("checkout", *ALWAYS, ["production"]))} == {1}


def test_a_shard_that_lost_its_disk_gets_its_tables_again(two: list[Node], opens: Opens, database: str) -> None:
    store = opens(two[0])
    lost = store._servers.everywhere()[1]
    lost.command(f"DROP DATABASE {database}_shard SYNC")
    with pytest.raises(StoreError):
        store.steps("checkout", *ALWAYS, ["production"])
    store.insert_steps(ROWS)
    assert store.steps("checkout", *ALWAYS, ["production"]).num_rows == 100


def test_a_server_behind_tls_is_asked_once_its_certificate_is_trusted(
    one: Node, password_file: Path, database: str, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with tls_before(one, authority, tmp_path) as port:
        address = ClickHouse("127.0.0.1", port, USER, database, tls=True)
        with RemoteStore(address, StoreLimits(keep_ns=None), password_file, tmp_path / "ca.pem") as store:
            store.insert_steps(ROWS)
            assert store.steps("checkout", *ALWAYS, ["production"]).num_rows == 100
        with RemoteStore(address, StoreLimits(), password_file) as store:
            assert "certificate verify failed" in store.health()


def test_an_error_shows_nothing_of_what_was_asked(one: Node, opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opens(one, cluster="")
    away = replace(store._servers._address, port=1)
    monkeypatch.setattr(store._servers._entry, "address", away)
    del store._servers._entry._mine.client
    with pytest.raises(Unavailable, match=r"does not answer: .*refused; start it, or check the way to it") as caught:
        store.steps("a journey of secrets", *ALWAYS, ["production"])
    assert "secrets" not in str(caught.value)


def test_a_backup_is_the_servers_own_and_the_message_says_so(one: Node, opens: Opens, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="back up its databases with the servers' own BACKUP statement"):
        opens(one, cluster="").back_up(tmp_path / "copy")


def test_a_closed_store_says_so(one: Node, opens: Opens) -> None:
    store = opens(one, cluster="")
    store.close()
    with pytest.raises(StoreError, match="the store is closed"):
        store.insert_steps(ROWS)
