"""What people do on the platform, journey by journey, page by page. Not how often they come, which is `generator`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from httpx import Response

from examples.hosting.behaviour import Temper
from examples.hosting.people import Customer
from examples.hosting.settings import Settings
from examples.hosting.traffic.browser import Browser, LeftError
from examples.hosting.traffic.diary import Diary

WATCHING_S: Final = 6.0
"""How much longer than for a page people wait for a deployment."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One person who has come for one journey."""

    journey: str
    who: Customer
    browser: Browser
    temper: Temper
    at: Settings
    diary: Diary

    async def step(self, step: str, url: str, form: object = None, *, method: str = "POST") -> Response:
        """Take a step, again if it fails and they are of that kind; raises LeftError when this was their last."""
        tries = 1
        while (answer := await self._ask(step, method, url, form)).is_server_error and self.temper.tries_again(tries):
            tries += 1
            await asyncio.sleep(self.temper.think_s())
        if answer.is_error or not self.temper.goes_on(self.journey, step):
            raise LeftError(f"{self.journey}/{step}: {answer.status_code}")
        await asyncio.sleep(self.temper.think_s())
        return answer

    async def _ask(self, step: str, method: str, url: str, form: object) -> Response:
        answer = await self.browser.send(method, url, form, self.temper.waits_s(self.journey, step))
        self.diary.note(self.journey, step, self.who.id, answer.status_code)
        return answer


async def checkout(visit: Visit) -> None:
    """Buy the next plan: cart, payment, confirmation."""
    for step in ("cart", "payment", "confirm"):
        await visit.step(step, f"{visit.at.panel}/shop/{step}")


async def login(visit: Visit) -> None:
    """Log in to the portal."""
    for step in ("credentials", "session"):
        await visit.step(step, f"{visit.at.panel}/login/{step}", {"email": visit.who.email})


async def signup(visit: Visit) -> None:
    """Become a customer."""
    number = int(visit.who.id.removeprefix("cust-"))
    for step in ("form", "account", "verify"):
        await visit.step(step, f"{visit.at.panel}/signup/{step}", {"number": number})


async def dns_change(visit: Visit) -> None:
    """Change a record and publish it."""
    for step in ("edit", "publish"):
        await visit.step(step, f"{visit.at.panel}/dns/{step}")


async def deployment(visit: Visit) -> None:
    """Deploy a site and watch it go live; people have more patience with that than with a page."""
    deployments = f"{visit.at.panel}/deployments"
    answer = await visit.step("submit", deployments)
    progress = f"{deployments}/{answer.json()['deployment']}/progress"
    await visit.browser.send("GET", progress, patience_s=visit.browser.patience_s + WATCHING_S)


async def support(visit: Visit) -> None:
    """Write a ticket, at the help desk's own address."""
    tickets = f"{visit.at.helpdesk}/tickets"
    await visit.step("open", f"{tickets}/new", method="GET")
    await visit.step("submit", tickets)


VISITS: Final[dict[str, Callable[[Visit], Awaitable[None]]]] = {
    "checkout": checkout,
    "login": login,
    "signup": signup,
    "dns-change": dns_change,
    "deployment": deployment,
    "support": support,
}
