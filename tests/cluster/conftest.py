"""Servers for the whole run, a database of its own for each test, and the store under its three forms."""

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster.nodes import CLUSTER, PASSWORD, USER, Node, servers

from otel_cx_collector.config import ClickHouse, StoreLimits
from otel_cx_collector.store import Store
from otel_cx_collector.store.remote import RemoteStore

Opens = Callable[..., RemoteStore]
_names = itertools.count(1)


@pytest.fixture(scope="session")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A server of no cluster to speak of."""
    with servers(tmp_path_factory.mktemp("one"), 1) as nodes:
        yield nodes[0]


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """Two shards; a test that stops one starts it again."""
    if not sys.platform.startswith("linux"):
        pytest.skip("without set-up a second loopback address, 127.0.0.2, is there on Linux alone")
    with servers(tmp_path_factory.mktemp("two"), 2) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def password_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secret") / "password"
    path.write_text(PASSWORD + "\n")
    return path


@pytest.fixture
def database() -> str:
    return f"cx_{next(_names)}"


@pytest.fixture
def opens(database: str, password_file: Path) -> Iterator[Opens]:
    """Opens a store on a node in this test's database; all are closed with the test."""
    with ExitStack() as stack:

        def opened(node: Node, cluster: str = CLUSTER, keep_ns: int | None = None) -> RemoteStore:
            address = ClickHouse(node.host, node.http, USER, database, cluster)
            return stack.enter_context(RemoteStore(address, StoreLimits(keep_ns=keep_ns), password_file))

        yield opened


@pytest.fixture(params=["embedded", "one server", "two shards"])
def store(request: pytest.FixtureRequest, opens: Opens) -> Iterator[Store]:
    """The store under each of its forms: a test that takes it runs three times."""
    if request.param == "embedded":
        with Store.temporary() as store:
            yield store
    elif request.param == "one server":
        yield opens(request.getfixturevalue("one"), cluster="")
    else:
        yield opens(request.getfixturevalue("two")[0])
