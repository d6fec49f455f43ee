"""Who is visiting: the signed login cookie, the device, the browser's attempt id. Not what they do here."""

from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Any, Final

from itsdangerous import BadSignature, URLSafeSerializer

from examples.hosting import people
from examples.hosting.people import Customer
from examples.hosting.settings import SECRET

LOGIN_COOKIE: Final = "login"
ATTEMPT_HEADER: Final = "x-attempt"
"""The id a browser gives one try at a journey; the one thing the edge takes from outside, and only if well shaped."""

_signer = URLSafeSerializer(SECRET, salt="login")


def sign(customer_id: str) -> str:
    """The login cookie of a customer."""
    return str(_signer.dumps(customer_id))


def visitor(cookie: str) -> Customer | None:
    """Who sent this Cookie header; ``None`` without a login we gave out."""
    morsel = SimpleCookie(cookie).get(LOGIN_COOKIE)
    try:
        return people.by_id(_signer.loads(morsel.value)) if morsel else None
    except (BadSignature, KeyError):
        return None


def who(scope: Mapping[str, Any]) -> dict[str, str]:
    """Tell the middleware who makes a request: what `otel_cx.identify` takes."""
    headers = _headers(scope)
    device = people.device_of(headers.get("user-agent", ""))
    known = visitor(headers.get("cookie", ""))
    if known is None:
        return {"device": device}
    return {"device": device, **identity(known), "revenue_class": known.revenue_class}


def identity(customer: Customer) -> dict[str, str]:
    """What `otel_cx.identify` is told of a customer; ids leave this process as pseudonyms only."""
    return {
        "customer": customer.id,
        "account": customer.account,
        "segment": customer.segment,
        "plan": customer.plan,
        "region": customer.region,
    }


def attempt(scope: Mapping[str, Any]) -> str | None:
    """Tell the middleware which attempt a request belongs to."""
    return _headers(scope).get(ATTEMPT_HEADER)


def _headers(scope: Mapping[str, Any]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
