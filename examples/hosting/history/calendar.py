"""How busy the past day was, and what went wrong in it. Not single attempts."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import cos, pi
from random import Random
from typing import Final

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
LENGTH_S: Final = DAY_S - 15 * 60
"""The collector takes nothing older than 24 h, so history stops a little short of that."""
BUSY_S: Final = 65 * 60
"""For so long before the start the past was as busy as the present: baselines of the last hour hold at once."""
NIGHT: Final = 0.04
"""How busy the quietest hour was, as a share of the present."""


def busy(age_s: float) -> float:
    """How busy it was ``age_s`` seconds before the start: 1 now, an evening's peak a day ago, a night between."""
    if age_s <= BUSY_S:
        return 1.0
    wave = (1 + cos(2 * pi * (age_s - BUSY_S) / (DAY_S - BUSY_S))) / 2
    return NIGHT + (1 - NIGHT) * wave**18


@dataclass(frozen=True, slots=True)
class Mishap:
    """A small thing that went wrong in the past: some executions of one step failed for a while."""

    journey: str
    step: str
    ago_s: int
    lasted_s: int
    failed: float
    """Share of the executions that failed."""
    region: str | None = None
    """Only customers of this region, or all."""

    def covers(self, age_s: float) -> bool:
        """Whether it was going on ``age_s`` seconds before the start."""
        return self.ago_s - self.lasted_s < age_s <= self.ago_s

    def hits(self, step: str, region: str, random: Random) -> bool:
        """Whether this execution of a step by somebody from a region went wrong."""
        return step == self.step and self.region in {None, region} and random.random() < self.failed


MISHAPS: Final = (
    Mishap("checkout", "payment", ago_s=5 * HOUR_S, lasted_s=6 * 60, failed=0.15),
    Mishap("login", "credentials", ago_s=3 * HOUR_S, lasted_s=9 * 60, failed=0.3, region="apac"),
)


def mishaps(journey: str, age_s: float) -> Iterable[Mishap]:
    """What was going wrong in a journey at that time."""
    return [mishap for mishap in MISHAPS if mishap.journey == journey and mishap.covers(age_s)]
