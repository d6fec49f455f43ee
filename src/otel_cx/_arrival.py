"""What a middleware learned about a request: its step, attempt and customer, waiting for the request's own span.

A middleware inside the server instrumentation finds the span open and hands over at once. One outside (Flask's always
is) leaves the arrival in a context variable, and the span processor takes it when the server span starts. Not routing:
it dispatches nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from otel_cx import semconv
from otel_cx._context import (
    Attributes,
    Holder,
    Scope,
    State,
    attempt_at,
    described,
    hang,
    innermost,
    remember_root,
    state_of,
)
from otel_cx._diagnostics import Reason, count
from otel_cx._routes import Target
from otel_cx._step import OwnStep, error_type, is_cancellation
from otel_cx._values import runtime_value

if TYPE_CHECKING:
    from opentelemetry.trace import Span

Identity = Mapping[str, Any] | None
"""What `identify=` of a middleware returns: the keyword arguments of `otel_cx.identify`, or None."""

ENTRANCES: Final = (SpanKind.SERVER, SpanKind.CONSUMER)
"""The kinds of span that take one."""

_TAKEN: Final = "_otelcx_taken"
"""On the span of a message or task that has its arrival; the next one's, run in place inside it, is another's."""

_waiting: ContextVar[Arrival | None] = ContextVar("otelcx-arrival", default=None)


class Arrival:
    """One request as the middleware saw it; handed over to one span, once."""

    __slots__ = ("_attempt", "_came_with", "_identified", "_step", "_target", "by_rule", "is_message", "taken")

    def __init__(self, target: Target | None = None, *, is_message: bool = False) -> None:
        self._target = target
        self.is_message = is_message
        """It is a message's or a task's: only the consumer span of that one is its span, whatever else is open."""
        self.by_rule = False
        """The target is the word of a rule in the settings, which comes after the middleware's."""
        self._attempt: str | None = None
        self._identified: Attributes = {}
        self._came_with: Callable[[], Attributes] | None = None
        self._step: OwnStep | None = None
        self.taken = False

    def tell(self, attempt: object, identity: Identity) -> None:
        """Adds what the middleware's callbacks answered. Raises what a wrong answer raises, the attempt kept."""
        if attempt is not None:
            self._attempt = runtime_value(attempt)
        if identity is not None:
            self._identified = described(**identity)

    def inherit(self, came_with: Callable[[], Attributes]) -> None:
        """Asks `came_with` for the believed members of the message, should its span only link to the sender's."""
        self._came_with = came_with

    @property
    def has_target(self) -> bool:
        """Whether the middleware knows the step."""
        return self._target is not None

    def propose(self, target: Target) -> None:
        """Takes the target that a rule in the settings names, where the middleware has no word."""
        if self._target is None:
            self._target, self.by_rule = target, True

    @property
    def wants_span(self) -> bool:
        """Whether something is lost when no span takes it."""
        return not self.taken and bool(self._target or self._identified)

    def apply(self, span: Span, holder: Holder, outer: Scope | None) -> None:
        """Makes `span` this request's step, when it has one, and tells the holder who the customer is."""
        self.taken = True
        outer = self._before_rule(span, outer)
        if self.is_message:
            setattr(span, _TAKEN, True)
            holder = self._holder_of_message(span, holder, outer)
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

    def left_by(self, error: BaseException, rejects: tuple[type[BaseException], ...] = ()) -> None:
        """Reads the outcome off the exception that left the handler, where the application said nothing. Never raises.

        The exception itself is recorded by the instrumentation whose span it is.
        """
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return
        if isinstance(error, rejects):
            self.ended("rejected", error_type(error))
        elif isinstance(error, GeneratorExit) or is_cancellation(error):
            self.ended("cancelled", error_type(error))
        else:
            self.ended("failed", error_type(error))

    def may_recover(self) -> None:
        """What went wrong is tried again: a failure is recoverable. Never raises."""
        if self._step is not None and self._step.is_failed:
            self._step.recoverable()

    def ended(self, outcome: str, reason: str) -> None:
        """Says how the step ended, where the application said nothing. Never raises."""
        if self._step is not None:
            self._step.settle(outcome, reason)

    def _holder_of_message(self, span: Span, holder: Holder, outer: Scope | None) -> Holder:
        """Returns the holder for the work on the message, with what came with it.

        The span of a message may have been started below one that is over (Kafka's `recv`), whose holder went with it.
        """
        if holder.open_root() is None:
            holder = Holder(span, holder.known()[0])
            hang(span, State(holder, outer))
            remember_root(span)
        parent = getattr(span, "parent", None)
        if self._came_with is not None and not holder.inherited and not (parent is not None and parent.is_remote):
            members = self._came_with()
            if members:
                holder.inherited = members
                holder.version += 1
                span.set_attributes(members)
        return holder

    def _before_rule(self, span: Span, outer: Scope | None) -> Scope | None:
        """Returns the scope outside of the step that a rule made of `span` as it started, if one did.

        The middleware that comes now, inside, says another step, or only whose attempt it is.
        """
        if outer is None or outer.step is None or outer.step.span is not span:
            return outer
        if not (isinstance(outer.owner, Arrival) and outer.owner.by_rule):
            return outer
        if self._target is None and self._attempt is not None:
            self._target, self.by_rule = (outer.journey, outer.step.name), True
        return outer.outer if self._target is not None else outer

    def _become_step(self, span: Span, holder: Holder, outer: Scope | None, journey: str, name: str) -> Attributes:
        attempt = self._attempt or attempt_at(journey, outer, holder.inherited)
        scope = Scope(self, journey, attempt, {}, outer)
        scope.step = self._step = OwnStep(name, span)
        scope.within = name
        hang(span, State(holder, scope))
        if span is holder.open_root():
            holder.journey, holder.attempt, holder.claimed = journey, attempt, True
        else:
            holder.claim(scope)
        return {**scope.attributes, semconv.JOURNEY_STEP: name}


def take_arrival(kind: SpanKind) -> Arrival | None:
    """Returns what waits for the server or consumer span that just starts, if anything does."""
    arrival = _waiting.get()
    if arrival is None or arrival.taken or (arrival.is_message and kind is not SpanKind.CONSUMER):
        return None
    return arrival


def take_message() -> Arrival | None:
    """Returns what waits for the consumer span that starts below others, as that of a task run in place does."""
    arrival = _waiting.get()
    return None if arrival is None or arrival.taken or not arrival.is_message else arrival


def answer(ask: Callable[..., Any] | None, thing: object) -> Any:
    """Returns what a callback says of a request, message or task; None, counted, when it raises."""
    try:
        return None if ask is None else ask(thing)
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)
        return None


async def awaited_answer(ask: Callable[..., Any] | None, thing: object) -> Any:
    """Returns the same of a callback that may be asynchronous."""
    try:
        found = answer(ask, thing)
        return await found if inspect.isawaitable(found) else found
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)
        return None


def arrive(arrival: Arrival) -> Token[Arrival | None] | None:
    """Hands over to the span that is open; with none, lets the arrival wait until `depart`. Never raises."""
    try:
        return _handed_over(arrival)
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)
        return None


def _handed_over(arrival: Arrival) -> Token[Arrival | None] | None:
    context = otel_context.get_current()
    span = trace.get_current_span(context)
    state = state_of(span)
    if arrival.is_message and span.is_recording() and not is_free_consumer(span):
        return _waiting.set(arrival)  # the span of who sends it, or of the message before
    if state is not None and span.is_recording():
        arrival.apply(span, state.holder, innermost(context, state))
        return None
    if span.get_span_context().is_valid:
        arrival.taken = not span.is_recording()  # not sampled: nothing is lost that others keep
        return None
    return _waiting.set(arrival)


def is_free_consumer(span: Span) -> bool:
    """Tells whether `span` is a message's or task's that nobody made ours yet."""
    return getattr(span, "kind", None) is SpanKind.CONSUMER and not getattr(span, _TAKEN, False)


def depart(arrival: Arrival, token: Token[Arrival | None] | None) -> None:
    """Ends the wait; counts an arrival that no span took. Never raises."""
    try:
        if arrival.wants_span:
            count(Reason.NO_SERVER_SPAN)
        if token is not None:
            _waiting.reset(token)
    except ValueError:  # closed by another task: this context waits for nothing
        return
