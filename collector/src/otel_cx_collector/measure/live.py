"""The live score and its severity when a minute closes (measures.md 4.5, 4.9). Not a figure over a range of time."""

from dataclasses import dataclass
from typing import Final

from otel_cx_collector.events import NS
from otel_cx_collector.measure import impact
from otel_cx_collector.measure.evaluation import Evaluation, episode
from otel_cx_collector.measure.figures import Factors, Live
from otel_cx_collector.measure.impact import Harmed, Reference
from otel_cx_collector.measure.minutes import TEST_MINUTES, Normal, harmed_column, nanoseconds
from otel_cx_collector.measure.stats import REACH_LOW, jeffreys
from otel_cx_collector.measure.track import Track

LIVE_MINUTES: Final = 60
"""Severity looks back one hour (4.5)."""
BANDS: Final = (("P1", 40.0), ("P2", 15.0), ("P3", 4.0), ("P4", float("-inf")))
"""Severity by S_live, worst first (4.9)."""
PAGING_MIN_HARMED: Final = 8
"""P1 and P2 need so many harmed attempts in the last hour, or missing ones."""
FLOOR_CRITICALITY: Final = 0.9
FLOOR_HARM: Final = 0.9
FLOOR_REACH: Final = 0.05
FLOOR_HARMED: Final = 10
"""A critical journey that fails outright for 5 % of its customers, and at least ten, is P2 whatever its score."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """A journey when a minute closed."""

    minute: int
    """That minute, since the epoch."""
    score: float
    """S_live."""
    h60: float
    rho: float
    harmed: bool
    """The minute is harmed, and an episode is open."""
    young: bool
    """The episode is; without one: there is no baseline yet, so that chronic failure would be news."""
    missing: float
    """X of the minute."""
    factors: Factors | None
    """Of the episode's last hour; None where there is none to look at."""
    reach_low: float
    """Lower bound of the customers affected of active in it."""


def pulse(track: Track, minute: int) -> Pulse:
    """The live score as of the end of ``minute``, which the track has walked last."""
    journey, walk = track.journey, track.walk
    span = walk.open
    missing = walk.missing.get(minute, 0.0)
    if span is None and not missing and not _harmed_lately(track, minute):
        return Pulse(minute, 0.0, 0.0, 0.0, harmed=False, young=False, missing=0.0, factors=None, reach_low=0.0)
    reference = span.reference if span else walk.reference(max(track.first, minute - TEST_MINUTES + 1), minute)
    normal = walk.normal(minute + 1, young=bool(span and span.young))
    rho = _rho(track, minute, normal, reference)
    if missing and walk.missing.get(minute - 1, 0.0):
        rho += journey.criticality * missing / normal.started
    rho = max(0.0, rho)
    harmed = bool(span and walk.harmed(minute, span.reference))
    factors, hour, low = None, 0.0, 0.0
    if span and harmed:
        start = max(span.start, minute - LIVE_MINUTES + 1)
        found = _harmed(track, start, minute, rejections=reference.rejections)
        gone = sum(x for at, x in walk.missing.items() if start <= at <= minute)
        factors = impact.factors(journey, found, normal, reference, gone)
        hour = impact.harm_minutes(factors)
        low = _reach_low(track, start, minute) if len(found.rows) >= FLOOR_HARMED else 0.0
    return Pulse(
        minute=minute,
        score=impact.score(hour + impact.LEAD_MINUTES * rho),
        h60=hour,
        rho=rho,
        harmed=harmed,
        young=span.young if span else not reference.rejections,
        missing=missing,
        factors=factors,
        reach_low=low,
    )


def severity(track: Track, now: Pulse, account_floor: str | None) -> str:
    """Severity by score with its floors (4.9).

    Args:
        track: Walked up to the pulse's minute.
        now: The journey's pulse.
        account_floor: ``P2`` or ``P3`` when an account is hurt badly, else None.
    """
    found = band(now.score)
    parts = now.factors
    if (
        parts is not None
        and parts.c >= FLOOR_CRITICALITY
        and parts.m >= FLOOR_HARM
        and parts.a >= FLOOR_HARMED
        and now.reach_low >= FLOOR_REACH
    ):
        found = min(found, "P2")
    if account_floor is not None:
        found = min(found, account_floor)
    if found <= "P2" and not now.missing and harmed_attempts(track, now.minute) < PAGING_MIN_HARMED:
        found = "P3"
    return max(found, "P3") if now.young else found


def band(score: float) -> str:
    """Severity by S_live alone; ``P1`` sorts before ``P4``."""
    return next(name for name, least in BANDS if score >= least)


def harmed_attempts(track: Track, minute: int) -> int:
    """Distinct harmed attempts of the last 60 closed minutes."""
    rejections = track.walk.open.reference.rejections if track.walk.open else track.walk.has_baseline(minute)
    column = harmed_column(rejections=rejections)
    low = max(0, minute - LIVE_MINUTES + 1 - track.first)
    if int(track.counts[low : minute + 1 - track.first, column].sum()) < PAGING_MIN_HARMED:
        return 0
    return len(_harmed(track, minute - LIVE_MINUTES + 1, minute, rejections=rejections).rows)


def _harmed_lately(track: Track, minute: int) -> bool:
    """Whether enough attempts may be harmed in the last minutes for a rate: no more than a look at the counts."""
    widest = max(impact.RHO_WINDOWS)
    low = max(0, minute - widest + 1 - track.first)
    column = harmed_column(rejections=True)
    return int(track.counts[low : minute + 1 - track.first, column].sum()) >= impact.RHO_MIN_HARMED


def _rho(track: Track, minute: int, normal: Normal, reference: Reference) -> float:
    """The rate of harm right now: the largest over windows of 1, 2, 5 closed minutes (4.5)."""
    rates = []
    for width in impact.RHO_WINDOWS:
        harmed = _harmed(track, minute - width + 1, minute, rejections=reference.rejections)
        rates.append(impact.rate(track.journey, harmed, width, normal, reference))
    return max(rates)


def _harmed(track: Track, start: int, minute: int, *, rejections: bool) -> Harmed:
    """Who was harmed from minute ``start`` to ``minute``, as known at its end."""
    window = track.window(range(start, minute + 1), nanoseconds(minute + 1))
    return impact.most_hurtful(window, len(track.journey.steps), rejections=rejections)


def _reach_low(track: Track, start: int, minute: int) -> float:
    """Lower bound of customers affected of active from minute ``start`` to ``minute`` of an episode (4.10)."""
    affected, active = track.customers(start, minute + 1)
    return jeffreys(affected, active, REACH_LOW) if active else 0.0


def shown(found: Evaluation, now: Pulse | None, severity_now: str) -> Live:
    """The live score as pages and API say it, with the open episode.

    Args:
        found: The journey at T, at least from the open episode on.
        now: Of the last closed minute; None before the first.
        severity_now: As ``severity`` said.
    """
    span = found.spans[-1] if found.spans and not found.spans[-1].over else None
    current = episode(found, span) if span else None
    return Live(
        at_s=found.as_of_ns // NS,
        score=now.score if now else 0.0,
        h60=now.h60 if now else 0.0,
        rho=now.rho if now else 0.0,
        harmed=bool(now and now.harmed),
        episode=current,
        vector=current.vector if current else impact.vector(impact.nothing(found.journey, found.mature)),
        severity=severity_now,
        missing=now.missing if now else 0.0,
    )
