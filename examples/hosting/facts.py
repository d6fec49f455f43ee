"""What the company tells the collector beside its traffic: deploys, and whose contract is due. Not traffic.

Account ids go as they are, over loopback: the collector makes pseudonyms of them with the key that the services have.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx

from examples.hosting import people

Fact = dict[str, str]

DUE_DAYS: Final = (6, 11, 19, 27, 41, 58, 83, 120)
"""When the largest customers' contracts end, from today."""
NAMES: Final = ("Northwind", "Acme", "Globex", "Initech", "Umbra", "Hooli", "Vandelay", "Stark & Sons")
ARR_EUR: Final = (240_000, 180_000, 96_000, 72_000, 64_000, 48_000, 36_000, 24_000)
TRIES: Final = 5
PATIENCE_S: Final = 5.0


def deploy(service: str, version: str, at_s: float) -> Fact:
    """A version of a service went live."""
    at = _iso(at_s)
    link = f"https://ci.example/{service}/{version}"
    return {
        "id": f"deploy-{service}-{at}",
        "at": at,
        "kind": "deploy",
        "service": service,
        "version": version,
        "link": link,
    }


def renewals(now_s: float) -> list[Fact]:
    """Contracts of the organisations with most users; sent again on another day, the dates move along."""
    users = Counter(who.account for who in map(people.customer, range(people.CUSTOMERS)) if who.segment == "enterprise")
    accounts = sorted(users, key=lambda account: (-users[account], account))
    today = datetime.fromtimestamp(now_s, UTC).date()
    return [
        {
            "id": f"renewal-{number}",
            "at": _iso(now_s),
            "kind": "renewal",
            "account": account,
            "name": name,
            "due": str(today + timedelta(days=days)),
            "arr": str(arr),
        }
        for number, (account, name, days, arr) in enumerate(zip(accounts, NAMES, DUE_DAYS, ARR_EUR, strict=False), 1)
    ]


def post(collector_http: str, facts: Iterable[Fact], say: Callable[[str], None], tries: int = TRIES) -> bool:
    """Send facts, again for a few seconds if need be; a platform goes on without, and says so. Whether they arrived."""
    if not collector_http:
        return False
    body = "\n".join(json.dumps(fact) for fact in facts)
    why = ""
    for number in range(tries):
        if number:
            time.sleep(1)
        try:
            answer = httpx.post(
                f"{collector_http}/v1/facts",
                content=body,
                headers={"content-type": "application/x-ndjson"},
                timeout=PATIENCE_S,
            )
        except httpx.HTTPError as error:
            why = repr(error)
            continue
        if answer.status_code == httpx.codes.OK and not answer.json()["refused"]:
            return True
        why = f"{answer.status_code} {answer.text[:300]}"
        if answer.status_code < 500:
            break
    say(f"the collector did not take what it was told of deploys and contracts: {why}")
    return False


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
