"""ClickHouse servers out of the chDB wheel, on this machine's loopback addresses, for tests. Not for anything else.

A node is a process whose working directory holds ``config.xml``; the engine inside the wheel is a whole server that
listens once it is told to. Found by trying, with chdb-core 26.9:

* Only ``chdb._chdb.query`` can do it. Over a connection (``chdb.connect``, sessions, clickhouse-connect)
  ``SYSTEM START LISTEN`` fails: "start_servers_callback is not set".
* Each call of ``query`` is an engine of its own that ends with its last statement, and takes the listeners with it. So
  all is one call, whose last statement sleeps for days; a second call fails: "EventNotifier is initialized twice".
* ``config.xml`` is read from the working directory. Users in it are not: they need a file that ``users_config`` names.
  ``default`` may not create users, and has no password: importing chdb already opens a connection as ``default``.
* The format given to ``query`` becomes the server's default one, which clients rely on to be TabSeparated.
* ``path`` makes tables survive the process; without it they are in a temporary directory. It must be absolute: of a
  relative one ``fsync_part_directory`` looks for ``data/data/...``.
* There is no Keeper: ``ON CLUSTER`` is refused ("Replicated DDL queries are disabled"), tables are not replicated.
* 127.0.0.1 is "local" to every node whose TCP port it has; other loopback addresses are not. So every node has its own
  address and its own TCP port, and all have one HTTP port, as the machines of a real cluster have.
"""

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

CLUSTER: Final = "shards"
USER: Final = "otel_cx"
PASSWORD: Final = "it's a %7Esecret"  # noqa: S105 - of a server that lives for one test
START_S: Final = 60.0

_PROGRAM: Final = """
import os, sys, threading
from chdb import _chdb

def until_the_parent_ends():
    sys.stdin.read()
    os._exit(0)

threading.Thread(target=until_the_parent_ends, daemon=True).start()
_chdb.query(
    "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; SELECT sleepEachRow(1) FROM numbers(1000000) "
    "SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0 FORMAT Null",
    "TabSeparated",
    path=os.path.abspath("data"),
)
"""
_CONFIG: Final = """<clickhouse>
    <listen_host>{host}</listen_host>
    <http_port>{http}</http_port>
    <tcp_port>{tcp}</tcp_port>
    <users_config>{users}</users_config>
    <max_server_memory_usage>1073741824</max_server_memory_usage>
    {strict}
    <remote_servers><{cluster}>{shards}</{cluster}></remote_servers>
</clickhouse>
"""
_STRICT: Final = (
    "<access_control_improvements><select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>"
    "<table_engines_require_grant>true</table_engines_require_grant></access_control_improvements>"
)
_SHARD: Final = (
    "<shard><internal_replication>true</internal_replication><replica><host>{host}</host><port>{port}</port>"
    "<user>{user}</user><password>{password}</password></replica></shard>"
)
_USERS: Final = """<clickhouse>
    <users>
        <default><password/><networks><ip>127.0.0.1</ip></networks></default>
        <{user}><password>{password}</password><networks><ip>127.0.0.0/8</ip></networks>{grants}</{user}>
    </users>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
</clickhouse>
"""


@dataclass
class Node:
    """One server, which may be stopped and started again over the same data."""

    folder: Path
    host: str
    http: int
    tcp: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start the process; ``wait`` says when it answers."""
        with (self.folder / "stderr").open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def wait(self) -> None:
        """Block until it answers over HTTP; raises AssertionError when it ends or never does."""
        until = time.monotonic() + START_S
        while not self.answers():
            assert self.process is not None
            said = (self.folder / "stderr").read_text(errors="replace")
            assert self.process.poll() is None, f"the node on {self.host}:{self.http} has ended: {said}"
            assert time.monotonic() < until, f"the node on {self.host}:{self.http} does not answer: {said}"
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether it answers now."""
        with closing(http.client.HTTPConnection(self.host, self.http, timeout=5)) as connection:
            try:
                connection.request("GET", "/ping")
                return connection.getresponse().status == 200
            except OSError:
                return False

    def kill(self) -> None:
        """End the process at once, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process = None


@contextmanager
def servers(folder: Path, count: int, grants: Sequence[str] = ()) -> Iterator[list[Node]]:
    """Nodes that are each a shard of ``CLUSTER`` without replicas, answering; ended when the block is.

    With ``grants`` that is all that USER may do, and engines and system tables need grants too.
    """
    hosts = [f"127.0.0.{number}" for number in range(1, count + 1)]
    with ExitStack() as stack:
        http_port, *tcp = _held_ports(hosts, stack)
        nodes = [Node(folder / host, host, http_port, port) for host, port in zip(hosts, tcp, strict=True)]
        for node in nodes:
            _configure(node, nodes, grants)
            node.start()
            stack.callback(node.kill)
        for node in nodes:
            node.wait()
        yield nodes


def _configure(node: Node, nodes: Sequence[Node], grants: Sequence[str]) -> None:
    node.folder.mkdir(mode=0o700, parents=True)
    users = node.folder / "users.xml"
    queries = "".join(f"<query>{grant}</query>" for grant in grants)
    granted = f"<grants>{queries}</grants>" if grants else ""
    users.write_text(_USERS.format(user=USER, password=PASSWORD, grants=granted))
    shards = "".join(_SHARD.format(host=each.host, port=each.tcp, user=USER, password=PASSWORD) for each in nodes)
    config = _CONFIG.format(
        host=node.host,
        http=node.http,
        tcp=node.tcp,
        users=users,
        cluster=CLUSTER,
        shards=shards,
        strict=_STRICT if grants else "",
    )
    (node.folder / "config.xml").write_text(config)


def _held_ports(hosts: Sequence[str], stack: ExitStack) -> list[int]:
    """A port that is free on every host, then one for each host; nobody else is given one while the stack is open."""
    while True:
        with ExitStack() as held:
            first = held.enter_context(held_port(hosts[0]))
            port = first.getsockname()[1]
            try:
                for host in hosts[1:]:
                    held.enter_context(held_port(host, port))
            except OSError:
                continue
            own = [held.enter_context(held_port(host)).getsockname()[1] for host in hosts]
            stack.enter_context(held.pop_all())
            return [port, *own]


def held_port(host: str, port: int = 0) -> socket.socket:
    """A socket that keeps a port for a process that is killed and started again.

    It listens to nobody, and a server may listen beside it. Without it the port would be anybody's between two lives:
    another process's, or the near end of a connection, even of one to that very port.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((host, port))
    except OSError:
        held.close()
        raise
    return held
