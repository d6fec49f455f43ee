"""The crowd: people come at random, each on one journey, at the everyday rate. Not what they do, which is `visits`.

An open loop: a slow platform does not slow the arrivals, as in life.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterable
from random import Random
from typing import Final

from httpx import AsyncClient, Limits

from examples.hosting import behaviour, lifeline, people, serving, settings
from examples.hosting.everyday import ATTEMPTS_A_MINUTE
from examples.hosting.people import Customer
from examples.hosting.services.panel import visitors
from examples.hosting.settings import Settings
from examples.hosting.traffic import diary
from examples.hosting.traffic.browser import Browser, LeftError, headers
from examples.hosting.traffic.visits import VISITS, Visit

FILLING_S: Final = 20
"""So long it takes until as many come as on an ordinary day: services that have just started are slow at first, and"""
FIRST_SHARE: Final = 0.1
"""a full crowd at the door would be hurt by that."""
AT_ONCE: Final = 400
"""More people than this are not let in: a platform at a standstill must not fill the machine with them."""


class Crowd:
    """Everybody who is on the platform at the moment."""

    def __init__(self, mine: Settings, client: AsyncClient) -> None:
        self._mine = mine
        self._client = client
        self._diary = diary.from_environment()
        self._random = Random(mine.seed)
        self._newcomers = people.CUSTOMERS + self._random.randrange(10**9)
        self._visits: set[asyncio.Task[None]] = set()

    async def arrive(self, journey: str) -> None:
        """Let people come for one journey until cancelled."""
        a_second = ATTEMPTS_A_MINUTE[journey] * self._mine.rate / 60
        began_s = time.monotonic()
        while True:
            share = min(1.0, FIRST_SHARE + (time.monotonic() - began_s) / FILLING_S)
            await asyncio.sleep(self._random.expovariate(a_second * share))
            if len(self._visits) < AT_ONCE:
                visit = asyncio.create_task(self._visit(journey))
                self._visits.add(visit)
                visit.add_done_callback(self._visits.discard)

    async def leave(self, arrivals: Iterable[asyncio.Task[None]]) -> None:
        """Let nobody in any more, and send everybody home."""
        leaving = [*arrivals, *self._visits]
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)

    async def _visit(self, journey: str) -> None:
        random = Random(self._random.getrandbits(64))
        who = self._newcomer() if journey == "signup" else people.customer(random.randrange(people.CUSTOMERS))
        temper = behaviour.temper(random)
        attempt = f"{random.getrandbits(64):016x}"
        browser = Browser(self._client, headers(who, attempt, cookie(journey, who, random)), temper.patience_s)
        with contextlib.suppress(LeftError):
            await VISITS[journey](Visit(journey, who, browser, temper, self._mine, self._diary))

    def _newcomer(self) -> Customer:
        self._newcomers += 1
        return people.customer(self._newcomers)


def cookie(journey: str, who: Customer, random: Random) -> str:
    """What the person's browser remembers: who they are, from last week's login, unless they are new."""
    if journey in {"signup", "login"}:
        return ""
    session = f"{random.getrandbits(64):016x}"
    return f"login={visitors.sign(who.id)}; session={session}; tier={who.segment}; region={who.region}"


async def crowd(mine: Settings) -> None:
    """Let people come until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    limits = Limits(max_connections=AT_ONCE, max_keepalive_connections=20)
    async with AsyncClient(limits=limits) as client:
        people_here = Crowd(mine, client)
        arrivals = [asyncio.create_task(people_here.arrive(journey)) for journey in ATTEMPTS_A_MINUTE]
        serving.ready()
        await stop.wait()
        await people_here.leave(arrivals)


def main() -> None:
    """Run the process."""
    lifeline.end_with_parent()
    asyncio.run(crowd(settings.from_environment()))


if __name__ == "__main__":
    main()
