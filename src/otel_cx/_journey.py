"""Journeys, attempts and steps: what the application writes in its code. Not thresholds: the inventory holds those."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, StatusCode

from otel_cx import _decorators, semconv
from otel_cx._context import (
    INHERITED,
    SCOPE,
    Attributes,
    Scope,
    attach,
    attempt_at,
    detach,
    innermost,
    merged,
    state_of,
)
from otel_cx._diagnostics import Reason, count
from otel_cx._settings import runtime
from otel_cx._values import runtime_name, runtime_value, static_name, static_value
from otel_cx.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from otel_cx._context import State

F = TypeVar("F", bound="Callable[..., Any]")

_NOTHING: Final[Attributes] = {}
_CANCELLED: Final = ("CancelledError", "CancelledException", "AbortError")
_TRIO_CANCELLED: Final = "Cancelled"


class Step:
    """One execution of a step, as the application sees it. Its methods never raise into the application.

    The outcome set last wins. Set none and the span's status and the HTTP or gRPC code decide.
    """

    __slots__ = ("_outcome", "name", "span")

    def __init__(self, name: str, span: Span | None = None) -> None:
        self.name = name
        self.span: Span = INVALID_SPAN if span is None else span
        """The OpenTelemetry span of this execution, for attributes of your own."""
        self._outcome: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the execution is still running and recorded."""
        return self.span.is_recording()

    def ok(self) -> None:
        """It went well, whatever an exception or a status code says."""
        self._conclude("ok", None)

    def reject(self, reason: str = "rejected") -> None:
        """The customer's side said no (a declined card, a bad form): not our failure. `reason` becomes `error.type`."""
        self._conclude("rejected", reason)

    def fail(self, reason: str = "failed", *, recoverable: bool | None = None) -> None:
        """It failed on our side. `reason` becomes `error.type`; `recoverable`: trying again may help."""
        self._conclude("failed", reason)
        if recoverable is not None:
            self.recoverable(recoverable)

    def cancel(self, reason: str = "cancelled") -> None:
        """The customer gave up, or the caller went away. `reason` becomes `error.type`."""
        self._conclude("cancelled", reason)

    def recoverable(self, retryable: bool = True) -> None:
        """Says whether the failure may go away when tried again (a timeout, a 503)."""
        self._write({semconv.STEP_RECOVERABLE: bool(retryable)})

    def revenue(self, amount: Decimal | float | str, currency: str) -> None:
        """Records the money this step carries, in an ISO 4217 currency. A float is sent as a double, others exactly."""
        try:
            number = Decimal(str(amount))
            unit = str(currency).upper()
            if not number.is_finite() or abs(number.adjusted()) > _MAX_DIGITS or not _is_currency(unit):
                count(Reason.INVALID_REVENUE)
                return
            value = amount if isinstance(amount, float) else format(number, "f")
            self._write({semconv.REVENUE_AMOUNT: value, semconv.REVENUE_CURRENCY: unit})
        except InvalidOperation:
            count(Reason.INVALID_REVENUE)
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)

    def observe(self, error: BaseException, rejects: tuple[type[BaseException], ...]) -> None:
        """Reads the outcome off an exception that leaves the step; an outcome already set stays."""
        if self._outcome not in {None, "failed"}:
            return
        if isinstance(error, rejects):
            self._conclude("rejected", _error_type(error))
        elif is_cancellation(error):
            self._conclude("cancelled", _error_type(error))
        elif isinstance(error, Exception):
            self.span.record_exception(error)
            self.span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {error}")
            if self._outcome is None:
                self._write({semconv.ERROR_TYPE: _error_type(error)})

    def observe_inside(self, error: BaseException, rejects: tuple[type[BaseException], ...]) -> None:
        """Reads a rejection off an exception that leaves an inner opening of this same execution."""
        if self._outcome is None and isinstance(error, rejects):
            self._conclude("rejected", _error_type(error))

    def _conclude(self, outcome: str, reason: str | None) -> None:
        self._outcome = outcome
        values: Attributes = {semconv.STEP_OUTCOME: outcome}
        if reason is not None:
            values[semconv.ERROR_TYPE] = runtime_value(reason)
        self._write(values)
        if outcome == "failed" and self.is_open:
            self.span.set_status(StatusCode.ERROR, values[semconv.ERROR_TYPE])

    def _write(self, values: Attributes) -> None:
        try:
            if self.span.is_recording():
                self.span.set_attributes(values)
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)


_MAX_DIGITS: Final = 15
"""A larger amount is a mistake, and would not survive the sums of the collector."""
_CURRENCY_LETTERS: Final = 3


def _is_currency(unit: str) -> bool:
    return len(unit) == _CURRENCY_LETTERS and unit.isascii() and unit.isalpha()


def _error_type(error: BaseException) -> str:
    return type(error).__qualname__.rpartition("<locals>.")[2]


def is_cancellation(error: BaseException) -> bool:
    """Tells whether an exception means that the caller went away, by the names of the wire vocabulary and trio's."""
    return any(kind.__name__.endswith(_CANCELLED) or kind.__name__ == _TRIO_CANCELLED for kind in type(error).__mro__)


class Opener:
    """Something that can be open around code: as a context manager or a decorator, many times, also at once."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: Scope | None = None

    def open(self) -> Scope:
        """Makes the scope, with the context to attach."""
        raise NotImplementedError

    def close(self, scope: Scope, error: BaseException | None) -> None:
        """Ends what `open` began; `error` is the exception that leaves, if one does."""

    def check_static(self) -> None:
        """Raises `InvalidName` when a name that stands in the code breaks the rule; called at decoration."""

    def for_call(self, _arguments: tuple[Any, ...], _keywords: Mapping[str, Any]) -> Opener:
        """Returns what to open around one call of a decorated function, given its arguments."""
        return self

    def begin(self, *, current: bool = True) -> Scope | None:
        """Opens a scope and makes its context current; None, counted, when that fails."""
        try:
            scope = self.open()
            if current:
                attach(scope)
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)
            return None
        return scope

    def finish(self, scope: Scope | None, error: BaseException | None) -> None:
        """Leaves the scope's context and closes it."""
        if scope is None:
            return
        try:
            detach(scope)
            self.close(scope, error)
        except Exception as failure:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, failure)

    def __call__(self, function: F) -> F:
        """Decorates a function, coroutine function, generator, async generator or method."""
        self.check_static()
        return cast("F", _decorators.wrap(function, self))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.finish(self._entered(), error)

    def _enter(self) -> Scope | None:
        self._last = scope = self.begin()
        return scope

    def _entered(self) -> Scope | None:
        # The object may be entered by many tasks at once; the context tells which entry this exit belongs to.
        scope: Any = otel_context.get_current().get(SCOPE)
        while scope is not None:
            if scope.owner is self and scope.restore is not None:
                return cast("Scope", scope)
            scope = scope.outer
        return self._last if self._last is not None and self._last.restore is not None else None


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
        here = _Here.now()
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
        here = _Here.now()
        journey = self._journey
        attempt = here.attempt_at(journey.name) if self._id is None else runtime_value(self._id)
        return here.enter(Scope(self, journey.name, attempt, journey.static, here.outer))

    def __enter__(self) -> Self:
        self._enter()
        return self


class StepOpener(Opener):
    """A step, ready to be executed: `with` it, or decorate with it."""

    __slots__ = ("_journey", "_name", "_rejects", "_valid")

    def __init__(self, journey: Journey, name: str, rejects: tuple[type[BaseException], ...]) -> None:
        super().__init__()
        self._journey = journey
        self._name = name
        self._valid = isinstance(name, str) and semconv.NAME.fullmatch(name) is not None
        self._rejects = rejects
        if rejects:
            _check_rejects(rejects)

    def check_static(self) -> None:
        """Raises `InvalidName` when the step's name breaks the rule."""
        static_name("step", self._name)

    def open(self) -> Scope:
        """Starts the step's span, unless a step of this name is open: then this is the same execution."""
        name = self._name if self._valid else runtime_name(self._name)
        here = _Here.now()
        journey = self._journey
        attempt = here.attempt_at(journey.name)
        scope = Scope(self, journey.name, attempt, journey.static, here.outer)
        same = None if here.outer is None else here.outer.open_step(journey.name, name, attempt)
        if same is not None:
            return here.enter(here.join(scope, same))
        return here.start(scope, name)

    def close(self, scope: Scope, error: BaseException | None) -> None:
        """Reads the outcome off `error` and ends the span; an inner opening of the same execution leaves it open."""
        step = scope.step
        if step is None:
            return
        if scope.context is None or trace.get_current_span(scope.context) is not step.span:
            if error is not None:
                step.observe_inside(error, self._rejects)
            return
        state = state_of(step.span)
        if state is not None and state.holder.identified is not scope.known:
            step.span.set_attributes(state.holder.identified)
        if error is not None:
            step.observe(error, self._rejects)
        step.span.end()

    def __enter__(self) -> Step:
        scope = self._enter()
        return Step(str(self._name)) if scope is None or scope.step is None else scope.step


def _check_rejects(rejects: object) -> None:
    if not isinstance(rejects, tuple):
        raise ConfigurationError(f"rejects is {rejects!r}. Use a tuple of exception classes: rejects=(CardDeclined,).")
    for kind in rejects:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise ConfigurationError(f"rejects holds {kind!r}, which is no exception class. Name the class itself.")


class _Here:
    """Where the code stands when something is opened."""

    __slots__ = ("context", "inherited", "outer", "state")

    def __init__(self, context: Context, state: State | None) -> None:
        self.context = context
        self.state = state
        self.outer = innermost(context, state)
        self.inherited: Attributes = (
            state.holder.inherited if state is not None else cast("Attributes", context.get(INHERITED, _NOTHING))
        )

    @classmethod
    def now(cls) -> _Here:
        context = otel_context.get_current()
        return cls(context, state_of(trace.get_current_span(context)))

    def attempt_at(self, journey: str) -> str | None:
        return attempt_at(journey, self.outer, self.inherited)

    def enter(self, scope: Scope) -> Scope:
        scope.context = otel_context.set_value(SCOPE, scope, self.context)
        return scope

    def join(self, scope: Scope, same: Scope) -> Scope:
        """Makes `scope` an inner opening of the execution `same`, and gives it the attempt if only now it is known."""
        scope.step, scope.within = same.step, same.within
        if same.attempt is None and scope.attempt is not None:
            same.adopt_attempt(scope.attempt)
            if same.step is not None:
                same.step.span.set_attribute(semconv.JOURNEY_ATTEMPT, scope.attempt)
            if self.state is not None:
                self.state.holder.claim(scope)
        return scope

    def start(self, scope: Scope, name: str) -> Scope:
        """Starts the span that is this execution of the step, with everything it carries."""
        step = scope.step = Step(name)
        identified = scope.known = _NOTHING if self.state is None else self.state.holder.identified
        attributes = merged(self.inherited, scope, identified)
        attributes[semconv.JOURNEY_STEP] = name
        if scope.within is not None:
            attributes[semconv.JOURNEY_WITHIN] = scope.within
        scope.within = name
        context = otel_context.set_value(SCOPE, scope, self.context)
        step.span = runtime.tracer.start_span(f"{scope.journey}/{name}", context=context, attributes=attributes)
        if self.state is not None:
            self.state.holder.claim(scope)
        scope.context = trace.set_span_in_context(step.span, context)
        return scope


def journey(name: str, **dimensions: str | None) -> Journey:
    """Returns the journey `name`.

    `dimensions` (segment, plan, region, device, workflow, revenue_class) are its constants, and stand on all its spans.

    >>> import otel_cx
    >>> checkout = otel_cx.journey("checkout", revenue_class="new")
    >>> with checkout.attempt("cart-42"), checkout.step("payment") as step:
    ...     step.revenue("129.00", "EUR")

    Raises:
        InvalidName: a name or value breaks the rule for names.
    """
    return Journey(name, **dimensions)
