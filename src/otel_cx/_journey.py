"""Journeys, attempts and steps: what the application writes in its code. Not thresholds: the inventory holds those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from opentelemetry import trace
from opentelemetry.context import Context

from otel_cx import semconv
from otel_cx._context import SCOPE, Scope, State, merged, state_of
from otel_cx._diagnostics import Reason, count
from otel_cx._opening import Here, Opener
from otel_cx._settings import runtime
from otel_cx._step import Step
from otel_cx._values import runtime_name, runtime_value, static_name, static_value
from otel_cx.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Journey(Opener):
    """A journey of the inventory. Make one at module level, then open attempts and steps of it.

    Raises:
        InvalidName: a name or value breaks the rule for names.
    """

    __slots__ = ("name", "static")

    def __init__(
        self,
        name: str,
        *,
        segment: str | None = None,
        plan: str | None = None,
        region: str | None = None,
        device: str | None = None,
        workflow: str | None = None,
        revenue_class: str | None = None,
    ) -> None:
        super().__init__()
        self.name = static_name("journey", name)
        values = (segment, plan, region, device, workflow, revenue_class)
        self.static: dict[str, str] = {
            attribute: static_value(attribute, value)
            for attribute, value in zip(semconv.DIMENSIONS.values(), values, strict=True)
            if value is not None
        }

    def attempt(self, id: object) -> Attempt:  # noqa: A002 - the field's word, and the wire's
        """One customer's one try: an opaque id that breaks off neither at a process nor at a trace, or None if unknown.

        As a decorator, `id` may be a function of the call's arguments: `@checkout.attempt(lambda cart: cart.id)`.
        """
        return Attempt(self, id)

    def step(self, name: str, *, rejects: tuple[type[BaseException], ...] = ()) -> StepOpener:
        """One step. An exception of a class in `rejects` is the customer's side, not our failure.

        Raises:
            InvalidName: used as a decorator with a name that breaks the rule (as a context manager it becomes `other`).
            ConfigurationError: `rejects` holds something that is no exception class.
        """
        return StepOpener(self, name, rejects)

    def open(self) -> Scope:
        """Opens the journey without an attempt of its own."""
        here = Here()
        return here.enter(Scope(self, self.name, here.attempt_at(self.name), self.static, here.outer))

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __repr__(self) -> str:
        return f"journey({self.name!r})"


class Attempt(Opener):
    """An attempt at a journey, open around code. Opens no span: it names the attempt of the spans inside."""

    __slots__ = ("_id", "_journey")

    def __init__(self, journey: Journey, id: object) -> None:  # noqa: A002 - the field's word
        super().__init__()
        self._journey = journey
        self._id = id

    def for_call(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Opener:
        """Asks the function given as `id`, if it is one, for the attempt of this call."""
        if not callable(self._id):
            return self
        try:
            return Attempt(self._journey, self._id(*arguments, **keywords))
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)
            return Attempt(self._journey, None)

    def open(self) -> Scope:
        """Opens the attempt; without an id the one the code is in already stays."""
        here = Here()
        journey = self._journey
        attempt = here.attempt_at(journey.name) if self._id is None else runtime_value(self._id)
        return here.enter(Scope(self, journey.name, attempt, journey.static, here.outer))

    def __enter__(self) -> Self:
        self._enter()
        return self


class StepOpener(Opener):
    """A step, ready to be executed: `with` it, or decorate with it."""

    __slots__ = ("_journey", "_name", "_rejects")

    def __init__(self, journey: Journey, name: str, rejects: tuple[type[BaseException], ...]) -> None:
        self._last = None
        self._journey = journey
        self._name = name
        self._rejects = rejects
        if rejects:
            _check_rejects(rejects)

    def check_static(self) -> None:
        """Raises `InvalidName` when the step's name breaks the rule."""
        static_name("step", self._name)

    def open(self) -> Scope:
        """Starts the step's span, unless a step of this name is open: then this is the same execution."""
        name = runtime_name(self._name)
        here = Here()
        journey = self._journey
        attempt = here.attempt_at(journey.name)
        scope = Scope(self, journey.name, attempt, journey.static, here.outer)
        same = None if here.outer is None else here.outer.open_step(journey.name, name, attempt)
        if same is not None:
            return here.enter(self._join(here, scope, same))
        return self._start(here, scope, name)

    def close(self, scope: Scope, error: BaseException | None) -> None:
        """Reads the outcome off `error` and ends the span; an inner opening of the same execution leaves it open."""
        step = scope.step
        if step is None:
            return
        if not scope.began_step:
            if error is None:
                step.well_inside()
            else:
                step.observe_inside(error, self._rejects)
            return
        try:
            state = state_of(step.span)
            if state is not None and state.holder.version != scope.version and state.holder.identified:
                step.span.set_attributes(state.holder.identified)
            if error is not None:
                step.observe(error, self._rejects)
        finally:
            step.span.end()

    def __enter__(self) -> Step:
        scope = self._enter()
        return Step(str(self._name)) if scope is None or scope.step is None else scope.step

    def _join(self, here: Here, scope: Scope, same: Scope) -> Scope:
        """Makes `scope` an inner opening of the execution `same`, and gives it the attempt if only now it is known."""
        scope.step, scope.within = same.step, same.within
        if same.attempt is None and scope.attempt is not None:
            same.adopt_attempt(scope.attempt)
            if same.step is not None:
                same.step.span.set_attribute(semconv.JOURNEY_ATTEMPT, scope.attempt)
            if here.state is not None:
                here.state.holder.claim(scope)
                here.state.holder.version += 1
        return scope

    def _start(self, here: Here, scope: Scope, name: str) -> Scope:
        """Starts the span that is this execution of the step, with everything it carries."""
        holder = None if here.state is None else here.state.holder
        attributes = merged(here.inherited, scope, here.identified)
        attributes[semconv.JOURNEY_STEP] = name
        if scope.within is not None:
            attributes[semconv.JOURNEY_WITHIN] = scope.within
        scope.within = name
        # The span processor puts them on the span, cheaper than start_span; only a sampler must see them before.
        scope.prepared = (None if holder is None else State(holder, scope), attributes)
        seen = None if runtime.sampler_is_blind else attributes
        context = Context({**here.context, SCOPE: scope})
        span = runtime.tracer.start_span(f"{scope.journey}/{name}", context=context, attributes=seen)
        if scope.prepared is not None:
            scope.prepared = None
            span.set_attributes(attributes)
        scope.step = Step(name, span)
        scope.began_step = True
        if holder is not None:
            scope.version = holder.version
            holder.claim(scope)
        scope.context = trace.set_span_in_context(span, context)
        return scope


def _check_rejects(rejects: object) -> None:
    if not isinstance(rejects, tuple):
        raise ConfigurationError(f"rejects is {rejects!r}. Use a tuple of exception classes: rejects=(CardDeclined,).")
    for kind in rejects:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise ConfigurationError(f"rejects holds {kind!r}, which is no exception class. Name the class itself.")


def journey(
    name: str,
    *,
    segment: str | None = None,
    plan: str | None = None,
    region: str | None = None,
    device: str | None = None,
    workflow: str | None = None,
    revenue_class: str | None = None,
) -> Journey:
    """Returns the journey `name`. The other arguments are its constants, and stand on all its spans.

    >>> import otel_cx
    >>> checkout = otel_cx.journey("checkout", revenue_class="new")
    >>> with checkout.attempt("cart-42"), checkout.step("payment") as step:
    ...     step.revenue("129.00", "EUR")

    Raises:
        InvalidName: a name or value breaks the rule for names.
    """
    return Journey(
        name, segment=segment, plan=plan, region=region, device=device, workflow=workflow, revenue_class=revenue_class
    )
