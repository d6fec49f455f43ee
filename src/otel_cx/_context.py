"""Where the running code stands: the scopes it has opened and the holder of its local root span. Opens no span itself.

A *scope* travels in the OpenTelemetry context: what is open around the code, a journey, perhaps an attempt, perhaps a
step. A *holder* belongs to one local root span (the first span of this process in a trace, usually the server span)
and hangs on span objects, never in a context, so `identify` in a thread or child task reaches the request it is in,
and only that one. It is dropped when its root ends.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_cx import semconv
from otel_cx._diagnostics import Reason, count
from otel_cx._settings import runtime
from otel_cx._values import runtime_value
from otel_cx.trust import members_in_process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext

    from otel_cx._step import Step

Attributes = dict[str, Any]

SCOPE: Final = otel_context.create_key("otelcx-scope")
INHERITED: Final = otel_context.create_key("otelcx-inherited")
"""Context key of the members that came as trusted baggage, name -> value."""

_STATE: Final = "_otelcx_state"
_NOTHING: Final[Attributes] = {}
_OF_THE_ATTEMPT: Final = (semconv.JOURNEY_NAME, semconv.JOURNEY_ATTEMPT)


class Holder:
    """What is known of the customer in one local root span, while it is open.

    `inherited` came with the call, `identified` was found out here; both are replaced, never changed in place, and
    `version` grows with each change. `journey` and `attempt` are what the root carries.
    """

    __slots__ = ("_learning", "_root", "attempt", "claimed", "identified", "inherited", "journey", "version")

    def __init__(self, root: Span, inherited: Attributes) -> None:
        self._root = weakref.ref(root)  # the root's own state leads here: no circle for the garbage collector
        self._learning = threading.Lock()
        self.inherited = inherited
        self.identified: Attributes = _NOTHING
        self.version = 1
        self.journey: str | None = None
        self.attempt: str | None = None
        self.claimed = False
        """A step was opened in here, or is the root: a rule in the settings comes too late."""

    def open_root(self) -> Span | None:
        """Returns the root span, or None once it has ended."""
        root = self._root()
        return root if root is not None and root.is_recording() else None

    def known(self) -> tuple[Attributes, Attributes]:
        """Returns (inherited, identified). Once the root has ended only journey and attempt are left.

        Work that goes on after its request, in a background task, still belongs to the attempt; but a context kept
        alive by accident, in a loop that a request happened to start, must not name that request's customer for ever.
        """
        if self.open_root() is not None:
            return self.inherited, self.identified
        return {name: value for name, value in self.inherited.items() if name in _OF_THE_ATTEMPT}, _NOTHING

    def claim(self, scope: Scope) -> None:
        """Writes journey and attempt on the root, so that no match rule takes it for a step. The first stays."""
        self.claimed = True
        if self.journey is not None and (self.journey != scope.journey or self.attempt or not scope.attempt):
            return
        root = self.open_root()
        if root is None:
            return
        if self.journey is None:
            self.journey, self.attempt = scope.journey, scope.attempt
            root.set_attributes({n: v for n, v in scope.attributes.items() if n not in self.identified})
        else:
            self.attempt = scope.attempt
            root.set_attribute(semconv.JOURNEY_ATTEMPT, scope.attempt)

    def learn(self, values: Attributes) -> None:
        """Adds what `identify` found out; another customer begins with nothing of the one before."""
        with self._learning:
            before = self.identified
            another = _differ(before, values)
            self.identified = dict(values) if another else {**before, **values}
            self.version += 1


class Scope:
    """One journey, attempt or step that is open. `within` is the step that spans below it serve."""

    __slots__ = (
        "attempt", "attributes", "began_step", "context", "depth", "journey", "outer", "owner", "prepared", "restore",
        "state", "step", "version", "within",
    )  # fmt: skip

    def __init__(
        self, owner: object, journey: str, attempt: str | None, static: Mapping[str, str], outer: Scope | None
    ) -> None:
        self.owner = owner
        self.journey = journey
        self.attempt = attempt
        self.attributes: Attributes = {semconv.JOURNEY_NAME: journey, **static}
        if attempt is not None:
            self.attributes[semconv.JOURNEY_ATTEMPT] = attempt
        self.outer = outer
        self.depth: int = 1 if outer is None else outer.depth + 1
        self.within: str | None = outer.within if outer is not None and outer.journey == journey else None
        self.step: Step | None = None
        self.began_step = False
        self.prepared: tuple[State | None, Attributes] | None = None
        self.version = 0
        self.state: State | None = None
        self.context: Context | None = None
        self.restore: Token[Context] | None = None

    def adopt_attempt(self, attempt: str) -> None:
        """Names the attempt of a scope that was opened before it was known."""
        self.attempt = attempt
        self.attributes = {**self.attributes, semconv.JOURNEY_ATTEMPT: attempt}

    def open_step(self, journey: str, name: str, attempt: str | None) -> Scope | None:
        """Returns the scope of an open step of this name around the code that is the same execution, if any."""
        scope: Scope | None = self
        while scope is not None:
            step = scope.step
            if (
                step is not None
                and step.name == name
                and scope.journey == journey
                and (attempt is None or scope.attempt is None or scope.attempt == attempt)
                and step.is_open
            ):
                return scope
            scope = scope.outer
        return None


class State:
    """What hangs on a span of ours: its holder, the scope it was started in, and the attributes for spans below it."""

    __slots__ = ("_stamp", "_version", "holder", "scope")

    def __init__(self, holder: Holder, scope: Scope | None) -> None:
        self.holder = holder
        self.scope = scope
        self._version = 0
        self._stamp: Attributes = _NOTHING

    def stamp(self) -> Attributes:
        """Returns what a span that starts here carries; computed once for each version of the holder."""
        holder = self.holder
        if self._version != holder.version:
            self._version = holder.version
            stamp = merged(holder.inherited, self.scope, holder.identified)
            if self.scope is not None and self.scope.within is not None:
                stamp[semconv.JOURNEY_WITHIN] = self.scope.within
            self._stamp = stamp
        return self._stamp


def merged(inherited: Attributes, scope: Scope | None, identified: Attributes) -> Attributes:
    """Returns the context attributes of a span: what came with the call, then the journey's, then the customer's."""
    if not inherited and scope is not None:
        return {**scope.attributes, **identified}
    values = dict(inherited)
    if _differ(inherited, identified):
        values = {name: inherited[name] for name in _OF_THE_ATTEMPT if name in inherited}
    if scope is not None:
        values.pop(semconv.JOURNEY_NAME, None)
        values.pop(semconv.JOURNEY_ATTEMPT, None)  # it was an attempt at the journey it came with
        values.update(scope.attributes)
    values.update(identified)
    return values


def _differ(before: Attributes, now: Attributes) -> bool:
    one, other = before.get(semconv.CUSTOMER_ID), now.get(semconv.CUSTOMER_ID)
    return one is not None and other is not None and one != other


def came_with(context: Context) -> Attributes:
    """Returns the members that came with the call and are believed: the propagator's, else the application's own."""
    return cast("Attributes | None", context.get(INHERITED)) or members_in_process(context)


def state_of(span: object) -> State | None:
    """Returns what the span processor hung on `span`; None for remote, unsampled and foreign spans.

    Of a dropped span below a local root that is recorded for its steps' sake, what hangs on that root.
    """
    state: State | None = getattr(span, _STATE, None)
    return _state_above(cast("Span", span)) if state is None and _roots else state


_roots: Final[dict[int, list[weakref.ref[Span]]]] = {}
"""Local roots that are recorded and not sampled, while they are open, by trace id: what starts below them may be
dropped, and then nothing hangs on the span that is current."""
_rooting: Final = threading.Lock()


def remember_root(root: Span) -> None:
    """Notes a local root that starts, if it is recorded only."""
    context = root.get_span_context()
    if not context.trace_flags.sampled:
        with _rooting:
            _roots.setdefault(context.trace_id, []).append(weakref.ref(root))


def forget_root(context: SpanContext | None) -> None:
    """A span ended: if it was such a root, it is one no more."""
    if not _roots or context is None:
        return
    with _rooting:
        left = [root for root in _roots.pop(context.trace_id, ()) if _is_other(root(), context)]
        if left:
            _roots[context.trace_id] = left


def _is_other(root: Span | None, ended: SpanContext) -> bool:
    return root is not None and root.get_span_context().span_id != ended.span_id


def _state_above(span: Span) -> State | None:
    """Returns the state of the one root that a dropped span of this process can be below; of several, of none."""
    context = span.get_span_context()
    roots = _roots.get(context.trace_id, ())
    if len(roots) != 1 or context.is_remote or span.is_recording():
        return None
    return getattr(roots[0](), _STATE, None)


def is_in_journey(context: Context) -> bool:
    """Tells whether a call that is made in `context` could take something of ours along."""
    state = state_of(trace.get_current_span(context))
    return context.get(SCOPE) is not None or (state is not None and bool(state.stamp()))


def hang(span: object, state: State) -> None:
    """Hangs `state` on `span`, where everything started below it finds it, in any thread or task."""
    setattr(span, _STATE, state)


def innermost(context: Context, state: State | None) -> Scope | None:
    """Returns the scope the code is in: of the context's and the current span's, the one opened inside the other."""
    scope: Any = context.get(SCOPE)
    if state is None or state.scope is None or state.scope is scope:
        return scope if scope is not None or state is None else state.scope
    return scope if scope is not None and scope.depth > state.scope.depth else state.scope


def is_somewhere(context: Context) -> bool:
    """Tells whether `context` is that of code in a span or in something of ours."""
    return context.get(SCOPE) is not None or trace.get_current_span(context) is not trace.INVALID_SPAN


def attempt_at(journey: str, outer: Scope | None, inherited: Attributes) -> str | None:
    """Returns the attempt at `journey` the code is in: the nearest scope's, else the one that came with the call."""
    while outer is not None:
        if outer.journey == journey:
            return outer.attempt
        outer = outer.outer
    return inherited.get(semconv.JOURNEY_ATTEMPT) if inherited.get(semconv.JOURNEY_NAME, journey) == journey else None


def leave(token: Token[Context]) -> None:
    """Restores the context of before `attach`; in silence when another task or thread attached it.

    A generator closed by the garbage collector, or by another task, leaves in a context it never entered. There is
    nothing to restore there, and `opentelemetry.context.detach` would log an error for it.
    """
    try:
        token.var.reset(token)
    except (ValueError, RuntimeError):
        return
    except AttributeError:  # a runtime context of another kind, chosen by OTEL_PYTHON_CONTEXT
        otel_context.detach(token)


def attach(scope: Scope) -> None:
    """Makes the scope's context current until `detach(scope)`."""
    if scope.context is not None:
        scope.restore = otel_context.attach(scope.context)


def detach(scope: Scope) -> None:
    """Restores the context of before `attach(scope)`."""
    if scope.restore is not None:
        token, scope.restore = scope.restore, None
        leave(token)


def identify(
    *,
    customer: object = None,
    account: object = None,
    segment: object = None,
    plan: object = None,
    region: object = None,
    device: object = None,
    workflow: object = None,
    revenue_class: object = None,
) -> None:
    """Says who the customer of the running request is. Reaches its server span and everything after; never raises.

    `customer` and `account` are raw ids; only their pseudonyms leave this function. The others are values of the
    inventory's dimensions. What is None stays as it was, but another customer begins with nothing of the one before.
    Outside a recorded local root span this does nothing and counts `no_holder`.
    """
    try:
        span = trace.get_current_span()
        state = state_of(span)
        root = None if state is None else state.holder.open_root()
        if state is None or root is None:
            count(Reason.NO_HOLDER)
            return
        values = described(customer, account, segment, plan, region, device, workflow, revenue_class)
        state.holder.learn(values)
        root.set_attributes(values)
        if span is not root and span.is_recording():
            span.set_attributes(values)  # a step that is open takes them when it closes
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)


def described(
    customer: object = None,
    account: object = None,
    segment: object = None,
    plan: object = None,
    region: object = None,
    device: object = None,
    workflow: object = None,
    revenue_class: object = None,
) -> Attributes:
    """Returns the attributes of a customer: pseudonyms for ids, checked values for the dimensions."""
    values: Attributes = {}
    for attribute, raw in ((semconv.CUSTOMER_ID, customer), (semconv.ACCOUNT_ID, account)):
        if raw is None:
            continue
        if runtime.settings.keys is None:
            count(Reason.NO_KEY)
        else:
            values[attribute] = runtime.settings.keys.pseudonym(str(raw))
    dimensions = (segment, plan, region, device, workflow, revenue_class)
    for attribute, value in zip(semconv.DIMENSIONS.values(), dimensions, strict=True):
        if value is not None:
            values[attribute] = runtime_value(value)
    return values
