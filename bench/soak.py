"""Whether the collector's memory grows for ever: ``.venv/bin/python bench/soak.py [--minutes 30] [--rate 10]``.

A real collector process, judging the six journeys of ``examples/hosting`` with no channel to notify, is sent spans made
like the demo's over OTLP/HTTP by this process. The demo makes 240 checkouts and 110 other attempts a minute, each step
with ten other spans in its trace; ``--rate`` multiplies that. Every five minutes payments fail for a minute. At the end
the ids of all acknowledged steps are looked for in the store. Linux only: memory and CPU are read from /proc.
"""

import argparse
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
from scipy import stats

from otel_cx import semconv

NS: Final = 10**9
PATIENCE_S: Final = 60.0
SAMPLE_S: Final = 5.0
LAG_S: Final = 5
"""Between one step of an attempt and the next."""
OTHERS: Final = 10
"""Spans of a step's trace that are no steps."""
CUSTOMERS: Final = 5_000
INCIDENT_EVERY_S, INCIDENT_S = 300, 60
COMPLETE: Final = 0.7
BLOCK_S: Final = 30.0
"""Samples that follow each other are alike: the slope is taken over means of blocks this long."""
METRIC: Final = re.compile(r"^otelcx_collector_(\w+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Kind:
    """One journey of the demo: who records it, its steps, attempts a minute at the demo's own rate."""

    journey: str
    service: str
    steps: tuple[str, ...]
    a_minute: float


KINDS: Final = (
    Kind("checkout", "billing", ("cart", "payment", "confirm"), 240),
    Kind("login", "control-panel", ("credentials", "session"), 40),
    Kind("signup", "control-panel", ("form", "account", "verify"), 15),
    Kind("dns-change", "control-panel", ("edit", "publish"), 25),
    Kind("deployment", "worker", ("submit", "build", "go-live"), 15),
    Kind("support", "helpdesk", ("open", "submit"), 15),
)
ROUTES: Final = {"open": ("GET", "/tickets/new"), "submit": ("POST", "/tickets")}


# ---------------------------------------------------------------------- the load


class Second:
    """What one journey sends in a second: one request, whose ids and times are written over for each second."""

    def __init__(self, kind: Kind, attempts: int, share_failed: float, number: int) -> None:
        self.kind, self.attempts, self._number = kind, attempts, number
        self._steps: list[tuple[int, int]] = []
        """Attempt and step of each trace in the request."""
        self._places: list[tuple[int, int, int]] = []
        """Offset, what goes there, index of the trace."""
        spans = []
        for attempt in range(attempts):
            reached = len(kind.steps) if attempt < attempts * COMPLETE or kind.journey != "checkout" else 2
            for step in range(reached):
                failed = step == 1 and attempt % 10 < share_failed * 10
                spans += _trace(kind, step, failed=failed, index=len(self._steps))
                self._steps.append((attempt, step))
        self.steps, self.spans = len(self._steps), len(spans)
        self._body = _request(kind.service, spans)
        self._find()

    def _find(self) -> None:
        for index in range(self.steps):
            for what, mark in enumerate(_marks(index)):
                at = self._body.find(mark)
                while at >= 0:
                    self._places.append((at, what, index))
                    at = self._body.find(mark, at + 1)

    def at(self, second: int, now_ns: int) -> bytearray:
        """The body of this second; the first attempts began LAG_S seconds a step earlier."""
        body = bytearray(self._body)
        written = [self._values(index, second, now_ns) for index in range(self.steps)]
        for at, what, index in self._places:
            value = written[index][what]
            body[at : at + len(value)] = value
        return body

    def ids(self, second: int) -> list[int]:
        """Span ids of its steps."""
        return [int.from_bytes(self._span_id(index, second) + b"\0") for index in range(self.steps)]

    def _span_id(self, index: int, second: int) -> bytes:
        """All of it but the last byte, which tells the spans of a trace apart."""
        return struct.pack(">BIH", self._number + 1, second, index)

    def _values(self, index: int, second: int, now_ns: int) -> tuple[bytes, ...]:
        attempt, step = self._steps[index]
        begun = (second - step * LAG_S) * 1000 + attempt
        end = now_ns - (index * 7919 % 1000) * 10**6
        trace = struct.pack(">BIQHB", self._number + 1, 0, begun, step, 0)
        took = (50 + index * 131 % 900) * 10**6
        return (
            trace,
            self._span_id(index, second),
            struct.pack("<Q", end - took),
            struct.pack("<Q", end),
            b"%02d%030d" % (self._number, begun),
            b"k.%022d" % (begun * 2_654_435_761 % CUSTOMERS),
        )


def _marks(index: int) -> tuple[bytes, ...]:
    """What stands in the template where the values of one trace go, in their order; all of them unlike."""
    return (
        b"TRACE%011d" % index,
        b"SPN%04d" % index,
        b"BEG%05d" % index,
        b"END%05d" % index,
        b"ATT%029d" % index,
        b"k.CUS%019d" % index,
    )


def _trace(kind: Kind, step: int, *, failed: bool, index: int) -> list[Span]:
    """The step and the other spans around it."""
    trace, span, start, end, attempt, customer = _marks(index)
    context = {
        semconv.JOURNEY_NAME: kind.journey,
        semconv.JOURNEY_ATTEMPT: attempt.decode(),
        semconv.CUSTOMER_ID: customer.decode(),
        semconv.ACCOUNT_ID: customer.decode(),
        semconv.SEGMENT: ("enterprise", "developer", "trial")[index % 3],
        semconv.PLAN: ("free", "pro", "business")[index % 3],
        semconv.REGION: ("eu", "us", "apac")[index // 3 % 3],
    }
    name, named, span_kind = (
        kind.steps[step],
        {**context, semconv.JOURNEY_STEP: kind.steps[step]},
        Span.SPAN_KIND_INTERNAL,
    )
    others = {**context, semconv.JOURNEY_WITHIN: name}
    if kind.journey == "support":  # the help desk has no SDK
        method, route = ROUTES[name]
        others = {"tenant.tier": context[semconv.SEGMENT], "tenant.region": context[semconv.REGION]}
        named = {**others, "http.method": method, "http.route": route, semconv.SESSION_ID: attempt.decode()}
        span_kind = Span.SPAN_KIND_SERVER
    if failed:
        named[semconv.ERROR_TYPE] = "GatewayUnavailableError"
    spans = [Span(span_id=span + b"\0", name=name, kind=span_kind, attributes=_pairs(named))]
    if failed:
        spans[0].status.code = Status.STATUS_CODE_ERROR
    for number in range(OTHERS):
        own = {**others, "db.system.name": "postgresql", "db.query.text": f"select {number} from orders where id = ?"}
        child = span + bytes([number + 1])
        spans.append(Span(span_id=child, parent_span_id=span + b"\0", name="query", attributes=_pairs(own)))
    for each in spans:
        each.trace_id = trace
        each.start_time_unix_nano, each.end_time_unix_nano = struct.unpack("<QQ", start + end)
    return spans


def _request(service: str, spans: list[Span]) -> bytes:
    resource = {"service.name": service, semconv.ENVIRONMENT: "production", "hosting.origin": "live"}
    block = ResourceSpans(resource=Resource(attributes=_pairs(resource)), scope_spans=[ScopeSpans(spans=spans)])
    return ExportTraceServiceRequest(resource_spans=[block]).SerializeToString()


def _pairs(attributes: dict[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items()]


class Load:
    """All journeys, one request each a second; remembers what was acknowledged."""

    def __init__(self, port: int, rate: float) -> None:
        self._wire = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        sizes = [max(1, round(kind.a_minute * rate / 60)) for kind in KINDS]
        self._normal = [Second(kind, size, 0, n) for n, (kind, size) in enumerate(zip(KINDS, sizes, strict=True))]
        self._broken = [Second(KINDS[0], sizes[0], 0.6, 0), *self._normal[1:]]
        self.acknowledged: list[int] = []
        self.spans = self.errors = 0

    def send(self, second: int, *, incident: bool) -> None:
        """Everything of one second."""
        for each in self._broken if incident else self._normal:
            try:
                self._wire.request("POST", "/v1/traces", each.at(second, time.time_ns()), HEADERS)
                answer = self._wire.getresponse()
                taken = answer.status == 200 and not answer.read()  # a body would say what was not taken
            except (OSError, http.client.HTTPException):
                self._wire.close()
                taken = False
            self.errors += not taken
            if taken:
                self.acknowledged += each.ids(second)
                self.spans += each.spans


HEADERS: Final = {"Content-Type": "application/x-protobuf"}


# ---------------------------------------------------------------------- the collector


class Collector:
    """The real process on free ports with a data directory of its own."""

    def __init__(self, home: Path, inventory: str, *program: str) -> None:
        self.home = home
        with ExitStack() as held:
            wires = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(4)]
            grpc, self.port, web, self.health = (wire.getsockname()[1] for wire in wires)
        (home / "cx.yaml").write_text(inventory)
        (home / "collector.yaml").write_text(
            f"receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:{grpc}}}, "
            f"http: {{endpoint: 127.0.0.1:{self.port}}}}}}}}}\n"
            f"web: {{endpoint: 127.0.0.1:{web}}}\nhealth: {{endpoint: 127.0.0.1:{self.health}}}\n"
            f"data: {home / 'data'}\n"
        )
        words = ["run", "--config", str(home / "collector.yaml"), "--inventory", str(home / "cx.yaml")]
        with (home / "said").open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, *(program or ("-m", "otel_cx_collector")), *words], stderr=said
            )
        self.began = time.monotonic()

    def receiving(self) -> float:
        """Seconds from the start of the process until it takes spans."""
        return self._until(lambda: socket.create_connection(("127.0.0.1", self.port), 1).close())

    def ready(self) -> float:
        """Seconds from the start of the process until it says that it is ready."""
        return self._until(lambda: self._get("/ready"))

    def judged(self) -> float:
        """Seconds from the start of the process until it has judged for the first time."""
        return self._until(self._round)

    def _round(self) -> None:
        if not self.metrics()["rounds_total"]:
            raise OSError("no round yet")

    def _until(self, ask: Callable[[], object]) -> float:
        while time.monotonic() - self.began < PATIENCE_S and self.process.poll() is None:
            with suppress(OSError):
                ask()
                return time.monotonic() - self.began
            time.sleep(0.02)
        self.kill()
        raise SystemExit(f"the collector did not start: {(self.home / 'said').read_text()}")

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def metrics(self) -> dict[str, float]:
        """Its own metrics by name, labels summed."""
        found: dict[str, float] = {}
        for name, _, value in METRIC.findall(self._get("/metrics")):
            found[name] = found.get(name, 0.0) + float(value)
        return found

    def rss_mib(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024

    def cpu_s(self) -> float:
        """User and system time of the process since its start."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stored(self, journeys: list[str]) -> np.ndarray[Any, Any]:
        """Ids of all steps in the store, after the process has ended."""
        from otel_cx_collector.log import Log
        from otel_cx_collector.store import Flusher, Store

        with Log(self.home / "data" / "log") as rows, Store(self.home / "data" / "store") as store:
            flusher = Flusher(rows, store)  # what the process had no time for
            flusher.start()
            assert flusher.stop(PATIENCE_S)
            found = [store.steps(journey, 0, 2**62, ["production"])["span_id"].to_pylist() for journey in journeys]
        return np.frombuffer(b"".join(each for ids in found for each in ids), dtype=">u8").astype(np.uint64)


def inventory() -> str:
    """The example's, without the channels."""
    text = (Path(__file__).parents[1] / "examples" / "hosting" / "cx.yaml").read_text()
    return re.sub(r", notify: \[[^\]]*\]", "", text.partition("\nnotify:")[0] + "\n")


# ---------------------------------------------------------------------- the run


@dataclass
class Samples:
    """What was read of the process every SAMPLE_S."""

    at_s: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    rows: list[float] = field(default_factory=list)
    """Judging keeps them in memory for as long as the store does."""
    round_s: list[float] = field(default_factory=list)
    rounds: float = 0.0
    flush_lag_s: float = 0.0

    def take(self, collector: Collector, at_s: float) -> None:
        seen = collector.metrics()
        self.at_s.append(at_s)
        self.rss_mib.append(collector.rss_mib())
        self.cpu_s.append(collector.cpu_s())
        self.rows.append(seen.get("journey_rows", 0.0))
        self.round_s.append(seen.get("round_seconds", 0.0))
        self.rounds = seen.get("rounds_total", 0.0)
        self.flush_lag_s = max(self.flush_lag_s, seen.get("flush_lag_seconds", 0.0))


def slope(at_s: list[float], values: list[float], since_s: float) -> tuple[float, float]:
    """Least squares over means of blocks of BLOCK_S after ``since_s``: units an hour, half of the 95 % interval."""
    blocks: dict[int, list[float]] = {}
    for at, value in zip(at_s, values, strict=True):
        if at >= since_s:
            blocks.setdefault(int((at - since_s) // BLOCK_S), []).append(value)
    if len(blocks) < 3:
        return float("nan"), float("nan")
    hours = [number * BLOCK_S / 3600 for number in blocks]
    fit = stats.linregress(hours, [float(np.mean(block)) for block in blocks.values()])
    return float(fit.slope), float(fit.stderr * stats.t.ppf(0.975, len(blocks) - 2))


def drive(collector: Collector, load: Load, minutes: float) -> Samples:
    """Send a second's spans every second, sample beside it."""
    samples, began, second, sampled = Samples(), time.monotonic(), 0, 0.0
    first = int(time.time())
    while (at_s := time.monotonic() - began) < minutes * 60:
        load.send(first + second, incident=at_s % INCIDENT_EVERY_S > INCIDENT_EVERY_S - INCIDENT_S)
        if at_s >= sampled:
            samples.take(collector, at_s)
            sampled += SAMPLE_S
        second += 1
        time.sleep(max(0.0, began + second - time.monotonic()))
    samples.take(collector, time.monotonic() - began)
    return samples


def run(home: Path, minutes: float, rate: float, warm_minutes: float) -> dict[str, object]:
    collector = Collector(home, inventory())
    collector.ready()
    load = Load(collector.port, rate)
    own = time.process_time()
    try:
        samples = drive(collector, load, minutes)
    finally:
        own = time.process_time() - own
        collector.stop()
    stored = collector.stored([kind.journey for kind in KINDS])
    sent = np.array(load.acknowledged, dtype=np.uint64)
    took_s = samples.at_s[-1]
    grows, within = slope(samples.at_s, samples.rss_mib, warm_minutes * 60)
    more_rows, _ = slope(samples.at_s, samples.rows, warm_minutes * 60)
    warm = next(n for n, at in enumerate(samples.at_s) if at >= min(warm_minutes * 60, took_s))
    return {
        "minutes": round(took_s / 60, 1),
        "of them warm-up": warm_minutes,
        "spans a second": round(load.spans / took_s),
        "steps a second": round(len(sent) / took_s),
        "memory at the start, after warm-up, at the end, peak, MiB": [
            round(value)
            for value in (samples.rss_mib[0], samples.rss_mib[warm], samples.rss_mib[-1], max(samples.rss_mib))
        ],
        "slope of memory after warm-up, MiB an hour": f"{grows:.0f} +- {within:.0f}",
        "rows judging keeps in memory, growth an hour": f"{more_rows:,.0f}",
        "CPU of the collector, cores": round((samples.cpu_s[-1] - samples.cpu_s[0]) / took_s, 3),
        "CPU of the sender, cores": round(own / took_s, 3),
        "rounds judged": int(samples.rounds),
        "longest round seen, s": round(max(samples.round_s), 3),
        "longest wait for the store, s": round(samples.flush_lag_s, 2),
        "requests that were not taken whole": load.errors,
        "acknowledged steps": len(sent),
        "of them not in the store; in it more than once": [
            int((~np.isin(sent, stored)).sum()),
            len(stored) - len(np.unique(stored)),
        ],
        "samples of memory, MiB": [round(value) for value in samples.rss_mib[::6]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=10, help="times the demo's")
    parser.add_argument("--warm-minutes", type=float, help="left out of the slope; a third by default")
    asked = parser.parse_args()
    warm = asked.warm_minutes if asked.warm_minutes is not None else round(asked.minutes / 3, 1)
    with tempfile.TemporaryDirectory() as home:
        result = run(Path(home), asked.minutes, asked.rate, warm)
    for name, value in result.items():
        print(f"{name}: {value if isinstance(value, str) else json.dumps(value)}")


if __name__ == "__main__":
    main()
