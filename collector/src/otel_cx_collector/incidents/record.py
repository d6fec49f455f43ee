"""What an incident holds and how it is written: figures, changes, advice, JSON. Not when it opens or closes."""

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Final

from pydantic import TypeAdapter

from otel_cx_collector.decide.words import Finding
from otel_cx_collector.events import MINUTE_S
from otel_cx_collector.incidents.machine import SYSTEM
from otel_cx_collector.incidents.words import (
    Account,
    Advice,
    Change,
    Entry,
    ErrorShare,
    Facts,
    Happening,
    Incident,
    Status,
)
from otel_cx_collector.inventory.model import Inventory, Journey
from otel_cx_collector.measure.figures import Reach
from otel_cx_collector.measure.report import Json, rounded, timestamp

BEFORE_S: Final = 1800
"""A change is looked for this long before the start."""
MAX_CHANGES: Final = 100
"""Changes kept, the ones nearest to the start: a flag system can switch hundreds in an hour."""
KINDS: Final = ("deploy", "flag")
"""Kinds of change that an incident shows."""

_STORED: Final = TypeAdapter(Incident)
_REVENUE: Final[Json] = {"gross": None, "recaptured": None, "net": None, "confidence": "low"}


def describe(
    incident: Incident, facts: Facts, changes: Iterable[Change], inventory: Inventory, *, final: bool = False
) -> Incident:
    """Attach what is known: figures, what changed, what to do first.

    An incident is described as long as it is open, and once more as of its end; after that its figures are frozen.

    Args:
        incident: As the machine left it.
        facts: Figures as of ``facts.at_s``; of an incident without an episode: A = 0 (4.9).
        changes: Deploys and flags; those from 30 min before the start until the incident's end (or ``facts.at_s``)
            are kept.
        inventory: For the journey's action plan.
        final: The figures are closed again, with data that came late: a resolved incident takes them too, and its
            history says so.

    Returns:
        The incident; the same object when it is frozen, or nothing is new.
    """
    frozen = _is_frozen(incident, facts.at_s)
    if frozen and not final:
        return incident
    kept = _within(incident, changes, facts.at_s)
    advice = _advice(incident, facts, kept, inventory.journeys.get(incident.journey))
    described = replace(incident, facts=facts, changes=kept, advice=advice)
    if described == incident or (frozen and _same_but_time(described, incident)):
        return incident
    return _noted(described, incident) if frozen else described


def possible_causes(incident: Incident) -> tuple[Change, ...]:
    """Changes up to the moment that it was seen: a later one is more likely a repair than the cause."""
    return tuple(change for change in incident.changes if change.at_s <= incident.opened_s)


def before_start(incident: Incident) -> tuple[Change, ...]:
    """Changes in the half hour before the start, which is known to the minute, so that minute counts."""
    return tuple(change for change in incident.changes if change.at_s < incident.started_s + MINUTE_S)


def recommended(incident: Incident) -> Advice | None:
    """The action to begin with; None when nothing that was found calls for one of the plan."""
    return next((advice for advice in incident.advice if advice.holds), None)


def report_json(incident: Incident) -> Json:
    """The incident object of the replay report, to the letter of its format."""
    facts = incident.facts
    return {
        "id": incident.id,
        "journey": incident.journey,
        "started_at": timestamp(incident.started_s),
        "opened_at": timestamp(incident.opened_s),
        "closed_at": None if incident.closed_s is None else timestamp(incident.closed_s),
        "severity": incident.severity,
        "score": rounded(facts.score) if facts else None,
        "harm_minutes": rounded(facts.harm_minutes) if facts else None,
        "vector": facts.vector if facts else None,
        "reach": _reach(facts.reach if facts else Reach()),
        "segments": _counts(facts.segments if facts else {}),
        "regions": _counts(facts.regions if facts else {}),
        "revenue": dict(_REVENUE),
    }


def as_json(incident: Incident, inventory: Inventory | None = None) -> Json:
    """All of an incident, for API, notifications and people; with an inventory also title and owner."""
    facts = incident.facts
    whole = report_json(incident) | {
        "status": incident.status.value,
        "current": incident.current,
        "as_of": timestamp(facts.at_s) if facts else None,
        "trigger": {
            "kind": incident.trigger.kind,
            "rule": incident.trigger.name,
            "severity": incident.trigger.severity,
            "sentence": incident.trigger.sentence,
            "because": [finding_json(one) for one in incident.trigger.because],
        },
        "by_step": {step: rounded(minutes) for step, minutes in facts.by_step.items()} if facts else {},
        "errors": [_error(one) for one in facts.errors] if facts else [],
        "accounts": [_account(one) for one in facts.accounts] if facts else [],
        "saturated": list(facts.saturated) if facts else [],
        "services": list(facts.services) if facts else [],
        "traces": list(facts.traces) if facts else [],
        "changes": [_change(one) for one in incident.changes],
        "advice": [{"do": one.do, "when": one.when, "link": one.link, "holds": one.holds} for one in incident.advice],
        "group": incident.group,
        "history": [_entry(one) for one in incident.history],
    }
    if inventory is None:
        return whole
    journey = inventory.journeys.get(incident.journey)
    return whole | {
        "title": journey.title if journey else incident.journey,
        "owner": journey.owner if journey else None,
    }


def to_json(incident: Incident) -> str:
    """For storage: every field, nothing rounded. ``from_json`` gives back an equal incident."""
    return json.dumps(asdict(incident), separators=(",", ":"))


def from_json(text: str | bytes) -> Incident:
    """What ``to_json`` wrote; fields that a later version adds have their defaults.

    Raises:
        pydantic.ValidationError: It is not an incident.
        json.JSONDecodeError: It is not JSON.
    """
    return _STORED.validate_python(json.loads(text))


def _is_frozen(incident: Incident, at_s: int) -> bool:
    """Resolved, and described as of its end already or asked to take what came after it."""
    if incident.status is not Status.RESOLVED or incident.closed_s is None:
        return False
    return at_s > incident.closed_s or (incident.facts is not None and incident.facts.at_s >= incident.closed_s)


def _same_but_time(described: Incident, before: Incident) -> bool:
    if described.facts is None or before.facts is None:
        return False
    return replace(described, facts=replace(described.facts, at_s=before.facts.at_s)) == before


def _noted(described: Incident, before: Incident) -> Incident:
    facts, old = described.facts, before.facts
    if facts is None:
        return described
    text = f"figures closed again with data that came late: {_figures(facts)}"
    text += f"; before: {_figures(old)}" if old else ""
    entry = Entry(facts.at_s, Happening.ANNOTATED, SYSTEM, text, described.current, described.status)
    return replace(described, history=(*described.history, entry))


def _figures(facts: Facts) -> str:
    return f"score {facts.score:.1f}, {facts.reach.affected:,} of {facts.reach.active:,} customers affected"


def _within(incident: Incident, changes: Iterable[Change], at_s: int) -> tuple[Change, ...]:
    start, end = incident.started_s, at_s if incident.closed_s is None else incident.closed_s
    known = {change.id: change for change in changes if change.kind in KINDS and start - BEFORE_S <= change.at_s <= end}
    nearest = sorted(known.values(), key=lambda change: (abs(change.at_s - start), change.id))[:MAX_CHANGES]
    return tuple(sorted(nearest, key=lambda change: (change.at_s, change.id)))


def _advice(
    incident: Incident, facts: Facts, changes: tuple[Change, ...], journey: Journey | None
) -> tuple[Advice, ...]:
    """The action plan: what holds first, else in the order of the file."""
    if journey is None:
        return ()
    found = _conditions(replace(incident, changes=changes), facts, [step.name for step in journey.steps])
    plan = [Advice(each.do, each.when or "", each.link, each.when in found) for each in journey.actions]
    return tuple(sorted(plan, key=lambda advice: not advice.holds))


def _conditions(incident: Incident, facts: Facts, steps: list[str]) -> set[str]:
    """Every condition of an action that holds."""
    found = {f"changed.{change.kind}" for change in possible_causes(incident)}
    found |= {f"saturation.{name}" for name in facts.saturated}
    found |= {f"errors.{error.error_class}" for error in facts.errors if error.count > 0}
    worst = max(steps, key=lambda step: facts.by_step.get(step, 0.0))
    return found | ({f"step.{worst}"} if facts.by_step.get(worst, 0.0) > 0 else set())


def _reach(reach: Reach) -> Json:
    return {
        "affected": reach.affected,
        "active": reach.active,
        "low": rounded(reach.low),
        "high": rounded(reach.high),
    }


def _counts(reaches: dict[str, Reach]) -> Json:
    return {value: {"affected": reach.affected, "active": reach.active} for value, reach in reaches.items()}


def finding_json(finding: Finding) -> Json:
    """One predicate as reports and pages have it."""
    return {
        "predicate": finding.predicate,
        "verdict": finding.verdict.value,
        "value": rounded(finding.value),
        "low": rounded(finding.low),
        "high": rounded(finding.high),
        "evidence": finding.evidence,
        "missing": finding.missing,
    }


def _error(error: ErrorShare) -> Json:
    return {
        "class": error.error_class,
        "step": error.step,
        "stage": rounded(error.stage),
        "count": error.count,
        "customers": error.customers,
        "recoverable": error.recoverable,
        "consequence": error.consequence,
    }


def _account(account: Account) -> Json:
    return {
        "account": account.account,
        "name": account.name,
        "attempts": account.attempts,
        "failed": account.failed,
        "renewal_due": account.renewal_due,
        "arr": account.arr,
    }


def _change(change: Change) -> Json:
    return {
        "id": change.id,
        "at": timestamp(change.at_s),
        "kind": change.kind,
        "what": change.what,
        "link": change.link,
    }


def _entry(entry: Entry) -> Json:
    return {
        "at": timestamp(entry.at_s),
        "what": entry.what.value,
        "who": entry.who,
        "text": entry.text,
        "severity": entry.severity,
        "status": entry.status.value,
    }
