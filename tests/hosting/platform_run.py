"""Starts the example platform for a test and waits for what its spans should show. Not the assertions."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
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
    pager: str = ""

    def until(self, missing: Callable[[list[Seen]], list[str]], timeout_s: float = 90) -> list[Seen]:
        """Wait until the spans lack nothing; fails saying what was still missing."""
        give_up = time.monotonic() + timeout_s
        while lacking := missing(spans := self.sink.spans()):
            if time.monotonic() > give_up or self.process.poll() is not None:
                logs = "\n".join(path.read_text()[-800:] for path in (self.home / "logs").iterdir())
                raise AssertionError(f"not seen in the spans: {lacking}; the platform's logs:\n{logs}")
            time.sleep(0.5)
        return spans

    def stop(self) -> int:
        """Ask the supervisor to stop, and wait for it."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def platform(home: Path, *options: str) -> Iterator[Run]:
    """Run the platform, from where it has said where it is; whatever happens, nothing of it stays."""
    sink = Sink()
    command = [sys.executable, "-m", "examples.hosting.run", "--collector-endpoint", sink.endpoint]
    command += ["--collector-http", sink.facts.address, "--pager-port", "0"]
    with subprocess.Popen(
        [*command, "--home", str(home), "--no-history", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            yield _said_where(Run(home, sink, process))
        finally:
            process.terminate()
            sink.close()


def _said_where(run: Run) -> Run:
    said = []
    for line in run.process.stdout or ():
        said.append(line)
        if "control panel" in line:
            run.panel = line.split()[-1]
        if "the pager" in line:
            run.pager = line.split()[-1]
        if "logs" in line:
            return run
    raise AssertionError(f"the platform did not start: {said}")


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
