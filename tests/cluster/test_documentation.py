"""What the how-to tells an operator to run is enough, and is what servers understand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cluster.conftest import Opens
from cluster.nodes import CLUSTER, USER, Node, servers
from step_rows import step_row, table

from otel_cx_collector.config import ClickHouse, StoreLimits, clickhouse
from otel_cx_collector.errors import UserError
from otel_cx_collector.store.remote import OVERLAP_S, RemoteStore
from otel_cx_collector.store.server import _SETTINGS, INSERT_S

HOW_TO = (Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md").read_text()
ROWS = table(*(step_row(attempt=f"cart-{number}") for number in range(20)))


def block(language: str) -> str:
    return str(re.findall(rf"```{language}\n(.*?)```", HOW_TO, re.DOTALL)[0])


def grants() -> list[str]:
    return [line.removesuffix(f" TO {USER};") for line in block("sql").splitlines() if line.startswith("GRANT")]


def test_the_grants_are_enough_and_one_less_is_named(tmp_path: Path, password_file: Path) -> None:
    given = [*grants(), "GRANT CREATE DATABASE ON otel_cx.*", "GRANT CREATE DATABASE ON otel_cx_shard.*"]
    with servers(tmp_path / "servers", 2, given) as (node, _):
        address = ClickHouse(node.host, node.http, USER, "otel_cx", CLUSTER)
        with RemoteStore(address, StoreLimits(keep_ns=None), password_file) as store:
            store.insert_steps(ROWS)
            assert store.steps("checkout", 0, 2**62, ["production"]).num_rows == 20
            assert store.stats()["steps"].rows == 20
            assert store.erase("customer", "k1.AAAAAAAAAAAAAAAAAAAAAA")["steps"] == 20
        other = ClickHouse(node.host, node.http, USER, "another")
        with pytest.raises(UserError, match=r"CREATE DATABASE ON another.*; grant that to user 'otel_cx'"):
            RemoteStore(other, StoreLimits(), password_file)


def test_the_statements_for_replicated_tables_are_ones_that_servers_understand(one: Node, opens: Opens) -> None:
    store = opens(one, cluster="")
    printed = subprocess.run([sys.executable, "-c", block("python")], capture_output=True, text=True, check=True).stdout
    statements = [each for each in printed.split(";\n\n") if each.strip()]
    for statement in statements:
        (text,) = store._engine.query("SELECT formatQuery({text:String}) AS text", {"text": statement})[
            "text"
        ].to_pylist()
        assert re.match(r"CREATE TABLE IF NOT EXISTS otel_cx_shard\.\w+ ON CLUSTER shards\b", text)
        assert re.search(r"\nENGINE = ReplicatedReplacingMergeTree\b", text)
    made = {re.search(r"otel_cx_shard\.(\w+)", statement)[1] for statement in statements}  # type: ignore[index]
    tables = store._engine.query("SELECT name FROM system.tables WHERE database = currentDatabase()")[
        "name"
    ].to_pylist()
    assert made == set(tables) - {"schema_version"}


def test_the_address_is_one_and_figures_and_settings_are_those_of_the_program() -> None:
    address = re.search(r"store: (\S+)", block("yaml"))
    assert address is not None
    assert clickhouse(address[1]) == ClickHouse("ch-1.internal", 8443, "otel_cx", "otel_cx", "shards", tls=True)
    assert f"up to {OVERLAP_S} s before its last look" in HOW_TO
    assert f"within {INSERT_S} s or counts as failed" in HOW_TO
    for name in re.findall(r"`(\w+) = 0`", HOW_TO):
        assert _SETTINGS[name] == 0
    assert _SETTINGS["distributed_foreground_insert"] == 1
