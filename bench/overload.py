"""A collector offered three times what it can take: ``.venv/bin/python bench/overload.py [--seconds 60] [--json]``.

A real collector process; big clients that send on schedule whether or not they are answered (open loop), and beside
them a small client that sends little. Every span id is known, so that what was acknowledged is looked for in the store
at the end. A refused batch is not sent again: the rate stays what it is. Linux only: clients have loopback addresses of
their own, and memory is read from /proc.
"""

import argparse
import itertools
import json
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

INVENTORY: Final = "journeys: {checkout: {steps: [pay]}}"
ENVIRONMENT: Final = "load"
"""Not one that is judged: rows that judging keeps in memory are not what is measured here."""
BIG: Final = ("127.0.1.1", "127.0.1.2")
"""Addresses of the big clients, a process each."""
SMALL: Final = "127.0.2.1"
SMALL_RATE: Final = 10.0
PROBE_RATE: Final = 10.0
"""Requests a second of one big client from a process of its own: what they wait is not its hundreds of threads."""
THREADS: Final = 200
"""Connections of one big client; a slot of the schedule for which none is free is counted as not sent."""
PATIENCE_S: Final = 60.0
PIECE: Final = 1 << 16
OVER: Final = 3.0
LATE_S: Final = 0.5


class Batch:
    """One export with span ids that are written over for each request."""

    def __init__(self, spans: int, steps: int) -> None:
        self.steps = steps
        marks = [b"%08d" % (number + 1) for number in range(steps)]
        body = _request(spans, marks).SerializeToString()
        self._body = body
        self._offsets = [body.index(b"\x12\x08" + mark) + 2 for mark in marks]  # field 2, eight bytes: span_id
        self.size = len(body)

    def numbered(self, number: int) -> bytearray:
        """The body whose steps have ids ``number << 10`` and on."""
        body = bytearray(self._body)
        for index, offset in enumerate(self._offsets):
            struct.pack_into(">Q", body, offset, number << 10 | index)
        return body


def _request(spans: int, marks: list[bytes]) -> ExportTraceServiceRequest:
    end = time.time_ns()
    every = max(1, spans // max(1, len(marks)))
    block = ResourceSpans()
    block.resource.attributes.extend(_pairs({"service.name": "shop", "deployment.environment.name": ENVIRONMENT}))
    made = block.scope_spans.add().spans
    for number in range(spans):
        is_step = number % every == 0 and number // every < len(marks)
        named = {"otelcx.journey.step": "pay"} if is_step else {"otelcx.journey.within": "pay"}
        attributes = named | {
            "otelcx.journey.name": "checkout",
            "otelcx.journey.attempt": f"{number:032x}",
            "otelcx.customer.id": f"k.{number:022d}",
            "url.path": f"/api/checkout/{number}",
            "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140",
            **{f"http.filler.{index}": f"value {index:08d}" for index in range(8)},
        }
        made.append(
            Span(
                trace_id=(number + 1).to_bytes(16, "big"),
                span_id=marks[number // every] if is_step else (number + (1 << 62)).to_bytes(8, "big"),
                name="POST /pay",
                kind=Span.SPAN_KIND_SERVER,
                start_time_unix_nano=end - 10**8,
                end_time_unix_nano=end,
                attributes=_pairs(attributes),
            )
        )
    return ExportTraceServiceRequest(resource_spans=[block])


def _pairs(attributes: dict[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items()]


# ---------------------------------------------------------------------- a client


@dataclass
class Outcomes:
    """What became of one client's requests."""

    acknowledged: list[int] = field(default_factory=list)
    """Their numbers."""
    taken_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    """How long each refusal took."""
    statuses: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0
    not_sent: int = 0
    in_time: int = 0
    """Acknowledged before the schedule ended."""


class Connection:
    """A connection that listens while it sends, as clients do that can be refused early."""

    def __init__(self, source: str, port: int) -> None:
        self._source, self._port = source, port
        self._wire: socket.socket | None = None

    def send(self, body: bytearray) -> int:
        """The status of the answer; 0 when there was none."""
        try:
            wire = self._wire = self._wire or socket.create_connection(
                ("127.0.0.1", self._port), PATIENCE_S, (self._source, 0)
            )
            wire.sendall(
                b"POST /v1/traces HTTP/1.1\r\nHost: collector\r\nContent-Type: application/x-protobuf\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body)
            )
            view, sent = memoryview(body), 0
            for at in range(0, len(body), PIECE):
                if select.select([wire], [], [], 0)[0]:
                    break
                wire.sendall(view[at : at + PIECE])
                sent = at + PIECE
            answer = wire.recv(PIECE)
            if not answer or sent < len(body):
                self.close()
            assert b"200 OK" not in answer or b"content-length: 0\r\n" in answer, answer  # else it took a part only
            return int(answer[9:12]) if answer else 0
        except OSError:
            self.close()
            return 0

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None


def offer(source: str, port: int, rate: float, seconds: float, batch: Batch, first: int, threads: int) -> Outcomes:
    """Send ``rate`` requests a second on schedule; 0: as fast as ``threads`` connections are answered."""
    outcomes, lock, numbers = Outcomes(), threading.Lock(), itertools.count()
    began = time.monotonic()

    def run() -> None:
        connection = Connection(source, port)
        while True:
            number = next(numbers)
            due = began + number / rate if rate else time.monotonic()
            if due >= began + seconds:
                break
            wait = due - time.monotonic()
            if wait < -LATE_S:
                with lock:
                    outcomes.not_sent += 1
                continue
            time.sleep(max(0.0, wait))
            body = batch.numbered(first + number)
            start = time.monotonic()
            status = connection.send(body)
            took = time.monotonic() - start
            with lock:
                _note(outcomes, first + number, status, took)
                outcomes.in_time += status == 200 and time.monotonic() <= began + seconds
        connection.close()

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return outcomes


def _note(outcomes: Outcomes, number: int, status: int, took: float) -> None:
    if status == 200:
        outcomes.acknowledged.append(number)
        outcomes.taken_s.append(took)
    elif status:
        outcomes.refused_s.append(took)
    else:
        outcomes.unanswered += 1
    outcomes.statuses[str(status)] = outcomes.statuses.get(str(status), 0) + 1


# ---------------------------------------------------------------------- the collector


class Collector:
    """The real process, its ports and its memory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with ExitStack() as held:
            wires = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(4)]
            grpc, self.port, web, self.health = (wire.getsockname()[1] for wire in wires)
        (home / "cx.yaml").write_text(INVENTORY)
        (home / "collector.yaml").write_text(
            f"receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:{grpc}}}, "
            f"http: {{endpoint: 127.0.0.1:{self.port}}}}}}}}}\n"
            f"web: {{endpoint: 127.0.0.1:{web}}}\nhealth: {{endpoint: 127.0.0.1:{self.health}}}\n"
            f"data: {home / 'data'}\nlog: {{min_free_bytes: 0}}\n"
        )
        words = ["run", "--config", str(home / "collector.yaml"), "--inventory", str(home / "cx.yaml")]
        self._said = (home / "said").open("wb")
        self.process = subprocess.Popen([sys.executable, "-m", "otel_cx_collector", *words], stderr=self._said)
        self.peak_kib = 0
        self._watching = threading.Event()
        self._watch = threading.Thread(target=self._sample)

    def start(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                self._watch.start()
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"the collector did not start: {(self.home / 'said').read_text()}")

    def rss_kib(self) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

    def stop(self) -> None:
        self._watching.set()
        if self._watch.ident is not None:
            self._watch.join()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._said.close()

    def stored(self) -> np.ndarray[Any, Any]:
        """Ids of all steps in the store, after the process has ended."""
        from otel_cx_collector.log import Log
        from otel_cx_collector.store import Flusher, Store

        with Log(self.home / "data" / "log") as rows, Store(self.home / "data" / "store") as store:
            flusher = Flusher(rows, store)  # what the process had no time for
            flusher.start()
            assert flusher.stop(PATIENCE_S)
            found = store.steps("checkout", 0, 2**62, [ENVIRONMENT])
        ids = np.frombuffer(b"".join(found["span_id"].to_pylist()), dtype=">u8")
        assert len(np.unique(ids)) == len(ids)
        return ids

    def _sample(self) -> None:
        while not self._watching.wait(0.1):
            with suppress(OSError, StopIteration):
                self.peak_kib = max(self.peak_kib, self.rss_kib())


# ---------------------------------------------------------------------- the run


@dataclass
class Result:
    """Figures of one run; times in milliseconds, memory in MiB."""

    capacity_batches_s: float
    offered_batches_s: float
    body_kib: float
    goodput_share: float
    """Taken under overload, of the capacity."""
    taken_ms: tuple[float, float]
    """p50 and p99 of what was taken."""
    refused_ms: tuple[float, float]
    probe_refused_ms: tuple[float, float]
    """p50 and p99 of refusals of a big client's few requests from another process."""
    probe_refused: int
    statuses: dict[str, int]
    unanswered: int
    not_sent: int
    small_taken: int
    small_refused: int
    small_ms: tuple[float, float]
    rss_before_mib: float
    rss_peak_mib: float
    normal_ms: tuple[float, float]
    """A probe without load."""
    recovered_s: float
    """From the end of the load until five probes in a row took no longer than twice the p99 of normal."""
    acknowledged_steps: int
    lost_steps: int


def percentiles(seconds: list[float]) -> tuple[float, float]:
    if not seconds:
        return 0.0, 0.0
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return round(float(p50), 1), round(float(p99), 1)


def run(home: Path, seconds: float, spans: int, steps: int) -> Result:
    collector = Collector(home)
    try:
        collector.start()
        return measure(collector, seconds, Batch(spans, steps), spans, steps)
    finally:
        collector.stop()


def measure(collector: Collector, seconds: float, batch: Batch, spans: int, steps: int) -> Result:
    port, tiny = collector.port, Batch(20, 2)
    normal = offer(SMALL, port, 20, 2, tiny, 1 << 30, 1)
    full_s = max(2.0, seconds / 6)
    closed = big_clients(port, 0, full_s, spans, steps, threads=8, first=16)
    capacity = sum(each.in_time for each in closed) / full_s
    before_kib = collector.rss_kib()
    small: list[Outcomes] = []
    beside = threading.Thread(target=lambda: small.append(offer(SMALL, port, SMALL_RATE, seconds, tiny, 3 << 30, 4)))
    beside.start()
    with _client(BIG[0], port, PROBE_RATE, seconds, spans, steps, 64, 8) as probing:
        crowd = big_clients(port, capacity * OVER, seconds, spans, steps, threads=THREADS, first=32)
        probe = _outcomes(probing)
    beside.join()
    recovered_s, probes = recovery(port, tiny, percentiles(normal.taken_s)[1] / 1000 * 2)
    collector.stop()
    bigs = [*closed, *crowd, probe]
    tinies = [normal, small[0], probes]
    lost, sent = missing(collector.stored(), [(bigs, batch.steps), (tinies, tiny.steps)])
    taken = sum(each.in_time for each in crowd)
    statuses: Counter[str] = sum((Counter(each.statuses) for each in crowd), Counter())
    return Result(
        capacity_batches_s=round(capacity, 1),
        offered_batches_s=round(capacity * OVER, 1),
        body_kib=round(batch.size / 1024, 1),
        goodput_share=round(taken / seconds / capacity, 2),
        taken_ms=percentiles([took for each in crowd for took in each.taken_s]),
        refused_ms=percentiles([took for each in crowd for took in each.refused_s]),
        probe_refused_ms=percentiles(probe.refused_s),
        probe_refused=len(probe.refused_s),
        statuses=dict(statuses),
        unanswered=sum(each.unanswered for each in crowd),
        not_sent=sum(each.not_sent for each in crowd),
        small_taken=len(small[0].acknowledged),
        small_refused=len(small[0].refused_s) + small[0].unanswered,
        small_ms=percentiles(small[0].taken_s),
        rss_before_mib=round(before_kib / 1024, 1),
        rss_peak_mib=round(collector.peak_kib / 1024, 1),
        normal_ms=percentiles(normal.taken_s),
        recovered_s=recovered_s,
        acknowledged_steps=sent,
        lost_steps=lost,
    )


def big_clients(
    port: int, rate: float, seconds: float, spans: int, steps: int, *, threads: int, first: int
) -> list[Outcomes]:
    """The big clients, a process each: one alone would be held up by its own interpreter lock."""
    running = [
        _client(source, port, rate / len(BIG), seconds, spans, steps, first + number, threads)
        for number, source in enumerate(BIG)
    ]
    return [_outcomes(process) for process in running]


def _client(
    source: str, port: int, rate: float, seconds: float, spans: int, steps: int, block: int, threads: int
) -> subprocess.Popen[bytes]:
    """A process that offers batches numbered from ``block`` << 30, where no other client's are."""
    order = json.dumps([source, port, rate, seconds, spans, steps, block << 30, threads])
    return subprocess.Popen([sys.executable, __file__, "--client", order], stdout=subprocess.PIPE)


def _outcomes(process: subprocess.Popen[bytes]) -> Outcomes:
    return Outcomes(**json.loads(process.communicate()[0]))


def recovery(port: int, tiny: Batch, normal_s: float) -> tuple[float, Outcomes]:
    """Probe until five in a row take no longer than normal."""
    ended, connection, outcomes, good = time.monotonic(), Connection(SMALL, port), Outcomes(), 0
    for number in itertools.count(9 << 30):
        start = time.monotonic()
        status = connection.send(tiny.numbered(number))
        _note(outcomes, number, status, time.monotonic() - start)
        good = good + 1 if status == 200 and time.monotonic() - start <= normal_s else 0
        if good == 5 or time.monotonic() - ended > PATIENCE_S:
            break
        time.sleep(0.05)
    connection.close()
    return round(time.monotonic() - ended, 2), outcomes


def missing(stored: np.ndarray[Any, Any], groups: list[tuple[list[Outcomes], int]]) -> tuple[int, int]:
    """Acknowledged steps that are not in the store, and how many were acknowledged."""
    numbers = [
        np.array(each.acknowledged, dtype=np.uint64)[:, None] << np.uint64(10) | np.arange(steps, dtype=np.uint64)
        for outcomes, steps in groups
        for each in outcomes
    ]
    expected = np.concatenate([each.ravel() for each in numbers])
    return int((~np.isin(expected, stored)).sum()), len(expected)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--spans", type=int, default=1000, help="spans of a batch")
    parser.add_argument("--steps", type=int, default=1000, help="steps among them")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.client:
        source, port, rate, seconds, spans, steps, first, threads = json.loads(asked.client)
        print(json.dumps(asdict(offer(source, port, rate, seconds, Batch(spans, steps), first, threads))))
        return
    with tempfile.TemporaryDirectory() as home:
        result = asdict(run(Path(home), asked.seconds, asked.spans, asked.steps))
    if asked.json:
        print(json.dumps(result))
    else:
        print("| figure | value |\n| --- | --- |")
        for name, value in result.items():
            print(f"| {name.replace('_', ' ')} | {value} |")


if __name__ == "__main__":
    main()
