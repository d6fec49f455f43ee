"""Step rows for tests: a plain one, of which a test changes what it is about. Not spans: those are in recordings."""

from typing import Any, Final

import pyarrow as pa

from otel_cx_collector.events import MINUTE_S, NS, STEP_SCHEMA, WEIGHT_ONE, Grade, Outcome, StepRow, to_batch

T0: Final = 1_767_603_600
"""2026-01-05T09:00:00Z."""

_PLAIN: Final = StepRow(
    environment="production",
    journey="checkout",
    minute=T0,
    attempt="cart-1",
    span_id=bytes(7) + b"\1",
    trace_id=bytes(15) + b"\1",
    end=T0 * NS,
    duration_ns=250_000_000,
    step="payment",
    outcome=Outcome.OK,
    recoverable=False,
    error_class="",
    grade=Grade.EXPLICIT,
    customer="k1.AAAAAAAAAAAAAAAAAAAAAA",
    account="",
    session="",
    segment="enterprise",
    plan="pro",
    region="eu",
    device="desktop",
    workflow="interactive",
    revenue_class="new",
    own={"market": "de"},
    service="checkout-api",
    service_version="1.8.2",
    flags={"new-checkout": "on", "beta": "off"},
    amount="129.00",
    currency="EUR",
    weight=WEIGHT_ONE,
    exact=False,
    version=1,
)


def step_row(number: int = 1, **changes: Any) -> StepRow:
    """The plain row with span id ``number`` and ``changes``; its minute follows from ``end`` (nanoseconds)."""
    row = _PLAIN._replace(**{"span_id": number.to_bytes(8), **changes})
    return row._replace(minute=row.end // NS // MINUTE_S * MINUTE_S)


def table(*rows: StepRow) -> pa.Table:
    """Rows as the store is given them."""
    return pa.Table.from_batches([to_batch(list(rows))], STEP_SCHEMA)


def rows_of(answer: pa.Table) -> list[StepRow]:
    """The rows in a table of STEP_SCHEMA's columns, of whatever encoding."""
    return [
        StepRow(**{**row, "own": dict(row["own"]), "flags": dict(row["flags"])})
        for row in answer.select(STEP_SCHEMA.names).to_pylist()
    ]
