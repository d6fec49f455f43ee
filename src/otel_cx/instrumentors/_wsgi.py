"""The WSGI middleware around a framework's own method that serves a request. Not for one framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_cx.instrumentors._shape import Told
from otel_cx.wsgi import CXMiddleware


def around(told: Told) -> Callable[..., Any]:
    """Returns what wraps a method `(environ, start_response)` of an application."""
    routes, identify, attempt = told

    def serve(wrapped: Callable[..., Any], _app: object, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        return CXMiddleware(wrapped, routes, identify, attempt)(*arguments, **keywords)

    return serve
