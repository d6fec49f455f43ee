"""Every slice boundary of a range, for every journey: measure, decide, incidents, effects. Live and replay call it.

At T only what ended before T is known (measures.md 1.2), so the same boundary gives the same verdict whenever it is
judged with the same data.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from otel_cx_collector.decide.words import Record
from otel_cx_collector.events import SLICE_S
from otel_cx_collector.incidents.groups import assign
from otel_cx_collector.incidents.machine import step
from otel_cx_collector.incidents.record import describe
from otel_cx_collector.incidents.words import Incident, Status, Tell
from otel_cx_collector.judging import harm
from otel_cx_collector.judging.state import JourneyState, State
from otel_cx_collector.judging.subject import Subject
from otel_cx_collector.judging.world import World
from otel_cx_collector.measure.figures import BurnAlert


@dataclass(slots=True)
class Effects:
    """What a judgement asks for; nothing of it is done yet."""

    records: list[Record] = field(default_factory=list)
    alerts: list[BurnAlert] = field(default_factory=list)
    tells: list[Tell] = field(default_factory=list)
    incidents: dict[str, Incident] = field(default_factory=dict)
    """New or changed, by id."""


def judge(subjects: Mapping[str, Subject], state: State, to_s: int, world: World) -> Effects:
    """Judge every boundary after ``state.at_s`` up to ``to_s``; ``state`` moves on with it."""
    effects = Effects()
    for name, subject in subjects.items():
        memory = state.journeys.setdefault(name, JourneyState())
        effects.alerts += subject.burn(memory, state.at_s, to_s)
    for at_s in range(state.at_s + SLICE_S, to_s + 1, SLICE_S):
        tells: list[Tell] = []
        fresh = False
        for name, subject in subjects.items():
            moved, said = _boundary(subject, state.journeys[name], at_s, effects)
            tells += said
            fresh = fresh or moved
        if fresh:
            tells = _described(subjects, state, at_s, world, tells, effects)
        effects.tells += tells
        state.at_s = at_s
    return effects


def _boundary(subject: Subject, memory: JourneyState, at_s: int, effects: Effects) -> tuple[bool, tuple[Tell, ...]]:
    """One journey at T: whether its incident is to be described anew, and whom to tell."""
    closed = subject.close(at_s)
    decision, records = subject.decide(memory, at_s)
    effects.records += records
    before = memory.incident
    after, tells = step(before, subject.standing(decision, at_s))
    if after is before:
        return closed and _is_open(after), tells
    memory.incident = after
    if after is not None:
        effects.incidents[after.id] = after
    return bool(tells) or closed, tells


def _is_open(incident: Incident | None) -> bool:
    return incident is not None and incident.status is not Status.RESOLVED


def _described(
    subjects: Mapping[str, Subject], state: State, at_s: int, world: World, tells: list[Tell], effects: Effects
) -> list[Tell]:
    """Give the incidents that are open, or were told about, their figures, and link those with one cause."""
    told = {tell.incident.id for tell in tells}
    for name, subject in subjects.items():
        incident = state.journeys[name].incident
        if incident is not None and (_is_open(incident) or incident.id in told):
            found = harm.facts(subject.track, incident, at_s, world)
            described = describe(incident, found, harm.changes(world, incident, at_s), world.inventory)
            _put(state.journeys[name], described, effects)
    known = [each for each in (memory.incident for memory in state.journeys.values()) if each is not None]
    for incident in assign(known, at_s):
        _put(state.journeys[incident.journey], incident, effects)
    by_id = {memory.incident.id: memory.incident for memory in state.journeys.values() if memory.incident}
    return [replace(tell, incident=by_id.get(tell.incident.id, tell.incident)) for tell in tells]


def _put(memory: JourneyState, incident: Incident, effects: Effects) -> None:
    if incident is not memory.incident:
        memory.incident = incident
        effects.incidents[incident.id] = incident
