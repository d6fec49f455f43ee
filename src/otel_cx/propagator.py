"""The propagator around the process's own: baggage of ours is let in by trust and let out by destination alone.

It propagates nothing by itself; the wrapped propagators read and write the headers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import baggage, propagate, trace
from opentelemetry import context as otel_context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from otel_cx import semconv
from otel_cx._context import INHERITED, innermost, merged, state_of
from otel_cx._diagnostics import Reason, count
from otel_cx._settings import runtime
from otel_cx.trust import HEADER, believed, is_undecided, may_leave, outgoing, split_members, strip

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context


class CXPropagator(TextMapPropagator):
    """Wraps `inner`; put in place by `otel_cx.install`."""

    def __init__(self, inner: TextMapPropagator) -> None:
        self.inner = inner

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Removes `otelcx.*` members before `inner` builds the context; the believed ones go where only we look."""
        try:
            theirs, ours = split_members(getter.get(carrier, HEADER) or ())
            members = believed(ours, runtime.settings)
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)
            theirs, members = "", {}
        here = otel_context.get_current() if context is None else context
        # A composite of no propagators, as a configuration file without any makes it, hands back what it was given.
        extracted = self.inner.extract(carrier, here, _WithoutOurs(getter, theirs))
        extracted = without_ours(extracted)
        return otel_context.set_value(INHERITED, members, extracted) if members else extracted

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Lets `inner` write the headers, with our members only for a destination that is allowed."""
        here = otel_context.get_current() if context is None else context
        clean = without_ours(here)
        try:
            strip(carrier)
            members = _members_to_send(here)
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)
            members = {}
        for name, value in members.items():
            clean = baggage.set_baggage(name, value, clean)
        self.inner.inject(carrier, clean, setter)

    @property
    def fields(self) -> set[str]:
        """The header names of `inner`."""
        return self.inner.fields


def check_propagator() -> None:
    """Counts, and so logs, why the process's propagator carries no journey to the next service; at install and later.

    A distribution or the application may set another one after us, and a declarative configuration file without
    `propagator` sets one that carries nothing.
    """
    present = propagate.get_global_textmap()
    if not isinstance(present, CXPropagator):
        count(Reason.PROPAGATOR_REPLACED)
    elif HEADER not in present.fields:
        count(Reason.NO_BAGGAGE)


class _WithoutOurs(Getter[Any]):
    """The caller's getter, which shows one `baggage` line without our members."""

    def __init__(self, inner: Getter[Any], theirs: str) -> None:
        self._inner = inner
        self._theirs = theirs

    def get(self, carrier: Any, key: str) -> list[str] | None:
        if key.lower() != HEADER:
            return self._inner.get(carrier, key)
        return [self._theirs] if self._theirs else None

    def keys(self, carrier: Any) -> list[str]:
        return self._inner.keys(carrier)


def without_ours(context: Context) -> Context:
    """Returns `context` without `otelcx.*` in its baggage, whoever put them there."""
    for name in [name for name in baggage.get_all(context) if name.startswith(semconv.PREFIX)]:
        context = baggage.remove_baggage(name, context)
    return context


def _members_to_send(context: Context) -> Mapping[str, str]:
    span = trace.get_current_span(context)
    state = state_of(span)
    scope = innermost(context, state)
    if state is None and scope is None:
        return {}
    inherited, identified = ({}, {}) if state is None else state.holder.known()
    attributes = merged(inherited, scope, identified)
    if not attributes:
        return {}
    if not may_leave(span, runtime.settings):
        # Not sampled, nobody would record what the call brings.
        if span.is_recording() and not is_undecided(span):
            count(Reason.EGRESS_DENIED)
        return {}
    return outgoing(attributes, runtime.settings)
