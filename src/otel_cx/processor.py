"""The span processor: stamps every span of a journey as it starts, and makes the holder of each local root span.

It exports nothing and keeps nothing; what it knows hangs on the spans themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import SpanProcessor

from otel_cx import semconv
from otel_cx._arrival import take_arrival
from otel_cx._context import INHERITED, SCOPE, Attributes, Holder, Scope, State, hang, innermost, state_of
from otel_cx._diagnostics import Reason, count
from otel_cx.trust import members_in_process

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span

_NOTHING: Final[Attributes] = {}


class CXSpanProcessor(SpanProcessor):
    """Stamps spans; added to a tracer provider by `otel_cx.install`."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamps `span` with what is known where it starts. Never raises."""
        try:
            context = otel_context.get_current() if parent_context is None else parent_context
            above = state_of(trace.get_current_span(context))
            if above is None or not above.holder.root.is_recording():
                _start_local_root(span, context, above)
                return
            scope = context.get(SCOPE)
            if scope is None or scope is above.scope:
                hang(span, above)
                stamp(span, above.stamp())
            else:
                _start_in_scope(span, State(above.holder, innermost(context, above)))
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)


def _start_in_scope(span: Span, state: State) -> None:
    hang(span, state)
    if not _is_own_span(state.scope):
        stamp(span, state.stamp())


def _is_own_span(scope: Scope | None) -> bool:
    """Tells whether the span that starts is the scope's step itself, which begins with all that it carries."""
    return scope is not None and scope.step is not None and scope.step.span is trace.INVALID_SPAN


def _start_local_root(span: Span, context: Context, ended: State | None) -> None:
    """Makes the holder; work that goes on after its request's root `ended` keeps what was known at that time."""
    if ended is None:
        came = cast("Attributes", context.get(INHERITED, _NOTHING))
        holder = Holder(span, came or members_in_process(context))
    else:
        holder = Holder(span, ended.holder.inherited, ended.holder.identified)
    state = State(holder, innermost(context, ended))
    _start_in_scope(span, state)
    carried = state.stamp()
    holder.journey = carried.get(semconv.JOURNEY_NAME)
    holder.attempt = carried.get(semconv.JOURNEY_ATTEMPT)
    if span.kind is trace.SpanKind.SERVER:
        arrival = take_arrival()
        if arrival is not None:
            arrival.apply(span, holder, state.scope)


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
