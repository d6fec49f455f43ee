"""Two inventories over the same recording: which pages, notices and burn alerts would have come otherwise. No effects.

What somebody is told of is a ``Call``. Calls of both sides are the same one when they are about the same (journey,
channel or policy) and overlap in time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Final, NamedTuple

from otel_cx_collector.decide.words import Severity
from otel_cx_collector.incidents.words import Happening, Incident
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.judging.subject import what as watched
from otel_cx_collector.measure.figures import BurnAlert
from otel_cx_collector.measure.report import Json, timestamp
from otel_cx_collector.notify.route import PAGED, notices_for, quiet_until
from otel_cx_collector.recording import read_for
from otel_cx_collector.replay import Court, court, stored

RINGS: Final = frozenset({Happening.OPENED, Happening.RAISED, Happening.REOPENED})
"""What a page is sent about; the rest is told to those who were paged."""


class What(StrEnum):
    """What kind of call."""

    PAGE = "page"
    """An incident that reached P1 or P2."""
    NOTICE = "notice"
    """The first notice of an incident to a channel under ``notify``."""
    ALERT = "alert"
    """A burn-rate policy that fired."""


class Kind(StrEnum):
    """How it differs."""

    ADDED = "added"
    REMOVED = "removed"
    EARLIER = "earlier"
    LATER = "later"
    SEVERITY = "severity"


class About(NamedTuple):
    """What two calls must have in common to be the same one."""

    what: What
    journey: str
    name: str
    """The channel of a notice; SLI, step and policy of an alert; empty for a page."""


@dataclass(frozen=True, slots=True)
class Call:
    """One time that somebody is told of one thing."""

    about: About
    at_s: int
    """When they are told."""
    severity: str
    """The highest that it reaches; of an alert its kind, ``page`` or ``ticket``."""
    from_s: int
    until_s: int | None
    """When it is over; None: not by the end of the recording."""
    why: str
    """The rule that opened it, or last raised it; of an alert its policy."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One call that is not the same on both sides."""

    kind: Kind
    before: Call | None
    after: Call | None

    @property
    def call(self) -> Call:
        """The one to speak of: as it would be, else as it was."""
        found = self.after or self.before
        if found is None:
            raise ValueError("a difference without a call on either side")
        return found


@dataclass(frozen=True, slots=True)
class Side:
    """What one inventory makes of the recording."""

    calls: tuple[Call, ...]
    messages: dict[str, int]
    """All notices by channel, also that something was lowered, resolved, and so on."""


@dataclass(frozen=True, slots=True)
class Backtest:
    """Both sides, and where they differ, in order of time."""

    from_s: int
    to_s: int
    before: Side
    after: Side
    differences: tuple[Difference, ...]


def run(paths: list[str], before: Inventory, after: Inventory) -> Backtest:
    """Replay recordings under two inventories and compare whom they would have told.

    Args:
        paths: As ``replay.run`` takes them; each is read once.
        before: The inventory in force.
        after: The one it is compared with.

    Raises:
        UserError: A file cannot be read, or holds what this version does not evaluate.
    """
    courts = []
    for recording, inventory in zip(read_for(paths, (before, after)), (before, after), strict=True):
        table, tables, _ = stored(recording, inventory)
        courts.append(court(recording, tables, table, inventory))
    first_s, last_s = _extent(courts)
    old, new = (_side(bench, first_s, last_s) for bench in courts)
    return Backtest(first_s, last_s, old, new, tuple(compare(old.calls, new.calls)))


def _extent(courts: Sequence[Court]) -> tuple[int, int]:
    """The time that both are judged for: what one file does not take for a step may be one in the other."""
    known = [bench for bench in courts if bench.last_s]
    return min((bench.first_s for bench in known), default=0), max((bench.last_s for bench in known), default=0)


def _side(bench: Court, first_s: int, last_s: int) -> Side:
    bench.state.at_s = first_s
    bench.judge(last_s)
    notices, messages = _notices(bench)
    pages = (page(each) for each in bench.found.incidents.values())
    alerts = (_alert(each) for each in bench.found.alerts)
    calls = chain((each for each in pages if each), notices, alerts)
    return Side(tuple(sorted(calls, key=lambda each: (each.at_s, each.about))), messages)


def page(incident: Incident) -> Call | None:
    """The page of an incident: at the boundary at which it first was P1 or P2; None when it never was."""
    rung = (entry for entry in incident.history if entry.what in RINGS and entry.severity <= PAGED)
    first = next(rung, None)
    if first is None:
        return None
    return _call(What.PAGE, incident, "", first.at_s, incident.severity)


def _notices(bench: Court) -> tuple[list[Call], dict[str, int]]:
    """The first notice of each incident to each channel, and how many notices a channel gets at all."""
    inventory, messages = bench.inventory, dict.fromkeys(bench.inventory.notify, 0)
    first: dict[tuple[str, str], int] = {}
    for tell in bench.found.tells:
        for notice in notices_for(tell, inventory, url=""):
            messages[notice.channel] += 1
            held_s = quiet_until(inventory.notify[notice.channel], notice.severity, notice.at_s)
            first.setdefault((notice.incident, notice.channel), held_s or notice.at_s)
    known = bench.found.incidents
    calls = [
        _call(What.NOTICE, known[incident], channel, at_s, known[incident].severity)
        for (incident, channel), at_s in first.items()
    ]
    return calls, {name: messages[name] for name in sorted(messages)}


def _call(what: What, incident: Incident, name: str, at_s: int, severity: Severity) -> Call:
    about = About(what, incident.journey, name)
    return Call(about, at_s, severity, incident.opened_s, incident.closed_s, incident.trigger.name)


def _alert(alert: BurnAlert) -> Call:
    about = About(What.ALERT, alert.journey, f"{watched(alert)} {alert.policy}")
    return Call(about, alert.fired_s, alert.kind, alert.fired_s, alert.resolved_s, alert.policy)


def compare(before: Sequence[Call], after: Sequence[Call]) -> list[Difference]:
    """Where the calls of two sides differ, in order of time. A call matches at most one of the other side.

    The earliest pair that overlaps is matched first; two differences come of one that changes in time and severity.
    """
    left = list(after)
    found: list[Difference] = []
    for old in before:
        new = next((each for each in left if each.about == old.about and _overlap(old, each)), None)
        if new is None:
            found.append(Difference(Kind.REMOVED, old, None))
            continue
        left.remove(new)
        found += _changed(old, new)
    found += [Difference(Kind.ADDED, None, new) for new in left]
    return sorted(found, key=lambda each: (each.call.at_s, each.call.about, each.kind))


def _overlap(one: Call, other: Call) -> bool:
    """Whether they have a slice boundary in common: an incident still stands at the one that closes it."""
    ends_one = one.until_s is None or one.until_s >= other.from_s
    ends_other = other.until_s is None or other.until_s >= one.from_s
    return ends_one and ends_other


def _changed(old: Call, new: Call) -> Iterator[Difference]:
    if new.at_s != old.at_s:
        yield Difference(Kind.EARLIER if new.at_s < old.at_s else Kind.LATER, old, new)
    if new.severity != old.severity:
        yield Difference(Kind.SEVERITY, old, new)


def as_json(found: Backtest) -> Json:
    """The answer as plain JSON values."""
    channels = sorted({*found.before.messages, *found.after.messages})
    return {
        "version": 1,
        "from": timestamp(found.from_s),
        "to": timestamp(found.to_s),
        "differences": [_difference(each) for each in found.differences],
        "totals": {what.value: totals(found, what) for what in What},
        "messages": {
            name: {"before": found.before.messages.get(name, 0), "after": found.after.messages.get(name, 0)}
            for name in channels
        },
    }


def totals(found: Backtest, what: What) -> dict[str, int]:
    """How many calls of a kind there are on either side, and how many differ how."""
    of_kind = [each for each in found.differences if each.call.about.what is what]
    return {
        "before": sum(call.about.what is what for call in found.before.calls),
        "after": sum(call.about.what is what for call in found.after.calls),
        **{kind.value: sum(each.kind is kind for each in of_kind) for kind in Kind},
    }


def _difference(each: Difference) -> Json:
    about = each.call.about
    return {
        "change": each.kind.value,
        "what": about.what.value,
        "journey": about.journey,
        "name": about.name or None,
        "before": _call_json(each.before),
        "after": _call_json(each.after),
    }


def _call_json(call: Call | None) -> Json | None:
    if call is None:
        return None
    return {
        "at": timestamp(call.at_s),
        "severity": call.severity,
        "from": timestamp(call.from_s),
        "until": None if call.until_s is None else timestamp(call.until_s),
        "why": call.why,
    }
