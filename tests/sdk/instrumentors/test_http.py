"""Every HTTP framework beside its official instrumentation, in either order: the same behaviour, real servers."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from http.client import HTTPConnection
from typing import Any, NamedTuple

import pytest
from django.conf import settings
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.falcon import FalconInstrumentor
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from opentelemetry.trace import SpanKind
from sdk.instrumentors import shops
from sdk.serving import one_step

import otel_cx
from otel_cx import semconv
from otel_cx.instrumentors.aiohttp_server import AioHttpServerCXInstrumentor
from otel_cx.instrumentors.falcon import FalconCXInstrumentor
from otel_cx.instrumentors.fastapi import FastAPICXInstrumentor
from otel_cx.instrumentors.flask import FlaskCXInstrumentor
from otel_cx.instrumentors.starlette import StarletteCXInstrumentor
from otel_cx.testing import TEST_KEY, Journeys, recording

os.environ["DJANGO_SETTINGS_MODULE"] = "sdk.instrumentors.django_settings"
assert (
    settings.ROOT_URLCONF
)  # read now, and not left to the programs that other tests start: Celery would set Django up
del os.environ["DJANGO_SETTINGS_MODULE"]
from otel_cx.instrumentors.django import DjangoCXInstrumentor  # noqa: E402 - Django reads its settings once

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class _InstrumentedApplication:DeprecationWarning")
"""aiohttp's word on the official instrumentation."""

ROUTES = {"POST /pay": "checkout/payment", "POST /fail": "checkout/payment", "GET /stream": "checkout/receipt"}
Shop = Callable[[shops.Inside], AbstractContextManager[str]]


class Framework(NamedTuple):
    ours: type[Any]
    theirs: type[Any]
    shop: Shop


FRAMEWORKS = {
    "flask": Framework(FlaskCXInstrumentor, FlaskInstrumentor, shops.flask_shop),
    "starlette": Framework(StarletteCXInstrumentor, StarletteInstrumentor, shops.starlette_shop),
    "fastapi": Framework(FastAPICXInstrumentor, FastAPIInstrumentor, shops.fastapi_shop),
    "django-wsgi": Framework(DjangoCXInstrumentor, DjangoInstrumentor, shops.django_wsgi_shop),
    "django-asgi": Framework(DjangoCXInstrumentor, DjangoInstrumentor, shops.django_asgi_shop),
    "falcon": Framework(FalconCXInstrumentor, FalconInstrumentor, shops.falcon_wsgi_shop),
    "aiohttp": Framework(AioHttpServerCXInstrumentor, AioHttpServerInstrumentor, shops.aiohttp_shop),
}


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Framework:
    return FRAMEWORKS[request.param]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Servers log the failures that a test provokes."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def nothing() -> None:
    """What happens inside of a handler in most tests."""


@contextmanager
def instrumented(framework: Framework, journeys: Journeys, *, first: str = "theirs", **told: Any) -> Iterator[None]:
    """Both instrumented, in the order told."""
    provider = {"tracer_provider": journeys.provider}
    told = {"routes": ROUTES, **told}
    with ExitStack() as stack:
        for whose in ("theirs", "ours") if first == "theirs" else ("ours", "theirs"):
            instrumentor = framework.theirs() if whose == "theirs" else framework.ours()
            instrumentor.instrument(**(provider if whose == "theirs" else told))
            stack.callback(instrumentor.uninstrument)
        yield


class Reply(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def send(url: str, path: str, method: str = "POST", **headers: str) -> Reply:
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=20)) as connection:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        with connection.getresponse() as answer:
            told = [(name.lower(), value) for name, value in answer.getheaders() if name.lower() != "date"]
            return Reply(answer.status, told, answer.read())


def attempt_of(request: Any) -> str | None:
    found = request.headers.get("x-cart") or request.headers.get("X-CART")
    return None if found is None else str(found)


def who(_: Any) -> dict[str, Any]:
    return {"customer": "user-42", "segment": "enterprise"}


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_the_server_span_is_the_step_whoever_was_first(framework: Framework, first: str) -> None:
    with recording(otel_cx.Settings(keys=TEST_KEY)) as journeys:
        with (
            instrumented(framework, journeys, first=first, attempt=attempt_of, identify=who),
            framework.shop(nothing) as url,
        ):
            assert send(url, "/pay", x_cart="cart-1")[::2] == (200, b"paid")
        step = one_step(journeys)
        assert (step.name, step.attempt, step.counts_as) == ("checkout/payment", "cart-1", "ok")
        assert step.span.kind is SpanKind.SERVER
        assert step.customer == TEST_KEY.pseudonym("user-42")
        assert step.attributes[semconv.SEGMENT] == "enterprise"
        assert "no_server_span" not in otel_cx.diagnostics()


def test_who_the_customer_is_reaches_the_server_span_from_inside(framework: Framework) -> None:
    with recording(otel_cx.Settings(keys=TEST_KEY)) as journeys:
        tracer = journeys.provider.get_tracer("shop")

        def inside() -> None:
            otel_cx.identify(customer="user-7")
            with tracer.start_as_current_span("SELECT"):
                pass

        with instrumented(framework, journeys), framework.shop(inside) as url:
            send(url, "/pay")
        assert one_step(journeys).customer == TEST_KEY.pseudonym("user-7")
        below = journeys.span("SELECT").attributes or {}
        assert below[semconv.CUSTOMER_ID] == TEST_KEY.pseudonym("user-7")
        assert below[semconv.JOURNEY_WITHIN] == "payment"
        assert semconv.JOURNEY_STEP not in below


def test_a_handler_that_raises_is_a_failure(framework: Framework) -> None:
    with recording() as journeys:
        with instrumented(framework, journeys), framework.shop(nothing) as url:
            assert send(url, "/fail").status == 500
        assert one_step(journeys).counts_as == "failed"


def test_a_streamed_answer_is_one_step(framework: Framework) -> None:
    with recording() as journeys:
        with instrumented(framework, journeys), framework.shop(nothing) as url:
            assert send(url, "/stream", "GET").body == b"onetwothree"
        assert one_step(journeys).name == "checkout/receipt"


def test_a_path_without_a_route_is_no_step_and_no_complaint(framework: Framework) -> None:
    with recording() as journeys:
        with instrumented(framework, journeys), framework.shop(nothing) as url:
            assert send(url, "/nowhere").status in {404, 405}
        assert journeys.steps() == []
        assert otel_cx.diagnostics() == {}


def raising(_: Any) -> Any:
    raise RuntimeError("of the callback")


@pytest.mark.parametrize("path", ["/pay", "/fail", "/nowhere"])
def test_callbacks_that_raise_leave_the_answer_as_it_is_byte_for_byte(framework: Framework, path: str) -> None:
    with framework.shop(nothing) as url:
        bare = send(url, path)
    with recording() as journeys:
        with (
            instrumented(framework, journeys, attempt=raising, identify=raising),
            framework.shop(nothing) as url,
        ):
            assert send(url, path) == bare
        assert otel_cx.diagnostics()["internal"] == 2


def test_without_the_official_instrumentation_requests_are_served_and_it_is_counted(framework: Framework) -> None:
    with recording() as journeys:
        framework.ours().instrument(routes=ROUTES)
        try:
            with framework.shop(nothing) as url:
                assert send(url, "/pay")[::2] == (200, b"paid")
        finally:
            framework.ours().uninstrument()
        deadline = time.monotonic() + 20
        while "no_server_span" not in otel_cx.diagnostics() and time.monotonic() < deadline:
            time.sleep(0.005)
        assert otel_cx.diagnostics() == {"no_server_span": 1}
        assert journeys.spans == ()


def test_uninstrumented_nothing_of_ours_is_left(framework: Framework) -> None:
    with recording() as journeys:
        with instrumented(framework, journeys):
            pass
        framework.theirs().instrument(tracer_provider=journeys.provider)
        try:
            with framework.shop(nothing) as url:
                send(url, "/pay")
        finally:
            framework.theirs().uninstrument()
        assert journeys.steps() == []


def test_told_nothing_it_patches_nothing(framework: Framework) -> None:
    with recording() as journeys:
        with instrumented(framework, journeys, routes=None), framework.shop(nothing) as url:
            assert send(url, "/pay").status == 200
        assert journeys.steps() == []
        assert otel_cx.diagnostics() == {}
