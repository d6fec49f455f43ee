"""Starting a site's deployment and watching it go live. The building itself is the worker's."""

import asyncio
from typing import Final

from celery.result import AsyncResult
from fastapi import APIRouter, Request, Response

import otel_cx
from examples.hosting.services.panel.simulated import Backend, RefusedError, UnavailableError
from examples.hosting.services.worker import deploy

LOOK_S: Final = 0.5
WATCH_S: Final = 120
"""How long a browser may watch one deployment with one request."""
CLOSED: Final = 499
"""Nobody reads this answer; the code is what proxies log when a client closed the connection."""

deployment = otel_cx.journey("deployment")


def make(backend: Backend) -> APIRouter:
    """Build the routes of deployments."""
    router = APIRouter(prefix="/deployments")

    @router.post("")
    @deployment.step("submit", rejects=(RefusedError,))
    async def submit() -> dict[str, str]:
        await backend.do("submit")
        task = await asyncio.to_thread(deploy.delay, "site")
        return {"deployment": task.id}

    @router.get("/{deployment_id}/progress")
    async def progress(deployment_id: str, request: Request) -> Response:
        with deployment.step("progress") as step:
            task = AsyncResult(deployment_id)
            if not await _done(task, request):
                step.cancel("visitor_left")  # the collector makes it a failure when they had waited too long
                return Response(status_code=CLOSED)
            if not task.successful():
                raise UnavailableError(f"the deployment is {task.state}")
            return Response("live")

    return router


async def _done(task: AsyncResult, request: Request) -> bool:
    """Wait for the worker; false when the browser closed the connection before."""
    for _ in range(int(WATCH_S / LOOK_S)):
        if task.ready():
            return True
        if await request.is_disconnected():
            return False
        await asyncio.sleep(LOOK_S)
    return False
