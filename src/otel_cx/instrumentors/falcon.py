"""Falcon, WSGI and ASGI: every application serves its routes as steps. It starts no span."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon
import falcon.asgi
import wrapt
from opentelemetry.instrumentation.utils import unwrap

from otel_cx.asgi import CXMiddleware
from otel_cx.instrumentors import _wsgi
from otel_cx.instrumentors._shape import ServingInstrumentor, Told

_APPS = (falcon.app.App, falcon.asgi.App)


class FalconCXInstrumentor(ServingInstrumentor):
    """Puts the middleware around both kinds of application; `identify` and `attempt` get falcon's Request.

    Of an ASGI application they get one without a body, and may be async.
    """

    requires = ("falcon >= 3.1",)

    def _put(self, told: Told) -> None:
        wsgi, asgi = _APPS
        wrapt.wrap_function_wrapper(wsgi, "__call__", _wsgi.around(told.of(falcon.Request)))
        wrapt.wrap_function_wrapper(asgi, "__call__", _around(told.of(_asgi_request)))

    def _remove(self) -> None:
        for app in _APPS:
            unwrap(app, "__call__")


def _asgi_request(scope: dict[str, Any]) -> falcon.asgi.Request:
    return falcon.asgi.Request(scope, _nothing_to_receive)


async def _nothing_to_receive() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


def _around(told: Told) -> Callable[..., Any]:
    routes, identify, attempt = told

    def serve(wrapped: Callable[..., Any], _app: object, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        return CXMiddleware(wrapped, routes, identify, attempt)(*arguments, **keywords)

    return serve
