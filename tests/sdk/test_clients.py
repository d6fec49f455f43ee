"""What the ordinary client instrumentations really send, to allowed and to other hosts, over redirects too."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import requests
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from sdk.serving import Service, wsgi_server

import otel_cx
from otel_cx import Settings, semconv, trust
from otel_cx.testing import TEST_KEY, Journeys, recording

checkout = otel_cx.journey("checkout")


def with_requests(url: str) -> None:
    requests.get(url, timeout=10)


def with_httpx(url: str) -> None:
    with httpx.Client(follow_redirects=True) as client:
        client.get(url)


def with_async_httpx(url: str) -> None:
    async def get() -> None:
        async with httpx.AsyncClient(follow_redirects=True) as client:
            await client.get(url)

    asyncio.run(get())


CLIENTS = [with_requests, with_httpx, with_async_httpx]
WITHOUT_HOOKS = [with_httpx, with_async_httpx]


@contextmanager
def instrumented(hooks: dict[str, Any]) -> Iterator[Journeys]:
    """127.0.0.1 is allowed and localhost is not."""
    with recording(Settings(keys=TEST_KEY, egress_hosts=("127.0.0.1",))) as recorded:
        instrumentors = (RequestsInstrumentor(), HTTPXClientInstrumentor())
        for instrumentor in instrumentors:
            instrumentor.instrument(tracer_provider=recorded.provider, **hooks)
        yield recorded
        for instrumentor in instrumentors:
            instrumentor.uninstrument()


@pytest.fixture
def inside() -> Iterator[Journeys]:
    with instrumented({"request_hook": trust.egress_hook, "async_request_hook": trust.async_egress_hook}) as recorded:
        yield recorded


@pytest.fixture
def inside_without_hooks() -> Iterator[Journeys]:
    with instrumented({}) as recorded:
        yield recorded


def call(recorded: Journeys, client: Callable[[str], None], url: str) -> None:
    with recorded.provider.get_tracer("x").start_as_current_span("server"):
        otel_cx.identify(customer="user-42")
        with checkout.attempt("cart-42"), checkout.step("payment"):
            client(url)


@pytest.mark.parametrize("client", CLIENTS)
def test_an_allowed_host_is_sent_the_customers_context(inside: Journeys, client: Callable[[str], None]) -> None:
    service = Service()
    with wsgi_server(service) as url:
        call(inside, client, url)
    [header] = service.baggage
    assert header is not None
    assert dict(member.split("=") for member in header.split(",")).keys() == {
        semconv.JOURNEY_NAME,
        semconv.JOURNEY_ATTEMPT,
        semconv.CUSTOMER_ID,
        semconv.SIGNATURE,
    }


@pytest.mark.parametrize("client", CLIENTS)
def test_any_other_host_is_sent_nothing(inside: Journeys, client: Callable[[str], None]) -> None:
    service = Service()
    with wsgi_server(service) as url:
        call(inside, client, url.replace("127.0.0.1", "localhost"))
    assert service.baggage == [None]
    assert otel_cx.diagnostics()["egress_denied"] == 1


@pytest.mark.parametrize("client", CLIENTS)
def test_a_redirect_from_an_allowed_host_carries_nothing_to_another(
    inside: Journeys, client: Callable[[str], None]
) -> None:
    elsewhere = Service()
    with wsgi_server(elsewhere) as there:
        service = Service(there.replace("127.0.0.1", "localhost"))
        with wsgi_server(service) as url:
            call(inside, client, f"{url}/there")
    assert service.baggage != [None]
    assert elsewhere.baggage == [None]


@pytest.mark.parametrize("client", WITHOUT_HOOKS)
def test_where_every_hop_is_a_span_the_spans_attributes_decide(
    inside_without_hooks: Journeys, client: Callable[[str], None]
) -> None:
    elsewhere = Service()
    with wsgi_server(elsewhere) as there:
        service = Service(there.replace("127.0.0.1", "localhost"))
        with wsgi_server(service) as url:
            call(inside_without_hooks, client, f"{url}/there")
    assert service.baggage != [None]
    assert elsewhere.baggage == [None]


def test_without_its_hook_requests_sends_nothing(inside_without_hooks: Journeys) -> None:
    service = Service()
    with wsgi_server(service) as url:
        call(inside_without_hooks, with_requests, url)
    assert service.baggage == [None]
