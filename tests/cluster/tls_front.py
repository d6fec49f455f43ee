"""A process that speaks TLS before a node: the wheel's servers listen for TCP and HTTP alone."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import trustme
from cluster.nodes import Node

_PROGRAM: Final = """
import asyncio, contextlib, ssl, sys

certificate, host, port = sys.argv[1:]

async def carry(reader, writer):
    with contextlib.suppress(OSError):
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
    writer.close()

async def connected(reader, writer):
    far_reader, far_writer = await asyncio.open_connection(host, int(port))
    await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


@contextmanager
def tls_before(node: Node, authority: trustme.CA, folder: Path) -> Iterator[int]:
    """The port of 127.0.0.1 at which it listens."""
    certificate = folder / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    command = [sys.executable, "-c", _PROGRAM, str(certificate), node.host, str(node.http)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()
