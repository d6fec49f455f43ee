"""Incidents: the list, one of them with all that a commander needs, and what people do to it. Not the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_cx_collector.errors import Unavailable
from otel_cx_collector.incidents.machine import ActRefused, possible
from otel_cx_collector.incidents.record import recommended
from otel_cx_collector.incidents.status_line import status_line
from otel_cx_collector.incidents.words import Act, Command, Status
from otel_cx_collector.views import resources
from otel_cx_collector.views.names import known
from otel_cx_collector.views.source import BadQuestion

if TYPE_CHECKING:
    from otel_cx_collector.decide.words import Branch, Decision
    from otel_cx_collector.incidents.words import Advice, Incident
    from otel_cx_collector.inventory import Journey
    from otel_cx_collector.state import Delivery
    from otel_cx_collector.views.resources import Resource
    from otel_cx_collector.views.source import Source

LISTED: Final = 100
"""As many incidents as a person looks through."""

OF_JOURNEY: Final = 10
"""As many as a journey's page recalls."""

RECALLED: Final = 200
"""How far back a journey's incidents are looked for."""

NOTICES: Final = 50
"""As many deliveries as an incident's page lists."""


class NotPossible(BadQuestion):
    """The incident does not allow it; the message says why, ``possible`` what can be done."""

    def __init__(self, said: str, acts: tuple[Act, ...]) -> None:
        self.possible = acts
        super().__init__(said)


@dataclass(frozen=True, slots=True)
class Case:
    """One incident with what stands around it now."""

    incident: Incident
    journey: Journey | None
    """None when the inventory in force no longer lists it."""
    decision: Decision | None
    """What the rules say now; None without a journey, or when it is not known."""
    tree: tuple[Branch, ...]
    resources: tuple[Resource, ...]
    """What the journey's steps depend on."""
    deliveries: tuple[Delivery, ...]
    together: tuple[Incident, ...]
    """Others of its group: the same change or the same failing dependency."""
    status_line: str
    """What to tell stakeholders, ready to paste."""
    trouble: str
    """Why it is not known what the rules say now; an incident can be read, and acted on, without the store."""

    @property
    def title(self) -> str:
        """What people call the journey."""
        return self.journey.title if self.journey else self.incident.journey

    @property
    def recommended(self) -> Advice | None:
        """The action to begin with; None when nothing that was found calls for one of the plan."""
        return recommended(self.incident)

    @property
    def possible(self) -> tuple[Act, ...]:
        """What can be done to it."""
        return possible(self.incident.status)


def is_open(incident: Incident) -> bool:
    """Whether it is not resolved."""
    return incident.status is not Status.RESOLVED


def ranked(found: list[Incident]) -> tuple[Incident, ...]:
    """The open ones first, the most severe of them first; then the newest."""
    return tuple(sorted(found, key=lambda one: (not is_open(one), one.current if is_open(one) else "", -one.opened_s)))


def incidents(
    source: Source, *, open_only: bool = False, journey: str | None = None, limit: int = LISTED
) -> tuple[Incident, ...]:
    """The newest ``limit``, open first; of one journey, or of all. Raises NotFound, Unavailable."""
    if journey is None:
        return ranked(source.incidents(open_only=open_only, limit=limit))
    known(source.inventory, journey)
    found = source.incidents(open_only=open_only, limit=RECALLED)
    return ranked([one for one in found if one.journey == journey][:limit])


def case(source: Source, incident_id: str) -> Case:
    """One incident with what stands around it now. Raises NotFound, Unavailable."""
    incident = source.incident(incident_id)
    journey = source.inventory.journeys.get(incident.journey)
    decision, tree, full, trouble = _now(source, journey)
    return Case(
        incident=incident,
        journey=journey,
        decision=decision,
        tree=tree,
        resources=full,
        deliveries=tuple(source.deliveries(incident_id, NOTICES)),
        together=_together(source, incident),
        status_line=status_line(incident, source.inventory),
        trouble=trouble,
    )


def _now(
    source: Source, journey: Journey | None
) -> tuple[Decision | None, tuple[Branch, ...], tuple[Resource, ...], str]:
    if journey is None:
        return None, (), (), "its journey is no longer in the inventory"
    try:
        full = resources.of_journey(source, journey)
        return source.decision(journey.name), tuple(source.tree(journey.name)), full, ""
    except Unavailable as error:
        return None, (), (), str(error)


def _together(source: Source, incident: Incident) -> tuple[Incident, ...]:
    if incident.group is None:
        return ()
    found = source.incidents(limit=LISTED)
    return ranked([one for one in found if one.group == incident.group and one.id != incident.id])


def act(source: Source, incident_id: str, what: Act, who: str, text: str) -> Incident:
    """Do it now. Raises NotFound, NotPossible, Unavailable."""
    try:
        return source.act(incident_id, Command(what, who, text, source.now_s()))
    except (ActRefused, BadQuestion) as refused:
        status = source.incident(incident_id).status
        raise NotPossible(str(refused), possible(status)) from refused
