"""The incident state machine: a table of status and signal, and the two ways to move. Not the figures of an incident.

One incident at a time per journey (measures.md 5.8). Time is event time: an hour without measurement moves nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from otel_cx_collector.decide.words import Severity, Truth
from otel_cx_collector.errors import CollectorError
from otel_cx_collector.events import SLICE_S
from otel_cx_collector.incidents.words import (
    Act,
    Command,
    Entry,
    Happening,
    Incident,
    Standing,
    Status,
    Tell,
    Trigger,
)
from otel_cx_collector.inventory.decisions import SEVERITIES
from otel_cx_collector.measure.report import timestamp

HOLD_S: Final = 600
"""De-escalation needs the opposite verdict for this long, in measured seconds (5.6)."""
MAX_TEXT: Final = 1000
"""Characters of one line of the history: it is shown, mailed and kept for ever."""
MAX_WHO: Final = 100
"""Characters of a person's name."""
MAX_HISTORY: Final = 1000
"""Lines after which people can no longer note or reopen; the machine's own lines are always kept."""
SYSTEM: Final = "otel-cx"
"""Who the machine is in the history; no person can sign with it."""

_NOTHING: Final[tuple[Tell, ...]] = ()
_CALM: Final = len(SEVERITIES)
"""Rank of the opposite verdict: below every severity."""
_LEVELS: Final = (1, 2, 3)
"""Ranks of P2, P3, P4: what an incident can be lowered to."""
_HELD: Final = (0, 0, 0)


class Signal(StrEnum):
    """What a slice boundary means to an incident. What people do are the other signals, ``words.Act``."""

    TRIGGER = "a trigger"
    """And no incident of its episode: a new one begins."""
    RAISE = "a higher severity"
    LOWER = "a lower severity for 10 min"
    CALM = "the opposite verdict for 10 min"
    AGAIN = "a trigger in the same episode"


class Whom(StrEnum):
    """Whose channels are told."""

    TRIGGER = "its channels"
    """The ones that the trigger names and all that were told before: nobody is left with a state that is over."""
    TOLD = "all that were told"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Move:
    """What a signal does to an incident of a status."""

    status: Status
    happening: Happening
    whom: Whom


TABLE: Final[dict[tuple[Status | None, Signal | Act], Move]] = {
    (None, Signal.TRIGGER): Move(Status.OPEN, Happening.OPENED, Whom.TRIGGER),
    (Status.OPEN, Signal.RAISE): Move(Status.OPEN, Happening.RAISED, Whom.TRIGGER),
    (Status.OPEN, Signal.LOWER): Move(Status.OPEN, Happening.LOWERED, Whom.TOLD),
    (Status.OPEN, Signal.CALM): Move(Status.RESOLVED, Happening.RESOLVED, Whom.TOLD),
    (Status.OPEN, Act.ACKNOWLEDGE): Move(Status.ACKNOWLEDGED, Happening.ACKNOWLEDGED, Whom.TOLD),
    (Status.OPEN, Act.MITIGATE): Move(Status.MITIGATED, Happening.MITIGATED, Whom.TOLD),
    (Status.OPEN, Act.RESOLVE): Move(Status.RESOLVED, Happening.RESOLVED, Whom.TOLD),
    (Status.OPEN, Act.ANNOTATE): Move(Status.OPEN, Happening.ANNOTATED, Whom.NOBODY),
    (Status.ACKNOWLEDGED, Signal.RAISE): Move(Status.OPEN, Happening.RAISED, Whom.TRIGGER),
    (Status.ACKNOWLEDGED, Signal.LOWER): Move(Status.ACKNOWLEDGED, Happening.LOWERED, Whom.TOLD),
    (Status.ACKNOWLEDGED, Signal.CALM): Move(Status.RESOLVED, Happening.RESOLVED, Whom.TOLD),
    (Status.ACKNOWLEDGED, Act.MITIGATE): Move(Status.MITIGATED, Happening.MITIGATED, Whom.TOLD),
    (Status.ACKNOWLEDGED, Act.RESOLVE): Move(Status.RESOLVED, Happening.RESOLVED, Whom.TOLD),
    (Status.ACKNOWLEDGED, Act.ANNOTATE): Move(Status.ACKNOWLEDGED, Happening.ANNOTATED, Whom.NOBODY),
    (Status.MITIGATED, Signal.RAISE): Move(Status.OPEN, Happening.RAISED, Whom.TRIGGER),
    (Status.MITIGATED, Signal.LOWER): Move(Status.MITIGATED, Happening.LOWERED, Whom.TOLD),
    (Status.MITIGATED, Signal.CALM): Move(Status.RESOLVED, Happening.RESOLVED, Whom.TOLD),
    (Status.MITIGATED, Act.RESOLVE): Move(Status.RESOLVED, Happening.RESOLVED, Whom.TOLD),
    (Status.MITIGATED, Act.REOPEN): Move(Status.OPEN, Happening.REOPENED, Whom.TRIGGER),
    (Status.MITIGATED, Act.ANNOTATE): Move(Status.MITIGATED, Happening.ANNOTATED, Whom.NOBODY),
    (Status.RESOLVED, Signal.AGAIN): Move(Status.OPEN, Happening.REOPENED, Whom.TRIGGER),
    (Status.RESOLVED, Act.REOPEN): Move(Status.OPEN, Happening.REOPENED, Whom.TRIGGER),
    (Status.RESOLVED, Act.ANNOTATE): Move(Status.RESOLVED, Happening.ANNOTATED, Whom.NOBODY),
}
"""Every move there is; status None is a journey without an incident. ``diagram`` draws it.

Resolved by hand while its trigger stood, an incident is *silenced*: neither AGAIN nor TRIGGER is given until the
opposite verdict was seen once, or the severity rises above the one it was resolved with. Else a person could not
silence it.
"""


class ActRefused(CollectorError):  # noqa: N818 - a refusal, answered to the person who asked
    """What was asked for is not possible in this status; ``possible`` is."""

    def __init__(self, what: str, incident: Incident, act: Act, cure: str) -> None:
        self.status = incident.status
        self.act = act
        self.possible = possible(incident.status)
        super().__init__(f"incident {incident.id} {what}; {cure}")


def step(
    incident: Incident | None, standing: Standing, slice_s: int = SLICE_S
) -> tuple[Incident | None, tuple[Tell, ...]]:
    """One slice boundary of one journey: call it once for every T, in order.

    Args:
        incident: The journey's latest incident, open or resolved; None when it has none.
        standing: What stands at T.
        slice_s: Measured seconds that a definite verdict stands for.

    Returns:
        The journey's latest incident now, the same object when nothing changed, and whom to tell. An incident with
        another id is a new one beside the one that was given.
    """
    if incident is None or incident.status is Status.RESOLVED:
        return _while_closed(incident, standing)
    return _while_open(incident, standing, slice_s)


def act(incident: Incident, command: Command, latest: Incident | None = None) -> tuple[Incident, tuple[Tell, ...]]:
    """What a person does to an incident. Every act is a line of the history, and nothing else changes it.

    Args:
        incident: The incident as it is.
        command: Who does what, when, and why. Name and text are cut to ``MAX_WHO`` and ``MAX_TEXT``.
        latest: The journey's latest incident: an earlier one is not reopened, since one journey has one at a time.

    Raises:
        ActRefused: The incident's status does not allow it, or its history is full; says what is possible.
    """
    asked, who, text = command.act, _signed(command.who), clean(command.text, MAX_TEXT)
    _check(incident, asked, text, latest)
    if asked is Act.RESOLVE:
        closed_s = max(command.at_s, incident.opened_s)
        changed: dict[str, Any] = {"closed_s": closed_s, "silenced": incident.quiet_s == 0}
    elif asked is Act.REOPEN:
        changed = {"closed_s": None, "silenced": False, "quiet_s": 0, "lower_s": _HELD}
    else:
        changed = {}
    return _moved(incident, asked, command.at_s, who, text, **changed)


def possible(status: Status) -> tuple[Act, ...]:
    """What people can do to an incident of that status."""
    return tuple(act for act in Act if (status, act) in TABLE)


def identity(journey: str, opened_s: int) -> str:
    """``checkout-20260105T091200Z``: a journey opens at most one incident at one slice boundary."""
    return f"{journey}-{timestamp(opened_s).replace('-', '').replace(':', '')}"


def worse(severity: Severity, than: Severity) -> bool:
    """Whether a severity is higher: P1 is the worst, and the first in the alphabet."""
    return severity < than


def clean(text: str, limit: int) -> str:
    """One line without control characters, runs of blanks as one, at most ``limit`` characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def diagram() -> str:
    """The table as a mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    for (status, signal), move in TABLE.items():
        start = status.value if status else "[*]"
        told = "" if move.whom is Whom.NOBODY else f", tells {move.whom}"
        lines.append(f"    {start} --> {move.status}: {signal} / {move.happening}{told}")
    return "\n".join([*lines, "    resolved --> [*]"])


def _while_closed(incident: Incident | None, standing: Standing) -> tuple[Incident | None, tuple[Tell, ...]]:
    if standing.verdict is Truth.FALSE and incident is not None and incident.silenced:
        return replace(incident, silenced=False), _NOTHING
    trigger = standing.trigger
    if standing.verdict is not Truth.TRUE or trigger is None:
        return incident, _NOTHING
    if incident is None:
        return _opened(standing, trigger)
    if incident.silenced and not worse(trigger.severity, incident.current):
        return incident, _NOTHING
    if standing.episode_s is None or standing.episode_s != incident.episode_s:
        return _opened(standing, trigger)
    return _moved(
        incident, Signal.AGAIN, standing.at_s, SYSTEM, trigger.sentence,
        closed_s=None, silenced=False, quiet_s=0, lower_s=_HELD, trigger=trigger, current=trigger.severity,
        severity=min(incident.severity, trigger.severity),
    )  # fmt: skip


def _while_open(incident: Incident, standing: Standing, slice_s: int) -> tuple[Incident, tuple[Tell, ...]]:
    if standing.episode_s is not None and standing.episode_s != incident.episode_s:
        started_s = min(incident.started_s, standing.episode_s)
        incident = replace(incident, episode_s=standing.episode_s, started_s=started_s)
    if standing.verdict is Truth.UNKNOWN:
        return incident, _NOTHING
    trigger = standing.trigger
    if standing.verdict is Truth.FALSE:
        return _eased(incident, _CALM, standing.at_s, slice_s)
    if trigger is None:
        return incident, _NOTHING
    if worse(trigger.severity, incident.current):
        return _raised(incident, trigger, standing.at_s)
    return _eased(incident, SEVERITIES.index(trigger.severity), standing.at_s, slice_s)


def _raised(incident: Incident, trigger: Trigger, at_s: int) -> tuple[Incident, tuple[Tell, ...]]:
    text = f"{incident.current} to {trigger.severity}: {trigger.sentence}"
    return _moved(
        incident, Signal.RAISE, at_s, SYSTEM, text, quiet_s=0, lower_s=_HELD, trigger=trigger,
        current=trigger.severity, severity=min(incident.severity, trigger.severity),
    )  # fmt: skip


def _eased(incident: Incident, rank: int, at_s: int, slice_s: int) -> tuple[Incident, tuple[Tell, ...]]:
    """A definite verdict no worse than the incident is: what has held, holds ``slice_s`` longer."""
    current = SEVERITIES.index(incident.current)
    quiet_s = incident.quiet_s + slice_s if rank == _CALM else 0
    held = _HELD if rank == current else _held(incident.lower_s, current, rank, slice_s)
    if quiet_s == incident.quiet_s and held == incident.lower_s:
        return incident, _NOTHING
    counted = replace(incident, quiet_s=quiet_s, lower_s=held)
    if quiet_s >= HOLD_S:
        text = f"nothing asks for it any more, for {HOLD_S // 60} measured minutes"
        return _moved(counted, Signal.CALM, at_s, SYSTEM, text, closed_s=at_s)
    level = max((level for level, seconds in zip(_LEVELS, held, strict=True) if seconds >= HOLD_S), default=current)
    return (counted, _NOTHING) if level == current else _lowered(counted, level, at_s)


def _held(before: tuple[int, ...], current: int, rank: int, slice_s: int) -> tuple[int, ...]:
    """Of each level: how long nothing worse than it has been seen, as far as it is lower than ``current``."""
    return tuple(
        seconds + slice_s if current < level <= rank else 0 for level, seconds in zip(_LEVELS, before, strict=True)
    )


def _lowered(incident: Incident, level: int, at_s: int) -> tuple[Incident, tuple[Tell, ...]]:
    severity = SEVERITIES[level]
    text = f"{incident.current} to {severity}: nothing worse for {HOLD_S // 60} measured minutes"
    held = _held(incident.lower_s, level, _CALM, 0)
    return _moved(incident, Signal.LOWER, at_s, SYSTEM, text, current=severity, lower_s=held)


def _opened(standing: Standing, trigger: Trigger) -> tuple[Incident, tuple[Tell, ...]]:
    at_s = standing.at_s
    blank = Incident(
        id=identity(standing.journey, at_s),
        journey=standing.journey,
        status=TABLE[None, Signal.TRIGGER].status,
        started_s=at_s if standing.episode_s is None else standing.episode_s,
        opened_s=at_s,
        closed_s=None,
        severity=trigger.severity,
        current=trigger.severity,
        trigger=trigger,
        episode_s=standing.episode_s,
        group=None,
        facts=None,
        changes=(),
        advice=(),
        history=(),
    )
    return _told(blank, TABLE[None, Signal.TRIGGER], at_s, SYSTEM, trigger.sentence)


def _moved(
    incident: Incident, signal: Signal | Act, at_s: int, who: str, text: str, **changed: Any
) -> tuple[Incident, tuple[Tell, ...]]:
    move = TABLE[incident.status, signal]
    return _told(replace(incident, status=move.status, **changed), move, at_s, who, text)


def _told(incident: Incident, move: Move, at_s: int, who: str, text: str) -> tuple[Incident, tuple[Tell, ...]]:
    entry = Entry(at_s, move.happening, who, clean(text, MAX_TEXT), incident.current, incident.status)
    history = (*incident.history, entry)
    channels = _channels(incident, move.whom)
    if not channels:
        return replace(incident, history=history), _NOTHING
    sequence = incident.sequence + 1
    known = _once((*incident.told, *channels))
    incident = replace(incident, history=history, sequence=sequence, told=known)
    return incident, (Tell(move.happening, incident, channels, sequence),)


def _channels(incident: Incident, whom: Whom) -> tuple[str, ...]:
    if whom is Whom.TRIGGER:
        return _once((*incident.trigger.notify, *incident.told))
    return incident.told if whom is Whom.TOLD else ()


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _signed(who: str) -> str:
    name = clean(who, MAX_WHO) or "unnamed"
    return f"{name} (by hand)" if name.casefold() == SYSTEM else name


def _check(incident: Incident, asked: Act, text: str, latest: Incident | None) -> None:
    if (incident.status, asked) not in TABLE:
        cure = f"possible now: {', '.join(possible(incident.status))}"
        raise ActRefused(f"is {incident.status}: {asked} is not possible", incident, asked, cure)
    if asked is Act.REOPEN and latest is not None and latest.id != incident.id:
        what = f"is not the latest of journey {incident.journey}: reopen is not possible"
        raise ActRefused(what, incident, asked, f"reopen {latest.id}, or annotate this one")
    if asked is Act.ANNOTATE and not text:
        raise ActRefused("was given an empty annotation", incident, asked, "write what is to be noted")
    if asked in (Act.ANNOTATE, Act.REOPEN) and len(incident.history) >= MAX_HISTORY:
        what = f"has {len(incident.history):,} lines of history: people can add no more"
        raise ActRefused(what, incident, asked, "keep further notes elsewhere")
