"""The shape every instrumentor here has. It patches nothing by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from otel_cx import trust
from otel_cx._arrival import Arrival, answer, awaited_answer
from otel_cx._diagnostics import Reason, count
from otel_cx._routes import RouteTable, Target
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

    def of(self, make: Callable[..., Any]) -> Told:
        """Returns the same with callbacks that take what the middleware has, and are given what `make` makes of it."""
        return Told(self.routes, _given(self.identify, make), _given(self.attempt, make))

    def arrival(self, target: Target | None, thing: object, *, is_message: bool = False) -> Arrival:
        """Returns the arrival of `thing`, as the callbacks describe it. Never raises."""
        arrival = Arrival(target, is_message=is_message)
        try:
            arrival.tell(answer(self.attempt, thing), answer(self.identify, thing))
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)
        return arrival


async def awaited_arrival(told: Told, target: Target | None, thing: object) -> Arrival:
    """Returns the arrival of `thing`, whose callbacks may be asynchronous. Never raises."""
    arrival = Arrival(target)
    try:
        arrival.tell(await awaited_answer(told.attempt, thing), await awaited_answer(told.identify, thing))
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)
    return arrival


def _given(ask: Callable[..., Any] | None, make: Callable[..., Any]) -> Callable[..., Any] | None:
    return None if ask is None else lambda raw: ask(make(raw))


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


@dataclass(frozen=True, slots=True)
class ServingConfiguration:
    """What may stand under the name of an instrumentor of a server or consumer in a configuration file."""

    routes: dict[str, str] | None = None


class ServingInstrumentor(LibraryInstrumentor):
    """For what takes requests, calls or messages. A subclass says how to put itself in place: `_put`, and `_remove`.

    `instrument(routes=..., identify=..., attempt=...)`; told nothing, it patches nothing: routes of the settings need
    no instrumentor.
    """

    configuration: ClassVar[type] = ServingConfiguration

    def _instrument(
        self,
        *,
        routes: Mapping[str, str] | None = None,
        identify: Identify | None = None,
        attempt: Attempt | None = None,
        **_: Any,
    ) -> None:
        told = Told(RouteTable(routes or {}), identify, attempt)
        self._is_in_place = any(told)
        if self._is_in_place:
            self._put(told)

    def _uninstrument(self, **_: Any) -> None:
        if self._is_in_place:
            self._remove()

    def _put(self, told: Told) -> None:
        raise NotImplementedError

    def _remove(self) -> None:
        raise NotImplementedError
