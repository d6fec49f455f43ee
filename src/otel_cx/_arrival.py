"""What a middleware learned about a request: its step, attempt and customer, waiting for the request's server span.

A middleware inside the server instrumentation finds the span open and hands over at once. One outside (Flask's always
is) leaves the arrival in a context variable, and the span processor takes it when the server span starts. Not routing:
it dispatches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_cx import semconv
from otel_cx._context import Attributes, Holder, Scope, State, attempt_at, described, hang, innermost, state_of
from otel_cx._diagnostics import Reason, count
from otel_cx._step import Step, is_cancellation
from otel_cx._values import runtime_value, static_name
from otel_cx.exceptions import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.trace import Span

Routes = Mapping[str, str]
"""`"METHOD /path/{parameter}"` -> `"journey/step"`."""

Identity = Mapping[str, Any] | None
"""What `identify=` of a middleware returns: the keyword arguments of `otel_cx.identify`, or None."""

_ROUTE: Final = re.compile(r"([A-Z]+) (/\S*)")
_waiting: ContextVar[Arrival | None] = ContextVar("otelcx-arrival", default=None)


class RouteTable:
    """Routes, compiled. The first that matches in the order given wins.

    >>> RouteTable({"GET /sites/{site}": "dns/show"}).find("GET", "/sites/42")
    ('dns', 'show')

    Raises:
        ConfigurationError: a route that is not "METHOD /path", or a target that is not "journey/step".
    """

    def __init__(self, routes: Routes) -> None:
        self._exact: dict[tuple[str, str], tuple[str, str]] = {}
        self._patterns: list[tuple[str, re.Pattern[str], tuple[str, str]]] = []
        for route, target in routes.items():
            parsed = _ROUTE.fullmatch(route)
            if parsed is None:
                raise ConfigurationError(
                    f"The route {route!r} cannot be used. Write the method and the path: 'POST /pay'."
                )
            method, path = parsed.groups()
            if "{" in path:
                self._patterns.append((method, _pattern(path), _target(route, target)))
            else:
                self._exact[method, path] = _target(route, target)

    def find(self, method: str, path: str) -> tuple[str, str] | None:
        """Returns (journey, step) of a request; exact paths go before those with parameters."""
        exact = self._exact.get((method, path))
        if exact is not None or not self._patterns:
            return exact
        return next((t for m, pattern, t in self._patterns if m == method and pattern.fullmatch(path)), None)


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{[^{}/]*\}", path)
    return re.compile("[^/]+".join(re.escape(part) for part in parts))


def _target(route: str, target: str) -> tuple[str, str]:
    journey, slash, step = target.partition("/")
    if not slash:
        raise ConfigurationError(f"The route {route!r} leads to {target!r}. Write 'journey/step', as in the inventory.")
    return static_name("journey", journey), static_name("step", step)


class Arrival:
    """One request as the middleware saw it; handed over to one span, once."""

    __slots__ = ("_attempt", "_identified", "_step", "_target", "taken")

    def __init__(self, target: tuple[str, str] | None = None) -> None:
        self._target = target
        self._attempt: str | None = None
        self._identified: Attributes = {}
        self._step: Step | None = None
        self.taken = False

    def tell(self, attempt: object, identity: Identity) -> None:
        """Adds what the middleware's callbacks answered. Raises what a wrong answer raises, the attempt kept."""
        if attempt is not None:
            self._attempt = runtime_value(attempt)
        if identity is not None:
            self._identified = described(**identity)

    @property
    def wants_span(self) -> bool:
        """Whether something is lost when no span takes it."""
        return not self.taken and bool(self._target or self._identified)

    def apply(self, span: Span, holder: Holder, outer: Scope | None) -> None:
        """Makes `span` this request's step, when it has one, and tells the holder who the customer is."""
        self.taken = True
        values: Attributes = dict(self._identified)
        root = holder.open_root()
        if values:
            holder.learn(values)
            if root is not None and root is not span:
                root.set_attributes(values)
        if self._target is not None:
            values.update(self._become_step(span, holder, outer, *self._target))
        elif self._attempt is not None:
            # Without a journey: the one that is opened inside takes it.
            holder.inherited = {**holder.inherited, semconv.JOURNEY_ATTEMPT: self._attempt}
            holder.version += 1
            values[semconv.JOURNEY_ATTEMPT] = holder.attempt = self._attempt
        span.set_attributes(values)

    def cancelled(self, error: BaseException) -> None:
        """The server dropped the request: the step of it was cancelled, not well."""
        if self._step is not None and is_cancellation(error):
            self._step.observe(error, ())

    def _become_step(self, span: Span, holder: Holder, outer: Scope | None, journey: str, name: str) -> Attributes:
        attempt = self._attempt or attempt_at(journey, outer, holder.inherited)
        scope = Scope(self, journey, attempt, {}, outer)
        scope.step = self._step = Step(name, span)
        scope.within = name
        hang(span, State(holder, scope))
        if span is holder.open_root():
            holder.journey, holder.attempt = journey, attempt
        else:
            holder.claim(scope)
        return {**scope.attributes, semconv.JOURNEY_STEP: name}


def take_arrival() -> Arrival | None:
    """Returns what waits for the server span that just starts, if anything does."""
    arrival = _waiting.get()
    return None if arrival is None or arrival.taken else arrival


def arrive(arrival: Arrival) -> Token[Arrival | None] | None:
    """Hands over to the span the middleware runs in; with none, lets the arrival wait until `depart`."""
    context = otel_context.get_current()
    span = trace.get_current_span(context)
    state = state_of(span)
    if state is not None and span.is_recording():
        arrival.apply(span, state.holder, innermost(context, state))
        return None
    if span.get_span_context().is_valid:
        arrival.taken = not span.is_recording()  # not sampled: nothing is lost that others keep
        return None
    return _waiting.set(arrival)


def depart(arrival: Arrival, token: Token[Arrival | None] | None) -> None:
    """Ends the wait; counts an arrival that no span took. Never raises."""
    try:
        if arrival.wants_span:
            count(Reason.NO_SERVER_SPAN)
        if token is not None:
            _waiting.reset(token)
    except ValueError:  # closed by another task: this context waits for nothing
        return
