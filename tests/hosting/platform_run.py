"""Starts the example platform for a test and waits for what its spans should show. Not the assertions."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hosting.sink import Seen, Sink

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Run:
    """A running platform whose spans go to a sink."""

    home: Path
    sink: Sink
    process: subprocess.Popen[str]
    panel: str = ""
    said: list[str] = field(default_factory=list)

    def until(self, what: str, seen: Callable[[list[Seen]], bool], timeout_s: float = 90) -> list[Seen]:
        """Wait until the spans show something; fails saying what was waited for."""
        give_up = time.monotonic() + timeout_s
        while not seen(spans := self.sink.spans()):
            if time.monotonic() > give_up or self.process.poll() is not None:
                logs = "\n".join(path.read_text()[-800:] for path in (self.home / "logs").iterdir())
                raise AssertionError(f"never seen: {what}; the platform said {self.said}; its logs:\n{logs}")
            time.sleep(0.5)
        return spans

    def stop(self) -> int:
        """Ask the supervisor to stop, and wait for it."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def start(home: Path, sink: Sink, *options: str) -> Run:
    """Start the platform and wait until it has said where it is."""
    command = [sys.executable, "-m", "examples.hosting.run", "--collector-endpoint", sink.endpoint]
    process = subprocess.Popen(
        [*command, "--home", str(home), "--no-history", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    run = Run(home, sink, process)
    for line in process.stdout or ():
        run.said.append(line)
        if "control panel" in line:
            run.panel = line.split()[-1]
        if "logs" in line:
            return run
    raise AssertionError(f"the platform did not start: {run.said}")


def alive(home: Path) -> list[str]:
    """Every process of the platform that lives in ``home``, found by the environment it was started with."""
    mark = f"HOSTING_HOME={home}".encode()
    return [process.name for process in Path("/proc").iterdir() if process.name.isdecimal() and _has(process, mark)]


def _has(process: Path, mark: bytes) -> bool:
    try:
        return mark in (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def steps(spans: Iterable[Seen], journey: str, step: str) -> list[Seen]:
    """The executions of one step that the SDK tagged."""
    return [seen for seen in spans if seen.step == (journey, step)]


def failed(spans: Iterable[Seen], journey: str, step: str, error: str) -> list[Seen]:
    """Those of them that ended with an error of this type."""
    return [seen for seen in steps(spans, journey, step) if seen.attributes.get("error.type") == error]
