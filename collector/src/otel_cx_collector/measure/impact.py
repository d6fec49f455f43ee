"""The customer-impact score CXI 1.0 (measures.md 4): from harmed attempts to equivalent minutes, score and vector."""

import math
import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from otel_cx_collector.measure.columns import FAILED, Bools, Columns, Floats, Ints
from otel_cx_collector.measure.figures import Factors
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
    """``recent`` or ``none``."""
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
    """The most hurtful execution of each harmed attempt of a selection (4.2), and who executed what."""

    rows: Ints
    """Index of that execution in the columns, one an attempt."""
    worth: Floats
    """g*h*v of each."""
    harm: Floats
    """h of each."""
    active: int
    """Distinct attempts in the selection."""
    active_by_step: Ints
    """U_k: distinct attempts with an execution of step k."""


def tolerance(columns: Columns) -> float:
    """1 - availability target of the journey: the share of failures that is everyday at most."""
    targets = [o.target for o in columns.journey.objectives if o.sli == "availability" and o.step is None]
    targets = targets or [o.target for o in columns.journey.objectives if o.sli == "availability"]
    return 1 - min(targets) if targets else DEFAULT_TOLERANCE


def most_hurtful(columns: Columns, selection: Bools | Ints, *, rejections: bool) -> Harmed:
    """Each attempt counts once, by its execution with the largest g*h*v; ties: earliest end, then span id.

    Args:
        columns: The journey's executions.
        selection: Which rows count, as a mask or as indices in ascending order.
        rejections: Whether rejected executions carry harm.
    """
    rows: Ints = np.flatnonzero(selection) if selection.dtype == np.bool_ else selection.astype(np.int64)
    attempt = columns.attempt[rows]
    steps = len(columns.journey.steps)
    executed = np.zeros((len(columns.attempts), steps), dtype=np.bool_)
    executed[attempt, columns.step[rows]] = True
    harm = columns.harm_with(rejections=rejections)[rows]
    worth = harm * columns.value[rows]
    hurt = np.flatnonzero(harm > 0)
    order = hurt[np.lexsort((rows[hurt], -worth[hurt], attempt[hurt]))]
    chosen = order[np.flatnonzero(np.diff(attempt[order], prepend=-1))]
    return Harmed(
        rows=rows[chosen],
        worth=worth[chosen],
        harm=harm[chosen],
        active=int(np.count_nonzero(executed.any(axis=1))),
        active_by_step=np.count_nonzero(executed, axis=0),
    )


def reference(columns: Columns, selection: Ints | None) -> Reference:
    """Everyday harm of the reference rows, or the stand-in of 4.4 when there is no baseline (``selection`` is None).

    The part that failures contribute is capped at the tolerance, so that chronic failure does not become normal.
    """
    allowed = tolerance(columns)
    steps = len(columns.journey.steps)
    if selection is None:
        return Reference("none", max(allowed, Q_FLOOR), np.zeros(steps))
    found = most_hurtful(columns, selection, rejections=True)
    failed = columns.outcome[found.rows] == FAILED
    count = max(found.active, 1)
    q = min(failed.sum() / count, allowed) + (~failed).sum() / count
    step = columns.step[found.rows]
    executed = np.maximum(found.active_by_step, 1)
    stages = np.array([s.stage for s in columns.journey.steps])
    failures = np.bincount(step[failed], found.worth[failed], minlength=steps) / executed
    others = np.bincount(step[~failed], found.worth[~failed], minlength=steps) / executed
    return Reference("recent", max(float(q), Q_FLOOR), np.minimum(failures, allowed * stages) + others)


def factors(
    columns: Columns, harmed: Harmed, normal: Floats, normal_started: float, everyday: Reference, missing: float = 0.0
) -> Factors:
    """Factors of the vector (4.7).

    Args:
        columns: The journey's executions.
        harmed: Harmed attempts of the episode.
        normal: N_k, attempts a minute at each step in normal traffic.
        normal_started: N_0, attempts started a minute.
        everyday: The episode's reference.
        missing: Sum over minutes of X_m/N_0.
    """
    c = columns.journey.criticality
    step = columns.step[harmed.rows]
    a = len(harmed.rows)
    sum_h = float(harmed.harm.sum())
    stage = np.array([s.stage for s in columns.journey.steps])[step]
    sum_gh = float((stage * harmed.harm).sum())
    sum_ghv = float(harmed.worth.sum())
    minutes = float((harmed.worth / normal[step]).sum())
    return Factors(
        journey=columns.journey.name,
        c=c,
        g=sum_gh / sum_h if a else 1.0,
        v=sum_ghv / sum_gh if a else 1.0,
        m=sum_h / a if a else 1.0,
        a=a,
        n=sum_ghv / minutes if a else normal_started,
        x=c * missing,
        b=c * everyday_minutes(harmed, normal, everyday),
    )


def everyday_minutes(harmed: Harmed, normal: Floats, everyday: Reference) -> float:
    """Sum over k of beta_k * U_k / N_k: what an ordinary day would have brought."""
    used = harmed.active_by_step > 0
    return float((everyday.beta[used] * harmed.active_by_step[used] / normal[used]).sum())


def minutes_by_step(columns: Columns, harmed: Harmed, normal: Floats) -> dict[str, float]:
    """Equivalent minutes that each step's harmed attempts add, times criticality; steps with none are left out."""
    step = columns.step[harmed.rows]
    sums = np.bincount(step, harmed.worth / normal[step], minlength=len(columns.journey.steps))
    c = columns.journey.criticality
    return {s.name: c * float(x) for s, x in zip(columns.journey.steps, sums, strict=True) if x > 0}


def harm_minutes(f: Factors) -> float:
    """H = C*G*V*M*A/N + X - B, clipped at 0 (4.7): full-outage-equivalent minutes."""
    harm = f.c * f.g * f.v * f.m * f.a / f.n if f.a else 0.0
    return max(0.0, harm + f.x - f.b)


def score(equivalent_minutes: float, h50: float = HALF_MINUTES) -> float:
    """S = 100*H/(H + 5): 0 <= S < 100, 50 at five minutes of a total outage."""
    return 100 * equivalent_minutes / (equivalent_minutes + h50)


def rho(columns: Columns, last_minute: int, normal: Floats, everyday: Reference) -> float:
    """The rate of harm right now: the largest over windows of 1, 2, 5 closed minutes (4.5), never below 0."""
    return max(0.0, *(_rho(columns, last_minute, width, normal, everyday) for width in RHO_WINDOWS))


def _rho(columns: Columns, last_minute: int, width: int, normal: Floats, everyday: Reference) -> float:
    within = (columns.minute > last_minute - width) & (columns.minute <= last_minute)
    harmed = most_hurtful(columns, within, rejections=everyday.rejections)
    a, n = len(harmed.rows), harmed.active
    if a < RHO_MIN_HARMED:
        return 0.0
    certain = jeffreys(a, n, TEST) * n / a
    minutes = float((harmed.worth / normal[columns.step[harmed.rows]]).sum())
    usual = everyday_minutes(harmed, normal, everyday)
    return columns.journey.criticality * (certain * minutes - usual) / width


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
