"""What a server can do that a file cannot: be away, ask a password, belong to others. Not what is written in it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from postgres_server import PASSWORD, PostgresServer, name_of

from otel_cx_collector.errors import Unavailable, UserError
from otel_cx_collector.incidents.words import Incident
from otel_cx_collector.state import Round, Saved, State, database
from otel_cx_collector.state.migrate import VERSION_TABLE


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    url = postgres.database()
    yield url
    postgres.drop(url)


@pytest.fixture
def password_file(postgres: PostgresServer, tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    yield file
    postgres.execute(f"ALTER ROLE otelcx PASSWORD '{PASSWORD}'")


def test_a_server_that_crashes_is_unavailable_and_used_again_when_it_is_back(
    postgres: PostgresServer, url: str
) -> None:
    with State.open(url) as state:
        state.commit(Round(10, 1, b"before"))
        postgres.stop("immediate")
        try:
            for _ in range(2):
                with pytest.raises(Unavailable, match=r"PostgreSQL database 't\d+' .* look after the server"):
                    state.commit(Round(20, 1, b"lost"))
            with pytest.raises(Unavailable, match="cannot be used"):
                state.load()
        finally:
            postgres.start()
        assert state.load() == Saved(10, 1, b"before")
        state.commit(Round(20, 1, b"after"))
        assert state.load() == Saved(20, 1, b"after")


def test_a_server_that_is_away_when_the_state_is_opened_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"PostgreSQL database 'cx' at 127\.0\.0\.1 cannot be used"):
        State.open("postgresql://otelcx@127.0.0.1:1/cx")


def test_a_password_is_read_from_its_file_for_every_connection(
    postgres: PostgresServer, url: str, password_file: Path
) -> None:
    with State.open(postgres.over_tcp(url), password_file=password_file) as state:
        state.commit(Round(10, 1, b"x"))
        postgres.execute("ALTER ROLE otelcx PASSWORD 'another'")
        password_file.write_text("another\n")
        state._database.engine.dispose()
        assert state.load() == Saved(10, 1, b"x")


def test_a_wrong_password_is_told_and_not_shown(postgres: PostgresServer, url: str, password_file: Path) -> None:
    password_file.write_text("open sesame")
    with pytest.raises(Unavailable, match="password authentication failed") as told:
        State.open(postgres.over_tcp(url), password_file=password_file)
    assert "sesame" not in str(told.value)


def test_a_password_file_that_cannot_be_read_is_refused_with_the_cure(
    postgres: PostgresServer, url: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"control_password_file .*gone cannot be read: No such file.*; name a file"):
        State.open(postgres.over_tcp(url), password_file=tmp_path / "gone")


def test_a_writer_that_never_ends_is_waited_for_and_then_unavailable(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 50)
    with State.open(url) as state, State.open(url) as other:
        with other._database.writing():
            with pytest.raises(Unavailable, match=r"cannot be used: .*lock timeout"):
                state.commit(Round(10, 1, b"x"))
            assert state.load() is None
        state.commit(Round(10, 1, b"x"))


def test_a_database_of_another_encoding_is_refused(postgres: PostgresServer) -> None:
    with pytest.raises(UserError, match="has the encoding SQL_ASCII; create one WITH ENCODING 'UTF8'"):
        State.open(postgres.database("SQL_ASCII"))


def test_a_database_of_another_program_is_refused_and_left_as_it_was(postgres: PostgresServer, url: str) -> None:
    postgres.execute("CREATE TABLE tracks (id int)", url)
    with pytest.raises(UserError, match="no state of otel-cx: it holds the table 'tracks'; name another"):
        State.open(url)
    tables = postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", url)
    assert tables == [("tracks",)]


def test_a_later_version_is_refused(postgres: PostgresServer, url: str) -> None:
    State.open(url).close()
    postgres.execute(f"UPDATE {VERSION_TABLE} SET version_num = '0999'", url)
    with pytest.raises(UserError, match=r"has version 0999, this program knows \d+.*install that version"):
        State.open(url)


def test_a_user_without_the_right_to_make_tables_is_told(postgres: PostgresServer, url: str) -> None:
    postgres.execute("CREATE ROLE guest LOGIN")
    try:
        with pytest.raises(UserError, match=r"cannot be used: permission denied for schema public.*; give this user"):
            State.open(url.replace("otelcx@", "guest@"))
    finally:
        postgres.execute("DROP ROLE guest")


@pytest.mark.parametrize("table", ["incident_history", "audit"])
def test_what_is_only_added_to_cannot_be_emptied(
    postgres: PostgresServer, url: str, incident: Callable[..., Incident], table: str
) -> None:
    with State.open(url) as state:
        state.commit(Round(10, 1, b"", (incident(),)))
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match=f"{table} is only added to"):
        postgres.execute(f"TRUNCATE {table}", url)


def test_commits_wait_for_the_disk_whatever_the_database_says(postgres: PostgresServer, url: str) -> None:
    postgres.execute(f"ALTER DATABASE {name_of(url)} SET synchronous_commit = off")
    with State.open(url) as state, state._database.writing() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
