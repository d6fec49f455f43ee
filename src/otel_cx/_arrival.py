"""What a middleware learned about a request: its step, attempt and customer, waiting for the request's own span.

A middleware inside the server instrumentation finds the span open and hands over at once. One outside (Flask's always
is) leaves the arrival in a context variable, and the span processor takes it when the server span starts. Not routing:
it dispatches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_cx import semconv
from otel_cx._context import Attributes, Holder, Scope, State, attempt_at, described, hang, innermost, state_of
from otel_cx._diagnostics import Reason, count
from otel_cx._routes import Target
from otel_cx._step import Step, is_cancellation
from otel_cx._values import runtime_value

if TYPE_CHECKING:
    from opentelemetry.trace import Span

Identity = Mapping[str, Any] | None
"""What `identify=` of a middleware returns: the keyword arguments of `otel_cx.identify`, or None."""

_waiting: ContextVar[Arrival | None] = ContextVar("otelcx-arrival", default=None)


class Arrival:
    """One request as the middleware saw it; handed over to one span, once."""

    __slots__ = ("_attempt", "_identified", "_step", "_target", "taken")

    def __init__(self, target: Target | None = None) -> None:
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
