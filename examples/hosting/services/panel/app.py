"""The control panel's process: puts its routes together and tells otel-cx who the visitors are."""

from collections.abc import Awaitable, Callable
from random import Random

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from httpx import AsyncClient, HTTPStatusError
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

from examples.hosting import serving, settings, telemetry
from examples.hosting.faults import Faults
from examples.hosting.services import deploy_queue
from examples.hosting.services.panel import deployments, dns, fault_page, login, shop, signup, visitors
from examples.hosting.services.panel.simulated import Backend, RefusedError, UnavailableError
from examples.hosting.settings import Settings
from otel_cx.asgi import CXMiddleware

ROUTES = {"POST /signup/form": "signup/form"}
"""Steps that need no line of code where the work is done."""


def make(mine: Settings, faults: Faults, billing: AsyncClient) -> FastAPI:
    """Build the application."""
    app = FastAPI(title="Hosting control panel", version=mine.release)
    random = Random(mine.seed)
    app.include_router(login.make(Backend("login", random), faults))
    app.include_router(signup.make(Backend("signup", random), billing))
    app.include_router(dns.make(Backend("dns-change", random), faults, mine.release))
    app.include_router(deployments.make(Backend("deployment", random)))
    app.include_router(shop.make(billing))
    app.include_router(fault_page.make(faults))

    @app.get("/", response_class=PlainTextResponse)
    async def home() -> str:
        return f"Hosting control panel {mine.release}. Break it at /faults\n"

    statuses: dict[type[Exception], int] = {UnavailableError: 503, RefusedError: 422}
    for kind, status in statuses.items():
        app.add_exception_handler(kind, _answer(status))
    app.add_exception_handler(HTTPStatusError, _answer_like_billing)
    app.add_middleware(CXMiddleware, routes=ROUTES, identify=visitors.who, attempt=visitors.attempt)
    return app


def _answer(status: int) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def answer(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": type(error).__name__}, status)

    return answer


async def _answer_like_billing(_request: Request, error: Exception) -> JSONResponse:
    status = error.response.status_code if isinstance(error, HTTPStatusError) else 502
    return JSONResponse({"error": "billing"}, status)


def main() -> None:
    """Run the process."""
    mine = settings.from_environment()
    telemetry.set_up_with_journeys("control-panel", mine, trust="none")
    deploy_queue.connect(mine.home)
    CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]  # the instrumentation has no types
    HTTPXClientInstrumentor().instrument()
    app = make(mine, Faults(mine.home), AsyncClient(base_url=mine.billing, timeout=15))
    FastAPIInstrumentor.instrument_app(app, exclude_spans=["send", "receive"])
    serving.serve_asgi(app)


if __name__ == "__main__":
    main()
