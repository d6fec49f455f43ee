"""An ordinary day in numbers: how often people come, how long a step takes, how often it goes wrong.

Not the faults one can switch on. The live services draw their simulated work from here and the made history its
spans, which is why yesterday and the last minute look alike.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import log
from random import Random
from typing import Final

ATTEMPTS_A_MINUTE: Final = {
    "checkout": 240.0,
    "login": 30.0,
    "signup": 20.0,
    "dns-change": 20.0,
    "deployment": 20.0,
    "support": 20.0,
}

NEXT_PLAN_EUR: Final = {"free": "9.00", "pro": "29.00", "business": "249.00"}
"""What a month of the next plan costs, by the plan a customer has."""


class Verdict(StrEnum):
    """How one piece of work ends."""

    OK = "ok"
    FAILED = "failed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Everyday:
    """One step on an ordinary day; shares are of its executions, times in seconds."""

    typical_s: float
    """Median of the simulated work."""
    spread: float = 0.35
    """Sigma of its log-normal distribution."""
    failed: float = 0.0
    rejected: float = 0.0
    slow: float = 0.0
    slow_s: float = 3.0
    """What a slow execution takes on top."""
    goes_on: float = 1.0
    """Share of the people who did this step and go on to the next one."""


STEPS: Final[dict[str, dict[str, Everyday]]] = {
    "checkout": {
        "cart": Everyday(0.020, goes_on=0.72),
        "payment": Everyday(0.140, failed=0.001, rejected=0.0015, slow=0.0005, goes_on=0.98),
        "confirm": Everyday(0.030, failed=0.0005),
    },
    "login": {
        "credentials": Everyday(0.045, failed=0.0005, rejected=0.02, slow=0.0005),
        "session": Everyday(0.015, failed=0.0005),
    },
    "signup": {
        "form": Everyday(0.025, rejected=0.03, goes_on=0.9),
        "account": Everyday(0.060, failed=0.001, goes_on=0.9),
        "verify": Everyday(0.025),
    },
    "dns-change": {
        "edit": Everyday(0.020, rejected=0.02, goes_on=0.95),
        "publish": Everyday(0.220, failed=0.001, slow=0.001),
    },
    "deployment": {
        "submit": Everyday(0.040, rejected=0.01),
        "build": Everyday(1.200, failed=0.001, slow=0.001, slow_s=9.0),
        "go-live": Everyday(0.250, failed=0.0005),
    },
    "support": {
        "open": Everyday(0.020, goes_on=0.85),
        "submit": Everyday(0.045, failed=0.0005),
    },
}


@dataclass(frozen=True, slots=True)
class Work:
    """One piece of simulated work: how long it takes and how it ends."""

    duration_s: float
    verdict: Verdict


def draw(journey: str, step: str, random: Random) -> Work:
    """Draw one execution of a step as it would go on an ordinary day."""
    day = STEPS[journey][step]
    duration_s = random.lognormvariate(log(day.typical_s), day.spread)
    if random.random() < day.slow:
        duration_s += day.slow_s
    chance = random.random()
    if chance < day.failed:
        return Work(duration_s, Verdict.FAILED)
    if chance < day.failed + day.rejected:
        return Work(duration_s, Verdict.REJECTED)
    return Work(duration_s, Verdict.OK)
