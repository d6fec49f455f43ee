"""Django, WSGI and ASGI: every request is the step its route stands for. It starts no span."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt
from django.core.handlers.base import BaseHandler
from opentelemetry.instrumentation.utils import unwrap

from otel_cx._arrival import arrive, depart
from otel_cx.instrumentors._shape import ServingInstrumentor, Told, awaited_arrival

_SYNC, _ASYNC = "get_response", "get_response_async"
"""What both kinds of handler ask for a response; every middleware is inside."""


class DjangoCXInstrumentor(ServingInstrumentor):
    """Sees a request before any middleware, whatever the list in the settings.

    `identify` and `attempt` get the HttpRequest: cookies and headers are there, `request.user` is not. Under ASGI they
    may be async. Who the user is, a view or a middleware of yours tells `otel_cx.identify`.
    """

    requires = ("django >= 4.2",)

    def _put(self, told: Told) -> None:
        wrapt.wrap_function_wrapper(BaseHandler, _SYNC, _sync(told))
        wrapt.wrap_function_wrapper(BaseHandler, _ASYNC, _async(told))

    def _remove(self) -> None:
        unwrap(BaseHandler, _SYNC)
        unwrap(BaseHandler, _ASYNC)


def _sync(told: Told) -> Callable[..., Any]:
    def respond(wrapped: Callable[..., Any], _handler: object, arguments: tuple[Any, ...], _: dict[str, Any]) -> Any:
        request = arguments[0]
        arrival = told.arrival(told.routes.find(request.method, request.path_info), request)
        waiting = arrive(arrival)
        try:
            return wrapped(request)
        finally:
            depart(arrival, waiting)

    return respond


def _async(told: Told) -> Callable[..., Any]:
    async def respond(
        wrapped: Callable[..., Any], _handler: object, arguments: tuple[Any, ...], _: dict[str, Any]
    ) -> Any:
        request = arguments[0]
        arrival = await awaited_arrival(told, told.routes.find(request.method, request.path_info), request)
        waiting = arrive(arrival)
        try:
            return await wrapped(request)
        except BaseException as error:
            arrival.cancelled(error)
            raise
        finally:
            depart(arrival, waiting)

    return respond
