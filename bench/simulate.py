"""False pages and detection times of the burn alerts: ``.venv/bin/python bench/simulate.py [--months N] [--seed N]``.

Prints the tables of docs/explanation/alerts.md. Executions come as a Poisson process and fail independently.
"""

import argparse
import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import gamma, poisson

from otel_cx_collector import inventory
from otel_cx_collector.events import SLICE_S
from otel_cx_collector.measure import burn
from otel_cx_collector.measure.burn import MIN_FAILURES, Policy, Slices, walk
from otel_cx_collector.measure.columns import Floats, Ints

RATES = (10, 30, 60, 120, 10_000)
"""Executions an hour."""
OUTAGES = (0.01, 0.05, 0.5, 1.0)
SMALL_OUTAGES = (0.01, 0.05)
"""For which tickets matter: simulated again with them."""
MONTH_S = 30 * 86_400
BUSY = 1_000
"""From this rate on fewer months do: their slices are many more failures."""
STEPS = 400
"""Of the grid that the wait for a cluster is solved on."""


@dataclass(frozen=True)
class Arithmetic:
    """What one policy needs to see in an outage of one error rate, and how long that takes on the average."""

    seconds: float
    plain_s: float
    """factor·(1 - target)·long/error_rate, without the guard."""


def policies(target: str, window: str) -> list[Policy]:
    """The default pairs at a target over a window."""
    objective = f"{{sli: availability, target: {target}, window: {window}}}"
    file = inventory.parse(f"journeys: {{simulated: {{steps: [step], objectives: [{objective}]}}}}")
    return burn.policies(file.journeys["simulated"])


def counts(rng: np.random.Generator, rate: float, error_rate: float, slices: int) -> tuple[Ints, Ints]:
    """Failures and executions of each slice."""
    a_slice = rate * SLICE_S / 3600
    failures = rng.poisson(a_slice * error_rate, slices)
    return failures, failures + rng.poisson(a_slice * (1 - error_rate), slices)


def alerts_in_months(rng: np.random.Generator, watched: list[Policy], rate: float, months: int) -> dict[str, int]:
    """Alerts of a service whose true error rate is half of what the target allows, by pair."""
    healthy = (1 - watched[0].objective.target) / 2
    found = dict.fromkeys((policy.pair for policy in watched), 0)
    for _ in range(months):
        slices = Slices.of_counts(0, *counts(rng, rate, healthy, MONTH_S // SLICE_S))
        for policy in watched:
            found[policy.pair] += len(walk(slices, policy, 0, MONTH_S)[0])
    return found


def at_most(events: int, months: int) -> float:
    """Jeffreys 95 % upper bound of a Poisson rate a month, Gamma(events + 0.5, months)."""
    return float(gamma.ppf(0.95, events + 0.5) / months)


def detections(rng: np.random.Generator, watched: list[Policy], rate: float, share: float, runs: int) -> Floats:
    """Seconds from an outage's start to the first alert of each run; infinite beyond twice the longest window.

    Before it the service was healthy for as long as the longest window.
    """
    healthy = (1 - watched[0].objective.target) / 2
    before_s = max(policy.long_s for policy in watched)
    found = np.full(runs, math.inf)
    for run in range(runs):
        before = counts(rng, rate, healthy, before_s // SLICE_S)
        after = counts(rng, rate, share, 2 * before_s // SLICE_S)
        slices = Slices.of_counts(0, *(np.concatenate(pair) for pair in zip(before, after, strict=True)))
        for policy in watched:
            alerts, _ = walk(slices, policy, before_s, slices.end_s)
            found[run] = min([found[run], *(alert.fired_s - before_s for alert in alerts[:1])])
    return found


def arithmetic(policy: Policy, rate: float, share: float) -> Arithmetic:
    """When the policy fires on the average, guard and slices included; infinite when only chance makes it fire.

    The long window must hold ``needed`` failures. It fills at ``rate·share`` while what it held before flows out. Once
    it does, the short window must hold three of them, and it must burn, which takes limit·short/share. Judging waits
    for the end of the slice: half a slice on the average.
    """
    plain = burn.fires_after_s(policy, share)
    healthy = (1 - policy.objective.target) / 2
    a_second = rate / 3600
    long = (needed(policy, rate) - a_second * healthy * policy.long_s) / (a_second * (share - healthy))
    evident = long + scattered_s(a_second * share, policy.short_s)
    seconds = max(evident, policy.limit * policy.short_s / share) + SLICE_S / 2
    return Arithmetic(seconds if evident <= policy.long_s and math.isfinite(plain) else math.inf, plain)


def needed(policy: Policy, rate: float) -> float:
    """Fewest failures that are above the limit for certain, averaged over how many executions a long window has."""
    mean = rate * policy.long_s / 3600
    spread = np.unique(np.round(mean + math.sqrt(mean) * np.linspace(-3, 3, 61)))
    sizes = spread[spread > 0]
    likely = poisson.pmf(sizes, mean)
    return float(np.average([_needed(policy, events) for events in sizes.tolist()], weights=likely))


def _needed(policy: Policy, events: float) -> int:
    failures = np.arange(MIN_FAILURES, int(events) + MIN_FAILURES + 1, dtype=np.float64)
    enough = burn.certain(failures, np.maximum(failures, events), policy.limit) & (failures > policy.limit * events)
    return int(failures[np.argmax(enough)]) if enough.any() else int(events) + MIN_FAILURES


def scattered_s(a_second: float, window_s: float) -> float:
    """Mean wait, after a failure that made enough of them, until three of a Poisson process lie within ``window_s``.

    E(g), the mean wait after a failure that came g after the one before: the next one comes x later, and ends it when
    g + x <= window. E(g) = 1/rate + integral over x > window - g of E(x)·density(x), solved on a grid; for x beyond the
    window E(x) = E(window). The failure before the one that made enough came an exponential gap after its own, so the
    wait counted from it is E(window) - 1/rate, of which the next failure takes 1/rate.
    """
    step = window_s / STEPS
    middle = (np.arange(STEPS) + 0.5) * step
    density = np.exp(-a_second * (middle - step / 2)) * (1 - math.exp(-a_second * step))
    beyond = math.exp(-a_second * window_s)
    # Unknowns: E at the middles, then E(window).
    g = np.append(middle, window_s)
    kernel = np.where(middle[None, :] > window_s - g[:, None], density[None, :], 0.0)
    system = np.eye(STEPS + 1) - np.column_stack([kernel, np.full(STEPS + 1, beyond)])
    solved = np.linalg.solve(system, np.full(STEPS + 1, 1 / a_second))
    return max(0.0, float(solved[-1] - 2 / a_second))


def told(seconds: float) -> str:
    """A time as people say it."""
    if math.isinf(seconds):
        return "-"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def print_false(rng: np.random.Generator, watched: list[Policy], months: int) -> None:
    """One row a rate: alerts of a healthy service."""
    print("| executions an hour | months | " + " | ".join(f"{p.pair} {p.kind}" for p in watched), end="")
    print(" | pages a month | at most (95 %) |")
    print("| --- " * (len(watched) + 4) + "|")
    for rate in RATES:
        simulated = months if rate < BUSY else max(1, months * 3 // 20)
        found = alerts_in_months(rng, watched, rate, simulated)
        pages = sum(found[policy.pair] for policy in watched if policy.kind == "page")
        cells = [f"{rate:,}", str(simulated), *map(str, found.values()), f"{pages / simulated:.4f}"]
        print(f"| {' | '.join(cells)} | {at_most(pages, simulated):.4f} |", flush=True)


def print_detection(rng: np.random.Generator, watched: list[Policy], outages: tuple[float, ...], runs: int) -> None:
    """One row a rate and outage: how long the first alert takes."""
    print("| executions an hour | outage | formula alone | with the guard | simulated mean | ratio | found |")
    print("| --- " * 7 + "|")
    for rate in RATES:
        for share in outages:
            expected = [arithmetic(policy, rate, share) for policy in watched]
            plain, guarded = min(e.plain_s for e in expected), min(e.seconds for e in expected)
            times = detections(rng, watched, rate, share, runs)
            often = float(np.isfinite(times).mean())
            mean = float(times.mean()) if often == 1 else math.inf
            ratio = f"{mean / guarded:.2f}" if math.isfinite(mean) and math.isfinite(guarded) else "-"
            cells = [f"{rate:,}", f"{share:.0%}", told(plain), told(guarded), told(mean), ratio, f"{often:.0%}"]
            print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=400, help="healthy months a rate; a busy one takes 3 in 20")
    parser.add_argument("--runs", type=int, default=400, help="outages a rate and size")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", default="99.9%")
    parser.add_argument("--window", default="30d")
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    watched = policies(asked.target, asked.window)
    if asked.months:
        print_false(rng, watched, asked.months)
        print()
    if asked.runs:
        print_detection(rng, [policy for policy in watched if policy.kind == "page"], OUTAGES, asked.runs)
        print()
        print_detection(rng, watched, SMALL_OUTAGES, max(1, asked.runs // 4))


if __name__ == "__main__":
    main()
