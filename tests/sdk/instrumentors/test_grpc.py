"""gRPC servers, threaded and asyncio, all four kinds of calls, beside the official instrumentation: real channels."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorServer, GrpcInstrumentorServer
from opentelemetry.trace import SpanKind
from sdk.serving import one_step

import otel_cx
from otel_cx import Settings, semconv
from otel_cx.instrumentors.grpc import GrpcCXInstrumentor
from otel_cx.pseudonym import Keyring
from otel_cx.testing import TEST_KEY, Journeys, recording

METHODS = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")
ROUTES = {f"shop.Checkout/{name}": f"checkout/{name.lower()}" for name in (*METHODS, "Fail")}
KINDS = ("threads", "asyncio")
CALLS: dict[str, Callable[[Any, str, Any], Any]] = {
    "UnaryUnary": lambda channel, path, told: channel.unary_unary(path)(b"in", **told),
    "UnaryStream": lambda channel, path, told: b"".join(channel.unary_stream(path)(b"in", **told)),
    "StreamUnary": lambda channel, path, told: channel.stream_unary(path)(iter([b"in"]), **told),
    "StreamStream": lambda channel, path, told: b"".join(channel.stream_stream(path)(iter([b"in"]), **told)),
}
inside: list[Callable[[], None]] = []


def run_inside() -> None:
    for each in inside:
        each()


MAKE: Any = grpc
"""Its types know no behaviours of grpc.aio."""


def threaded_handlers() -> dict[str, Any]:
    def whole(_: Any, __: Any) -> bytes:
        run_inside()
        return b"out"

    def streamed(_: Any, __: Any) -> Iterator[bytes]:
        run_inside()
        yield b"o"
        yield b"ut"

    def fail(_: Any, context: Any) -> bytes:
        context.abort(grpc.StatusCode.INTERNAL, "broken")
        return b""

    return {
        "UnaryUnary": grpc.unary_unary_rpc_method_handler(whole),
        "UnaryStream": grpc.unary_stream_rpc_method_handler(streamed),
        "StreamUnary": grpc.stream_unary_rpc_method_handler(whole),
        "StreamStream": grpc.stream_stream_rpc_method_handler(streamed),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
    }


def asyncio_handlers() -> dict[str, Any]:
    async def whole(_: Any, __: Any) -> bytes:
        run_inside()
        return b"out"

    async def streamed(_: Any, __: Any) -> AsyncIterator[bytes]:
        run_inside()
        yield b"o"
        yield b"ut"

    async def fail(_: Any, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.INTERNAL, "broken")
        return b""

    return {
        "UnaryUnary": MAKE.unary_unary_rpc_method_handler(whole),
        "UnaryStream": MAKE.unary_stream_rpc_method_handler(streamed),
        "StreamUnary": MAKE.stream_unary_rpc_method_handler(whole),
        "StreamStream": MAKE.stream_stream_rpc_method_handler(streamed),
        "Fail": MAKE.unary_unary_rpc_method_handler(fail),
    }


@contextmanager
def threaded_server() -> Iterator[grpc.Channel]:
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Checkout", threaded_handlers()),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(0).wait()


@contextmanager
def asyncio_server() -> Iterator[grpc.Channel]:
    ready, ports, loop, stop = threading.Event(), [], asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Checkout", asyncio_handlers()),))
        ports.append(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        ready.set()
        await stop.wait()
        await server.stop(0)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(20)
    with grpc.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
        yield channel
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


SERVERS = {"threads": threaded_server, "asyncio": asyncio_server}
OFFICIAL: dict[str, Any] = {"threads": GrpcInstrumentorServer, "asyncio": GrpcAioInstrumentorServer}


@contextmanager
def served(kind: str, journeys: Journeys, *, first: str = "theirs", **told: Any) -> Iterator[grpc.Channel]:
    """A server made while both are instrumented, in the order told."""
    with ExitStack() as stack:
        for whose in ("theirs", "ours") if first == "theirs" else ("ours", "theirs"):
            if whose == "theirs":
                official = OFFICIAL[kind]()
                official.instrument(tracer_provider=journeys.provider)
                stack.callback(official.uninstrument)
            else:
                GrpcCXInstrumentor().instrument(**{"routes": ROUTES, **told})
                stack.callback(GrpcCXInstrumentor().uninstrument)
        yield stack.enter_context(SERVERS[kind]())


def call(channel: grpc.Channel, method: str, *headers: tuple[str, str]) -> Any:
    return CALLS[method](channel, f"/shop.Checkout/{method}", {"timeout": 20, "metadata": headers})


def cart(details: Any) -> str | None:
    return dict(details.invocation_metadata).get("x-cart")


@pytest.mark.parametrize("first", ["theirs", "ours"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_server_span_of_every_kind_of_call_is_the_step(kind: str, method: str, first: str) -> None:
    with recording(Settings(keys=TEST_KEY)) as journeys:
        told: dict[str, Any] = {"attempt": cart, "identify": lambda _: {"customer": "user-42"}}
        with served(kind, journeys, first=first, **told) as channel:
            assert call(channel, method, ("x-cart", "cart-1")) == b"out"
            step = one_step(journeys)
        assert (step.name, step.attempt, step.span.kind) == (f"checkout/{method.lower()}", "cart-1", SpanKind.SERVER)
        assert step.customer == TEST_KEY.pseudonym("user-42")
        assert otel_cx.diagnostics() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_is_aborted_is_a_failure(kind: str) -> None:
    with recording() as journeys:
        with served(kind, journeys) as channel, pytest.raises(grpc.RpcError, match="broken"):
            CALLS["UnaryUnary"](channel, "/shop.Checkout/Fail", {"timeout": 20})
        assert one_step(journeys).counts_as == "failed"


@pytest.mark.parametrize("method", ["UnaryUnary", "StreamStream"])
@pytest.mark.parametrize("kind", KINDS)
def test_who_the_customer_is_reaches_the_server_span_from_inside(kind: str, method: str) -> None:
    inside.append(lambda: otel_cx.identify(segment="enterprise"))
    try:
        with recording() as journeys:
            with served(kind, journeys) as channel:
                call(channel, method)
                step = one_step(journeys)
            assert step.attributes[semconv.SEGMENT] == "enterprise"
    finally:
        inside.clear()


@pytest.mark.parametrize(("trust", "attempt"), [("all", "cart-9"), ("none", None)])
@pytest.mark.parametrize("kind", KINDS)
def test_an_attempt_that_comes_as_baggage_goes_on_where_it_is_believed(
    kind: str, trust: Any, attempt: str | None
) -> None:
    settings = Settings(trust=trust, keys=Keyring.parse("k:0123456789abcdef"))
    with recording(settings) as journeys, served(kind, journeys) as channel:
        call(channel, "UnaryUnary", ("baggage", "otelcx.journey.name=checkout,otelcx.journey.attempt=cart-9"))
        assert one_step(journeys).attempt == attempt


def raising(_: Any) -> Any:
    raise RuntimeError("of the callback")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_callbacks_that_raise_change_no_answer(kind: str, method: str) -> None:
    with recording() as journeys:
        with served(kind, journeys, attempt=raising, identify=raising) as channel:
            assert call(channel, method) == b"out"
            assert one_step(journeys).name == f"checkout/{method.lower()}"
        assert otel_cx.diagnostics() == {"internal": 2}


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_official_instrumentation_calls_are_served_and_it_is_counted(kind: str) -> None:
    with recording() as journeys:
        GrpcCXInstrumentor().instrument(routes=ROUTES)
        try:
            with SERVERS[kind]() as channel:
                assert call(channel, "UnaryUnary") == b"out"
        finally:
            GrpcCXInstrumentor().uninstrument()
        assert otel_cx.diagnostics() == {"no_server_span": 1}
        with SERVERS[kind]() as channel:
            call(channel, "UnaryUnary")
        assert otel_cx.diagnostics() == {"no_server_span": 1}, "uninstrumented, nothing of ours is left"
        assert journeys.spans == ()
