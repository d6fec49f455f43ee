"""gRPC servers, threaded and asyncio: every call is the step its method stands for. It starts no span."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, cast

import grpc
import grpc.aio
import wrapt
from opentelemetry.instrumentation.utils import unwrap

from otel_cx._arrival import Arrival, depart
from otel_cx._diagnostics import Reason, count
from otel_cx.instrumentors._shape import ServingInstrumentor, Told, awaited_arrival, hand_over


class GrpcCXInstrumentor(ServingInstrumentor):
    """Puts an interceptor inside of all others into every server made from now on.

    `identify` and `attempt` get the HandlerCallDetails, whose `invocation_metadata` are the headers; of an asyncio
    server they may be async. A streamed call is one step, open until its last message.
    """

    requires = ("grpcio >= 1.50",)

    def _put(self, told: Told) -> None:
        wrapt.wrap_function_wrapper(grpc, "server", _adding(_Threaded(told), 3))
        wrapt.wrap_function_wrapper(grpc.aio, "server", _adding(_Asyncio(told), 2))

    def _remove(self) -> None:
        unwrap(grpc, "server")
        unwrap(grpc.aio, "server")


def _adding(interceptor: Any, place: int) -> Callable[..., Any]:
    """Returns what wraps the function that makes a server; `interceptors` is its argument number `place`."""

    def make(wrapped: Callable[..., Any], _module: object, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        given = list(arguments)
        if len(given) >= place:
            given[place - 1] = [*(given[place - 1] or ()), interceptor]
            return wrapped(*given, **keywords)
        return wrapped(*given, **{**keywords, "interceptors": [*(keywords.get("interceptors") or ()), interceptor]})

    return make


def _wrapped_handler(handler: Any, whole: Callable[..., Any], streamed: Callable[..., Any]) -> Any:
    """Returns a handler of the same kind, whose behaviour is wrapped by `whole`, or `streamed` where it answers so."""
    kinds = {
        (False, False): (grpc.unary_unary_rpc_method_handler, "unary_unary"),
        (False, True): (grpc.unary_stream_rpc_method_handler, "unary_stream"),
        (True, False): (grpc.stream_unary_rpc_method_handler, "stream_unary"),
        (True, True): (grpc.stream_stream_rpc_method_handler, "stream_stream"),
    }
    make, name = kinds[handler.request_streaming, handler.response_streaming]
    behaviour = getattr(handler, name)
    wrapper = streamed if handler.response_streaming else whole
    return cast("Any", make)(
        wrapper(behaviour),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


class _Threaded(grpc.ServerInterceptor):
    """Of a server with threads."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        target = self._told.routes.find_name("rpc", handler_call_details.method.lstrip("/"))
        if handler is None or (target is None and self._told.identify is None and self._told.attempt is None):
            return handler
        told, details = self._told, handler_call_details

        def whole(behaviour: Callable[..., Any]) -> Callable[..., Any]:
            def serve(request: Any, context: Any) -> Any:
                arrival = told.arrival(target, details)
                waiting = hand_over(arrival)
                try:
                    return behaviour(request, context)
                finally:
                    depart(arrival, waiting)

            return serve

        def streamed(behaviour: Callable[..., Any]) -> Callable[..., Any]:
            def serve(request: Any, context: Any) -> Iterator[Any]:
                arrival = told.arrival(target, details)
                waiting = hand_over(arrival)
                try:
                    yield from behaviour(request, context)
                finally:
                    depart(arrival, waiting)

            return serve

        return _wrapped_handler(handler, whole, streamed)


class _Asyncio(grpc.aio.ServerInterceptor):
    """Of a server with an event loop."""

    def __init__(self, told: Told) -> None:
        self._told = told

    async def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        target = self._told.routes.find_name("rpc", str(handler_call_details.method).lstrip("/"))
        if handler is None or (target is None and self._told.identify is None and self._told.attempt is None):
            return handler
        told, details = self._told, handler_call_details

        def whole(behaviour: Callable[..., Any]) -> Callable[..., Any]:
            async def serve(request: Any, context: Any) -> Any:
                arrival = await awaited_arrival(told, target, details)
                waiting = hand_over(arrival)
                try:
                    answer = behaviour(request, context)
                    return await answer if inspect.isawaitable(answer) else answer
                except BaseException as error:
                    _conclude(arrival, error, context)
                    raise
                finally:
                    depart(arrival, waiting)

            return serve

        def streamed(behaviour: Callable[..., Any]) -> Callable[..., Any]:
            async def serve(request: Any, context: Any) -> AsyncIterator[Any]:
                arrival = await awaited_arrival(told, target, details)
                waiting = hand_over(arrival)
                try:
                    async for message in _messages(behaviour(request, context)):
                        yield message
                except BaseException as error:
                    _conclude(arrival, error, context)
                    raise
                finally:
                    depart(arrival, waiting)

            return serve

        # A behaviour that writes to its context answers nothing to iterate over, and is wrapped as a whole.
        written = handler.response_streaming and not inspect.isasyncgenfunction(_behaviour(handler))
        return _wrapped_handler(handler, whole, whole if written else streamed)


_FAILED: Final = (
    "UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
)  # fmt: skip
"""The codes that are our failure, as the vocabulary has them; others are the caller's side."""


def _conclude(arrival: Arrival, error: BaseException, context: Any) -> None:
    """Says what became of a step that `error` leaves.

    `abort` raises an AbortError, which by its name would be a caller's that went away; it is the code that tells.
    """
    try:
        if not isinstance(error, grpc.aio.AbortError):
            arrival.cancelled(error)
            return
        code = str(context.code().name)
        if arrival.step is not None and code != "CANCELLED":
            (arrival.step.fail if code in _FAILED else arrival.step.reject)(code.lower())
    except Exception as failure:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, failure)


def _behaviour(handler: Any) -> Any:
    return handler.stream_stream if handler.request_streaming else handler.unary_stream


async def _messages(answer: Any) -> AsyncIterator[Any]:
    async for message in answer:
        yield message
