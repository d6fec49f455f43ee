"""What to tell stakeholders, ready to paste: who is hurt, since when, what changed, what is being done. No metrics."""

from datetime import UTC, datetime
from typing import Final

from otel_cx_collector.incidents.machine import HOLD_S, SYSTEM
from otel_cx_collector.incidents.record import possible_causes, recommended
from otel_cx_collector.incidents.words import Change, Entry, Happening, Incident, Status
from otel_cx_collector.inventory.model import Inventory
from otel_cx_collector.measure.figures import Reach

NAMED: Final = 3
"""Segments and regions that are named, most customers first."""
UNKNOWN: Final = ("unset", "other")
"""Values that say nothing to a reader."""


def status_line(incident: Incident, inventory: Inventory) -> str:
    """The incident in a few sentences, for people who know the business and not the system.

    ``P1 Checkout: 412 of 1,030 customers affected (40 %) since 5 January 2026 09:12 UTC, most in enterprise (300).
    Changed shortly before: deploy billing 1.8.2 (09:10 UTC). Ana is working on it. Recommended: roll back.``
    """
    journey = inventory.journeys.get(incident.journey)
    title, owner = (journey.title, journey.owner) if journey else (incident.journey, None)
    parts = [f"{_severity(incident)} {title}: {_who(incident)} {_when(incident)}{_where(incident)}"]
    parts += _changed(possible_causes(incident), incident.started_s)
    parts += [_doing(incident, owner or "The team")]
    return " ".join(f"{part.rstrip('.')}." for part in (*parts, *_next(incident)))


def _severity(incident: Incident) -> str:
    eased = incident.closed_s is None and incident.current != incident.severity
    return f"{incident.severity} (now {incident.current})" if eased else incident.severity


def _who(incident: Incident) -> str:
    reach = incident.facts.reach if incident.facts else Reach()
    if reach.affected == 0:
        return "no customer is known to be affected"
    customers = "customer" if reach.active == 1 else "customers"
    return f"{reach.affected:,} of {reach.active:,} {customers} affected ({_percent(reach.affected / reach.active)})"


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.1 else f"{share * 100:.2g} %"


def _when(incident: Incident) -> str:
    start = _moment(incident.started_s)
    if incident.closed_s is None:
        return f"since {start.day} {start:%B %Y %H:%M} UTC"
    end = _moment(incident.closed_s)
    until = f"{end:%H:%M}" if end.date() == start.date() else f"{end.day} {end:%B %H:%M}"
    return f"from {start.day} {start:%B %Y %H:%M} to {until} UTC"


def _where(incident: Incident) -> str:
    if incident.facts is None:
        return ""
    named = [*_most(incident.facts.segments), *_most(incident.facts.regions)]
    return f", most in {_listed(named)}" if named else ""


def _most(reaches: dict[str, Reach]) -> list[str]:
    hurt = [(value, reach.affected) for value, reach in reaches.items() if reach.affected and value not in UNKNOWN]
    return [f"{value} ({affected:,})" for value, affected in sorted(hurt, key=lambda each: (-each[1], each[0]))[:NAMED]]


def _changed(changes: tuple[Change, ...], started_s: int) -> list[str]:
    if not changes:
        return []
    nearest = sorted(changes, key=lambda change: (abs(change.at_s - started_s), change.id))[:NAMED]
    said = [f"{change.kind} {change.what} ({_moment(change.at_s):%H:%M} UTC)" for change in nearest]
    more = len(changes) - len(nearest)
    return [f"Changed shortly before: {_listed(said)}" + (f", and {more} more" if more else "")]


def _doing(incident: Incident, owner: str) -> str:
    if incident.status is Status.OPEN:
        return f"{owner} was alerted" if incident.told else f"{owner} has not taken it on yet"
    if incident.status is Status.ACKNOWLEDGED:
        return _by(incident, Happening.ACKNOWLEDGED, "{} is working on it")
    if incident.status is Status.MITIGATED:
        return _by(incident, Happening.MITIGATED, "{} eased it and is watching")
    return _by(incident, Happening.RESOLVED, "Resolved by {}")


def _by(incident: Incident, what: Happening, sentence: str) -> str:
    """The sentence with the person who did it, and what they wrote."""
    entry = next((each for each in reversed(incident.history) if each.what is what), None)
    if entry is None or entry.who == SYSTEM:
        return f"Resolved: as usual again for {HOLD_S // 60} minutes"
    return sentence.format(entry.who) + _text(entry)


def _text(entry: Entry) -> str:
    return f": {entry.text}" if entry.text else ""


def _next(incident: Incident) -> list[str]:
    advice = recommended(incident)
    return [f"Recommended: {advice.do}"] if advice and incident.status in (Status.OPEN, Status.ACKNOWLEDGED) else []


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
