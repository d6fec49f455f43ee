"""The span processor: stamps every span of a journey as it starts, and makes the holder of each local root span.

It exports nothing and keeps nothing; what it knows hangs on the spans themselves.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import SpanProcessor

from otel_cx import semconv
from otel_cx._arrival import ENTRANCES, Arrival, take_arrival, take_message
from otel_cx._context import (
    SCOPE,
    Attributes,
    Holder,
    Scope,
    State,
    came_with,
    forget_root,
    hang,
    innermost,
    remember_root,
    state_of,
)
from otel_cx._diagnostics import Reason, count
from otel_cx._routes import Target
from otel_cx._span_routes import SpanRoutes
from otel_cx.propagator import check_propagator

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

_NOTHING: Final[Attributes] = {}


class CXSpanProcessor(SpanProcessor):
    """Stamps spans; added to a tracer provider by `otel_cx.install`."""

    def __init__(self) -> None:
        self.routes: SpanRoutes | None = None
        """The settings' routes for this provider's service; None when there are none."""
        self._saw_propagator = False

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamps `span` with what is known where it starts. Never raises."""
        try:
            context = otel_context.get_current() if parent_context is None else parent_context
            scope = cast("Scope | None", context.get(SCOPE))
            if scope is not None and scope.prepared is not None:
                _start_step(span, context, scope)
                return
            above = state_of(trace.get_current_span(context))
            if above is None or above.holder.open_root() is None:
                self._start_local_root(span, context, above)
                return
            if scope is not None and scope is not above.scope:
                above = _state_in(scope, context, above)
            hang(span, above)
            stamp(span, above.stamp())
            if span.kind in ENTRANCES:
                arrival = take_message() if span.kind is trace.SpanKind.CONSUMER else None
                _take(span, above, arrival, self.routes)
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)

    def on_end(self, span: ReadableSpan) -> None:
        """Forgets a local root that is recorded only. Never raises."""
        try:
            forget_root(span.context)
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)

    def _start_local_root(self, span: Span, context: Context, ended: State | None) -> None:
        holder = _new_holder(span, context, ended)
        state = State(holder, innermost(context, ended))
        hang(span, state)
        remember_root(span)
        carried = state.stamp()
        holder.journey = carried.get(semconv.JOURNEY_NAME)
        holder.attempt = carried.get(semconv.JOURNEY_ATTEMPT)
        stamp(span, carried)
        if span.kind in ENTRANCES:
            if not self._saw_propagator:
                self._saw_propagator = True
                check_propagator()
            _take(span, state, take_arrival(span.kind), self.routes)


def _take(span: Span, state: State, arrival: Arrival | None, routes: SpanRoutes | None) -> None:
    """Makes a server or consumer span the step that the middleware, else a rule of the settings, says it is."""
    if routes is not None and (arrival is None or not arrival.has_target):
        target = routes.find(span)
        if target is not None and not _is_open(target, state):
            arrival = Arrival() if arrival is None else arrival
            arrival.propose(target)
        elif target is None and routes.may_follow(span):
            routes.watch(span, partial(_take_late, routes))
    if arrival is not None:
        arrival.apply(span, state.holder, state.scope)


def _take_late(routes: SpanRoutes, span: Span) -> bool:
    """Does the same when `span` was told more of its request; answers whether that is the last word."""
    state = state_of(span)
    if state is None or state.holder.claimed:
        return True
    target = routes.find(span)
    if target is None:
        return not routes.may_follow(span)
    if not _is_open(target, state):
        arrival = Arrival()
        arrival.propose(target)
        arrival.apply(span, state.holder, state.scope)
    return True


def _is_open(target: Target, state: State) -> bool:
    """Tells whether the code around has this step open: then it is the same execution."""
    return state.scope is not None and state.scope.open_step(*target, None) is not None


def _state_in(scope: Scope, context: Context, above: State) -> State:
    """Returns the state of spans directly in `scope`; the second such span finds it made, stamp and all."""
    state = scope.state
    if state is None or state.holder is not above.holder:
        state = State(above.holder, innermost(context, above))
        if state.scope is scope:
            scope.state = state
    return state


def _start_step(span: Span, context: Context, scope: Scope) -> None:
    """Gives a step's own span what the step prepared for it."""
    state, attributes = cast("tuple[State | None, Attributes]", scope.prepared)
    if state is None or state.holder.open_root() is None:
        state = State(_new_holder(span, context, state), scope)
        state.holder.journey, state.holder.attempt = scope.journey, scope.attempt
        remember_root(span)
    hang(span, state)
    stamp(span, attributes)
    scope.prepared = None  # last: what is left here, the step writes itself


def _new_holder(root: Span, context: Context, ended: State | None) -> Holder:
    """Makes the holder of a local root; `ended` is the state of a root that is over, whose work goes on."""
    return Holder(root, came_with(context) if ended is None else ended.holder.known()[0])


def stamp(span: Span, values: Attributes) -> None:
    """Puts `values` on a span that is just starting; what the span was started with stays.

    `set_attributes` checks and copies each value under two locks, 3.5 µs for six. These values are checked already and
    nobody else has the span yet, so they go straight where `set_attributes` would put them, when the SDK's attributes
    are of the known shape and have room; otherwise by `set_attributes`.
    """
    if not values:
        return
    bounded = getattr(span, "_attributes", None)
    if type(bounded) is BoundedAttributes and bounded.max_value_len is None:
        own = getattr(bounded, "_dict", None)
        if type(own) is dict and (bounded.maxlen is None or len(own) + len(values) <= bounded.maxlen):
            if own:
                for name, value in values.items():
                    own.setdefault(name, value)
            else:
                own.update(values)
            return
    present = span.attributes or _NOTHING
    span.set_attributes({name: value for name, value in values.items() if name not in present})
