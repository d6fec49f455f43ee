"""Starlette: every application made from now on serves its routes as steps. It starts no span."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt
from opentelemetry.instrumentation.utils import unwrap
from starlette.applications import Starlette
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request

from otel_cx.asgi import CXMiddleware
from otel_cx.instrumentors._shape import ServingInstrumentor, Told

STACK = "build_middleware_stack"
"""What an application calls once, before its first request."""


class StarletteCXInstrumentor(ServingInstrumentor):
    """Puts the middleware around every application's own; `identify` and `attempt` get the Request, and may be async.

    Applications that have served a request before stay as they are.
    """

    requires = ("starlette >= 0.27",)

    def _put(self, told: Told) -> None:
        wrapt.wrap_function_wrapper(Starlette, STACK, around(told))

    def _remove(self) -> None:
        unwrap(Starlette, STACK)


def around(told: Told) -> Callable[..., Any]:
    """Returns what wraps the building of an application's middleware."""
    routes, identify, attempt = told.of(Request)

    def build(wrapped: Callable[..., Any], _app: object, _arguments: tuple[Any, ...], _keywords: dict[str, Any]) -> Any:
        stack = wrapped()
        if isinstance(stack, ServerErrorMiddleware):
            # Inside of it: FastAPI's official instrumentation looks for it outermost, and does nothing without.
            stack.app = CXMiddleware(stack.app, routes, identify, attempt)
            return stack
        return CXMiddleware(stack, routes, identify, attempt)

    return build
