"""WSGI middleware: a request's route is its step, and its customer and attempt are known early. Not routing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from otel_cx._arrival import Arrival, Identity, arrive, depart
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
        attempt: called with the WSGI environ; returns the id of the customer's attempt, or None.

    Raises:
        ConfigurationError: a route that cannot be used.
    """

    def __init__(
        self,
        app: WSGIApp,
        routes: Routes | None = None,
        identify: Callable[[Environ], Identity] | None = None,
        attempt: Callable[[Environ], object] | None = None,
    ) -> None:
        self.app = app
        self._routes = RouteTable(routes or {})
        self._identify = identify
        self._attempt = attempt

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serves one request; the body is the application's, untouched."""
        arrival, token = Arrival(), None
        try:
            arrival = Arrival(self._routes.find(environ["REQUEST_METHOD"], environ.get("PATH_INFO") or "/"))
            arrival.tell(_answer(self._attempt, environ), _answer(self._identify, environ))
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)
        try:
            token = arrive(arrival)
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)
        try:
            return self.app(environ, start_response)
        finally:
            depart(arrival, token)


def _answer(ask: Callable[[Environ], Any] | None, environ: Environ) -> Any:
    try:
        return None if ask is None else ask(environ)
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)
        return None
