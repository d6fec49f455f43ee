"""Which incidents share a cause: the same change, else the same saturated resource, else the same failing service.

Not proof of a cause: a link that saves three teams from looking for the same thing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from otel_cx_collector.incidents.record import before_start
from otel_cx_collector.incidents.words import Incident

RECENT_S: Final = 1800
"""An incident that closed longer ago than this is not linked any more."""


@dataclass(frozen=True, slots=True, order=True)
class _Cause:
    """In the order in which causes are tried."""

    rank: int
    """0 a change, 1 a saturated resource, 2 a service."""
    recency: int
    """Of a change: the latest first."""
    id: str


def assign(incidents: Sequence[Incident], at_s: int | None = None) -> list[Incident]:
    """The same incidents in the same order, with the groups that they are in.

    The same whatever the order; doing it again changes nothing; a group's id is never taken back or changed, and one
    incident alone gets none.

    Args:
        incidents: Of all journeys.
        at_s: T: open incidents are linked, and those closed at most ``RECENT_S`` before. None: all that are given.
    """
    groups = {each.id: each.group for each in incidents if _is_current(each, at_s)}
    causes = {each.id: list(_causes(each)) for each in incidents if each.id in groups}
    has = {name: {cause.id for cause in found} for name, found in causes.items()}
    for cause in sorted({cause for found in causes.values() for cause in found}):
        free = [name for name, group in groups.items() if group is None and cause.id in has[name]]
        members = len(free) + sum(group == cause.id for group in groups.values())
        if members > 1:
            groups |= dict.fromkeys(free, cause.id)
    return [
        each if each.group == groups.get(each.id, each.group) else replace(each, group=groups[each.id])
        for each in incidents
    ]


def _is_current(incident: Incident, at_s: int | None) -> bool:
    return at_s is None or incident.closed_s is None or at_s - incident.closed_s <= RECENT_S


def _causes(incident: Incident) -> Iterator[_Cause]:
    for change in before_start(incident):
        yield _Cause(0, -change.at_s, f"change:{change.id}")
    if incident.facts is None:
        return
    for resource in incident.facts.saturated:
        yield _Cause(1, 0, f"dependency:{resource}")
    if incident.facts.services:
        yield _Cause(2, 0, f"dependency:{incident.facts.services[0]}")
