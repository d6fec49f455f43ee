"""gRPC servers, threaded and asyncio: every call is the step its method stands for. It starts no span."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, cast

import grpc
import grpc.aio

from otel_cx import semconv
from otel_cx._arrival import Arrival, arrive, depart
from otel_cx._diagnostics import Reason, count
from otel_cx.instrumentors._grpc_client import patched_channels
from otel_cx.instrumentors._patch import Patch
from otel_cx.instrumentors._shape import ServingInstrumentor, Told, awaited_arrival
from otel_cx.trust import told_later

_PLACE: Final = 2
"""Of `interceptors` among the arguments of `grpc.server` and `grpc.aio.server`."""
_OFFICIAL: Final = "opentelemetry.instrumentation.grpc"


class GrpcCXInstrumentor(ServingInstrumentor):
    """Puts an interceptor into every server made from now on, inside the official one and outside the application's.

    `identify` and `attempt` get the HandlerCallDetails, whose `invocation_metadata` are the headers; of an asyncio
    server they may be async. A streamed call is one step, open until its last message. Channels made from now on tell
    the official client instrumentation which host they go to, so that an allowed one is sent the customer's context.
    """

    requires = ("grpcio >= 1.50",)

    def _put(self, told: Told) -> None:
        self._interceptors = (_Threaded(told), _Asyncio(told))
        threaded, asynchronous = self._interceptors
        self._patches = [
            Patch(grpc, "server", _adding(threaded)),
            Patch(grpc.aio, "server", _adding(asynchronous)),
            *patched_channels(),
        ]
        told_later.add(_OFFICIAL)

    def _remove(self) -> None:
        for interceptor in self._interceptors:
            interceptor.told = None  # servers made in between are served by it until they stop
        for patch in self._patches:
            patch.remove()
        told_later.discard(_OFFICIAL)


def _adding(interceptor: Any) -> Callable[..., Any]:
    """Returns what wraps the function that makes a server."""

    def make(wrapped: Callable[..., Any], _module: object, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        if len(arguments) > _PLACE:
            given = (*arguments[:_PLACE], _among(interceptor, arguments[_PLACE]), *arguments[_PLACE + 1 :])
            return wrapped(*given, **keywords)
        return wrapped(*arguments, **{**keywords, "interceptors": _among(interceptor, keywords.get("interceptors"))})

    return make


def _among(interceptor: Any, present: Any) -> list[Any]:
    """Returns the interceptors with ours directly inside the official one, which keeps the call's span open around it.

    An official one that is added later is put in front of all.
    """
    others = list(present or ())
    after = (index + 1 for index, other in enumerate(others) if type(other).__module__.startswith(_OFFICIAL))
    others.insert(max(after, default=0), interceptor)
    return others


class _Interceptor:
    """What both kinds of servers share."""

    def __init__(self, told: Told) -> None:
        self.told: Told | None = told

    def wants(self, handler: Any, details: Any) -> tuple[Told, Any] | None:
        """Returns what the program told and the step of this call; None when the call is to be left alone."""
        told = self.told
        if handler is None or told is None:
            return None
        method = details.method
        name = method.decode() if isinstance(method, bytes) else str(method)
        target = told.routes.find_name("rpc", name.lstrip("/"))
        return None if target is None and told.identify is None and told.attempt is None else (told, target)


class _Threaded(_Interceptor, grpc.ServerInterceptor):
    """Of a server with threads."""

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        try:
            wanted = self.wants(handler, handler_call_details)
            if wanted is None:
                return handler
            told, target = wanted
            return _serving(handler, lambda: told.arrival(target, handler_call_details))
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)
            return handler


class _Asyncio(_Interceptor, grpc.aio.ServerInterceptor):
    """Of a server with an event loop."""

    async def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        try:
            wanted = self.wants(handler, handler_call_details)
            if wanted is None:
                return handler
            arrival = await awaited_arrival(*wanted, handler_call_details)
            return _serving(handler, lambda: arrival)
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)
            return handler


def _serving(handler: Any, arrived: Callable[[], Arrival]) -> Any:
    """Returns a handler of the same kind, whose behaviour runs as the call's step.

    The behaviour stays of its own kind too: grpc.aio runs a coroutine function in its loop, an ordinary function in a
    thread, and one that writes to its context instead of yielding it awaits.
    """
    kinds = {
        (False, False): (grpc.unary_unary_rpc_method_handler, "unary_unary"),
        (False, True): (grpc.unary_stream_rpc_method_handler, "unary_stream"),
        (True, False): (grpc.stream_unary_rpc_method_handler, "stream_unary"),
        (True, True): (grpc.stream_stream_rpc_method_handler, "stream_stream"),
    }
    make, name = kinds[handler.request_streaming, handler.response_streaming]
    behaviour = getattr(handler, name)
    if inspect.isasyncgenfunction(behaviour):
        wrap: Callable[..., Any] = _streamed_async
    elif inspect.iscoroutinefunction(behaviour):
        wrap = _whole_async
    else:
        wrap = _streamed if handler.response_streaming else _whole
    return cast("Any", make)(
        wrap(behaviour, arrived),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


class _Call:
    """One call being served: its arrival is handed over, and its end is read off what leaves the behaviour."""

    __slots__ = ("_arrival", "_context", "_waiting")

    def __init__(self, arrived: Callable[[], Arrival], context: Any) -> None:
        self._context = context
        self._arrival = arrived()

    def __enter__(self) -> None:
        self._waiting = arrive(self._arrival)

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        try:
            _conclude(self._arrival, error, self._context)
        except Exception as failure:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, failure)
        depart(self._arrival, self._waiting)


def _whole(behaviour: Callable[..., Any], arrived: Callable[[], Arrival]) -> Callable[..., Any]:
    def serve(request: Any, context: Any) -> Any:
        with _Call(arrived, context):
            return behaviour(request, context)

    return serve


def _streamed(behaviour: Callable[..., Any], arrived: Callable[[], Arrival]) -> Callable[..., Any]:
    def serve(request: Any, context: Any) -> Iterator[Any]:
        with _Call(arrived, context):
            yield from behaviour(request, context)

    return serve


def _whole_async(behaviour: Callable[..., Any], arrived: Callable[[], Arrival]) -> Callable[..., Any]:
    async def serve(request: Any, context: Any) -> Any:
        with _Call(arrived, context):
            return await behaviour(request, context)

    return serve


def _streamed_async(behaviour: Callable[..., Any], arrived: Callable[[], Arrival]) -> Callable[..., Any]:
    async def serve(request: Any, context: Any) -> AsyncIterator[Any]:
        with _Call(arrived, context):
            async for message in behaviour(request, context):
                yield message

    return serve


def _conclude(arrival: Arrival, error: BaseException | None, context: Any) -> None:
    """Says what became of the call, which its span does not: the official one is OK after an exception.

    An abort raises too (an AbortError, by its name a caller's that went away, or a bare Exception): there the code
    tells, as the caller sees it.
    """
    if error is None:
        if _is_gone(context):
            arrival.ended("cancelled", "CANCELLED")
    elif isinstance(error, grpc.aio.AbortError) or type(error) is Exception:
        code = getattr(context.code(), "name", "UNKNOWN")
        arrival.ended(
            "failed" if code in semconv.GRPC_FAILED else "cancelled" if code == "CANCELLED" else "rejected", code
        )
    else:
        arrival.left_by(error)


def _is_gone(context: Any) -> bool:
    """Tells whether the caller went away, or its deadline passed, while the call was served."""
    asked = getattr(context, "is_active", None)
    if asked is not None:
        return not asked()
    asked = getattr(context, "cancelled", None)
    return asked is not None and bool(asked())
