"""Opening and closing around code, whatever is opened: the guard, the context, and finding one's own scope again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from otel_cx import _decorators
from otel_cx._context import SCOPE, Attributes, Scope, attach, attempt_at, came_with, detach, innermost, state_of
from otel_cx._diagnostics import Reason, count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

F = TypeVar("F", bound="Callable[..., Any]")

_NOTHING: Final[Attributes] = {}


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
            scope.step = scope.context = scope.state = None  # they lead back here: no circle for the collector
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
        last, self._last = self._last, None
        scope: Any = otel_context.get_current().get(SCOPE)
        while scope is not None:
            if scope.owner is self and scope.restore is not None:
                return cast("Scope", scope)
            scope = scope.outer
        return last


class Here:
    """Where the code stands when something is opened."""

    __slots__ = ("context", "identified", "inherited", "outer", "state")

    def __init__(self) -> None:
        self.context = context = otel_context.get_current()
        self.state = state = state_of(trace.get_current_span(context))
        self.outer = innermost(context, state)
        self.inherited, self.identified = (came_with(context), _NOTHING) if state is None else state.holder.known()

    def attempt_at(self, journey: str) -> str | None:
        """Returns the attempt at `journey` that is open here."""
        return attempt_at(journey, self.outer, self.inherited)

    def enter(self, scope: Scope) -> Scope:
        """Gives `scope` its context: this one, with the scope in it."""
        scope.context = Context({**self.context, SCOPE: scope})
        return scope
