"""The shop's front: passes checkout on to billing, which does the steps. Here only the attempt begins."""

from fastapi import APIRouter, Request, Response
from httpx import AsyncClient, HTTPError

import otel_cx
from examples.hosting.services.panel import visitors
from examples.hosting.services.panel.simulated import UnavailableError

checkout = otel_cx.journey("checkout")


def make(billing: AsyncClient) -> APIRouter:
    """Build the routes of the shop."""
    router = APIRouter(prefix="/shop")

    @router.post("/cart")
    async def cart(request: Request) -> Response:
        customer = visitors.visitor(request.headers.get("cookie", ""))
        if customer is None:
            return Response(status_code=401)
        body = {"cart_id": _cart(request), "payer": customer.id, "plan": customer.plan}
        return await forward(request, "/carts", body)

    @router.post("/payment")
    async def payment(request: Request) -> Response:
        return await forward(request, "/payments", {"cart_id": _cart(request)})

    @router.post("/confirm")
    async def confirm(request: Request) -> Response:
        return await forward(request, "/orders", {"cart_id": _cart(request)})

    async def forward(request: Request, path: str, body: dict[str, str]) -> Response:
        with checkout.attempt(_cart(request)):
            try:
                answer = await billing.post(path, json=body)
            except HTTPError as error:
                raise UnavailableError(f"no answer from billing: {error!r}") from error
        return Response(answer.content, answer.status_code, media_type="application/json")

    return router


def _cart(request: Request) -> str:
    """A browser's try at a checkout is its cart."""
    return request.headers[visitors.ATTEMPT_HEADER]
