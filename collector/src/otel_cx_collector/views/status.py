"""The inventory in force: how attempts are known, what is not mapped, what was refused. Not its editor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_cx_collector.views import journey

if TYPE_CHECKING:
    from otel_cx_collector.inventory import Inventory, Observed
    from otel_cx_collector.views.journey import Answer
    from otel_cx_collector.views.source import Intake, Source
    from otel_cx_collector.views.windows import Window


@dataclass(frozen=True, slots=True)
class Status:
    """What the collector was told, and what it gets."""

    inventory: Inventory
    answers: tuple[Answer, ...]
    """In the order of the file."""
    intake: Intake
    traffic: tuple[Observed, ...]


def status(source: Source, window: Window) -> Status:
    """Everything of the inventory page. Raises Unavailable."""
    names = source.inventory.journeys
    return Status(
        inventory=source.inventory,
        answers=tuple(journey.answer(source, name, window) for name in names),
        intake=source.intake(),
        traffic=tuple(source.traffic()),
    )


REFUSALS: Final[dict[str, str]] = {
    "too_late": "ended more than 24 h before it arrived: look at the exporter's queue and the host's clock",
    "in_future": "ended more than 5 min after it arrived: set the host's clock",
    "bad_time": "has no end, or ends before it starts: the exporter is at fault",
    "bad_id": "has a trace or span id of the wrong length, or of zeros: the exporter is at fault",
    "unknown_journey": "names a journey that the inventory does not list: add it, or mend the name in code",
    "unknown_step": "names a step that its journey does not list: add it, or mend the name in code",
    "no_journey": "is marked as a step but names no journey: open it inside a journey",
    "bad_line": "stood on a line of a recording that cannot be read",
    "too_many_attributes": "has more attributes than a span may: set the SDK's attribute limit",
}
"""Why a span is not a row (``events.Refusal``), and what to do."""
