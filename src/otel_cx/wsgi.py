"""WSGI middleware: a request's route is its step, and its customer and attempt are known early. Not routing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from otel_cx._arrival import Arrival, Identity, answer, arrive, depart
from otel_cx._attempt_ids import Issued, checked, in_cookies, token
from otel_cx._diagnostics import Reason, count
from otel_cx._routes import Routes, RouteTable

Environ = dict[str, Any]
WSGIApp = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class CXMiddleware:
    """Makes the server span of a request the step its route stands for.

    Place it inside the server instrumentation or outside; with Flask: `app.wsgi_app = CXMiddleware(app.wsgi_app, ...)`.
    It starts no span of its own.

    Args:
        app: the WSGI application.
        routes: `{"POST /pay": "checkout/payment"}`; `{name}` in a path stands for one segment.
        identify: called with the WSGI environ; returns the keyword arguments of `otel_cx.identify`, or None.
        attempt: called with the WSGI environ; returns the id of the customer's attempt, or None: `cookie("cart")`,
            `header("X-Cart")` or a function of yours.

    Raises:
        ConfigurationError: a route that cannot be used.
    """

    def __init__(
        self,
        app: WSGIApp,
        routes: Routes | RouteTable | None = None,
        identify: Callable[[Environ], Identity] | None = None,
        attempt: Callable[[Environ], object] | None = None,
    ) -> None:
        self.app = app
        self._routes = routes if isinstance(routes, RouteTable) else RouteTable(routes or {})
        self._identify = identify
        self._attempt = attempt

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serves one request; the body is the application's, untouched."""
        arrival = Arrival()
        try:
            arrival = Arrival(self._routes.find(environ["REQUEST_METHOD"], environ.get("PATH_INFO") or "/"))
            attempt = answer(self._attempt, environ)
            if isinstance(attempt, Issued):
                start_response = _setting_cookie(start_response, attempt.set_cookie)
                attempt = str(attempt)
            arrival.tell(attempt, answer(self._identify, environ))
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)
        waiting = arrive(arrival)
        try:
            return self.app(environ, start_response)
        finally:
            depart(arrival, waiting)


def header(name: str) -> Callable[[Environ], str | None]:
    """For `attempt=`: the id is in the request header `name`.

    Raises:
        ConfigurationError: a name that no header can have.
    """
    variable = f"HTTP_{token('header', name).upper().replace('-', '_')}"
    return lambda environ: checked(environ.get(variable))


def cookie(name: str, *, issue: bool = False) -> Callable[[Environ], str | None]:
    """For `attempt=`: the id is in the cookie `name`, such as the cart's; never the session's, which is a secret.

    With `issue`, a browser that sends none is given a random one for a day, by a `Set-Cookie` header of its answer.

    Raises:
        ConfigurationError: a name that no cookie can have.
    """
    token("cookie", name)

    def by_cookie(environ: Environ) -> str | None:
        found = in_cookies(name, [environ.get("HTTP_COOKIE", "")])
        if found is None and issue:
            return Issued.for_cookie(name, secure=environ.get("wsgi.url_scheme") == "https")
        return found

    return by_cookie


def _setting_cookie(start_response: Callable[..., Any], set_cookie: str) -> Callable[..., Any]:
    def starting(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        return start_response(status, [*headers, ("Set-Cookie", set_cookie)], *exc_info)

    return starting
