"""Opens a scope around each call of a function, whatever its kind. Knows nothing of journeys.

A generator is opened when its body first runs and closed when it is exhausted, closed or collected; in between its
context is current only while its body runs, whoever drives it. It is opened where it was called, because what streams
an answer often runs it when the request's own code has left; called outside of everything, where it is first driven.
"""

from __future__ import annotations

import functools
import inspect
import operator
import sys
from typing import TYPE_CHECKING, Any, SupportsIndex

from opentelemetry import context as otel_context

from otel_cx._context import is_somewhere, leave
from otel_cx.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping
    from contextvars import Token

    from opentelemetry.context import Context
    from wrapt import FunctionWrapper

    from otel_cx._context import Scope
    from otel_cx._opening import Opener


def wrap(function: Callable[..., Any], opener: Opener) -> Callable[..., Any]:
    """Returns `function` wrapped so that `opener` is open while it runs; name, signature and binding stay."""
    inner = _innermost_function(function)
    if inspect.isclass(inner):
        raise ConfigurationError(
            f"The class {inner.__qualname__} cannot be decorated: which of its methods is meant? Decorate a function "
            "or a method: its handler, such as get, post or __call__."
        )
    if not callable(inner):
        raise ConfigurationError(f"{inner!r} cannot be decorated. Decorate a function or a method.")
    run = _runner(inner)
    if run is _call:

        def wrapper(
            wrapped: Callable[..., Any], _instance: object, arguments: tuple[Any, ...], keywords: dict[str, Any]
        ) -> Any:
            return _call(opener.for_call(arguments, keywords), wrapped, arguments, keywords)

    else:
        name, qualified_name = _names(function, inner)

        def wrapper(
            wrapped: Callable[..., Any], _instance: object, arguments: tuple[Any, ...], keywords: dict[str, Any]
        ) -> Any:
            running = run(opener.for_call(arguments, keywords), wrapped, arguments, keywords)
            # So that a task, a traceback and "was never awaited" name the function and not this module.
            running.__name__, running.__qualname__ = name, qualified_name
            return running

    return _wrapper_class()(function, wrapper)


def _runner(inner: Any) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(inner):
        return _async_generator
    if inspect.isgeneratorfunction(inner):
        return _generator
    # The attribute is how asgiref, and so Django, marks a function that answers a coroutine on Python 3.11.
    if inspect.iscoroutinefunction(inner) or hasattr(inner, "_is_coroutine"):
        return _coroutine
    return _call


def _names(function: Any, inner: Any) -> tuple[str, str]:
    name = getattr(function, "__name__", None) or inner.__name__
    return str(name), str(getattr(function, "__qualname__", None) or inner.__qualname__)


@functools.cache
def _wrapper_class() -> type[FunctionWrapper[..., Any]]:
    # Imported at the first decoration: wrapt brings asyncio and importlib.metadata, which not every process needs.
    import wrapt

    class Bound(wrapt.BoundFunctionWrapper):  # type: ignore[type-arg]  # cannot be subscripted before wrapt 2
        """A method that pickles as methods do: by the object it is of, or by its class's name."""

        def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
            owner = getattr(self.__wrapped__, "__self__", None)
            if owner is None:
                return _by_name, (self.__module__, self.__qualname__)
            return getattr, (owner, self.__name__)

    class Wrapped(wrapt.FunctionWrapper):  # type: ignore[type-arg]  # as above
        """A function wrapper that pickles and copies as a function does, by its name."""

        __bound_function_wrapper__ = Bound

        def __reduce_ex__(self, protocol: SupportsIndex) -> str:
            return str(self.__qualname__)

        def __copy__(self) -> Any:
            return self

        def __deepcopy__(self, memo: dict[int, Any]) -> Any:
            return self

    return Wrapped


def _by_name(module: str, qualified_name: str) -> Any:
    import importlib

    return operator.attrgetter(qualified_name)(importlib.import_module(module))


def _innermost_function(function: Any) -> Any:
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, classmethod | staticmethod):
            function = function.__func__
        elif not inspect.isroutine(function) and not inspect.isclass(function) and hasattr(function, "__call__"):  # noqa: B004
            return function.__call__
        else:
            return function


def _call(opener: Opener, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
    scope = opener.begin()
    try:
        result = function(*arguments, **keywords)
    except BaseException as error:
        opener.finish(scope, error)
        raise
    opener.finish(scope, None)
    return result


async def _coroutine(
    opener: Opener,
    function: Callable[..., Coroutine[Any, Any, Any]],
    arguments: tuple[Any, ...],
    keywords: Mapping[str, Any],
) -> Any:
    scope = opener.begin()
    try:
        result = await function(*arguments, **keywords)
    except BaseException as error:
        opener.finish(scope, error)
        raise
    opener.finish(scope, None)
    return result


class _Body:
    """The context of a generator's body: attached while it runs, kept as the body left it in between."""

    __slots__ = ("_context", "_token")

    def __init__(self, scope: Scope | None) -> None:
        self._context = None if scope is None else scope.context
        self._token: Token[Context] | None = None

    def __enter__(self) -> None:
        self._token = otel_context.attach(otel_context.get_current() if self._context is None else self._context)

    def __exit__(self, *exc: object) -> None:
        self._context = otel_context.get_current()
        if self._token is not None:
            leave(self._token)


def _begin_where_called(opener: Opener, called_in: Context) -> Scope | None:
    if not is_somewhere(called_in):
        return opener.begin(current=False)
    token = otel_context.attach(called_in)
    try:
        return opener.begin(current=False)
    finally:
        leave(token)


def _generator(
    opener: Opener, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Mapping[str, Any]
) -> Generator[Any, Any, Any]:
    # Called at once, so that wrong arguments raise where the caller stands.
    return _drive(opener, otel_context.get_current(), function(*arguments, **keywords))


def _drive(opener: Opener, called_in: Context, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    scope = _begin_where_called(opener, called_in)
    body = _Body(scope)
    advance: Callable[[], Any] = functools.partial(generator.send, None)
    try:
        while True:
            try:
                with body:
                    item = advance()
            except StopIteration as stop:
                opener.finish(scope, None)
                return stop.value
            try:
                sent = yield item
            except BaseException as thrown:  # noqa: BLE001 - handed on to the body, whose it is
                advance = functools.partial(generator.throw, thrown)
            else:
                advance = functools.partial(generator.send, sent)
    except BaseException as error:
        opener.finish(scope, error)
        raise


def _async_generator(
    opener: Opener, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Mapping[str, Any]
) -> AsyncGenerator[Any, Any]:
    return _drive_async(opener, otel_context.get_current(), function(*arguments, **keywords))


async def _drive_async(
    opener: Opener, called_in: Context, generator: AsyncGenerator[Any, Any]
) -> AsyncGenerator[Any, Any]:
    scope = _begin_where_called(opener, called_in)
    body = _Body(scope)
    advance: Callable[[], Awaitable[Any]] = functools.partial(_first, generator)
    try:
        while True:
            try:
                with body:
                    item = await advance()
            except StopAsyncIteration:
                opener.finish(scope, None)
                return
            try:
                sent = yield item
            except BaseException as thrown:  # noqa: BLE001 - handed on to the body, whose it is
                advance = functools.partial(generator.athrow, thrown)
            else:
                advance = functools.partial(generator.asend, sent)
    except BaseException as error:
        opener.finish(scope, error)
        raise


def _first(generator: AsyncGenerator[Any, Any]) -> Awaitable[Any]:
    """Runs the body for the first time, unseen by the event loop.

    A loop that ends closes all generators it has seen start, at once. It has seen ours, which closes the body; closing
    the body as well, at the same time, it would report an error.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)
