"""Takes the place the code is in along to another thread or process, where OpenTelemetry begins with an empty context.

Tasks of asyncio and `asyncio.to_thread` carry it themselves. Not for services: between them the propagator decides.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from otel_cx import semconv
from otel_cx._context import INHERITED, came_with, innermost, leave, merged, state_of
from otel_cx._diagnostics import Reason, count

if TYPE_CHECKING:
    from collections.abc import Coroutine

P = ParamSpec("P")
R = TypeVar("R")


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """Returns `function` so that it runs where the code is now: in this journey, attempt, step and span.

    >>> import otel_cx
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> checkout = otel_cx.journey("checkout")
    >>> with checkout.attempt("cart-42"), ThreadPoolExecutor() as pool:
    ...     sizes = list(pool.map(otel_cx.carry(len), ["one", "three"]))

    It may be called many times, also at once. Pickled, for a pool of processes, it takes along what a call to another
    service of yours would: trace, journey, attempt and customer, the latter as pseudonym.
    """
    return _Carried(function, otel_context.get_current())


class _Carried(Generic[P, R]):
    """A function and the context it runs in."""

    __slots__ = ("__wrapped__", "_context")

    def __init__(self, function: Callable[P, R], context: Context) -> None:
        self.__wrapped__ = function
        self._context = context

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        token = otel_context.attach(self._context)
        try:
            result = self.__wrapped__(*args, **kwargs)
        finally:
            leave(token)
        return cast("R", self._awaited(result)) if inspect.iscoroutine(result) else result

    async def _awaited(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        token = otel_context.attach(self._context)
        try:
            return await coroutine
        finally:
            leave(token)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (self.__wrapped__, *_packed(self._context))


def _packed(context: Context) -> tuple[dict[str, str], dict[str, Any]]:
    """Returns `context` as what can be pickled: trace headers and context attributes."""
    headers: dict[str, str] = {}
    try:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(headers, context)
        state = state_of(trace.get_current_span(context))
        inherited, identified = (came_with(context), {}) if state is None else state.holder.known()
        known = merged(inherited, innermost(context, state), identified)
        return headers, {name: known[name] for name in semconv.CONTEXT if name in known}
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)
        return headers, {}


def _unpacked(function: Callable[P, R], headers: dict[str, str], members: dict[str, Any]) -> _Carried[P, R]:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract(headers, Context())
    return _Carried(function, otel_context.set_value(INHERITED, members, context) if members else context)
