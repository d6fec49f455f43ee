"""ASGI middleware: a request's route is its step, and its customer and attempt are known early. Not routing."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from otel_cx._arrival import Arrival, Routes, RouteTable, arrive, depart
from otel_cx._diagnostics import Reason, count

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Identity = Mapping[str, object] | None


class CXMiddleware:
    """Makes the server span of a request the step its route stands for.

    Place it inside the server instrumentation, where the span is open (`app.add_middleware(CXMiddleware, ...)` with
    FastAPI or Starlette instrumented), or outside. It starts no span of its own.

    Args:
        app: the ASGI application.
        routes: `{"POST /pay": "checkout/payment"}`; `{name}` in a path stands for one segment.
        identify: called with the ASGI scope; returns the keyword arguments of `otel_cx.identify`, or None.
        attempt: called with the ASGI scope; returns the id of the customer's attempt, or None. Both may be async.

    Raises:
        ConfigurationError: a route that cannot be used.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Routes | None = None,
        identify: Callable[[Scope], Identity | Awaitable[Identity]] | None = None,
        attempt: Callable[[Scope], object] | None = None,
    ) -> None:
        self.app = app
        self._routes = RouteTable(routes or {})
        self._identify = identify
        self._attempt = attempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection; other types than http pass untouched."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        arrival, token = Arrival(None), None
        try:
            arrival = await self._arrival(scope)
            token = arrive(arrival)
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)
        try:
            await self.app(scope, receive, send)
        except BaseException as error:
            arrival.cancelled(error)
            raise
        finally:
            depart(arrival, token)

    async def _arrival(self, scope: Scope) -> Arrival:
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root + "/"):
            path = path[len(root) :]
        return Arrival(
            self._routes.find(scope["method"], path),
            await _answer(self._attempt, scope),
            await _answer(self._identify, scope),
        )


async def _answer(ask: Callable[[Scope], Any] | None, scope: Scope) -> Any:
    if ask is None:
        return None
    answer = ask(scope)
    return await answer if inspect.isawaitable(answer) else answer
