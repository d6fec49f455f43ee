"""Who the company's customers are: segment, plan, region, device. Not what they do, which is `traffic`.

A customer is a pure function of a number, as if it stood in a database every service can read, so that the live
services and the made history speak of the same people.
"""

from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Final

CUSTOMERS: Final = 6_000

USER_AGENTS: Final = {
    "desktop": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "mobile": "Mozilla/5.0 (Linux; Android 15; Mobile) Chrome/140.0 Mobile Safari/537.36",
    "tablet": "Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) AppleWebKit/605.1 Version/18.0 Safari/604.1",
    "api": "hosting-cli/1.9",
}

SEGMENTS: Final = {"enterprise": 0.15, "developer": 0.5, "trial": 0.35}
REGIONS: Final = {"eu": 0.5, "us": 0.35, "apac": 0.15}
DEVICES: Final = {"desktop": 0.68, "mobile": 0.22, "tablet": 0.04, "api": 0.06}
PLANS: Final = {
    "enterprise": {"business": 1.0},
    "developer": {"pro": 0.7, "free": 0.3},
    "trial": {"free": 1.0},
}


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer as the company's directory holds them."""

    id: str
    account: str
    email: str
    segment: str
    plan: str
    region: str
    device: str
    """What this customer usually comes with; a request's own device is told from its User-Agent."""

    @property
    def revenue_class(self) -> str:
        """What money of this customer is to the company: a trial's first, a developer's more, an enterprise's again."""
        return {"trial": "new", "developer": "expansion"}.get(self.segment, "renewal")


def _pick(random: Random, shares: dict[str, float]) -> str:
    return random.choices(list(shares), list(shares.values()))[0]


@lru_cache(maxsize=2 * CUSTOMERS)
def customer(number: int) -> Customer:
    """The customer with this number; the same in every process and on every day."""
    random = Random(f"customer {number}")
    segment = _pick(random, SEGMENTS)
    # Enterprise accounts are organisations with about eight users; the others are one person each.
    account = f"org-{number // 8:05d}" if segment == "enterprise" else f"acct-{number:05d}"
    return Customer(
        id=f"cust-{number:05d}",
        account=account,
        email=f"customer{number}@example.com",
        segment=segment,
        plan=_pick(random, PLANS[segment]),
        region=_pick(random, REGIONS),
        device=_pick(random, DEVICES),
    )


def by_id(customer_id: str) -> Customer:
    """Look a customer up by id; an id that was never given out is a ``KeyError``."""
    return _by(customer_id, "cust-", "")


def by_email(email: str) -> Customer:
    """Look a customer up by e-mail address; an unknown address is a ``KeyError``."""
    return _by(email, "customer", "@example.com")


def _by(text: str, prefix: str, suffix: str) -> Customer:
    number = text.removeprefix(prefix).removesuffix(suffix)
    if not (text.startswith(prefix) and text.endswith(suffix) and number.isdecimal()):
        raise KeyError(text)
    return customer(int(number))


def device_of(user_agent: str) -> str:
    """The device class of a request: one of desktop, mobile, tablet, api."""
    if user_agent.startswith("hosting-cli/"):
        return "api"
    if "iPad" in user_agent:
        return "tablet"
    return "mobile" if "Mobile" in user_agent else "desktop"
