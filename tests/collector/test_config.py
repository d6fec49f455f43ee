"""collector.yaml: what may stand in it, and how a mistake in it is answered."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.config import (
    ROLES,
    ClickHouse,
    LogLimits,
    RequestLimits,
    Settings,
    StoreLimits,
    clickhouse,
    load,
    parse,
)
from otel_cx_collector.errors import UserError

WHOLE = """\
receivers: {otlp: {protocols: {grpc: {endpoint: 127.0.0.1:4317}, http: {endpoint: 127.0.0.1:4318}}}}
web: {endpoint: 127.0.0.1:8080}
health: {endpoint: 127.0.0.1:13133}
data: /var/lib/otel-cx
store: chdb
control: sqlite
role: all
"""

EVERY_KEY = """\
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 0.0.0.0:1
      http:
        endpoint: "[::1]:2"
web: {endpoint: localhost:0}
health: {endpoint: localhost:0}
data: relative/data
limits: {message_bytes: 1MiB, wire_bytes: 512KiB, spans: 10, attributes: 20, nesting: 30}
log: {max_bytes: 1GiB, segment_bytes: 8MiB, batch_bytes: 1MiB, min_free_bytes: 0}
chdb: {memory_bytes: 1GiB, query_memory_bytes: 512MiB, query_time: 5s, threads: 4, keep: 30d,
       block_rows: 7, block_time: 250ms}
"""


def refused(text: str, environ: dict[str, str] | None = None) -> str:
    """What the reader of ``text`` is told."""
    with pytest.raises(UserError) as caught:
        parse(text, "collector.yaml", environ or {})
    return str(caught.value)


@pytest.mark.parametrize("text", [WHOLE, "", "# nothing\n", "receivers:\n  otlp:\n    protocols:\n      grpc:\n"])
def test_what_is_left_out_has_its_default(text: str) -> None:
    assert parse(text, "collector.yaml", {}) == Settings()


def test_every_setting_can_be_set() -> None:
    assert parse(EVERY_KEY, "collector.yaml", {}) == Settings(
        grpc="0.0.0.0:1",
        http="[::1]:2",
        web="localhost:0",
        health="localhost:0",
        data=Path("relative/data"),
        limits=RequestLimits(message_bytes=1 << 20, wire_bytes=1 << 19, spans=10, attributes=20, nesting=30),
        log=LogLimits(max_bytes=1 << 30, segment_bytes=8 << 20, batch_bytes=1 << 20, min_free_bytes=0),
        chdb=StoreLimits(
            memory_bytes=1 << 30,
            query_memory_bytes=1 << 29,
            query_s=5,
            threads=4,
            keep_ns=30 * 86_400 * 10**9,
            block_rows=7,
            block_ns=250_000_000,
        ),
    )


def test_the_home_directory_may_be_written_as_a_tilde() -> None:
    assert parse("data: ~/cx", "collector.yaml", {}).data == Path.home() / "cx"


def test_variables_are_replaced_in_values() -> None:
    text = """\
web: {endpoint: "${env:HOST}:${env:PORT:-8081}"}
health: {endpoint: "${env:NONE:-127.0.0.1:1}"}
data: "/a$$b/${env:EMPTY:-c}"
limits: {spans: "${env:SPANS}"}
"""
    settings = parse(text, "collector.yaml", {"HOST": "localhost", "EMPTY": "", "SPANS": "12"})
    assert settings == Settings(
        web="localhost:8081", health="127.0.0.1:1", data=Path("/a$b/c"), limits=RequestLimits(spans=12)
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "data: ${env:MISSING}",
            "collector.yaml:1: data: the environment variable MISSING is not set; set it, or write",
        ),
        ("data: ${HOME}", '1: data: "${HOME}" is no variable; write ${env:NAME}, or $$ for a dollar sign'),
        ("data: ${env:HOME", '1: data: "${env:HOME" is no variable'),
        ("\nwbe: {endpoint: x}", 'collector.yaml:2: unknown key "wbe"; did you mean web?'),
        ("web: {endpont: x}", 'collector.yaml:1: unknown key "endpont" in web; did you mean endpoint?'),
        (
            "receivers:\n  otlp:\n    protocol: {}",
            '3: unknown key "protocol" in receivers.otlp; did you mean protocols?',
        ),
        ("receivers: {jaeger: {}}", '1: unknown key "jaeger" in receivers; known here: otlp'),
        ("web: 127.0.0.1:80", '1: web is "127.0.0.1:80"; write a mapping with any of: endpoint'),
        ("- web", "1: the file is a list; write a mapping with any of: receivers, web, health, data, store"),
        ("web: {endpoint: {}}", "1: endpoint is a mapping; write a single value"),
        ("web: {endpoint: 8080}", "1: endpoint: 8080 is no endpoint; write host:port, such as 127.0.0.1:4317"),
        ("web: {endpoint: }", "1: endpoint: nothing is no endpoint"),
        ("web: {endpoint: 'localhost:65536'}", '"localhost:65536" is no endpoint'),
        ("web: {endpoint: 'http://localhost:80'}", '"http://localhost:80" is no endpoint'),
        ("web: {endpoint: 'a:1'}\nhealth: {endpoint: 'a:1'}", "2: a:1 is the endpoint of web and of health; give each"),
        ("health: {endpoint: '127.0.0.1:8080'}", "1: 127.0.0.1:8080 is the endpoint of web and of health"),
        ("data: 7", "1: data: 7 is no directory"),
        ("data: ''", '1: data: "" is no directory'),
        ("log: {max_bytes: 4GB}", '1: max_bytes: "4GB" is no size; write a whole number of B, KiB, MiB or GiB'),
        (
            "log: {max_bytes: 100MiB}",
            "1: log: segment_bytes 67108864 is more than a quarter of max_bytes 104857600; the",
        ),
        ("log: {\n batch_bytes: 3GiB}", "2: log: batch_bytes 3221225472 is not between 1 and half of max_bytes"),
        ("limits: {wire_bytes: 0}", "1: wire_bytes: nothing fits into 0 bytes; write a whole number of B"),
        ("limits: {spans: 0}", "1: spans: 0 is no count; write a whole number from 1 on"),
        ("limits: {spans: many}", '1: spans: "many" is no count'),
        ("chdb: {keep: 8}", "1: keep: 8 is a duration without a unit; write 8s"),
        ("store: postgres", '1: store: "postgres" is no store; write chdb, or clickhouse://user@host:8123/database?'),
        ("store: clickhouse://", '1: store: "clickhouse://" is no store; write chdb'),
        ("store: clickhouse://host:65536", '"clickhouse://host:65536" is no store'),
        ("store: clickhouse://host:0", '"clickhouse://host:0" is no store'),
        ("store: clickhouse://a b", '"clickhouse://a b" is no store'),
        ("store: clickhouse://host/a-b", '"clickhouse://host/a-b" is no store'),
        ("store: clickhouse://host?cluster=", '"clickhouse://host?cluster=" is no store'),
        ("store: clickhouse://host?shard=1", '"clickhouse://host?shard=1" is no store'),
        ("store_password_file: ''", '1: store_password_file: "" is no file; write the path of one'),
        (
            "control: mysql://host/cx",
            '1: control: "mysql://host/cx" is not known here; write sqlite, or postgresql://user',
        ),
        ("control: postgresql+asyncpg://host/cx", '"postgresql+asyncpg://host/cx" is not known here'),
        ("control: postgresql://localhost", '"postgresql://localhost" is not known here'),
        (
            "control: postgresql://db.example/cx",
            "whether the way to db.example is encrypted; append ?sslmode=verify-full",
        ),
        ("a: [", "collector.yaml:1: not YAML"),
    ],
)
def test_a_mistake_is_answered_with_its_line_the_value_and_the_cure(text: str, says: str) -> None:
    assert says in refused(text)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_one_of_three(role: str) -> None:
    assert parse(f"role: {role}", "collector.yaml", {}).role == role
    assert '1: role: "judge" is no role; write one of all, ingest, control' in refused("role: judge")


@pytest.mark.parametrize("password", ["s3cret", "s3c/ret", "s3c#ret", "s3c?ret", "s3c@ret", ""])
def test_a_password_in_an_address_is_refused_and_never_shown(password: str) -> None:
    told = refused(f"store: 'clickhouse://user:{password}@host/db'")
    assert "1: store: a password stands in the address; write it into a file that only this user can read" in told
    assert "s3c" not in told
    assert "ret" not in told.replace("store", "")


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("clickhouse://db.example", ClickHouse("db.example", 8123)),
        ("clickhouses://db.example/", ClickHouse("db.example", 8443, tls=True)),
        ("clickhouse://cx@ch_1:9123/cx?cluster=eu", ClickHouse("ch_1", 9123, "cx", "cx", "eu")),
        ("clickhouses://a%40b@[::1]?cluster=eu-1", ClickHouse("::1", 8443, "a@b", cluster="eu-1", tls=True)),
    ],
)
def test_an_address_names_a_server_or_a_cluster_and_the_rest_has_defaults(address: str, server: ClickHouse) -> None:
    assert clickhouse(address) == server
    text = f"store: '{address}'\nstore_password_file: /run/secrets/store\nstore_ca_file: ca.pem\n"
    assert parse(text, "collector.yaml", {}) == Settings(
        store=address, store_password_file=Path("/run/secrets/store"), store_ca_file=Path("ca.pem")
    )


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://cx:s3cret@localhost/cx",
        "postgresql://cx:s3c@ret@localhost/cx",
        "postgresql://cx:@localhost/cx",
        "postgresql://cx@localhost/cx?password=s3cret",
    ],
)
def test_a_password_in_the_address_of_controls_state_is_refused_and_never_shown(address: str) -> None:
    told = refused(f"control: '{address}'")
    assert "1: control: a password stands in the address; write it into a file that only this user can read" in told
    assert "s3c" not in told


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://cx@localhost:5432/cx",
        "postgres://127.0.0.1/cx",
        "postgresql+psycopg://cx@[::1]:5432/cx",
        "postgresql:///cx?host=/run/postgresql",
        "postgresql://cx@db.example/cx?sslmode=verify-full",
    ],
)
def test_controls_state_may_be_in_postgresql(address: str) -> None:
    text = f"control: '{address}'\ncontrol_password_file: /run/secrets/control\n"
    assert parse(text, "collector.yaml", {}) == Settings(
        control=address, control_password_file=Path("/run/secrets/control")
    )


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    told = refused("log: {max_bytes: x}\nweb: {port: 1}\nrole: both\n").splitlines()
    assert [line.split(":")[1] for line in told] == ["1", "2", "3"]


def test_a_file_that_is_not_there_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.yaml: cannot be read: No such file.*check the path"):
        load(tmp_path / "none.yaml", {})


def test_a_file_that_is_not_text_is_told_with_the_byte(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"data: \xff")
    with pytest.raises(UserError, match=r"c.yaml: byte 6 is not UTF-8; save the file as UTF-8"):
        load(tmp_path / "c.yaml", {})


def test_a_file_is_read_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("role: both")
    with pytest.raises(UserError, match=r"c.yaml:1: role"):
        load(tmp_path / "c.yaml", {})


@given(
    st.text(max_size=200) | st.sampled_from(EVERY_KEY.splitlines()).flatmap(lambda line: st.just(line + "\n" + line))
)
def test_no_text_does_anything_but_settings_or_a_users_error(text: str) -> None:
    try:
        assert isinstance(parse(text, "collector.yaml", {}), Settings)
    except UserError as error:
        assert str(error)  # noqa: PT017 - either outcome is right, and the second must say something


def test_who_may_send_and_under_which_names_pages_open_can_be_set() -> None:
    text = """
receivers: {otlp: {token_file: /run/secrets/otlp, allow_unauthenticated: true}}
web: {hosts: "cx.example.org, cx"}
"""
    settings = parse(text, "collector.yaml", {})
    assert str(settings.token_file) == "/run/secrets/otlp"
    assert settings.allow_unauthenticated is True
    assert settings.web_hosts == ("cx.example.org", "cx")
    with pytest.raises(UserError, match="neither true nor false"):
        parse("receivers: {otlp: {allow_unauthenticated: perhaps}}", "collector.yaml", {})
