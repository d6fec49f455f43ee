"""The sink of the receivers: a body in, what it holds durable, an answer out, everything counted. Judges nothing."""

import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa

from otel_cx_collector.config import Settings
from otel_cx_collector.decode import DecodeLimits, logs
from otel_cx_collector.decode.facts import FactRules, decode_facts
from otel_cx_collector.decode.metrics import WantedMetrics, decode_metrics
from otel_cx_collector.errors import Unavailable, UserError
from otel_cx_collector.events import NS, PointRefusal, Refusal, fact_batch, signal_batch, to_batch
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.log import Log
from otel_cx_collector.receive import Answer, Encoding, Signal
from otel_cx_collector.store import Flusher
from otel_cx_collector.tag import (
    FUTURE_NS,
    LATE_NS,
    Bounds,
    Decoded,
    HashKeys,
    Tagger,
    decode_traces,
    decode_traces_json,
)
from otel_cx_collector.traffic import Traffic
from otel_cx_collector.views.source import Intake

OBSERVE_EVERY_NS: Final = NS
"""At most one request a second is read in full to see what traffic is not mapped."""
OBSERVE_MAX_BYTES: Final = 1 << 20
"""Larger requests are not read for that: it would cost more than it tells."""
CULPRITS_MAX: Final = 1_000
"""Pairs of attribute and service kept of values that became "other": service names are the senders' words."""
KEY_FILE: Final = "OTELCX_KEY_FILE"
"""Names the file of hash keys; the SDK reads the same variable."""


@dataclass(slots=True)
class Tally:
    """What arrived since the process started. Guarded by Ingest's lock."""

    spans: int = 0
    steps: int = 0
    synthetic: int = 0
    metric_points: int = 0
    signal_points: int = 0
    points_refused: Counter[PointRefusal] = field(default_factory=Counter)
    log_records: int = 0
    facts: int = 0
    facts_refused: int = 0
    refused: Counter[Refusal] = field(default_factory=Counter)
    overflow: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What requests are read with: one object, so that a change of it is whole."""

    tagger: Tagger
    wanted: WantedMetrics
    rules: FactRules


def _reading(inventory: Inventory) -> _Reading:
    tagger = Tagger(inventory, hash_keys(inventory))
    rules = FactRules(frozenset(inventory.journeys), tagger.account_of_fact)
    return _Reading(tagger, WantedMetrics.of(inventory), rules)


class Ingest:
    """The sink of both receivers: a body in, rows durable, an answer out. Called from many threads at once."""

    def __init__(self, inventory: Inventory, settings: Settings, rows: Log, now_ns: Callable[[], int]) -> None:
        self._reading = _reading(inventory)
        self._limits = DecodeLimits(
            spans=settings.limits.spans, attributes=settings.limits.attributes, nesting=settings.limits.nesting
        )
        self._rows = rows
        self._now_ns = now_ns
        self._since_s = now_ns() // NS
        self._tally = Tally()
        self._refusing = False
        self._appending: dict[int, int] = {}
        """By thread, since when its request waits for the disk, nanoseconds."""
        self._observed_ns = 0
        self._lock = threading.Lock()
        self.traffic = Traffic()

    def use(self, inventory: Inventory) -> None:
        """Read requests by another inventory from now on; those under way end by the old one.

        Raises:
            UserError: It asks for hashed ids and there is no usable key; nothing has changed.
        """
        self._reading = _reading(inventory)

    def accept(self, signal: Signal, encoding: Encoding, body: bytes, decoded: Callable[[], None]) -> Answer:
        """Decode, append to the log, and answer once it is on the disk."""
        as_json = encoding is Encoding.JSON
        if signal is Signal.TRACES:
            return self._traces(body, decoded, as_json=as_json)
        if signal is Signal.METRICS:
            return self._metrics(body, decoded, as_json=as_json)
        if signal is Signal.FACTS:
            return self._facts(body, decoded)
        records = logs.count(body, as_json, self._limits)
        with self._lock:
            self._tally.log_records += records
        return Answer()

    def _metrics(self, body: bytes, decoded: Callable[[], None], *, as_json: bool) -> Answer:
        now_ns = self._now_ns()
        points, counts = decode_metrics(
            body,
            as_json,
            self._reading.wanted,
            self._limits,
            earliest_ns=now_ns - LATE_NS,
            latest_ns=now_ns + FUTURE_NS,
        )
        if points:
            self._append(signal_batch(points), decoded)
        with self._lock:
            self._tally.metric_points += counts.points
            self._tally.signal_points += len(points)
            self._tally.points_refused.update(counts.rejected)
        return Answer(counts.rejected.total(), counts.detail)

    def _facts(self, body: bytes, decoded: Callable[[], None]) -> Answer:
        facts, refused = decode_facts(body, self._reading.rules, self._now_ns())
        if facts:
            self._append(fact_batch(facts), decoded)
        with self._lock:
            self._tally.facts += len(facts)
            self._tally.facts_refused += len(refused)
        return Answer(len(refused), accepted=len(facts), refused=tuple(refused))

    def _append(self, batch: pa.RecordBatch, decoded: Callable[[], None]) -> None:
        """Return when ``batch`` is durable."""
        decoded()
        waiting = threading.get_ident()
        self._appending[waiting] = self._now_ns()
        try:
            self._rows.append(batch)
        except Unavailable:
            self._refusing = True
            raise
        finally:
            del self._appending[waiting]

    def durable_lag_s(self) -> float:
        """How long the request that has waited longest for the disk has waited so far, in seconds."""
        begun = list(self._appending.values())
        return max(0, self._now_ns() - min(begun)) / NS if begun else 0.0

    def _traces(self, body: bytes, waits: Callable[[], None], *, as_json: bool) -> Answer:
        now_ns = self._now_ns()
        bounds = Bounds(now_ns - LATE_NS, now_ns + FUTURE_NS)
        decoded = (decode_traces_json if as_json else decode_traces)(body, self._reading.tagger, bounds, self._limits)
        if decoded.rows:
            self._append(to_batch(decoded.rows), waits)
        self._count(decoded)
        self._observe(body, now_ns, as_json=as_json)
        return Answer(sum(decoded.rejected.values()), decoded.detail)

    def _count(self, decoded: Decoded) -> None:
        with self._lock:
            tally = self._tally
            tally.spans += decoded.spans
            tally.steps += len(decoded.rows)
            tally.synthetic += decoded.synthetic
            if decoded.rejected:
                tally.refused.update(decoded.rejected)
            for culprit, values in decoded.overflow.items():
                if culprit in tally.overflow or len(tally.overflow) < CULPRITS_MAX:
                    tally.overflow[culprit] += values

    def _observe(self, body: bytes, now_ns: int, *, as_json: bool) -> None:
        """Read one request a second in full, for what no rule maps; the others cost a comparison."""
        if now_ns - self._observed_ns < OBSERVE_EVERY_NS or len(body) > OBSERVE_MAX_BYTES:
            return
        self._observed_ns = now_ns
        self.traffic.observe(body, as_json)

    def took_all(self) -> bool:
        """Whether nothing was refused for want of room since the last call."""
        refusing, self._refusing = self._refusing, False
        return not refusing

    def intake(self, flusher: Flusher, limit_bytes: int) -> Intake:
        """The counters, with the state of log and store."""
        state = flusher.state
        with self._lock:
            tally = self._tally
            return Intake(
                since_s=self._since_s,
                spans=tally.spans,
                steps=tally.steps,
                synthetic=tally.synthetic,
                metric_points=tally.metric_points,
                signal_points=tally.signal_points,
                points_refused={str(reason): number for reason, number in tally.points_refused.items()},
                log_records=tally.log_records,
                facts=tally.facts,
                facts_refused=tally.facts_refused,
                refused={str(reason): number for reason, number in tally.refused.items()},
                overflow=dict(tally.overflow),
                log_used_bytes=self._rows.bytes_used,
                log_limit_bytes=limit_bytes,
                log_minutes_left=self._rows.minutes_left(self._now_ns() / NS),
                store_ok=not state.failing,
                store_error=state.last_error if state.failing else "",
            )


def hash_keys(inventory: Inventory) -> HashKeys | None:
    """The key that raw ids are hashed with; None when nothing is hashed.

    Raises:
        UserError: The inventory asks for hashed ids and there is no usable key.
    """
    keys = keys_of_file()
    if keys is not None:
        return keys
    hashed = [name for name, rule in inventory.identify.items() if rule.hash]
    if hashed:
        raise UserError(
            f"identify.{hashed[0]} asks for hashed ids and there is no key; set {KEY_FILE} to a file that holds "
            "'<key id>:<secret of 16 characters or more>', the same that the SDK uses"
        )
    return None


def keys_of_file() -> HashKeys | None:
    """The key in the file that OTELCX_KEY_FILE names; None when it names none. Raises UserError when it is no key."""
    path = os.environ.get(KEY_FILE)
    if not path:
        return None
    try:
        return HashKeys.parse(Path(path).read_text())
    except OSError as error:
        raise UserError(f"{KEY_FILE}={path} cannot be read: {error.strerror}; name a readable key file") from error
