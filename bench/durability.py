"""What durability costs: ``.venv/bin/python -m bench.durability [--seconds 4] [--rounds 3]``, or ``--restart``.

CPU of a real collector process for each span it takes over OTLP/HTTP and stores, once as it is and once with a stand-in
for the log that keeps rows in memory and answers at once: nothing encoded, written, synced or read back. Runs come in
turns, so that noise hits both. ``--restart`` measures from the start of the process until it takes spans, until it says
that it is ready, and until it has judged, with 1 GiB of log that the store lacks.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import pyarrow as pa

from bench.overload import INVENTORY, Batch, offer
from bench.soak import KINDS, NS, Collector, Second, inventory
from otel_cx_collector import cli, node
from otel_cx_collector import inventory as inventories
from otel_cx_collector.decode import DecodeLimits
from otel_cx_collector.events import to_batch
from otel_cx_collector.log import Log, LogLimits
from otel_cx_collector.tag import Bounds, Tagger, decode_traces

CONNECTIONS: Final = 4
SIZES: Final = (1_000, 100)
"""Spans of a request, one in ten a step."""
GIB: Final = 1 << 30
WARM_S: Final = 1.0
STORED_S: Final = 60.0


class MemoryLog:
    """What `Log` is to its callers, without a disk: what it holds dies with the process."""

    damage: tuple[()] = ()

    def __init__(self, directory: Path, limits: LogLimits) -> None:
        self.directory, self.limits = directory, limits
        self.stored = self.last = self.bytes_used = 0
        self._batches: deque[tuple[int, pa.RecordBatch]] = deque()
        self._grown = threading.Condition()

    def append(self, batch: pa.RecordBatch) -> int:
        with self._grown:
            self.last += 1
            self._batches.append((self.last, batch))
            self._grown.notify_all()
            return self.last

    def read(self, after: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        with self._grown:
            found = [each for each in self._batches if each[0] > after]
        yield from found

    def wait(self, after: int, timeout_s: float) -> bool:
        with self._grown:
            return self._grown.wait_for(lambda: self.last > after, timeout_s)

    def mark_stored(self, position: int) -> None:
        with self._grown:
            self.stored = position
            while self._batches and self._batches[0][0] <= position:
                self._batches.popleft()

    def minutes_left(self, now_s: float) -> None:  # noqa: ARG002 - as the real one's
        return None

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_without_log(words: list[str]) -> None:
    """The collector's command line with the stand-in; in a process of its own."""
    sys.argv = ["otel-cx-collector", *words]
    vars(node)["Log"] = MemoryLog
    cli.main()


def cpu_us_a_span(spans: int, seconds: float, *, durable: bool) -> float:
    """CPU of the collector over taking and storing, by the spans it took."""
    program = ("-m", "otel_cx_collector") if durable else ("-m", "bench.durability", "--without-log")
    with tempfile.TemporaryDirectory() as home:
        collector = Collector(Path(home), INVENTORY, *program)
        try:
            collector.ready()
            batch = Batch(spans, spans // 10)
            offer("127.0.0.1", collector.port, 0, WARM_S, batch, 1 << 30, CONNECTIONS)
            _settle(collector)
            before_s = collector.cpu_s()
            taken = offer("127.0.0.1", collector.port, 0, seconds, batch, 2 << 30, CONNECTIONS)
            _settle(collector)
            used_s = collector.cpu_s() - before_s
            assert list(taken.statuses) == ["200"], taken.statuses
        finally:
            collector.stop()
    return float(used_s / (len(taken.acknowledged) * spans) * 1e6)


def _settle(collector: Collector) -> None:
    """Wait until the store has everything."""
    end = time.monotonic() + STORED_S
    while collector.metrics()["log_waiting_batches"]:
        assert time.monotonic() < end, "the store does not keep up"
        time.sleep(0.2)


def compare(seconds: float, rounds: int) -> None:
    """Print a table row for each size of request."""
    print(
        "| spans/request | with the log, CPU us/span | without | ratio of medians | ratios of pairs |\n|" + " --- |" * 5
    )
    for spans in SIZES:
        pairs = []
        for number in range(rounds):
            order = (True, False) if number % 2 else (False, True)
            pair = {durable: cpu_us_a_span(spans, seconds, durable=durable) for durable in order}
            pairs.append((pair[True], pair[False]))
        durable, fleeting = zip(*pairs, strict=True)
        ratios = sorted(one / other for one, other in pairs)
        ratio = statistics.median(durable) / statistics.median(fleeting)
        row = [f"{spans:,}", _shown(durable), _shown(fleeting), f"{ratio:.2f}", f"{ratios[0]:.2f} to {ratios[-1]:.2f}"]
        print(f"| {' | '.join(row)} |", flush=True)


def _shown(values: tuple[float, ...]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


# ---------------------------------------------------------------------- restart


def fill(directory: Path) -> int:
    """A log of 1 GiB of the demo's checkouts, a second of ten times its rate a record; how many records.

    The records repeat after a minute, as opening does not look at what rows say; the store keeps each row once.
    """
    tagger = Tagger(inventories.parse(inventory()), None)
    made, now_ns = Second(KINDS[0], 40, 0.0, 0), time.time_ns()
    bounds = Bounds(now_ns - 3600 * NS, now_ns)
    batches = []
    for ago in range(60):
        body = bytes(made.at(now_ns // NS - ago, now_ns - ago * NS))
        batches.append(to_batch(decode_traces(body, tagger, bounds, DecodeLimits()).rows))
    with Log(directory) as log:
        while log.bytes_used < GIB:
            for batch in batches[1:]:
                log._enqueue(batch)  # noqa: SLF001 - many to a sync, or the making takes longest
            log.append(batches[0])
        return log.last


def restart() -> None:
    """Print how long it took; the kernel still has what was just written in memory."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "data").mkdir(mode=0o700)
        records = fill(home / "data" / "log")
        collector = Collector(home, inventory())
        receiving_s = collector.receiving()
        ready_s = collector.ready()
        judged_s = collector.judged()
        rows = int(collector.metrics()["store_rows_total"])
        collector.kill()
    took = {"receiving_s": receiving_s, "ready_s": ready_s, "judged_s": judged_s}
    rounded = {name: round(seconds, 2) for name, seconds in took.items()}
    print(json.dumps({"records": records, **rounded, "rows_stored_when_judged": rows}), flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--without-log"]:
        run_without_log(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--restart", action="store_true", help="how long a start takes with 1 GiB of log, twice")
    asked = parser.parse_args()
    if asked.restart:
        restart()
        restart()
    else:
        compare(asked.seconds, asked.rounds)


if __name__ == "__main__":
    main()
