"""aiohttp's server: every application made from now on serves its routes as steps. It starts no span."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt
from aiohttp.web_app import Application
from aiohttp.web_middlewares import middleware
from aiohttp.web_request import Request
from opentelemetry.instrumentation.utils import unwrap

from otel_cx._arrival import arrive, depart
from otel_cx.instrumentors._shape import ServingInstrumentor, Told, awaited_arrival


class AioHttpServerCXInstrumentor(ServingInstrumentor):
    """Adds a middleware inside of all others; `identify` and `attempt` get the Request, and may be async.

    Where the server's `handler_cancellation` is on, a client that goes away makes its step a cancelled one.
    """

    requires = ("aiohttp >= 3.9",)

    def _put(self, told: Told) -> None:
        ours = _middleware(told)

        def made(
            wrapped: Callable[..., Any], app: Application, arguments: tuple[Any, ...], keywords: dict[str, Any]
        ) -> None:
            wrapped(*arguments, **keywords)
            app.middlewares.append(ours)

        wrapt.wrap_function_wrapper(Application, "__init__", made)

    def _remove(self) -> None:
        unwrap(Application, "__init__")


def _middleware(told: Told) -> Any:
    @middleware
    async def serve(request: Request, handler: Callable[[Request], Any]) -> Any:
        arrival = await awaited_arrival(told, told.routes.find(request.method, request.path), request)
        waiting = arrive(arrival)
        try:
            return await handler(request)
        except BaseException as error:
            arrival.cancelled(error)
            raise
        finally:
            depart(arrival, waiting)

    return serve
