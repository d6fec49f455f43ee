"""Step rows for tests, as the store hands them to measure. No expectations."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa
from step_rows import T0, step_row

from otel_cx_collector.events import NS, WEIGHT_ONE, Grade, Outcome, StepRow, to_batch

START_S = T0


@dataclass(frozen=True)
class Row:
    """One execution, mostly defaults."""

    at_s: float
    """Its end, seconds after START_S."""
    attempt: str
    step: str = "payment"
    outcome: str = "ok"
    duration_s: float = 0.1
    grade: str = "explicit"
    customer: str = ""
    session: str = ""
    account: str = ""
    segment: str = "unset"
    region: str = "unset"
    weight: float = 1.0
    error_class: str = ""
    recoverable: bool = False
    own: dict[str, str] = field(default_factory=dict, hash=False)

    def row(self, number: int) -> StepRow:
        """The row as decode would make it."""
        end = START_S * NS + round(self.at_s * NS)
        digest = hashlib.sha256(f"{number}".encode()).digest()
        return step_row(
            number,
            attempt=self.attempt,
            span_id=digest[:8],
            trace_id=digest[8:24],
            end=end,
            duration_ns=round(self.duration_s * NS),
            step=self.step,
            outcome=Outcome(self.outcome),
            grade=Grade(self.grade),
            customer=self.customer,
            session=self.session,
            account=self.account,
            error_class=self.error_class,
            recoverable=self.recoverable,
            segment=self.segment,
            plan="unset",
            region=self.region,
            device="unset",
            workflow="unset",
            revenue_class="unset",
            own=self.own,
            service="shop",
            weight=round(self.weight * WEIGHT_ONE),
            version=0,
        )


def table(rows: Iterable[Row]) -> pa.Table:
    """Sorted as the store sorts: by attempt key, end, span id."""
    batch = to_batch([row.row(number) for number, row in enumerate(rows)])
    order = [("attempt", "ascending"), ("end", "ascending"), ("span_id", "ascending")]
    return pa.Table.from_batches([batch]).sort_by(order)
