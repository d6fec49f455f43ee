"""All journeys at once, the most hurt first. Not a journey's detail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_cx_collector.views import journey
from otel_cx_collector.views.state import State

if TYPE_CHECKING:
    from otel_cx_collector.measure.figures import Series
    from otel_cx_collector.views.journey import Answer
    from otel_cx_collector.views.source import Source
    from otel_cx_collector.views.windows import Window

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

    @property
    def hurt(self) -> tuple[Row, ...]:
        """Those that hurt customers now, worst first."""
        return tuple(row for row in self.rows if row.answer.hurt)


def overview(source: Source, window: Window) -> Overview:
    """Answers for all journeys: the hurt by live score, what needs a look, the healthy. Raises Unavailable."""
    rows = [
        Row(journey.answer(source, name, window), journey.series(source, name, window))
        for name in source.inventory.journeys
    ]
    return Overview(window, tuple(sorted(rows, key=_rank)))


def _rank(row: Row) -> tuple[float, int, float, float]:
    found = row.answer
    return (
        -found.live.score if found.hurt else 1.0,
        RANK[found.state],
        -found.figures.harm_minutes,
        -found.journey.criticality,
    )
