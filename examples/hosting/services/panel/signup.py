"""Signing up: a form, an account that billing opens, a confirmed address.

The step ``form`` is opened by the middleware's route table in `app`, ``account`` in billing, ``verify`` here.
"""

from fastapi import APIRouter
from httpx import AsyncClient
from pydantic import BaseModel

import otel_cx
from examples.hosting.people import customer
from examples.hosting.services.panel import visitors
from examples.hosting.services.panel.simulated import Backend

signup = otel_cx.journey("signup", revenue_class="new")


class Newcomer(BaseModel):
    """Somebody who wants to become a customer; they are given this number in the directory."""

    number: int


def make(backend: Backend, billing: AsyncClient) -> APIRouter:
    """Build the routes of signing up."""
    router = APIRouter(prefix="/signup")

    @router.post("/form")
    async def form(newcomer: Newcomer) -> dict[str, int]:
        await backend.do("form")
        return {"number": newcomer.number}

    @router.post("/account")
    async def account(newcomer: Newcomer) -> dict[str, str]:
        new = customer(newcomer.number)
        otel_cx.identify(**visitors.identity(new))
        with signup:
            answer = await billing.post("/accounts", json={"account_id": new.account, "email": new.email})
        answer.raise_for_status()
        return {"next": "/signup/verify"}

    @router.post("/verify")
    @signup.step("verify")
    async def verify(newcomer: Newcomer) -> dict[str, str]:
        otel_cx.identify(**visitors.identity(customer(newcomer.number)))
        await backend.do("verify")
        return {"next": "/login"}

    return router
