"""What judging remembers from one slice boundary to the next, and how it is written down. Decides nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter, ValidationError

from otel_cx_collector.decide.tree import RuleState
from otel_cx_collector.incidents.words import Incident
from otel_cx_collector.measure.burn import BurnState

VERSION: Final = 1
"""Of the written form. One that is not known begins afresh: what people see is kept apart from it."""


@dataclass(slots=True)
class JourneyState:
    """One journey's memory."""

    rules: dict[str, RuleState] = field(default_factory=dict)
    burns: dict[str, BurnState] = field(default_factory=dict)
    """By policy, see ``journey.key``."""
    incident: Incident | None = None
    """The latest, open or resolved; kept with the incidents, not in the written form."""


@dataclass(slots=True)
class State:
    """Where judging stands. Changed in place by ``judge``."""

    at_s: int
    """T of the last boundary that was judged."""
    journeys: dict[str, JourneyState] = field(default_factory=dict)


@dataclass(slots=True)
class _Written:
    rules: dict[str, dict[str, RuleState]]
    burns: dict[str, dict[str, BurnState]]


_FORM: Final = TypeAdapter(_Written)


def write(state: State) -> bytes:
    """Everything but the incidents, as JSON."""
    written = _Written(
        {name: each.rules for name, each in state.journeys.items()},
        {name: each.burns for name, each in state.journeys.items()},
    )
    return _FORM.dump_json(written)


def read(at_s: int, version: int, blob: bytes, incidents: Iterable[Incident]) -> State:
    """The state that was written, with each journey's latest incident. Of another version only the time is taken."""
    state = State(at_s)
    if version == VERSION:
        try:
            written = _FORM.validate_json(blob)
        except ValidationError:
            written = _Written({}, {})
        for name in written.rules:
            state.journeys[name] = JourneyState(written.rules[name], written.burns.get(name, {}))
    for incident in incidents:
        state.journeys.setdefault(incident.journey, JourneyState()).incident = incident
    return state
