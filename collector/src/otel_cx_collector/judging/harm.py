"""What an incident is told of its journey: who was harmed, where, by what, since when. Not how it is written down."""

from typing import Final

import numpy as np
import pyarrow as pa

from otel_cx_collector.events import MINUTE_S, NS, Fact, FactKind
from otel_cx_collector.incidents.record import BEFORE_S
from otel_cx_collector.incidents.words import Account, Change, ErrorShare, Facts, Incident
from otel_cx_collector.judging.world import World
from otel_cx_collector.measure import impact
from otel_cx_collector.measure.columns import Bools, Columns, coded
from otel_cx_collector.measure.errors import errors
from otel_cx_collector.measure.evaluation import Evaluation, episode, of_track, reach, reach_by
from otel_cx_collector.measure.figures import Episode
from otel_cx_collector.measure.track import Track

ERRORS_LIMIT: Final = 10
ACCOUNTS_LIMIT: Final = 10
TRACES_LIMIT: Final = 5
SERVICES_LIMIT: Final = 5
LEAD_S: Final = 60
"""An incident opened by an alert before any episode looks back one minute, so that there is something to see."""


def facts(track: Track, incident: Incident, at_s: int, world: World) -> Facts:
    """Everything known at T of the harm of one incident: all episodes that touch it (4.10)."""
    end_s = at_s if incident.closed_s is None else min(at_s, incident.closed_s)
    # An episode that touches it may have begun long before.
    begins = [span.start * MINUTE_S for span in track.walk.spans if _touches(span.start, span.end, incident, end_s)]
    start_s = min([incident.started_s, *begins])
    found = of_track(track, at_s * NS, start_s * NS)
    episodes = [episode(found, span) for span in found.spans if _touches(span.start, span.end, incident, end_s)]
    inside = _inside(found.columns, episodes, start_s, end_s)
    parts = impact.together([each.factors for each in episodes]) if episodes else None
    parts = parts or impact.nothing(found.journey, found.mature)
    harm = sum(each.harm_minutes for each in episodes)
    window = found.columns.window(np.flatnonzero(inside))
    rows = impact.most_hurtful(window, len(found.journey.steps), rejections=True).rows
    return Facts(
        at_s=at_s,
        score=impact.score(harm),
        harm_minutes=harm,
        vector=impact.vector(parts),
        factors=parts,
        reach=reach(found.columns, inside, found.affected),
        segments=reach_by(found.columns, "segment", inside, found.affected),
        regions=reach_by(found.columns, "region", inside, found.affected),
        by_step=_by_step(episodes),
        errors=_errors(found, start_s, end_s),
        accounts=_accounts(found.columns, inside, found.affected, world),
        saturated=_saturated(track, at_s, world),
        services=_services(found.columns, rows),
        traces=_traces(found.columns, rows),
    )


def changes(world: World, incident: Incident, at_s: int) -> tuple[Change, ...]:
    """Deploys and flags from half an hour before the start until T."""
    return tuple(change(fact) for fact in world.known.deploys_and_flags(incident.started_s - BEFORE_S, at_s + 1))


def change(fact: Fact) -> Change:
    """A deploy or a flag as people read it."""
    deploy = fact.kind is FactKind.DEPLOY
    said = f"{fact.service} {fact.version}".strip() if deploy else f"{fact.key} = {fact.variant}"
    return Change(fact.id, fact.at_ns // NS, fact.kind.value, said, fact.link or None)


def _touches(start: int, end: int, incident: Incident, end_s: int) -> bool:
    """Whether the minutes of an episode and the incident have a moment in common."""
    return start * MINUTE_S < end_s and (end + 1) * MINUTE_S > incident.started_s


def _inside(columns: Columns, episodes: list[Episode], start_s: int, end_s: int) -> Bools:
    """Executions of the episodes; without one, of the incident's own time."""
    spans = [(each.start_s, each.end_s) for each in episodes] or [(start_s - LEAD_S, end_s)]
    inside = np.zeros(len(columns), dtype=np.bool_)
    for low, high in spans:
        inside |= (columns.time >= low * NS) & (columns.time < high * NS)
    return inside


def _by_step(episodes: list[Episode]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for each in episodes:
        for step, minutes in each.by_step.items():
            sums[step] = sums.get(step, 0.0) + minutes
    return sums


def _errors(found: Evaluation, start_s: int, end_s: int) -> tuple[ErrorShare, ...]:
    return tuple(
        ErrorShare(
            error_class=each.error_class,
            step=each.step,
            stage=each.stage,
            count=round(each.count),
            customers=each.customers,
            recoverable=each.recoverable,
            consequence=each.consequence,
        )
        for each in errors(found, start_s * NS, end_s * NS, ERRORS_LIMIT)
    )


def _accounts(columns: Columns, inside: Bools, affected: Bools, world: World) -> tuple[Account, ...]:
    """The accounts with most attempts affected: those that renew first, then those hurt most."""
    account = coded(columns.table["account"])
    size = len(columns.attempts) + 1
    active, hurt = (
        np.bincount(
            np.unique(account.codes[rows] * size + columns.attempt[rows]) // size, minlength=len(account.labels)
        )
        for rows in (inside, inside & affected)
    )
    order = np.lexsort((np.arange(len(account.labels)), -hurt))
    found = [
        account_of(account.labels[at], int(active[at]), int(hurt[at]), world.known.renewals.get(account.labels[at]))
        for at in order[: 10 * ACCOUNTS_LIMIT].tolist()
        if hurt[at] and account.labels[at]
    ]
    return tuple(sorted(found, key=lambda each: each.renewal_due is None)[:ACCOUNTS_LIMIT])


def account_of(account: str, attempts: int, failed: int, renewal: Fact | None) -> Account:
    """An account with what is known of its renewal."""
    if renewal is None:
        return Account(account, None, attempts, failed, None, None)
    return Account(account, renewal.name or None, attempts, failed, renewal.due, renewal.arr or None)


def _saturated(track: Track, at_s: int, world: World) -> tuple[str, ...]:
    """Resources that a step of the journey depends on, above their warning line."""
    needed = {name for step in track.journey.steps for name in step.depends_on}
    found = []
    for name, resource in world.inventory.saturation.items():
        share = world.levels[name].share(at_s) if name in needed and name in world.levels else None
        if share is not None and share >= resource.warn:
            found.append(name)
    return tuple(found)


def _services(columns: Columns, rows: np.ndarray) -> tuple[str, ...]:
    service = coded(columns.table["service"].take(pa.array(rows)))
    counts = np.bincount(service.codes, minlength=len(service.labels))
    order = np.argsort(-counts, kind="stable")[:SERVICES_LIMIT].tolist()
    return tuple(service.labels[at] for at in order if counts[at] and service.labels[at])


def _traces(columns: Columns, rows: np.ndarray) -> tuple[str, ...]:
    newest = rows[np.argsort(-columns.time[rows], kind="stable")[:TRACES_LIMIT]]
    return tuple(trace.hex() for trace in columns.table["trace_id"].take(pa.array(newest)).to_pylist())
