"""What the views ask of the rest of the collector, as one protocol; control implements it. Not a cache, not a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from otel_cx_collector.errors import CollectorError

if TYPE_CHECKING:
    from otel_cx_collector.inventory import Inventory, Observed
    from otel_cx_collector.measure.figures import Coverage, Exemplar, Figures, Live, Series, Share


class NotFound(CollectorError):  # noqa: N818 - named as the HTTP status it becomes
    """Something was asked for by a name that the inventory does not have."""


class BadQuestion(CollectorError):  # noqa: N818 - reads as what it is
    """A range or a dimension that cannot be answered; the message shows the value and the possible ones."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What arrived since the process started, and the state of log and store. All are counts unless named otherwise."""

    since_s: int = 0
    """When counting began, seconds since the epoch."""
    spans: int = 0
    """Spans received, whatever became of them."""
    steps: int = 0
    """Rows accepted: spans that are step executions."""
    synthetic: int = 0
    metric_points: int = 0
    log_records: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    """Spans that would have been steps, by reason (``events.Refusal``)."""
    overflow: dict[tuple[str, str], int] = field(default_factory=dict)
    """(dimension attribute, service) -> values that became "other"."""
    log_used_bytes: int = 0
    log_limit_bytes: int = 0
    store_ok: bool = True
    store_error: str = ""
    """The store's last error in words, empty when it answers."""


class Source(Protocol):
    """One collector's figures. Every method may be called from any thread; any may raise ``errors.Unavailable``.

    Times are seconds since the epoch and windows half-open. Journeys are names from ``inventory``.
    """

    @property
    def inventory(self) -> Inventory:
        """The inventory in force."""
        ...

    def now_s(self) -> int:
        """The wall clock."""
        ...

    def watermark_s(self) -> int:
        """T: the last judged slice boundary."""
        ...

    def round(self) -> int:
        """Number of evaluation rounds done; 0 before the first."""
        ...

    def wait_round(self, after: int, timeout_s: float) -> int:
        """Block until ``round() > after`` or the timeout; returns ``round()``."""
        ...

    def live(self, journey: str) -> Live:
        """The live score at T."""
        ...

    def coverage(self, journey: str, from_s: int, to_s: int) -> Coverage:
        """How much of the window was measured; ``expected`` is 0 before the journey's first data."""
        ...

    def figures(self, journey: str, from_s: int, to_s: int) -> Figures:
        """Everything counted over the window, as of its end."""
        ...

    def series(self, journey: str, from_s: int, to_s: int, step_s: int) -> Series:
        """The window in equal steps of time."""
        ...

    def matrix(self, journey: str, from_s: int, to_s: int, rows: str, columns: str) -> dict[tuple[str, str], Share]:
        """(value of dimension ``rows``, value of ``columns``) -> executions and customers."""
        ...

    def exemplars(self, journey: str, from_s: int, to_s: int, limit: int) -> list[Exemplar]:
        """The most telling harmful executions, latest first."""
        ...

    def intake(self) -> Intake:
        """Counters of what arrived."""
        ...

    def traffic(self) -> list[Observed]:
        """Traffic that was seen and is not mapped to a step."""
        ...
