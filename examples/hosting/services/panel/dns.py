"""Changing a DNS record: edit, then publish to the name servers. Here bites the release of ``bad-deploy``."""

from fastapi import APIRouter, Request

import otel_cx
from examples.hosting.faults import Faults
from examples.hosting.services.panel import visitors
from examples.hosting.services.panel.simulated import Backend, RefusedError, UnavailableError
from examples.hosting.settings import BAD_RELEASE

dns_change = otel_cx.journey("dns-change")


def make(name_servers: Backend, faults: Faults, release: str) -> APIRouter:
    """Build the routes of DNS changes as this release does them."""
    router = APIRouter(prefix="/dns")

    @router.post("/edit")
    @dns_change.step("edit", rejects=(RefusedError,))
    async def edit() -> dict[str, str]:
        await name_servers.do("edit")
        return {"next": "/dns/publish"}

    @router.post("/publish")
    @dns_change.step("publish")
    async def publish(request: Request) -> dict[str, str]:
        await name_servers.do("publish")
        customer = visitors.visitor(request.headers.get("cookie", ""))
        if release == BAD_RELEASE and customer and faults.hits("bad-deploy", customer.id):
            raise UnavailableError("zone serial went backwards")
        return {"state": "published"}

    return router
