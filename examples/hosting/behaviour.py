"""How people behave: how long they think, whether they try again, how long they wait. Not what they ask for.

Live traffic and made history both draw from here.
"""

from dataclasses import dataclass
from math import log
from random import Random
from typing import Final

from examples.hosting.everyday import STEPS

THINK_S: Final = 1.5
"""Median pause between two steps."""
TRIES_AGAIN: Final = 0.5
"""Share of the people who try once more after an error; they do so at most twice."""
RETRIES: Final = 2
TYPICAL_PATIENCE_S: Final = 24.5
HASTE_S: Final = 3.5
"""So long the less patient half looks at a payment that does not come: then they believe that it went wrong."""


@dataclass(frozen=True, slots=True)
class Temper:
    """One person's manner during one attempt."""

    random: Random
    patience_s: float
    """After so long without an answer they close the page."""

    def waits_s(self, journey: str, step: str) -> float:
        """How long they wait for the answer to a step."""
        hasty = (journey, step) == ("checkout", "payment") and self.patience_s < TYPICAL_PATIENCE_S
        return min(HASTE_S, self.patience_s) if hasty else self.patience_s

    def think_s(self) -> float:
        """How long they look at a page before the next step."""
        return self.random.lognormvariate(0.4, 0.6)

    def goes_on(self, journey: str, step: str) -> bool:
        """Whether they take the next step after this one."""
        return self.random.random() < STEPS[journey][step].goes_on

    def tries_again(self, tries: int) -> bool:
        """Whether they repeat a step that just failed for the ``tries``-th time."""
        return tries <= RETRIES and self.random.random() < TRIES_AGAIN


def temper(random: Random) -> Temper:
    """Somebody as they come: most wait half a minute, some leave after five seconds."""
    return Temper(random, patience_s=max(4.0, random.lognormvariate(log(TYPICAL_PATIENCE_S), 0.5)))
