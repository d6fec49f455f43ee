"""What a page says first, and what a chart says to who cannot see it: whole sentences. No markup, no times of day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_cx_collector.events import MINUTE_S
from otel_cx_collector.incidents.record import before_start
from otel_cx_collector.views import words
from otel_cx_collector.views.state import IN_WORDS, State

if TYPE_CHECKING:
    from otel_cx_collector.incidents.words import Change, Incident
    from otel_cx_collector.measure.figures import Budget, Episode, Factors, Reach, Series
    from otel_cx_collector.views.journey import Answer
    from otel_cx_collector.views.overview import Overview

STANDS_OUT: Final = 1.5
"""A segment or region is named when its share of affected customers is this many times the whole's."""


def of_overview(overview: Overview, at_s: int) -> str:
    """The one sentence of the overview."""
    if not overview.rows:
        return "No journeys yet."
    if overview.incidents:
        return _incidents(overview, at_s)
    if not overview.hurt:
        return _calm([row.answer for row in overview.rows])
    worst = overview.hurt[0].answer
    if len(overview.hurt) == 1:
        return f"{worst.title} is hurt: {_hurting(worst, at_s)}."
    return f"{words.plural(len(overview.hurt), 'journey')} are hurt, {worst.title} most: {_hurting(worst, at_s)}."


def _incidents(overview: Overview, at_s: int) -> str:
    titles = {row.answer.journey.name: row.answer.title for row in overview.rows}
    worst, number = overview.incidents[0], len(overview.incidents)
    title = titles.get(worst.journey, worst.journey)
    counted = f"{words.plural(number, 'incident')}{', the worst' if number > 1 else ''}"
    known = {incident.journey for incident in overview.incidents}
    others = sum(row.answer.journey.name not in known for row in overview.hurt)
    told = [f"{counted}: {of_incident(worst, title, at_s)}", *_cause(worst)]
    if others:
        told.append(f"{words.plural(others, 'other journey')} {'is' if others == 1 else 'are'} hurt")
    return "; ".join(told) + "."


def of_incident(incident: Incident, title: str, at_s: int) -> str:
    """``P1 Checkout for 12 min, 412 customers``: severity now, journey, how long, how many."""
    lasted = words.span((at_s if incident.closed_s is None else incident.closed_s) - incident.started_s)
    said = f"{incident.current if incident.closed_s is None else incident.severity} {title} for {lasted}"
    affected = incident.facts.reach.affected if incident.facts else 0
    return said + (f", {words.plural(affected, 'customer')}" if affected else "")


def _cause(incident: Incident) -> list[str]:
    """The change nearest to the start, of those before it; it may be a coincidence, and is told as a time."""
    before = before_start(incident)
    return [of_change(max(before, key=lambda change: change.at_s), incident.started_s)] if before else []


def of_change(change: Change, started_s: int) -> str:
    """``deploy billing 1.8.2 went out 3 min before``."""
    done = {"deploy": "went out", "flag": "was switched"}.get(change.kind, "happened")
    return f"{change.kind} {change.what} {done} {apart(change.at_s, started_s)}"


def apart(at_s: int, started_s: int) -> str:
    """How far from the start of an incident, which is known to the minute: ``3 min before``."""
    if at_s >= started_s + MINUTE_S:
        return f"{words.span(at_s - started_s)} after it began"
    return f"{words.span(started_s - at_s)} before" if at_s < started_s else "as it began"


def _calm(answers: list[Answer]) -> str:
    states = [found.state for found in answers]
    healthy, total = states.count(State.HEALTHY), len(states)
    if healthy == total:
        return f"All {words.plural(total, 'journey')} are healthy." if total > 1 else f"{answers[0].title} is healthy."
    if states.count(State.IDLE) == total:
        return "No traffic yet."
    others = [
        f"{words.count(states.count(state))} {said}"
        for state, said in (
            (State.RECOVERING, "recovering"),
            (State.WATCHED, "being watched"),
            (State.UNMEASURED, "unmeasured"),
            (State.IDLE, "without traffic"),
        )
        if state in states
    ]
    return f"No journey is known to be hurt: {words.listed([f'{healthy} healthy', *others] if healthy else others)}."


def of_journey(found: Answer, at_s: int) -> str:
    """The one sentence of a journey's page."""
    if found.hurt:
        return f"{IN_WORDS[found.state]}: {_hurting(found, at_s)}."
    if found.state is State.RECOVERING:
        began_s = found.episode.start_s if found.episode else found.incident.started_s if found.incident else at_s
        return f"Recovering: {customers(found.reach)} in {words.span(at_s - began_s)}, no more in the last minute."
    if found.state is State.HEALTHY:
        return "Healthy: no customer is hurt beyond what is usual."
    if found.state is State.WATCHED:
        return f"Being watched, no customer is hurt: {found.decision.sentence}"
    return f"{IN_WORDS[found.state]}: {found.reason}."


def _hurting(found: Answer, at_s: int) -> str:
    episode = found.episode
    if episode is None:
        return customers(found.reach)
    place = where(episode)
    since = words.span(at_s - episode.start_s)
    return f"{customers(episode.reach)} in {since}" + (f", {place}" if place else "")


def customers(reach: Reach) -> str:
    """``412 of 1,030 customers affected``."""
    if reach.active == 0:
        return "no customer active"
    return f"{words.count(reach.affected)} of {words.plural(reach.active, 'customer')} affected"


def where(episode: Episode) -> str:
    """What stands out: the step most harm is at, a region or segment hit much harder; empty when nothing does."""
    parts = []
    total = sum(episode.by_step.values())
    step = max(episode.by_step, key=lambda name: episode.by_step[name], default="")
    if step and total > 0 and episode.by_step[step] > 0.5 * total:
        parts.append(f"mostly at {step}")
    for reaches in (episode.regions, episode.segments):
        name = _standing_out(reaches, episode.reach)
        if name:
            parts.append(f"hardest in {name}")
    return ", ".join(parts)


def _standing_out(reaches: dict[str, Reach], whole: Reach) -> str:
    def share(reach: Reach) -> float:
        return reach.affected / reach.active if reach.active else 0.0

    name = max(reaches, key=lambda value: share(reaches[value]), default="")
    return name if name and share(whole) > 0 and share(reaches[name]) >= STANDS_OUT * share(whole) else ""


def of_slices(series: Series) -> str:
    """The label of the chart of slices."""
    known = [value for value in series.success if value is not None]
    if not known:
        return "No execution in this range."
    active, harmed = sum(series.active), sum(series.harmed)
    gaps = series.measured.count(False)
    lowest, last = words.percent(min(known)), words.percent(known[-1])
    return (
        f"Success in steps of {words.span(series.step_s)}: lowest {lowest}, last {last}. "
        f"{words.count(harmed)} of {words.count(active)} attempts active in a step were harmed."
        + (f" {words.plural(gaps, 'step')} not measured." if gaps else "")
    )


def of_waterfall(factors: Factors, harm_minutes: float, score: float) -> str:
    """The label of the score's waterfall."""
    return (
        f"{words.plural(factors.a, 'harmed attempt')} at {words.significant(factors.n)} a normal minute, weighed to "
        f"{words.outage_minutes(harm_minutes)} of full outage, a score of {words.score(score)}."
    )


def of_steps(by_step: dict[str, float]) -> str:
    """The label of the harm by step."""
    said = [
        f"{name} {words.outage_minutes(value)}" for name, value in sorted(by_step.items(), key=lambda item: -item[1])
    ]
    return f"Minutes of full outage by step: {words.listed(said)}." if said else "No step was harmed."


def of_budget(budget: Budget) -> str:
    """When a budget runs out at the pace of now, or why there is no such time."""
    if budget.remaining is None:
        return "nothing counted yet"
    if budget.remaining <= 0:
        return "it is spent"
    if budget.exhausted_in_s is None:
        return "not at this pace"
    return f"in {words.span(budget.exhausted_in_s)}"
