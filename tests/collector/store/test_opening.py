"""Opening a store: the schema it brings, what it keeps, and whom it refuses."""

import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from step_rows import T0, rows_of, step_row, table

from otel_cx_collector.clock import now_ns
from otel_cx_collector.errors import UserError
from otel_cx_collector.events import NS
from otel_cx_collector.store import Store, StoreError, StoreLimits, sql
from otel_cx_collector.store.engine import Engine

LIMITS = StoreLimits(keep_ns=None)


def count(store: Store) -> int:
    return len(rows_of(store.steps("checkout", 0, 2**62, ["production"])))


def test_rows_are_there_after_opening_again(tmp_path: Path) -> None:
    with Store(tmp_path / "store", LIMITS) as store:
        store.insert_steps(table(step_row()))
        store.heartbeat("node", [T0])
    with Store(tmp_path / "store", LIMITS) as store:
        assert count(store) == 1
        assert store.heartbeats(T0, T0 + 10) == {"node": [T0]}
        store.insert_steps(table(step_row(2)))
        assert count(store) == 2


def test_a_cursor_of_a_store_that_was_opened_again_is_after_what_it_holds(tmp_path: Path) -> None:
    with Store(tmp_path / "store", LIMITS) as store:
        store.insert_steps(table(step_row()))
    with Store(tmp_path / "store", LIMITS) as store:
        cursor = store.cursor_us()
        assert store.steps_inserted_since("checkout", cursor)[0].num_rows == 0
        assert store.steps_inserted_since("checkout", 0)[0].num_rows == 1


def test_a_schema_of_a_later_version_is_refused_with_the_cure(tmp_path: Path) -> None:
    known = max(sql.migrations())
    with Store(tmp_path / "store", LIMITS) as store:
        later = {"version": pa.array([known + 1], pa.uint32()), "applied_at": pa.array([0], pa.timestamp("us"))}
        store._engine.insert("schema_version", pa.table(later))
    with pytest.raises(
        UserError, match=rf"has schema {known + 1}, .* knows up to {known}; run the version that wrote it"
    ):
        Store(tmp_path / "store", LIMITS)
    with Store(tmp_path / "other", LIMITS) as store:  # the refused one has let go of the engine
        assert count(store) == 0


def test_a_migration_that_was_interrupted_is_applied_again(tmp_path: Path) -> None:
    with Store(tmp_path / "store", LIMITS) as store:
        store.insert_steps(table(step_row()))
        store._engine.command("TRUNCATE TABLE schema_version")
    with Store(tmp_path / "store", LIMITS) as store:
        assert count(store) == 1
        assert store._engine.query(sql.query("schema_current"))["version"].to_pylist() == [max(sql.migrations())]


def test_rows_are_dropped_by_their_age_and_the_age_is_a_setting(tmp_path: Path) -> None:
    week = replace(LIMITS, keep_ns=7 * 86_400 * NS)
    now = now_ns()
    with Store(tmp_path / "store", week) as store:
        assert store._engine.query(sql.query("ttl_current"), {"table": "steps"})["seconds"].to_pylist() == ["604800"]
        store.insert_steps(table(step_row(1, end=now - 9 * 86_400 * NS), step_row(2, end=now)))
        store._engine.command("OPTIMIZE TABLE steps FINAL")
        assert [row.span_id[-1] for row in rows_of(store.steps("checkout", 0, 2**62, ["production"]))] == [2]
    with Store(tmp_path / "store", replace(LIMITS, keep_ns=30 * 86_400 * NS)) as store:
        assert store._engine.query(sql.query("ttl_current"), {"table": "steps"})["seconds"].to_pylist() == ["2592000"]
        store.insert_steps(table(step_row(1, end=now - 9 * 86_400 * NS)))
        store._engine.command("OPTIMIZE TABLE steps FINAL")
        assert count(store) == 2
    with Store(tmp_path / "store", LIMITS) as store:
        for name in ("steps", "heartbeats", "signals", "facts", "rollup_1m", "rollup_1h", "rollup_1d"):
            assert store._engine.query(sql.query("ttl_current"), {"table": name})["seconds"].to_pylist() == [""]


def test_every_table_has_an_age_of_its_own(tmp_path: Path) -> None:
    day_ns = 86_400 * NS
    limits = StoreLimits(
        keep_minutes_ns=20 * day_ns,
        keep_hours_ns=21 * day_ns,
        keep_days_ns=22 * day_ns,
        keep_facts_ns=23 * day_ns,
        keep_signals_ns=24 * day_ns,
    )
    ages = {"steps": 8, "heartbeats": 8, "rollup_1m": 20, "rollup_1h": 21, "rollup_1d": 22, "facts": 23, "signals": 24}
    with Store(tmp_path / "store", limits) as store:
        for name, days in ages.items():
            found = store._engine.query(sql.query("ttl_current"), {"table": name})["seconds"].to_pylist()
            assert found == [str(days * 86_400)]


def test_roll_ups_are_dropped_by_their_age(tmp_path: Path) -> None:
    now_s = now_ns() // NS // 60 * 60
    with Store(tmp_path / "store") as store:
        for days in (29, 31, 399, 402):
            at_s = now_s - days * 86_400
            for table_, step_s in (("rollup_1m", 60), ("rollup_1h", 3600), ("rollup_1d", 86_400)):
                start = pa.array([at_s // step_s * step_s], pa.uint32())
                store._engine.insert(table_, pa.table({"journey": ["a"], "start": start}))
        left = {}
        for table_ in ("rollup_1m", "rollup_1h", "rollup_1d"):
            store._engine.command(f"OPTIMIZE TABLE {table_} FINAL")
            left[table_] = store._engine.query(f"SELECT count() AS n FROM {table_}")["n"][0].as_py()
    assert left == {"rollup_1m": 1, "rollup_1h": 3, "rollup_1d": 3}


def test_a_store_in_use_by_another_process_is_refused_with_the_cure(tmp_path: Path) -> None:
    command = (
        "import sys\nfrom pathlib import Path\nfrom otel_cx_collector.errors import UserError\n"
        "from otel_cx_collector.store import Store\n"
        "try: Store(Path(sys.argv[1]))\nexcept UserError as error: print(error)"
    )
    with Store(tmp_path / "store", LIMITS):
        other = subprocess.run(
            [sys.executable, "-c", command, str(tmp_path / "store")], capture_output=True, text=True, check=False
        )
    assert "cannot be opened: " in other.stdout
    assert "stop the process that has it open" in other.stdout


def test_a_second_path_in_one_process_is_refused_while_the_first_is_open(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be opened: .*already initialized with path"):
        Store(tmp_path / "other", LIMITS)
    assert count(store) == 0


def test_a_missing_engine_is_answered_with_the_command_that_installs_it(tmp_path: Path) -> None:
    command = (
        "import sys\nsys.modules['chdb'] = None\nfrom pathlib import Path\n"
        "from otel_cx_collector.store import Store\nStore(Path(sys.argv[1]))"
    )
    other = subprocess.run(
        [sys.executable, "-c", command, str(tmp_path / "store")], capture_output=True, text=True, check=False
    )
    assert "UserError: the embedded store needs chDB; pip install 'otel-cx-collector[embedded]'" in other.stderr


def test_a_thread_that_cannot_connect_any_more_gets_a_store_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(**_: object) -> None:
        raise RuntimeError("too many of them")

    monkeypatch.setattr("clickhouse_connect.get_client", failing)
    raised: list[str] = []

    def ask() -> None:
        with pytest.raises(StoreError) as caught:
            store.stats()
        raised.append(str(caught.value))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert raised == ["too many of them"]


def test_a_directory_that_cannot_be_made_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        UserError, match=r"file/store cannot hold the store: Not a directory; make it one this user owns"
    ):
        Store(tmp_path / "file" / "store", LIMITS)


def test_nobody_else_can_read_the_store_and_a_temporary_one_is_removed() -> None:
    with Store.temporary() as store:
        path = store._engine.path
        assert isinstance(path, Path)
        assert path.stat().st_mode & 0o777 == 0o700
        assert path.parent.stat().st_mode & 0o777 == 0o700
    assert not path.parent.exists()


def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    with Store(tmp_path / "it's \\ here; ü", LIMITS) as store:
        store.insert_steps(table(step_row()))
        assert count(store) == 1


def test_rows_are_written_nowhere_but_in_the_directory_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path / "store", LIMITS) as store:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
        store.insert_steps(table(step_row()))
        assert count(store) == 1
        assert list((tmp_path / "store" / "incoming").iterdir()) == []


def test_what_an_insert_left_behind_when_the_process_died_is_cleared_away(tmp_path: Path) -> None:
    with Store(tmp_path / "store", LIMITS):
        (tmp_path / "store" / "incoming" / "half.arrow").touch()
    with Store(tmp_path / "store", LIMITS):
        assert list((tmp_path / "store" / "incoming").iterdir()) == []


def test_limits_reach_the_engine(tmp_path: Path) -> None:
    limits = StoreLimits(memory_bytes=987_654_321, query_memory_bytes=123_456_789, query_s=7, threads=1)
    with Store(tmp_path / "store", limits) as store:
        server = store._engine.query("SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'")
        assert server["value"].to_pylist() == ["987654321"]
        names = ("max_memory_usage", "max_execution_time", "max_threads", "max_partitions_per_insert_block")
        query = store._engine.query(
            "SELECT name, value FROM system.settings WHERE name IN {names:Array(String)}", {"names": list(names)}
        )
        assert dict(zip(query["name"].to_pylist(), query["value"].to_pylist(), strict=True)) == dict(
            zip(names, ("123456789", "7", "1", "1"), strict=True)
        )


def test_connections_of_threads_that_ended_are_closed(store: Store) -> None:
    for _ in range(20):
        thread = threading.Thread(target=store.stats)
        thread.start()
        thread.join()
    assert isinstance(store._engine, Engine)
    assert len(store._engine._clients) < 5


def test_every_sql_file_is_asked_for_by_name() -> None:
    folder = Path(str(sql._HERE.joinpath("queries")))
    sources = "".join(path.read_text() for path in folder.parent.glob("*.py"))
    for path in folder.glob("*.sql"):
        assert f'query("{path.stem}")' in sources
    assert min(sql.migrations()) == 1
