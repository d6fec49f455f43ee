"""How the file is made, recognised and refused. Not what is written in it."""

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from otel_cx_collector.errors import Unavailable, UserError
from otel_cx_collector.state import Round, Saved, State, database
from otel_cx_collector.state.migrate import VERSION_TABLE
from otel_cx_collector.state.tables import METADATA


def test_the_file_is_this_users_alone_and_so_are_the_ones_beside_it(path: Path) -> None:
    with State.open(path) as state:
        state.commit(Round(10, 1, b"x"))
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(("control.db", "control.db-shm", "control.db-wal"), 0o600)


def test_a_file_that_was_open_to_others_is_closed_to_them(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o644)
    path.parent.chmod(0o755)
    with State.open(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_directory_that_others_share_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    with State.open(tmp_path / "shared" / "control.db"):
        assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o1777
        assert stat.S_IMODE((tmp_path / "shared" / "control.db").stat().st_mode) == 0o600


def test_a_commit_is_synchronous_and_written_ahead(path: Path) -> None:
    with State.open(path) as state, state._database.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_what_was_written_is_there_after_opening_again(place: Path | str) -> None:
    with State.open(place) as state:
        assert state.load() is None
        state.commit(Round(10, 3, b"\0\xff"))
    with State.open(place) as state:
        assert state.load() == Saved(10, 3, b"\0\xff")


def test_the_migrations_make_exactly_the_tables_that_the_code_names(state: State) -> None:
    with state._database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, METADATA) == []


def test_opening_twice_at_once_migrates_once(place: Path | str) -> None:
    with State.open(place) as first, State.open(place) as second:
        first.commit(Round(10, 1, b"x"))
        assert second.load() == Saved(10, 1, b"x")


def test_a_later_version_is_refused_and_left_as_it_was(path: Path) -> None:
    State.open(path).close()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(f"UPDATE {VERSION_TABLE} SET version_num = '0999'")
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"control\.db has version 0999, this program knows \d+.*install that version"):
        State.open(path)
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused_and_left_as_it_was(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE tracks (id)")
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"no state of otel-cx: it holds the table 'tracks'; name another,"):
        State.open(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"journeys:\n" * 1000)
    with pytest.raises(UserError, match=r"control\.db is not a usable database.*backup"):
        State.open(path)
    assert path.read_bytes() == b"journeys:\n" * 1000


def test_damage_found_later_says_to_bring_the_file_back(path: Path) -> None:
    with State.open(path) as state:
        state.commit(Round(10, 1, b"x" * 100_000))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    with pytest.raises(UserError, match=r"not a usable database.*backup"), State.open(path) as state:
        state.load()


@pytest.mark.parametrize("name", ["", "file/control.db"], ids=["a directory", "below a file"])
def test_a_path_that_can_hold_no_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot hold control's state: .*; name a file in a directory that this user"):
        State.open(tmp_path / name)


READ_ONLY = """
import os, sys
from pathlib import Path
from otel_cx_collector.errors import UserError
from otel_cx_collector.state import State
if os.geteuid() == 0:
    os.seteuid(65534)  # to root nothing is read-only
try:
    State.open(Path(sys.argv[1]))
except UserError as error:
    print(error)
"""


def test_a_directory_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    path = tmp_path / "data" / "inner" / "control.db"
    ran = subprocess.run([sys.executable, "-c", READ_ONLY, str(path)], capture_output=True, text=True, check=True)
    assert f"{path} cannot hold control's state: Permission denied; name a file" in ran.stdout, ran.stderr


def test_a_database_that_another_process_holds_is_unavailable_and_then_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 20)
    with State.open(path) as state, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"control\.db cannot be used: database is locked.*next try"):
            state.commit(Round(10, 1, b"x"))
        assert state.load() is None
        other.execute("ROLLBACK")
        state.commit(Round(10, 1, b"x"))
        assert state.load() == Saved(10, 1, b"x")


def test_more_readers_than_connections_are_told_to_come_again(
    place: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 20)
    monkeypatch.setattr(database, "CONNECTIONS", 1)
    with State.open(place) as state:
        with state._database.reading(), pytest.raises(Unavailable, match="busy with other reads; try again"):
            state.load()
        assert state.load() is None


def test_a_closed_state_refuses_instead_of_opening_again(place: Path | str) -> None:
    state = State.open(place)
    state.close()
    state.close()
    with pytest.raises(Unavailable, match="closed"):
        state.load()
    with pytest.raises(Unavailable, match="closed"):
        state.commit(Round(10, 1, b"x"))


def test_memory_states_know_nothing_of_each_other() -> None:
    with State.memory() as first, State.memory() as second:
        first.keep("told", "yes")
        assert (first.kept("told"), second.kept("told")) == ("yes", None)


def test_what_is_kept_under_a_name_is_replaced(state: State) -> None:
    assert state.kept("unmeasured") is None
    state.keep("unmeasured", "since 9:00")
    state.keep("unmeasured", "")
    assert state.kept("unmeasured") == ""
