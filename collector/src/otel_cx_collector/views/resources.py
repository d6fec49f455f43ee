"""How full the resources are that journeys depend on. Not their forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_cx_collector.inventory import Journey
    from otel_cx_collector.views.source import Source


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the inventory at T."""

    name: str
    metric: str
    limit: float
    """Full, in the metric's unit."""
    warn: float
    """Share of the limit that is worth a word."""
    share: float | None
    """Of the limit; None: nothing was reported."""
    journeys: tuple[str, ...]
    """Those with a step that depends on it."""

    @property
    def warned(self) -> bool:
        """Whether it is at its warning line or above."""
        return self.share is not None and self.share >= self.warn


def resources(source: Source) -> tuple[Resource, ...]:
    """Every resource of the inventory, the fullest first, then what is not reported. Raises Unavailable."""
    inventory, shares = source.inventory, source.saturation()
    found = [
        Resource(
            name=name,
            metric=each.metric,
            limit=each.limit,
            warn=each.warn,
            share=shares.get(name),
            journeys=tuple(one.name for one in inventory.journeys.values() if name in needed(one)),
        )
        for name, each in inventory.saturation.items()
    ]
    return tuple(sorted(found, key=lambda one: (one.share is None, -(one.share or 0.0), one.name)))


def needed(journey: Journey) -> frozenset[str]:
    """Resources that a step of the journey depends on."""
    return frozenset(name for step in journey.steps for name in step.depends_on)


def of_journey(source: Source, journey: Journey) -> tuple[Resource, ...]:
    """Those that a step of the journey depends on. Raises Unavailable."""
    return tuple(one for one in resources(source) if journey.name in one.journeys)
