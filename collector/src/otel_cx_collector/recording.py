"""Recordings read from disk: OTLP JSON lines to rows and levels, fact lines to facts. Judges nothing."""

import gzip
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final, Self, cast

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from otel_cx_collector.decode import BadRequest, DecodeLimits, TooLarge
from otel_cx_collector.decode.facts import FactRules, decode_facts
from otel_cx_collector.decode.metrics import WantedMetrics, decode_metrics
from otel_cx_collector.errors import UserError
from otel_cx_collector.events import Fact, Refusal, SignalPoint, StepRow, to_batch
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.tag import FUTURE_NS, LATE_NS, Bounds, HashKeys, Tagger, decode_traces_dict, median_end_ns

NEVER_NS: Final = 2**63 - 1
CHUNK_ROWS: Final = 50_000
"""Rows gathered before they become one Arrow batch."""
ANY_KEY: Final = HashKeys("replay", b"counts do not depend on it")
"""Pseudonyms never leave a replay: it reports counts."""
LIMITS: Final = DecodeLimits()


@dataclass(slots=True)
class Recording:
    """What the lines held, before the store has seen it."""

    received: int = 0
    synthetic: int = 0
    rejected: Counter[Refusal] = field(default_factory=Counter)
    latest_ns: int = 0
    """Latest arrival of all lines."""
    batches: list[pa.RecordBatch] = field(default_factory=list)
    waiting: list[StepRow] = field(default_factory=list)
    points: list[SignalPoint] = field(default_factory=list)
    """Levels of the resources under ``saturation``."""
    facts: list[Fact] = field(default_factory=list)
    """In an order that does not depend on that of the lines."""

    def add(self, rows: list[StepRow]) -> None:
        """Keep rows, as columns once there are enough."""
        self.waiting += rows
        if len(self.waiting) >= CHUNK_ROWS:
            self.seal()

    def seal(self) -> None:
        """Turn the rows that wait into a batch."""
        if self.waiting:
            self.batches.append(to_batch(self.waiting))
            self.waiting = []

    def rows(self) -> pa.Table:
        """All rows but those that lie too far after the latest arrival: known only when every line has been read."""
        schema = to_batch([]).schema
        table = pa.Table.from_batches(self.batches, schema=schema)
        kept = table.filter(pc.less_equal(table["end"], self.latest_ns + FUTURE_NS))
        self.rejected[Refusal.IN_FUTURE] += table.num_rows - kept.num_rows
        return kept


@dataclass(frozen=True, slots=True)
class _Reader:
    """What lines are read with."""

    tagger: Tagger
    wanted: WantedMetrics
    rules: FactRules

    @classmethod
    def of(cls, inventory: Inventory) -> Self:
        """Reads as this inventory says."""
        tagger = Tagger(inventory, ANY_KEY)
        rules = FactRules(frozenset(inventory.journeys), tagger.account_of_fact)
        return cls(tagger, WantedMetrics.of(inventory), rules)


def read(paths: list[str], inventory: Inventory) -> Recording:
    """Decode every line of the recordings; a broken line is counted and costs its neighbours nothing.

    Raises:
        UserError: A file cannot be read, or a fact is none that this version evaluates.
    """
    return read_for(paths, [inventory])[0]


def read_for(paths: list[str], inventories: Sequence[Inventory]) -> list[Recording]:
    """The same under each inventory, the files read once: what is a step is the inventory's to say."""
    readers = [(Recording(), _Reader.of(inventory)) for inventory in inventories]
    for line in lines(paths):
        for recording, reader in readers:
            _line(recording, line, reader)
    for recording, _ in readers:
        recording.seal()
        recording.facts.sort(key=lambda fact: (fact.at_ns, fact.id, repr(fact)))
    return [recording for recording, _ in readers]


def lines(paths: list[str]) -> Iterator[bytes]:
    """Lines of recordings, ``.gz`` ones inflated, ``-`` standard input; blank ones left out."""
    for path in paths:
        with _open(path) as file:
            yield from (line for line in file if line.strip())


def _open(path: str) -> AbstractContextManager[Iterable[bytes]]:
    if path == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return cast(
            "AbstractContextManager[Iterable[bytes]]", (gzip.open if path.endswith(".gz") else open)(path, "rb")
        )
    except OSError as error:
        raise UserError(
            f"cannot read the recording {path!r}: {error.strerror}; name a file of OTLP JSON lines"
        ) from error


def _line(recording: Recording, line: bytes, reader: _Reader) -> None:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        recording.rejected[Refusal.BAD_LINE] += 1
    elif "resourceSpans" in document:
        _spans(recording, document, reader.tagger)
    elif "resourceMetrics" in document:
        _levels(recording, line, reader.wanted)
    elif "kind" in document and "at" in document:
        _fact(recording, line, reader.rules)
    elif "resourceLogs" not in document:
        recording.rejected[Refusal.BAD_LINE] += 1


def _levels(recording: Recording, line: bytes, wanted: WantedMetrics) -> None:
    try:
        points, _ = decode_metrics(line, as_json=True, wanted=wanted, limits=LIMITS, earliest_ns=0, latest_ns=NEVER_NS)
    except (BadRequest, TooLarge):
        recording.rejected[Refusal.BAD_LINE] += 1
        return
    recording.points += points


def _fact(recording: Recording, line: bytes, rules: FactRules) -> None:
    """A person wrote it, or wrote what writes it, so a mistake is told rather than counted."""
    facts, refused = decode_facts(line, rules, None)
    if refused:
        raise UserError(f"a fact cannot be taken: {refused[0].why} (in {line.strip()[:120].decode(errors='replace')})")
    recording.facts += facts


def _spans(recording: Recording, document: dict[str, object], tagger: Tagger) -> None:
    try:
        arrival = median_end_ns(document)
        earliest = arrival - LATE_NS if arrival is not None else 0
        decoded = decode_traces_dict(document, tagger, Bounds(earliest, NEVER_NS), LIMITS)
    except (BadRequest, TooLarge):
        recording.rejected[Refusal.BAD_LINE] += 1
        return
    recording.latest_ns = max(recording.latest_ns, arrival or 0)
    recording.received += decoded.spans
    recording.synthetic += decoded.synthetic
    recording.rejected.update(decoded.rejected)
    recording.add(decoded.rows)
