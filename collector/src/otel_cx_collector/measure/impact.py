"""The customer-impact score CXI 1.0 (measures.md 4): from harmed attempts to equivalent minutes, score and vector."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from otel_cx_collector.inventory import Journey
from otel_cx_collector.measure.columns import FAILED, Bools, Floats, Ints, Window
from otel_cx_collector.measure.figures import Factors
from otel_cx_collector.measure.minutes import Normal
from otel_cx_collector.measure.stats import TEST, jeffreys

HALF_MINUTES: Final = 5.0
"""H at which the score is 50."""
Q_FLOOR: Final = 0.001
DEFAULT_TOLERANCE: Final = 0.05
"""Everyday failures allowed when the journey has no availability objective (4.4)."""
LEAD_MINUTES: Final = 15.0
RHO_WINDOWS: Final = (1, 2, 5)
RHO_MIN_HARMED: Final = 3

_VECTOR: Final = re.compile(
    r"CXI:1\.0/J:(?P<j>[^/]+)/C:(?P<c>[^/]+)/G:(?P<g>[^/]+)/V:(?P<v>[^/]+)/M:(?P<m>[^/]+)"
    r"/A:(?P<a>\d+)/N:(?P<n>[^/]+)/X:(?P<x>[^/]+)/B:(?P<b>[^/]+)/H50:(?P<h50>[^/]+)"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """Everyday harm before an episode, frozen at its start (4.4)."""

    baseline: str
    """``seasonal``, ``recent`` or ``none``."""
    q: float
    """Share of attempts with harm."""
    beta: Floats
    """Harm an attempt that executes step k brings every day, one entry a step."""

    @property
    def rejections(self) -> bool:
        """Whether rejections carry harm: only against a baseline of their own."""
        return self.baseline != "none"


@dataclass(frozen=True, slots=True)
class Harmed:
    """The most hurtful execution of each harmed attempt of a window (4.2), and who executed what."""

    rows: Ints
    """Where that execution stands in the columns, one an attempt."""
    step: Ints
    worth: Floats
    """g*h*v of each."""
    harm: Floats
    """h of each."""
    failed: Bools
    active: int
    """Distinct attempts in the window."""
    active_by_step: Ints
    """U_k: distinct attempts with an execution of step k."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What harm some clean minutes brought: sums that a reference is made of. One entry a step in the tuples."""

    minutes: int
    started: int
    active: int
    failed: int
    """Attempts whose most hurtful execution failed."""
    other: int
    """Attempts harmed in another way."""
    executed: tuple[int, ...]
    worth_failed: tuple[float, ...]
    worth_other: tuple[float, ...]


def tolerance(journey: Journey) -> float:
    """1 - availability target of the journey: the share of failures that is everyday at most."""
    targets = [o.target for o in journey.objectives if o.sli == "availability" and o.step is None]
    targets = targets or [o.target for o in journey.objectives if o.sli == "availability"]
    return 1 - min(targets) if targets else DEFAULT_TOLERANCE


def most_hurtful(window: Window, steps: int, *, rejections: bool) -> Harmed:
    """Each attempt counts once, by its execution with the largest g*h*v; ties: earliest end, then span id.

    Args:
        window: Executions to choose from.
        steps: How many steps the journey has.
        rejections: Whether rejected executions carry harm.
    """
    pairs = np.unique(window.attempt * steps + window.step)
    harm = window.harm_with(rejections=rejections)
    worth = harm * window.value
    hurt = np.flatnonzero(harm > 0)
    order = hurt[np.lexsort((window.rows[hurt], -worth[hurt], window.attempt[hurt]))]
    chosen = order[np.flatnonzero(np.diff(window.attempt[order], prepend=-1))]
    return Harmed(
        rows=window.rows[chosen],
        step=window.step[chosen],
        worth=worth[chosen],
        harm=harm[chosen],
        failed=window.outcome[chosen] == FAILED,
        active=int(np.count_nonzero(np.diff(pairs // steps, prepend=-1))),
        active_by_step=np.bincount(pairs % steps, minlength=steps),
    )


def usual(window: Window, steps: int, *, minutes: int, started: int) -> Usual:
    """Sums of the executions of clean minutes."""
    found = most_hurtful(window, steps, rejections=True)
    failed = found.failed
    return Usual(
        minutes=minutes,
        started=started,
        active=found.active,
        failed=int(failed.sum()),
        other=int((~failed).sum()),
        executed=tuple(found.active_by_step.tolist()),
        worth_failed=tuple(np.bincount(found.step[failed], found.worth[failed], minlength=steps).tolist()),
        worth_other=tuple(np.bincount(found.step[~failed], found.worth[~failed], minlength=steps).tolist()),
    )


def reference(journey: Journey, weeks: Sequence[Usual], baseline: str) -> Reference:
    """Everyday harm (4.4): the median over ``weeks``, or of the only one; the stand-in when there is none.

    The part that failures contribute is capped at the tolerance, so that chronic failure does not become normal.
    """
    allowed = tolerance(journey)
    if not weeks:
        return Reference("none", max(allowed, Q_FLOOR), np.zeros(len(journey.steps)))
    stages = np.array([s.stage for s in journey.steps])
    shares, betas = [], []
    for week in weeks:
        count = max(week.active, 1)
        executed = np.maximum(np.array(week.executed), 1)
        shares.append(min(week.failed / count, allowed) + week.other / count)
        failures, others = np.array(week.worth_failed) / executed, np.array(week.worth_other) / executed
        betas.append(np.minimum(failures, allowed * stages) + others)
    return Reference(baseline, max(float(np.median(shares)), Q_FLOOR), np.median(betas, axis=0))


def factors(journey: Journey, harmed: Harmed, normal: Normal, everyday: Reference, missing: float = 0.0) -> Factors:
    """Factors of the vector (4.7).

    Args:
        journey: Whose weights and stages count.
        harmed: Harmed attempts of the episode.
        normal: N_k and N_0.
        everyday: The episode's reference.
        missing: Sum over minutes of X_m, in attempts.
    """
    c, a = journey.criticality, len(harmed.rows)
    sum_h = float(harmed.harm.sum())
    stage = np.array([s.stage for s in journey.steps])[harmed.step]
    sum_gh = float((stage * harmed.harm).sum())
    sum_ghv = float(harmed.worth.sum())
    minutes = float((harmed.worth / normal.steps[harmed.step]).sum())
    return Factors(
        journey=journey.name,
        c=c,
        g=sum_gh / sum_h if a else 1.0,
        v=sum_ghv / sum_gh if a else 1.0,
        m=sum_h / a if a else 1.0,
        a=a,
        n=sum_ghv / minutes if a else normal.started,
        x=c * missing / normal.started,
        b=c * everyday_minutes(harmed, normal, everyday),
    )


def nothing(journey: Journey, normal: Normal) -> Factors:
    """Factors of a journey that nobody is harmed in."""
    return Factors(journey.name, c=journey.criticality, g=1.0, v=1.0, m=1.0, a=0, n=normal.started, x=0.0, b=0.0)


def together(parts: Sequence[Factors]) -> Factors:
    """Factors of several episodes as one: their harm adds up (4.6)."""
    harmed = [part for part in parts if part.a]
    a = sum(part.a for part in harmed)
    sum_h = sum(part.m * part.a for part in harmed)
    sum_gh = sum(part.g * part.m * part.a for part in harmed)
    sum_ghv = sum(part.v * part.g * part.m * part.a for part in harmed)
    minutes = sum(part.v * part.g * part.m * part.a / part.n for part in harmed)
    first = parts[0]
    return Factors(
        journey=first.journey,
        c=first.c,
        g=sum_gh / sum_h if a else 1.0,
        v=sum_ghv / sum_gh if a else 1.0,
        m=sum_h / a if a else 1.0,
        a=a,
        n=sum_ghv / minutes if a else first.n,
        x=sum(part.x for part in parts),
        b=sum(part.b for part in parts),
    )


def everyday_minutes(harmed: Harmed, normal: Normal, everyday: Reference) -> float:
    """Sum over k of beta_k * U_k / N_k: what an ordinary day would have brought."""
    used = harmed.active_by_step > 0
    return float((everyday.beta[used] * harmed.active_by_step[used] / normal.steps[used]).sum())


def minutes_by_step(journey: Journey, harmed: Harmed, normal: Normal) -> dict[str, float]:
    """Equivalent minutes that each step's harmed attempts add, times criticality; steps with none are left out."""
    sums = np.bincount(harmed.step, harmed.worth / normal.steps[harmed.step], minlength=len(journey.steps))
    return {s.name: journey.criticality * float(x) for s, x in zip(journey.steps, sums, strict=True) if x > 0}


def harm_minutes(f: Factors) -> float:
    """H = C*G*V*M*A/N + X - B, clipped at 0 (4.7): full-outage-equivalent minutes."""
    harm = f.c * f.g * f.v * f.m * f.a / f.n if f.a else 0.0
    return max(0.0, harm + f.x - f.b)


def score(equivalent_minutes: float, h50: float = HALF_MINUTES) -> float:
    """S = 100*H/(H + 5): 0 <= S < 100, 50 at five minutes of a total outage."""
    return 100 * equivalent_minutes / (equivalent_minutes + h50)


def rate(journey: Journey, harmed: Harmed, width: int, normal: Normal, everyday: Reference) -> float:
    """Harm a minute over ``width`` closed minutes, as far as it is certain: one term of rho (4.5)."""
    a, n = len(harmed.rows), harmed.active
    if a < RHO_MIN_HARMED:
        return 0.0
    certain = jeffreys(a, n, TEST) * n / a
    minutes = float((harmed.worth / normal.steps[harmed.step]).sum())
    usual_minutes = everyday_minutes(harmed, normal, everyday)
    return journey.criticality * (certain * minutes - usual_minutes) / width


def vector(f: Factors) -> str:
    """The text of the factors: counts whole, else four significant digits, never an exponent."""
    parts = (("C", f.c), ("G", f.g), ("V", f.v), ("M", f.m), ("A", f.a), ("N", f.n), ("X", f.x), ("B", f.b))
    body = "/".join(f"{name}:{_digits(number)}" for name, number in (*parts, ("H50", f.h50)))
    return f"CXI:1.0/J:{f.journey}/{body}"


def parse_vector(text: str) -> Factors:
    """Factors of a vector's text.

    Raises:
        ValueError: The text is not a CXI 1.0 vector.
    """
    match = _VECTOR.fullmatch(text)
    if match is None:
        raise ValueError(f"not a CXI 1.0 vector: {text!r}; copy one whole, from CXI:1.0/J: to its H50")
    found = match.groupdict()
    journey, harmed = found.pop("j"), found.pop("a")
    numbers = {name: float(number) for name, number in found.items()}
    return Factors(journey=journey, a=int(harmed), **numbers)


def _digits(number: float) -> str:
    if number == 0 or not math.isfinite(number):
        return "0"
    decimals = max(0, 3 - math.floor(math.log10(abs(number))))
    text = f"{round(number, 3 - math.floor(math.log10(abs(number)))):.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
