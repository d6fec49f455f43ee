"""Logging in to the portal, in two steps: shown with the decorator and the context manager."""

from fastapi import APIRouter, Response
from pydantic import BaseModel

import otel_cx
from examples.hosting import people
from examples.hosting.faults import Faults
from examples.hosting.people import Customer
from examples.hosting.services.panel import visitors
from examples.hosting.services.panel.simulated import Backend, RefusedError, UnavailableError

login = otel_cx.journey("login")


class Credentials(BaseModel):
    """What a customer types in."""

    email: str


def make(directory: Backend, faults: Faults) -> APIRouter:
    """Build the routes of the login."""
    router = APIRouter(prefix="/login")

    @router.post("/credentials")
    @login.step("credentials", rejects=(RefusedError,))
    async def credentials(typed: Credentials) -> dict[str, str]:
        customer = people.by_email(typed.email)
        otel_cx.identify(**visitors.identity(customer))
        await directory.do("credentials")
        if _unreachable(customer, faults):
            raise UnavailableError(f"the directory of {customer.region} does not answer")
        return {"next": "/login/session"}

    @router.post("/session")
    async def session(typed: Credentials, response: Response) -> dict[str, str]:
        customer = people.by_email(typed.email)
        otel_cx.identify(**visitors.identity(customer))
        with login.step("session"):
            await directory.do("session")
            response.set_cookie(visitors.LOGIN_COOKIE, visitors.sign(customer.id), httponly=True, samesite="strict")
        return {"next": "/"}

    return router


def _unreachable(customer: Customer, faults: Faults) -> bool:
    fault = faults.on().get("login-region")
    return bool(fault and fault.region == customer.region and faults.hits("login-region", customer.id))
