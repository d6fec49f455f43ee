"""The words every later file speaks: step execution, fact, signal, and why a span was refused. Not behaviour."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

import pyarrow as pa

SLICE_S: Final = 10
MINUTE_S: Final = 60
NS: Final = 1_000_000_000
STORED_NS: Final = (1 << 32) * NS - 1
"""The latest time there is: the store counts seconds in 32 bits, until the year 2106."""
WEIGHT_ONE: Final = 1 << 20
"""Sampling weights are whole numbers of 2^-20, so that sums are exact in any order."""


class Outcome(StrEnum):
    """What an execution of a step was to its customer."""

    OK = "ok"
    FAILED = "failed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class Grade(StrEnum):
    """How an attempt is known, from the strongest key to the weakest."""

    EXPLICIT = "explicit"
    SESSION = "session"
    CUSTOMER = "customer"
    TRACE = "trace"


class Refusal(StrEnum):
    """Why a span that would have been a step is not a row."""

    TOO_LATE = "too_late"
    IN_FUTURE = "in_future"
    BAD_TIME = "bad_time"
    BAD_ID = "bad_id"
    UNKNOWN_JOURNEY = "unknown_journey"
    UNKNOWN_STEP = "unknown_step"
    NO_JOURNEY = "no_journey"
    BAD_LINE = "bad_line"
    TOO_MANY_ATTRIBUTES = "too_many_attributes"


class PointRefusal(StrEnum):
    """Why a data point of a metric that the inventory asks for says nothing about how full a resource is."""

    NOT_A_LEVEL = "not_a_level"
    """A delta, a monotonic sum or a distribution: a rate can be made of it, a level cannot."""
    NOT_A_NUMBER = "not_a_number"
    TOO_LATE = "too_late"
    IN_FUTURE = "in_future"
    BAD_TIME = "bad_time"
    TOO_MANY_ATTRIBUTES = "too_many_attributes"


class FactKind(StrEnum):
    """What a fact is about. The ones this version evaluates; the others of the file format are refused by name."""

    DEPLOY = "deploy"
    FLAG = "flag"
    MAINTENANCE = "maintenance"
    RENEWAL = "renewal"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened and that no span says. Fields that its kind does not have are empty."""

    id: str
    """The sender's; a fact sent twice is one fact, the later text of it wins."""
    at_ns: int
    kind: FactKind
    journey: str = ""
    service: str = ""
    version: str = ""
    key: str = ""
    """Of a flag."""
    variant: str = ""
    account: str = ""
    """Pseudonym."""
    due: str = ""
    """ISO date."""
    arr: str = ""
    """Annual recurring revenue, decimal string."""
    name: str = ""
    link: str = ""
    until_ns: int = 0
    """End of a maintenance."""


@dataclass(frozen=True, slots=True)
class SignalPoint:
    """One metric point that says how full a resource of the inventory is."""

    resource: str
    """Its name under ``saturation``."""
    instance: str
    """Hash of the OTLP resource's attributes: points of one instance are added up, the worst instance counts."""
    series: str
    """Hash of the point's attributes and the name of the scope that measured it."""
    at_ns: int
    value: float
    """In the metric's unit; the limit is applied when it is read."""


class StepRow(NamedTuple):
    """One execution of one step: the only thing that is stored of a span.

    A named tuple rather than a dataclass because one is made for every step span received: it costs a fifth, and
    ``zip(*rows)`` turns a batch into columns.
    """

    environment: str
    journey: str
    minute: int
    """Start of the minute that holds ``end``, seconds since the epoch."""
    attempt: str
    """The uncut key: cutting into attempts happens when rows are read."""
    span_id: bytes
    trace_id: bytes
    end: int
    """Event time, nanoseconds since the epoch."""
    duration_ns: int
    step: str
    outcome: Outcome
    recoverable: bool
    error_class: str
    """Class of a failure or rejection, ``""`` for ok."""
    grade: Grade
    customer: str
    """Pseudonym, ``""`` when absent; likewise account and session."""
    account: str
    session: str
    segment: str
    plan: str
    region: str
    device: str
    workflow: str
    revenue_class: str
    own: dict[str, str]
    """The inventory's own dimensions."""
    service: str
    service_version: str
    flags: dict[str, str]
    """Feature flag key -> variant."""
    amount: str
    """Decimal string, ``""`` when the step carried no money."""
    currency: str
    weight: int
    """Sampling weight in units of 2^-20."""
    exact: bool
    version: int
    """Which of several copies of one execution survives: the highest. See ``tag.row_version``."""


STEP_SCHEMA: Final = pa.schema(
    [
        ("environment", pa.string()),
        ("journey", pa.string()),
        ("minute", pa.uint32()),
        ("attempt", pa.string()),
        ("span_id", pa.binary(8)),
        ("trace_id", pa.binary(16)),
        ("end", pa.int64()),
        ("duration_ns", pa.int64()),
        ("step", pa.string()),
        ("outcome", pa.string()),
        ("recoverable", pa.bool_()),
        ("error_class", pa.string()),
        ("grade", pa.string()),
        ("customer", pa.string()),
        ("account", pa.string()),
        ("session", pa.string()),
        ("segment", pa.string()),
        ("plan", pa.string()),
        ("region", pa.string()),
        ("device", pa.string()),
        ("workflow", pa.string()),
        ("revenue_class", pa.string()),
        ("own", pa.map_(pa.string(), pa.string())),
        ("service", pa.string()),
        ("service_version", pa.string()),
        ("flags", pa.map_(pa.string(), pa.string())),
        ("amount", pa.string()),
        ("currency", pa.string()),
        ("weight", pa.uint64()),
        ("exact", pa.bool_()),
        ("version", pa.uint64()),
    ]
)
"""Columns of a batch of StepRow, in the order of its fields. Times are int64 nanoseconds since the epoch."""


def to_batch(rows: list[StepRow]) -> pa.RecordBatch:
    """Columns of ``rows``: what the log holds and the store is sent."""
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * len(STEP_SCHEMA)
    maps = (STEP_SCHEMA.get_field_index("own"), STEP_SCHEMA.get_field_index("flags"))
    for at in maps:
        columns[at] = [list(value.items()) for value in columns[at]]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, STEP_SCHEMA, strict=True)], schema=STEP_SCHEMA
    )


FACT_SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("at_ns", pa.int64()),
        ("kind", pa.string()),
        ("journey", pa.string()),
        ("service", pa.string()),
        ("version", pa.string()),
        ("key", pa.string()),
        ("variant", pa.string()),
        ("account", pa.string()),
        ("due", pa.string()),
        ("arr", pa.string()),
        ("name", pa.string()),
        ("link", pa.string()),
        ("until_ns", pa.int64()),
    ],
    metadata={"table": "facts"},
)
"""Columns of a batch of Fact, in the order of its fields. ``table`` says which of the store's tables they belong to."""

SIGNAL_SCHEMA: Final = pa.schema(
    [
        ("resource", pa.string()),
        ("instance", pa.string()),
        ("series", pa.string()),
        ("at_ns", pa.int64()),
        ("value", pa.float64()),
    ],
    metadata={"table": "signals"},
)
"""Columns of a batch of SignalPoint, likewise."""


def fact_batch(facts: list[Fact]) -> pa.RecordBatch:
    """Columns of ``facts``."""
    return _batch(facts, FACT_SCHEMA)


def signal_batch(points: list[SignalPoint]) -> pa.RecordBatch:
    """Columns of ``points``."""
    return _batch(points, SIGNAL_SCHEMA)


def facts_of(rows: pa.Table | pa.RecordBatch) -> list[Fact]:
    """The facts that ``fact_batch`` made columns of; other columns are passed over."""
    rows = rows.select(FACT_SCHEMA.names).to_pylist()
    return [Fact(**row | {"kind": FactKind(row["kind"])}) for row in rows]


def _batch(items: list[Any], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array([getattr(item, each.name) for item in items], each.type) for each in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
