"""The systems behind the control panel that this example does not build: they take time and sometimes fail."""

import asyncio
from random import Random

from examples.hosting import everyday
from examples.hosting.everyday import Verdict


class UnavailableError(Exception):
    """A system behind the control panel did not answer: our failure."""


class RefusedError(Exception):
    """What the customer asked for cannot be done as asked: their side."""


class Backend:
    """One such system for one journey."""

    def __init__(self, journey: str, random: Random) -> None:
        self._journey = journey
        self._random = random

    async def do(self, step: str) -> None:
        """Do the work of a step; raises UnavailableError or RefusedError as often as on an ordinary day."""
        work = everyday.draw(self._journey, step, self._random)
        await asyncio.sleep(work.duration_s)
        if work.verdict is Verdict.FAILED:
            raise UnavailableError(f"{self._journey}: no answer at {step}")
        if work.verdict is Verdict.REJECTED:
            raise RefusedError(f"{self._journey}: {step} refused")
