"""What the views ask of the rest of the collector, as one protocol; control implements it. Not a cache, not a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from otel_cx_collector.errors import CollectorError

if TYPE_CHECKING:
    from otel_cx_collector.decide.words import Branch, Decision, Record
    from otel_cx_collector.events import Fact
    from otel_cx_collector.incidents.words import Account, Change, Command, Incident
    from otel_cx_collector.inventory import Inventory, Observed
    from otel_cx_collector.measure.figures import (
        Budget,
        BurnAlert,
        Coverage,
        ErrorClass,
        Exemplar,
        Figures,
        HurtAgain,
        Live,
        PaperCut,
        Series,
        Share,
    )
    from otel_cx_collector.state import Delivery


class NotFound(CollectorError):  # noqa: N818 - named as the HTTP status it becomes
    """Something was asked for by a name, or an incident by an id, that there is not."""


class BadQuestion(CollectorError):  # noqa: N818 - reads as what it is
    """What cannot be asked, or done to an incident in its status; the message shows it and what is possible."""


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
    signal_points: int = 0
    """Points taken of metrics that ``saturation`` asks for."""
    points_refused: dict[str, int] = field(default_factory=dict)
    """Points of such metrics that say nothing, by reason (``events.PointRefusal``)."""
    log_records: int = 0
    facts: int = 0
    facts_refused: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    """Spans that would have been steps, by reason (``events.Refusal``)."""
    overflow: dict[tuple[str, str], int] = field(default_factory=dict)
    """(dimension attribute, service) -> values that became "other"."""
    log_used_bytes: int = 0
    log_limit_bytes: int = 0
    log_minutes_left: float | None = None
    """How long the log lasts at the pace of the last minutes if the store takes nothing; None when nothing comes."""
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

    def incidents(self, *, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """The newest first."""
        ...

    def incident(self, incident_id: str) -> Incident:
        """Raises NotFound."""
        ...

    def act(self, incident_id: str, command: Command) -> Incident:
        """Do what a person asked for; durable when it returns. Raises NotFound, BadQuestion when the status forbids."""
        ...

    def decision(self, journey: str) -> Decision:
        """What the tree of rules says at T."""
        ...

    def tree(self, journey: str) -> list[Branch]:
        """The rules of the journey in order, with live values and what is missing."""
        ...

    def records(self, journey: str, limit: int = 50) -> list[Record]:
        """Changes of rules' verdicts, newest first."""
        ...

    def alerts(self, journey: str, from_s: int, to_s: int) -> list[BurnAlert]:
        """Burn-rate alerts that were firing in the window."""
        ...

    def budgets(self, journey: str) -> list[Budget]:
        """Error budgets at T, in the order of the objectives."""
        ...

    def segment_budgets(self, journey: str) -> dict[str, list[Budget]]:
        """The same by segment."""
        ...

    def account_budgets(self, journey: str, limit: int) -> list[tuple[Account, list[Budget]]]:
        """The same of the accounts that are worst off, the worst first."""
        ...

    def errors(self, journey: str, from_s: int, to_s: int) -> list[ErrorClass]:
        """Failures and rejections by class and step."""
        ...

    def paper_cuts(self, days: int) -> list[PaperCut]:
        """Small incidents that add up, by journey and cause."""
        ...

    def hurt_again(self, limit: int) -> list[HurtAgain]:
        """Customers hurt again and again within 30 days."""
        ...

    def changes(self, from_s: int, to_s: int) -> list[Change]:
        """Deploys and flags in the window."""
        ...

    def renewals(self) -> dict[str, Fact]:
        """Renewal facts by account."""
        ...

    def saturation(self) -> dict[str, float | None]:
        """Share of its limit at T by resource; None: nothing was reported."""
        ...

    def deliveries(self, incident_id: str | None, limit: int = 50) -> list[Delivery]:
        """Notices and what became of them, newest first; of one incident, or of all."""
        ...
