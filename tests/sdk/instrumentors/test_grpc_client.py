"""What a gRPC client sends of the customer's context, to allowed and to other hosts: real servers and channels."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient

import otel_cx
from otel_cx import Settings
from otel_cx._hosts import host_of_target
from otel_cx.instrumentors.grpc import GrpcCXInstrumentor
from otel_cx.testing import TEST_KEY, Journeys, recording

checkout = otel_cx.journey("checkout")
SERVICE = "/shop.Checkout/"
TIMEOUT = 20
ALLOWED, OTHER = "127.0.0.1", "localhost"


def kept(seen: list[str | None]) -> dict[str, Any]:
    """Handlers of the four kinds, which keep the `baggage` they were sent."""

    def whole(_: Any, context: Any) -> bytes:
        seen.append(dict(context.invocation_metadata()).get("baggage"))
        return b"out"

    def streamed(_: Any, context: Any) -> Iterator[bytes]:
        yield whole(_, context)

    return {
        "unary_unary": grpc.unary_unary_rpc_method_handler(whole),
        "unary_unary_too": grpc.unary_unary_rpc_method_handler(whole),
        "unary_stream": grpc.unary_stream_rpc_method_handler(streamed),
        "stream_unary": grpc.stream_unary_rpc_method_handler(whole),
        "stream_stream": grpc.stream_stream_rpc_method_handler(streamed),
    }


@contextmanager
def serving(seen: list[str | None]) -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Checkout", kept(seen)),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(0).wait()


def call(channel: Any, kind: str) -> Any:
    request = iter([b"in"]) if kind.startswith("stream") else b"in"
    answer = getattr(channel, kind)(f"{SERVICE}{kind}")(request, timeout=TIMEOUT)
    return answer if kind.endswith("unary") else b"".join(answer)


async def call_in_loop(channel: Any, kind: str) -> Any:
    request = iter([b"in"]) if kind.startswith("stream") else b"in"
    answer = getattr(channel, kind)(f"{SERVICE}{kind}")(request, timeout=TIMEOUT)
    return await answer if kind.endswith("unary") else b"".join([message async for message in answer])


def threaded(target: str, kind: str) -> Any:
    with grpc.insecure_channel(target) as channel:
        return call(channel, kind)


def asynchronous(target: str, kind: str) -> Any:
    async def main() -> Any:
        async with grpc.aio.insecure_channel(target) as channel:
            return await call_in_loop(channel, kind)

    return asyncio.run(main())


OFFICIAL: list[Any] = [GrpcInstrumentorClient, GrpcAioInstrumentorClient]
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
CLIENTS = [threaded, asynchronous]
Client = Callable[[str, str], Any]


@contextmanager
def instrumented(journeys: Journeys, *, first: str = "theirs", ours: bool = True) -> Iterator[None]:
    with ExitStack() as stack:
        mine: list[Any] = [GrpcCXInstrumentor] if ours else []
        for make in OFFICIAL + mine if first == "theirs" else mine + OFFICIAL:
            each = make()
            each.instrument(routes={"shop.Checkout/Other": "checkout/other"}, tracer_provider=journeys.provider)
            stack.callback(each.uninstrument)
        yield


def sent(client: Client, host: str, kind: str, *, first: str = "theirs", ours: bool = True) -> str | None:
    """Returns the `baggage` that the server was sent by a call inside an attempt; 127.0.0.1 is allowed."""
    seen: list[str | None] = []
    with recording(Settings(keys=TEST_KEY, egress_hosts=(ALLOWED,))) as journeys, serving(seen) as port:
        provider = trace_provider_is(journeys)
        with (
            provider,
            instrumented(journeys, first=first, ours=ours),
            checkout.attempt("cart-42"),
            checkout.step("pay"),
        ):
            assert client(f"{host}:{port}", kind) == b"out"
    [baggage] = seen
    return baggage


@contextmanager
def trace_provider_is(journeys: Journeys) -> Iterator[None]:
    """The official client instrumentation for threads knows the global provider alone."""
    present = trace._TRACER_PROVIDER
    trace._TRACER_PROVIDER = journeys.provider
    try:
        yield
    finally:
        trace._TRACER_PROVIDER = present


@pytest.mark.parametrize("first", ["theirs", "ours"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client", CLIENTS)
def test_an_allowed_host_is_sent_the_customers_context(client: Client, kind: str, first: str) -> None:
    baggage = sent(client, ALLOWED, kind, first=first)
    assert baggage is not None
    assert "otelcx.journey.attempt=cart-42" in baggage
    assert otel_cx.diagnostics() == {}


@pytest.mark.parametrize("first", ["theirs", "ours"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client", CLIENTS)
def test_any_other_host_is_sent_nothing(client: Client, kind: str, first: str) -> None:
    assert sent(client, OTHER, kind, first=first) is None
    assert otel_cx.diagnostics() == {"egress_denied": 1}


@pytest.mark.parametrize("client", CLIENTS)
def test_where_nobody_tells_the_host_nothing_is_sent(client: Client) -> None:
    assert sent(client, ALLOWED, "unary_unary", ours=False) is None


def test_another_call_that_is_made_meanwhile_is_not_told_the_host_of_the_first() -> None:
    """As one that fetches a token for the call, on a channel made before we were there."""
    seen: list[str | None] = []
    official = OFFICIAL[0]()

    def fetch_token(_span: Any, request: Any) -> None:
        if request == b"in":
            bare.unary_unary(f"{SERVICE}unary_unary_too")(b"token", timeout=TIMEOUT)

    settings = Settings(keys=TEST_KEY, egress_hosts=(ALLOWED,))
    with recording(settings) as journeys, serving(seen) as port, trace_provider_is(journeys), ExitStack() as stack:
        official.instrument(request_hook=fetch_token)
        stack.callback(official.uninstrument)
        bare: Any = stack.enter_context(grpc.insecure_channel(f"{OTHER}:{port}"))
        GrpcCXInstrumentor().instrument(routes={"shop.Checkout/Other": "checkout/other"})
        stack.callback(GrpcCXInstrumentor().uninstrument)
        with checkout.attempt("cart-42"), checkout.step("pay"):
            assert threaded(f"{ALLOWED}:{port}", "unary_unary") == b"out"
    assert [baggage is not None for baggage in seen] == [False, True], "the token was fetched first"


def test_the_applications_own_metadata_and_results_stay_as_they_are() -> None:
    seen: list[Any] = []

    def pay(_: bytes, context: Any) -> bytes:
        seen.extend(context.invocation_metadata())
        context.set_trailing_metadata((("x-trail", "1"),))
        return b"paid"

    with recording(Settings(egress_hosts=(ALLOWED,))) as journeys, instrumented(journeys, first="ours"):
        server = grpc.server(ThreadPoolExecutor(1))
        handler: Any = grpc.unary_unary_rpc_method_handler(pay)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Checkout", {"Pay": handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, checkout.attempt("cart-42"):
            method: Any = channel.unary_unary(f"{SERVICE}Pay")
            answer, ended = method.with_call(b"", metadata=(("x-cart", "1"),), timeout=TIMEOUT)
            assert (answer, ended.code()) == (b"paid", grpc.StatusCode.OK)
            assert ("x-trail", "1") in [tuple(item) for item in ended.trailing_metadata()]
            assert method.future(b"", timeout=TIMEOUT).result() == b"paid"
            with pytest.raises(grpc.RpcError) as raised:
                call(channel, "stream_unary")
            assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
        server.stop(0).wait()
    assert ("x-cart", "1") in [tuple(item) for item in seen]


def test_uninstrumented_channels_are_grpcs_own() -> None:
    made = grpc.insecure_channel, grpc.secure_channel, grpc.aio.insecure_channel, grpc.aio.secure_channel
    with recording() as journeys, instrumented(journeys):
        assert grpc.insecure_channel is not made[0]
    assert made == (grpc.insecure_channel, grpc.secure_channel, grpc.aio.insecure_channel, grpc.aio.secure_channel)


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("billing:50051", "billing"),
        ("billing", "billing"),
        ("dns:billing.svc:1", "billing.svc"),
        ("dns:///billing.svc:1", "billing.svc"),
        ("dns://8.8.8.8/billing", "billing"),
        ("ipv4:10.0.0.1:1", "10.0.0.1"),
        ("ipv6:[fd00::1]:1", "fd00::1"),
        ("[::1]:1", "::1"),
        ("xds:///billing", "billing"),
        ("ipv4:10.0.0.1:1,10.0.0.2:1", ""),
        ("unix:/run/billing", ""),
        ("unix:billing", ""),
        ("unix-abstract:billing", ""),
        ("billing@evil.example:1", ""),
        ("https://billing", ""),
        ("", ""),
    ],
)
def test_the_host_is_read_off_the_target(target: str, host: str) -> None:
    assert host_of_target(target) == host


@given(st.text())
def test_no_target_breaks_the_reading(target: str) -> None:
    assert not set(host_of_target(target)) & set("/@,?# []")
