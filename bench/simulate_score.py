"""False pages and detection times of the score: ``PYTHONPATH=tests .venv/bin/python bench/simulate_score.py``.

Prints the tables of docs/explanation/score.md. Attempts of one step come as a Poisson process and fail independently;
each stretch is judged by the calls that live traffic takes, with the implied rule.

Months are screened first: counts of every minute are drawn, and only the minutes in which a page is at all possible
become rows, with the hours before them. The screen takes four fifths of what is usual and of normal traffic, so that
next to nothing that could page is left out.
"""

import argparse
import math

import numpy as np
from crowds import crowd
from scipy.special import betaincinv
from scipy.stats import gamma

from otel_cx_collector import inventory
from otel_cx_collector.events import MINUTE_S, NS
from otel_cx_collector.judging.judge import Effects, judge
from otel_cx_collector.judging.state import State
from otel_cx_collector.judging.subject import Subject
from otel_cx_collector.judging.world import World
from otel_cx_collector.measure.columns import Bools, Floats, Ints
from otel_cx_collector.measure.episodes import MISSING_BELOW, MISSING_EXPECTED, MISSING_MINUTES, OVER_AFTER
from otel_cx_collector.measure.impact import LEAD_MINUTES, Q_FLOOR, RHO_WINDOWS
from otel_cx_collector.measure.live import PAGING_MIN_HARMED
from otel_cx_collector.measure.minutes import TEST_MINUTES
from otel_cx_collector.measure.stats import TEST
from otel_cx_collector.measure.track import Track

RATES = (10, 30, 60, 120, 720, 1_200, 10_000, 12_000)
"""Attempts an hour."""
EVERYDAY = (0.005, 0.01, 0.03)
OUTAGES = (0.01, 0.05, 0.4, 0.5, 1.0)
BEFORE_OUTAGE = 0.005
MONTH = 30 * 1440
BEFORE, AFTER = 180, 70
"""Minutes judged around a minute that may page."""
CLEAN, HORIZON = 120, 120
"""Minutes before and after the start of an outage."""
MAY_PAGE = 5 * 15 / 85
"""Equivalent minutes at which S_live is 15."""
CAUTION = 0.8
"""Of what is usual and of normal traffic, in the screen: both are estimates, made of minutes like these."""
START_S = 1_767_603_600
FILE = inventory.parse("journeys: {checkout: {steps: [payment]}}")


def low(harmed: Ints, active: Ints) -> Floats:
    """Jeffreys 0.1 % quantile."""
    found: Floats = betaincinv(harmed + 0.5, active - harmed + 0.5, TEST)
    return found


def within(counts: Ints, width: int) -> Ints:
    """Sums over the last ``width`` minutes."""
    running = np.concatenate([np.zeros(width, dtype=np.int64), np.cumsum(counts)])
    return np.asarray(running[width:] - running[:-width])


def may_page(harmed: Ints, active: Ints, normal: float) -> Bools:
    """Minutes in which severity may be P2: enough harm with enough attempts harmed, or too few attempts."""
    usual = within(harmed, 60) / np.maximum(within(active, 60), 1)
    usual = CAUTION * np.concatenate([np.zeros(TEST_MINUTES), usual[:-TEST_MINUTES]])
    normal = CAUTION * normal
    a, n = within(harmed, TEST_MINUTES), within(active, TEST_MINUTES)
    tested = (a >= 3) & (low(a, n) > np.maximum(2 * usual, 2 * Q_FLOOR))
    lately = within(tested.astype(np.int64), OVER_AFTER + TEST_MINUTES) > 0
    hour, tried = within(harmed, 60), within(active, 60)
    equivalent = np.where(lately, np.maximum(0, hour - usual * tried) / normal, 0.0)
    rho = np.zeros(len(active))
    for width in RHO_WINDOWS:
        a, n = within(harmed, width), within(active, width)
        rate = n * (low(a, n) - usual) / (normal * width)
        rho = np.maximum(rho, np.where(a >= 3, rate, 0.0))
    few = within(active, MISSING_MINUTES) < MISSING_BELOW / CAUTION * MISSING_MINUTES * normal / CAUTION
    few &= MISSING_MINUTES * normal / CAUTION >= CAUTION * MISSING_EXPECTED
    return np.asarray(((equivalent + LEAD_MINUTES * rho >= MAY_PAGE) & (hour >= PAGING_MIN_HARMED)) | few)


def stretches(minutes: Ints) -> list[tuple[int, int]]:
    """From and to, of minutes with what surrounds them."""
    found: list[tuple[int, int]] = []
    for minute in minutes.tolist():
        if found and minute - BEFORE <= found[-1][1]:
            found[-1] = found[-1][0], minute + AFTER
        else:
            found.append((max(0, minute - BEFORE), minute + AFTER))
    return found


def judged(rng: np.random.Generator, harmed: Ints, active: Ints, from_minute: int) -> Effects:
    """Judge minutes of these counts, from one of them on."""
    minute = np.repeat(np.arange(len(active)), active)
    first = np.repeat(np.cumsum(active) - active, active)
    failed = np.arange(len(minute)) - first < harmed[minute]
    end_ns = (START_S + minute * MINUTE_S) * NS + rng.integers(0, MINUTE_S * NS, len(minute))
    track = Track(FILE.journeys["checkout"], FILE)
    track.add(crowd(end_ns, outcome=np.where(failed, "failed", "ok")))
    world = World(FILE)
    start = State(START_S + from_minute * MINUTE_S)
    return judge({"checkout": Subject(track, world)}, start, START_S + len(active) * MINUTE_S, world)


def healthy(rng: np.random.Generator, rate: float, share: float, months: int) -> int:
    """P1 and P2 incidents of months without an outage."""
    pages = 0
    for _ in range(months):
        harmed = rng.poisson(rate / 60 * share, MONTH)
        active = harmed + rng.poisson(rate / 60 * (1 - share), MONTH)
        for start, end in stretches(np.flatnonzero(may_page(harmed, active, rate / 60))):
            found = judged(rng, harmed[start:end], active[start:end], min(60, start))
            pages += sum(incident.severity <= "P2" for incident in found.incidents.values())
    return pages


def detection(rng: np.random.Generator, rate: float, share: float) -> tuple[float, float, float]:
    """Minutes from the start of an outage to the incident, to P2 and to P1; infinite beyond the horizon."""
    shares = np.repeat([BEFORE_OUTAGE, share], [CLEAN, HORIZON])
    harmed = rng.poisson(rate / 60 * shares)
    active = harmed + rng.poisson(rate / 60 * (1 - shares))
    found = judged(rng, harmed, active, CLEAN - 15)
    begin = START_S + CLEAN * MINUTE_S
    lines = [line for incident in found.incidents.values() for line in incident.history if line.at_s > begin]
    reached = [
        min((line.at_s - begin for line in lines if line.severity <= severity), default=math.inf) / MINUTE_S
        for severity in ("P4", "P2", "P1")
    ]
    return reached[0], reached[1], reached[2]


def at_most(events: int, months: int) -> float:
    """Jeffreys 95 % upper bound of a Poisson rate a month, Gamma(events + 0.5, months)."""
    return float(gamma.ppf(0.95, events + 0.5) / months)


def told(minutes: Floats) -> str:
    """Median and worst; how many were found, where not all were."""
    often = float(np.isfinite(minutes).mean())
    if often < 0.5:
        return f"- ({often:.0%})"
    worst = f"{minutes.max():.0f}" if often == 1 else f"{often:.0%} found"
    return f"{np.median(minutes):.0f} ({worst})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=100, help="healthy months a cell; the two busiest rates half")
    parser.add_argument("--runs", type=int, default=20, help="outages a cell")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    if asked.months:
        print("| attempts an hour | fail every day | months | pages | pages a month | at most (95 %) |")
        print("| --- " * 6 + "|")
    for rate in RATES if asked.months else ():
        for share in EVERYDAY:
            months = asked.months if rate < 5_000 else max(1, asked.months // 2)
            found = healthy(rng, rate, share, months)
            cells = [f"{rate:,}", f"{share:.1%}", str(months), str(found)]
            bound = f"{found / months:.3f} | {at_most(found, months):.3f}"
            print(f"| {' | '.join(cells)} | {bound} |", flush=True)
    if asked.runs:
        print("\n| attempts an hour | outage | incident | P2 | P1 |")
        print("| --- " * 5 + "|")
    for rate in RATES if asked.runs else ():
        for share in OUTAGES:
            times = np.array([detection(rng, rate, share) for _ in range(asked.runs)])
            cells = [told(times[:, at]) for at in range(3)]
            print(f"| {rate:,} | {share:.0%} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
