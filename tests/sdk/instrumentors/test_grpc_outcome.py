"""How a gRPC call ended is how its step ended, and calls are served as without us: real servers and channels."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorServer, GrpcInstrumentorServer
from sdk.serving import one_step

import otel_cx
from otel_cx.instrumentors.grpc import GrpcCXInstrumentor
from otel_cx.testing import Journeys, recording

PAY = "/shop.Checkout/Pay"
ROUTES = {"shop.Checkout/Pay": "checkout/payment"}
TIMEOUT = 20
MAKE: Any = grpc
"""Its types know no behaviours of grpc.aio."""
OFFICIAL: list[Any] = [GrpcInstrumentorServer, GrpcAioInstrumentorServer]
checkout = otel_cx.journey("checkout")


@contextmanager
def instrumented(journeys: Journeys, *, first: str = "theirs") -> Iterator[None]:
    with ExitStack() as stack:
        ours: list[Any] = [GrpcCXInstrumentor]
        for make in OFFICIAL + ours if first == "theirs" else ours + OFFICIAL:
            each = make()
            each.instrument(tracer_provider=journeys.provider, routes=ROUTES)
            stack.callback(each.uninstrument)
        yield


@contextmanager
def serving(handler: Any, **options: Any) -> Iterator[Any]:
    server = grpc.server(ThreadPoolExecutor(2), **options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Checkout", {"Pay": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(0).wait()


def serve_in_loop(handler: Any, call: Callable[[Any], Any], *arguments: Any) -> Any:
    """Answers a call to a server with an event loop, which is made with `arguments`."""

    async def main() -> Any:
        server = grpc.aio.server(*arguments)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Checkout", {"Pay": handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            try:
                return await call(channel)
            except grpc.RpcError as error:
                return error.code()
            finally:
                await server.stop(0)

    return asyncio.run(main())


CODES = [
    (grpc.StatusCode.INTERNAL, "failed"),
    (grpc.StatusCode.UNAVAILABLE, "failed"),
    (grpc.StatusCode.INVALID_ARGUMENT, "rejected"),
    (grpc.StatusCode.UNAUTHENTICATED, "rejected"),
    (grpc.StatusCode.CANCELLED, "cancelled"),
]


@pytest.mark.parametrize(("code", "outcome"), CODES)
def test_the_code_of_an_abort_is_the_outcome(code: grpc.StatusCode, outcome: str) -> None:
    def pay(_: bytes, context: Any) -> bytes:
        context.abort(code, "no")
        return b""

    with recording() as journeys, instrumented(journeys):
        with serving(MAKE.unary_unary_rpc_method_handler(pay)) as channel, pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary(PAY)(b"", timeout=TIMEOUT)
        assert raised.value.code() is code
        step = one_step(journeys)
        assert (step.outcome, step.attributes["error.type"]) == (outcome, code.name)


@pytest.mark.parametrize(("code", "outcome"), CODES)
def test_the_code_of_an_abort_in_a_loop_is_the_outcome(code: grpc.StatusCode, outcome: str) -> None:
    async def pay(_: bytes, context: Any) -> bytes:
        await context.abort(code, "no")
        return b""

    with recording() as journeys, instrumented(journeys):
        handler = MAKE.unary_unary_rpc_method_handler(pay)
        assert serve_in_loop(handler, lambda channel: channel.unary_unary(PAY)(b"", timeout=TIMEOUT)) is code
        assert one_step(journeys).outcome == outcome


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_a_handler_that_raises_is_a_failure(first: str) -> None:
    def pay(_: bytes, __: Any) -> bytes:
        raise ValueError("broken")

    with recording() as journeys, instrumented(journeys, first=first):
        with serving(MAKE.unary_unary_rpc_method_handler(pay)) as channel, pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary(PAY)(b"", timeout=TIMEOUT)
        assert raised.value.code() is grpc.StatusCode.UNKNOWN
        step = one_step(journeys)
        assert (step.outcome, step.attributes["error.type"]) == ("failed", "ValueError")


def test_a_handler_in_a_loop_that_raises_is_a_failure() -> None:
    async def pay(_: bytes, __: Any) -> bytes:
        raise ValueError("broken")

    with recording() as journeys, instrumented(journeys):
        handler = MAKE.unary_unary_rpc_method_handler(pay)
        answer = serve_in_loop(handler, lambda channel: channel.unary_unary(PAY)(b"", timeout=TIMEOUT))
        assert answer is grpc.StatusCode.UNKNOWN
        assert one_step(journeys).outcome == "failed"


def test_what_the_application_said_stays() -> None:
    def pay(_: bytes, context: Any) -> bytes:
        with checkout.step("payment") as step:
            step.reject("card_declined")
        context.abort(grpc.StatusCode.INTERNAL, "no")
        return b""

    with recording() as journeys, instrumented(journeys):
        with serving(MAKE.unary_unary_rpc_method_handler(pay)) as channel, pytest.raises(grpc.RpcError):
            channel.unary_unary(PAY)(b"", timeout=TIMEOUT)
        step = one_step(journeys)
        assert (step.outcome, step.attributes["error.type"]) == ("rejected", "card_declined")


def test_a_caller_that_went_away_cancels_the_step() -> None:
    started, gone = threading.Event(), threading.Event()

    def pay(_: bytes, context: Any) -> bytes:
        context.add_callback(gone.set)
        started.set()
        assert gone.wait(TIMEOUT)
        return b""

    handler = MAKE.unary_unary_rpc_method_handler(pay)
    with recording() as journeys, instrumented(journeys), serving(handler) as channel:
        call = channel.unary_unary(PAY).future(b"", timeout=TIMEOUT)
        assert started.wait(TIMEOUT)
        call.cancel()
        assert one_step(journeys).outcome == "cancelled"


def test_a_caller_that_leaves_a_stream_cancels_the_step() -> None:
    gone = threading.Event()

    def pay(_: bytes, context: Any) -> Iterator[bytes]:
        context.add_callback(gone.set)
        yield b"first"
        assert gone.wait(TIMEOUT)
        yield b"never"

    handler = MAKE.unary_stream_rpc_method_handler(pay)
    with recording() as journeys, instrumented(journeys), serving(handler) as channel:
        call = channel.unary_stream(PAY)(b"", timeout=TIMEOUT)
        assert next(call) == b"first"
        call.cancel()
        assert one_step(journeys).outcome == "cancelled"


def test_a_task_cancelled_in_a_loop_is_a_cancelled_step() -> None:
    started: list[asyncio.Event] = []

    async def pay(_: bytes, __: Any) -> bytes:
        started[0].set()
        await asyncio.Event().wait()
        return b""

    async def leave(channel: Any) -> str:
        started.append(asyncio.Event())
        call = channel.unary_unary(PAY)(b"", timeout=TIMEOUT)
        await started[0].wait()
        call.cancel()
        return "left"

    with recording() as journeys, instrumented(journeys):
        assert serve_in_loop(MAKE.unary_unary_rpc_method_handler(pay), leave) == "left"
        assert one_step(journeys).outcome == "cancelled"


def test_an_ordinary_function_in_a_server_with_a_loop_stays_in_its_thread() -> None:
    where: list[threading.Thread] = []

    def pay(_: bytes, __: Any) -> bytes:
        where.append(threading.current_thread())
        return b"paid"

    with recording(), ExitStack() as stack:
        GrpcCXInstrumentor().instrument(routes=ROUTES)
        stack.callback(GrpcCXInstrumentor().uninstrument)
        handler = MAKE.unary_unary_rpc_method_handler(pay)
        answer = serve_in_loop(
            handler, lambda channel: channel.unary_unary(PAY)(b"", timeout=TIMEOUT), ThreadPoolExecutor(1)
        )
        assert answer == b"paid"
        assert where[0] is not threading.current_thread()


def streaming_function(_: bytes, __: Any) -> Iterator[bytes]:
    yield b"a"
    yield b"b"


async def streaming_coroutine(_: bytes, context: Any) -> None:
    await context.write(b"a")
    await context.write(b"b")


@pytest.mark.parametrize("pay", [streaming_function, streaming_coroutine])
def test_a_stream_that_is_not_an_async_generator_is_answered_as_before(pay: Any) -> None:
    async def call(channel: Any) -> list[bytes]:
        return [message async for message in channel.unary_stream(PAY)(b"", timeout=TIMEOUT)]

    with recording(), ExitStack() as stack:
        GrpcCXInstrumentor().instrument(routes=ROUTES)
        stack.callback(GrpcCXInstrumentor().uninstrument)
        answer = serve_in_loop(MAKE.unary_stream_rpc_method_handler(pay), call, ThreadPoolExecutor(1))
        assert answer == [b"a", b"b"]


class Refusing(grpc.ServerInterceptor):
    """An application's own, which lets nobody in."""

    def intercept_service(self, _continuation: Any, _handler_call_details: Any) -> Any:
        def refuse(_: bytes, context: Any) -> bytes:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
            return b""

        return MAKE.unary_unary_rpc_method_handler(refuse)


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_a_call_that_an_interceptor_refuses_is_an_execution(first: str) -> None:
    handler = MAKE.unary_unary_rpc_method_handler(lambda *_: b"paid")
    with recording() as journeys, instrumented(journeys, first=first):
        with serving(handler, interceptors=[Refusing()]) as channel, pytest.raises(grpc.RpcError):
            channel.unary_unary(PAY)(b"", timeout=TIMEOUT)
        assert one_step(journeys).outcome == "rejected"


def test_interceptors_given_by_place_stay_and_get_ours() -> None:
    async def pay(_: bytes, __: Any) -> bytes:
        return b"paid"

    with recording() as journeys, ExitStack() as stack:
        GrpcCXInstrumentor().instrument(routes=ROUTES)
        stack.callback(GrpcCXInstrumentor().uninstrument)
        handler = MAKE.unary_unary_rpc_method_handler(pay)
        for arguments in ((None, ()), (None, (), ()), (None, None, None)):
            call = serve_in_loop(handler, lambda channel: channel.unary_unary(PAY)(b"", timeout=TIMEOUT), *arguments)
            assert call == b"paid"
        assert otel_cx.diagnostics() == {"no_server_span": 3}
        assert journeys.spans == ()


def handler_answers() -> bytes:
    with serving(MAKE.unary_unary_rpc_method_handler(lambda *_: b"paid")) as channel:
        answer = channel.unary_unary(PAY)(b"", timeout=TIMEOUT)
    return bytes(answer)


@pytest.mark.parametrize("leaving", ["ours", "theirs"])
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_either_leaves_without_the_other(first: str, leaving: str) -> None:
    with recording() as journeys:
        both: dict[str, Any] = {"ours": GrpcCXInstrumentor(), "theirs": OFFICIAL[0]()}
        for name in sorted(both, key=lambda name: name != first):
            both[name].instrument(tracer_provider=journeys.provider, routes=ROUTES)
        both.pop(leaving).uninstrument()
        assert handler_answers() == b"paid"
        if leaving == "ours":
            assert journeys.steps() == []
            assert len(journeys.spans) == 1
        [staying] = both.values()
        staying.uninstrument()
        journeys.clear()
        assert handler_answers() == b"paid"
        assert journeys.spans == ()


def test_a_server_made_in_between_serves_on_without_steps() -> None:
    handler = MAKE.unary_unary_rpc_method_handler(lambda *_: b"paid")
    with recording() as journeys, ExitStack() as stack:
        with instrumented(journeys):
            channel = stack.enter_context(serving(handler))
        assert channel.unary_unary(PAY)(b"", timeout=TIMEOUT) == b"paid"
        deadline = time.monotonic() + TIMEOUT
        while not journeys.spans and time.monotonic() < deadline:
            time.sleep(0.005)
        assert [span.name for span in journeys.spans] == [PAY]
        assert journeys.steps() == []
