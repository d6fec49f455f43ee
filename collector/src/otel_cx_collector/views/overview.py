"""All journeys at once, the most hurt first. Not a journey's detail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_cx_collector.views import journey
from otel_cx_collector.views.incident import ranked
from otel_cx_collector.views.state import State

if TYPE_CHECKING:
    from otel_cx_collector.incidents.words import Incident
    from otel_cx_collector.measure.figures import HurtAgain, PaperCut, Series
    from otel_cx_collector.views.journey import Answer
    from otel_cx_collector.views.source import Source
    from otel_cx_collector.views.windows import Window

DAYS: Final = 30
"""How far back small incidents are added up."""

CUTS: Final = 5
CUSTOMERS: Final = 5
"""As many lines as the overview has room for; the API tells all."""

RANK: Final = {state: rank for rank, state in enumerate(State)}


@dataclass(frozen=True, slots=True)
class Row:
    """One journey on the overview, with its course over the window."""

    answer: Answer
    series: Series


@dataclass(frozen=True, slots=True)
class Overview:
    """Every journey of the inventory, ranked."""

    window: Window
    rows: tuple[Row, ...]
    incidents: tuple[Incident, ...]
    """The open ones, the most severe first."""
    paper_cuts: tuple[PaperCut, ...]
    """Small incidents that add up, over ``DAYS``, the most harm first."""
    hurt_again: tuple[HurtAgain, ...]

    @property
    def hurt(self) -> tuple[Row, ...]:
        """Those that hurt customers now, worst first."""
        return tuple(row for row in self.rows if row.answer.hurt)


def overview(source: Source, window: Window) -> Overview:
    """Answers for all journeys, the hurt first, and what adds up over the weeks. Raises Unavailable."""
    opened = source.incidents(open_only=True)
    by_journey = {incident.journey: incident for incident in opened}
    rows = [
        Row(journey.answer(source, name, window, by_journey), journey.series(source, name, window))
        for name in source.inventory.journeys
    ]
    return Overview(
        window=window,
        rows=tuple(sorted(rows, key=_rank)),
        incidents=ranked(opened),
        paper_cuts=paper_cuts(source)[:CUTS],
        hurt_again=hurt_again(source, CUSTOMERS),
    )


def paper_cuts(source: Source, days: int = DAYS) -> tuple[PaperCut, ...]:
    """Small incidents that add up, the most harm first. Raises Unavailable."""
    return tuple(sorted(source.paper_cuts(days), key=lambda cut: (-cut.harm_minutes, cut.journey, cut.cause)))


def hurt_again(source: Source, limit: int) -> tuple[HurtAgain, ...]:
    """Customers hurt again and again, the most often first. Raises Unavailable."""
    found = source.hurt_again(limit)
    return tuple(sorted(found, key=lambda one: (-one.attempts, -one.last_s, one.customer)))


def _rank(row: Row) -> tuple[int, float, float, float]:
    found = row.answer
    return (
        RANK[found.state],
        -found.live.score,
        -found.figures.harm_minutes,
        -found.journey.criticality,
    )
