"""ASGI middleware: a request's route is its step, and its customer and attempt are known early. Not routing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from otel_cx._arrival import Arrival, Identity, arrive, awaited_answer, depart
from otel_cx._attempt_ids import Issued, checked, in_cookies, token
from otel_cx._diagnostics import Reason, count
from otel_cx._routes import Routes, RouteTable

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class CXMiddleware:
    """Makes the server span of a request the step its route stands for.

    Place it inside the server instrumentation, where the span is open (`app.add_middleware(CXMiddleware, ...)` with
    FastAPI or Starlette instrumented), or outside. It starts no span of its own.

    Args:
        app: the ASGI application.
        routes: `{"POST /pay": "checkout/payment"}`; `{name}` in a path stands for one segment.
        identify: called with the ASGI scope; returns the keyword arguments of `otel_cx.identify`, or None.
        attempt: called with the ASGI scope; returns the id of the customer's attempt, or None: `cookie("cart")`,
            `header("x-cart")` or a function of yours. Both may be async.

    Raises:
        ConfigurationError: a route that cannot be used.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Routes | RouteTable | None = None,
        identify: Callable[[Scope], Identity | Awaitable[Identity]] | None = None,
        attempt: Callable[[Scope], object] | None = None,
    ) -> None:
        self.app = app
        self._routes = routes if isinstance(routes, RouteTable) else RouteTable(routes or {})
        self._identify = identify
        self._attempt = attempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection; other types than http pass untouched."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        arrival = Arrival()
        try:
            arrival = Arrival(self._routes.find(scope["method"], _path(scope)))
            attempt = await awaited_answer(self._attempt, scope)
            if isinstance(attempt, Issued):
                send = _setting_cookie(send, attempt.set_cookie)
                attempt = str(attempt)
            arrival.tell(attempt, await awaited_answer(self._identify, scope))
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)
        waiting = arrive(arrival)
        try:
            await self.app(scope, receive, send)
        except BaseException as error:
            arrival.cancelled(error)
            raise
        finally:
            depart(arrival, waiting)


def header(name: str) -> Callable[[Scope], str | None]:
    """For `attempt=`: the id is in the request header `name`.

    Raises:
        ConfigurationError: a name that no header can have.
    """
    wanted = token("header", name).lower().encode()

    def by_header(scope: Scope) -> str | None:
        return checked(next((value.decode("latin-1") for key, value in scope["headers"] if key == wanted), None))

    return by_header


def cookie(name: str, *, issue: bool = False) -> Callable[[Scope], str | None]:
    """For `attempt=`: the id is in the cookie `name`, such as the cart's; never the session's, which is a secret.

    With `issue`, a browser that sends none is given a random one for a day, by a `Set-Cookie` header of its answer.

    Raises:
        ConfigurationError: a name that no cookie can have.
    """
    token("cookie", name)

    def by_cookie(scope: Scope) -> str | None:
        lines = [value.decode("latin-1") for key, value in scope["headers"] if key == b"cookie"]
        found = in_cookies(name, lines)
        if found is None and issue:
            return Issued.for_cookie(name, secure=scope.get("scheme") == "https")
        return found

    return by_cookie


def _setting_cookie(send: Send, set_cookie: str) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"set-cookie", set_cookie.encode())]}
        await send(message)

    return sending


def _path(scope: Scope) -> str:
    """Returns the path below the place where the application is mounted, as routes are written."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(root + "/") else path
