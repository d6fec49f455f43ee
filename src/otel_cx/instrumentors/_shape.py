"""The shape every instrumentor here has. It patches nothing by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, NamedTuple

from otel_cx import trust
from otel_cx._routes import RouteTable
from otel_cx.exceptions import MissingDependency

try:
    # Its module tells type checkers to pass it over.
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
except ImportError as error:
    raise MissingDependency(
        "opentelemetry-instrumentation cannot be imported. Install it with: pip install 'otel-cx[instrument]'"
    ) from error

Identify = Callable[..., Mapping[str, Any] | None]
"""Called with the framework's own request, message or task; returns the keyword arguments of `otel_cx.identify`."""

Attempt = Callable[..., object]
"""Called with the same; returns the id of the customer's attempt, or None."""


class Told(NamedTuple):
    """What a program tells an instrumentor of a server or consumer."""

    routes: RouteTable
    identify: Identify | None
    attempt: Attempt | None


class LibraryInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # as above
    """Knows which library it is for."""

    requires: ClassVar[tuple[str, ...]]
    """As in a requirements file: with another version nothing is patched, and why is logged."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Returns the library and the versions that this was tested with."""
        return self.requires


class CallingInstrumentor(LibraryInstrumentor):
    """For HTTP clients: every request passes `trust.check_hop`, so that the official instrumentation may be believed.

    That one injects; it is only asked what it started its span with. A subclass patches what the official one leaves
    alone, so that neither takes the other off when it goes.
    """

    official: ClassVar[str]
    """Name of the tracer of the official instrumentation of the library."""

    def _instrument(self, **_: Any) -> None:
        self._put()
        trust.checked_libraries.add(self.official)

    def _uninstrument(self, **_: Any) -> None:
        trust.checked_libraries.discard(self.official)
        self._remove()

    def _put(self) -> None:
        raise NotImplementedError

    def _remove(self) -> None:
        raise NotImplementedError


class ServingInstrumentor(LibraryInstrumentor):
    """For what takes requests, calls or messages. A subclass says how to put itself in place: `_put`, and `_remove`."""

    def _instrument(
        self,
        *,
        routes: Mapping[str, str] | None = None,
        identify: Identify | None = None,
        attempt: Attempt | None = None,
        **_: Any,
    ) -> None:
        self._put(Told(RouteTable(routes or {}), identify, attempt))

    def _uninstrument(self, **_: Any) -> None:
        self._remove()

    def _put(self, told: Told) -> None:
        raise NotImplementedError

    def _remove(self) -> None:
        raise NotImplementedError
