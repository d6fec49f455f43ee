"""Child processes: started with their sockets, watched until ready, stopped without leaving any. Not which ones."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from examples.hosting.serving import READY, SOCKET

START_S: Final = 60
STOP_S: Final = 12
"""A child that has not stopped after so long is killed."""


class ChildError(Exception):
    """A child did not start, or ended by itself."""


@dataclass(slots=True)
class Child:
    """One running child; its standard input stays open as long as we live, which is how it knows."""

    name: str
    process: subprocess.Popen[bytes]
    ready: Path
    log: Path

    def check(self) -> None:
        """Raise ChildError, with the end of its log, when the child has ended by itself."""
        code = self.process.poll()
        if code is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise ChildError(f"{self.name} ended with code {code}; the end of {self.log}:\n{tail}")

    def ask_to_stop(self) -> None:
        """Ask the child to stop, and do not wait."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ask the child to stop and wait until it has."""
        self.ask_to_stop()
        self.wait()

    def wait(self) -> None:
        """Wait until a child that was asked has stopped; one that will not is killed."""
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError):
            if self.process.stdin:
                self.process.stdin.close()
        self.ready.unlink(missing_ok=True)


def start(
    name: str,
    command: Sequence[str],
    home: Path,
    environment: Mapping[str, str],
    listening: socket.socket | None = None,
) -> Child:
    """Start a child in a session of its own, so that Ctrl-C reaches the supervisor alone."""
    logs, ready = home / "logs", home / "ready" / f"{name}-{time.monotonic_ns()}"
    logs.mkdir(parents=True, exist_ok=True)
    ready.parent.mkdir(exist_ok=True)
    fds = (listening.fileno(),) if listening else ()
    variables = {READY: str(ready), SOCKET: str(fds[0]) if fds else ""}
    log = logs / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment, **variables},
            pass_fds=fds,
            start_new_session=True,
        )
    return Child(name, process, ready, log)


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module in this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def wait_ready(children: Sequence[Child]) -> None:
    """Wait until every child serves; raises ChildError when one does not."""
    give_up = time.monotonic() + START_S
    for child in children:
        while not child.ready.exists():
            child.check()
            if time.monotonic() > give_up:
                raise ChildError(f"{child.name} is not ready after {START_S} s; see {child.log}")
            time.sleep(0.05)


def listen(port: int) -> socket.socket:
    """A listening socket on loopback, to be handed to children; port 0 takes any that is free."""
    return socket.create_server(("127.0.0.1", port), backlog=256)


def address(listening: socket.socket) -> str:
    """The base URL of a listening socket."""
    return f"http://127.0.0.1:{listening.getsockname()[1]}"
