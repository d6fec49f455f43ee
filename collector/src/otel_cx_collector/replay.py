"""The whole pipeline over recorded OTLP, time taken from the data: the same bytes for the same spans in any order.

Not a simulation: decode, tag, store and measure are the calls that live traffic takes.
"""

import gzip
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final, cast

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from otel_cx_collector.decode import BadRequest, DecodeLimits, TooLarge
from otel_cx_collector.errors import UserError
from otel_cx_collector.events import NS, SLICE_S, Refusal, StepRow, to_batch
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.measure.evaluation import evaluate, figures
from otel_cx_collector.measure.report import Json, journey_report, timestamp
from otel_cx_collector.store import Store
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


def run(paths: list[str], inventory: Inventory, at_s: list[int] | None = None) -> Json:
    """Replay recordings and report.

    Args:
        paths: Files of OTLP JSON lines, ``.gz`` too, ``-`` for standard input.
        inventory: The file to judge by.
        at_s: Moments (slice boundaries are made of them by rounding down) for which ``reports`` are added.

    Returns:
        The report of inventory.md as plain JSON values.

    Raises:
        UserError: A file cannot be read, or holds what this version does not evaluate.
    """
    recording = read(paths, Tagger(inventory, ANY_KEY))
    table = _in_time(recording)
    with Store.temporary() as store:
        store.insert_steps(table)
        tables = {name: store.steps(name, 0, NEVER_NS, inventory.environments) for name in inventory.journeys}
        distinct = sum(count.rows for count in store.counts(0, NEVER_NS))
    return _report(recording, table, tables, distinct, inventory, at_s or [])


def _report(
    recording: Recording,
    table: pa.Table,
    tables: dict[str, pa.Table],
    distinct: int,
    inventory: Inventory,
    at_s: list[int],
) -> Json:
    first_s, last_s = _extent(table)
    report: Json = {
        "version": 1,
        "from": timestamp(first_s),
        "to": timestamp(last_s),
        "spans": {
            "received": recording.received,
            "steps": distinct,
            "synthetic": recording.synthetic,
            "duplicates": table.num_rows - distinct,
            "rejected": {str(reason): recording.rejected[reason] for reason in Refusal},
        },
    }
    report |= judged(tables, inventory, first_s, last_s)
    if at_s:
        moments = [at // SLICE_S * SLICE_S for at in at_s]
        report["reports"] = [{"at": timestamp(at)} | judged(tables, inventory, min(first_s, at), at) for at in moments]
    return report


def judged(tables: dict[str, pa.Table], inventory: Inventory, from_s: int, to_s: int) -> Json:
    """Every journey over ``[from_s, to_s)``, as of ``to_s``."""
    journeys = {
        name: journey_report(figures(evaluate(tables[name], journey, inventory, to_s * NS), from_s * NS))
        for name, journey in inventory.journeys.items()
    }
    return {"journeys": journeys, "alerts": [], "decisions": [], "incidents": []}


def read(paths: list[str], tagger: Tagger) -> Recording:
    """Decode every line of the recordings; a broken line is counted and costs its neighbours nothing."""
    recording = Recording()
    for line in lines(paths):
        _line(recording, line, tagger)
    recording.seal()
    return recording


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


def _line(recording: Recording, line: bytes, tagger: Tagger) -> None:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        recording.rejected[Refusal.BAD_LINE] += 1
    elif "resourceSpans" in document:
        _spans(recording, document, tagger)
    elif "kind" in document and "at" in document:
        raise UserError(
            f"a line is a fact of kind {str(document['kind'])[:40]!r}; this version does not evaluate facts yet: "
            "leave facts out"
        )
    elif "resourceMetrics" not in document and "resourceLogs" not in document:
        recording.rejected[Refusal.BAD_LINE] += 1


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


def _in_time(recording: Recording) -> pa.Table:
    """All rows but those that lie too far after the latest arrival: known only when every line has been read."""
    schema = to_batch([]).schema
    table = pa.Table.from_batches(recording.batches, schema=schema)
    kept = table.filter(pc.less_equal(table["end"], recording.latest_ns + FUTURE_NS))
    recording.rejected[Refusal.IN_FUTURE] += table.num_rows - kept.num_rows
    return kept


def _extent(table: pa.Table) -> tuple[int, int]:
    """Start of the first slice and end of the last one that hold a row; 0, 0 when there is none."""
    if not table.num_rows:
        return 0, 0
    ends = pc.min_max(table["end"]).as_py()
    slice_ns = SLICE_S * NS
    return ends["min"] // slice_ns * SLICE_S, (ends["max"] // slice_ns + 1) * SLICE_S


def differences(expected: object, found: object, path: str = "$") -> Iterator[str]:
    """Where ``found`` differs from ``expected``; keys that ``expected`` does not name are not compared."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            if key in found:
                yield from differences(value, found[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: expected {value!r}, the report has no such key"
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for at, (left, right) in enumerate(zip(expected, found, strict=True)):
            yield from differences(left, right, f"{path}[{at}]")
    elif expected != found:
        yield f"{path}: expected {expected!r}, found {found!r}"
