"""The attempt a request belongs to, by cookie or header, and the cookie for a browser that has none."""

import re
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from http.client import HTTPConnection, HTTPMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as WSGIInstrumentation
from sdk.serving import asgi_server, wsgi_server

import otel_cx
from otel_cx import ConfigurationError, semconv
from otel_cx._attempt_ids import MAX_COOKIES_LENGTH, in_cookies
from otel_cx.testing import Journeys

ROUTES = {"POST /pay": "checkout/payment"}


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"paid"})


def wsgi_app(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"paid"]


@pytest.fixture(params=["asgi", "wsgi"])
def served(request: pytest.FixtureRequest, recorded: Journeys) -> Callable[[Any], AbstractContextManager[str]]:
    """Serves POST /pay, with the attempt given by a function of the module; yields the URL."""

    def serve(attempt: Any) -> AbstractContextManager[str]:
        module = getattr(otel_cx, request.param)
        app: Any = asgi_app if request.param == "asgi" else wsgi_app
        inside = module.CXMiddleware(app, routes=ROUTES, attempt=attempt(module))
        instrumentation: Any = OpenTelemetryMiddleware if request.param == "asgi" else WSGIInstrumentation
        outside = instrumentation(inside, tracer_provider=recorded.provider)
        return asgi_server(outside) if request.param == "asgi" else wsgi_server(outside)

    return serve


def pay(url: str, *headers: tuple[str, str]) -> HTTPMessage:
    """Sends the headers as lines of their own; returns those of the answer."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/pay")
    for name, value in (*headers, ("content-length", "0")):
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"paid")
    connection.close()
    return answer.msg


def attempts(recorded: Journeys, count: int) -> list[str | None]:
    """Waits until so many requests were recorded: a server span ends a moment after the client has its answer."""
    deadline = time.monotonic() + 5
    while len(recorded.steps()) < count and time.monotonic() < deadline:
        time.sleep(0.005)
    return [step.attempt for step in recorded.steps()]


def test_the_attempt_comes_in_a_cookie(served: Any, recorded: Journeys) -> None:
    with served(lambda module: module.cookie("cart")) as url:
        assert "set-cookie" not in pay(url, ("Cookie", "theme=dark; cart=c-42; cartridge=no"))
    assert attempts(recorded, 1) == ["c-42"]


def test_the_attempt_comes_in_a_header(served: Any, recorded: Journeys) -> None:
    with served(lambda module: module.header("X-Cart")) as url:
        pay(url, ("x-cart", "c-42"))
    assert attempts(recorded, 1) == ["c-42"]


def test_without_cookie_or_header_there_is_no_attempt(served: Any, recorded: Journeys) -> None:
    for how in ("cookie", "header"):
        with served(lambda module, how=how: getattr(module, how)("cart")) as url:
            assert "set-cookie" not in pay(url)
    assert attempts(recorded, 2) == [None, None]
    assert otel_cx.diagnostics() == {}


def test_what_is_no_attempt_id_is_not_used_and_counted(served: Any, recorded: Journeys) -> None:
    wrong = ("a b", "x" * 65, "caf%C3%A9", "' OR 1")
    with served(lambda module: module.header("x-cart")) as url:
        for value in wrong:
            pay(url, ("x-cart", value))
    with served(lambda module: module.cookie("cart")) as url:
        for value in wrong:
            pay(url, ("Cookie", f"cart={value}"))
    assert attempts(recorded, 8) == [None] * 8
    assert otel_cx.diagnostics() == {"invalid_attempt": 8}


def test_a_browser_without_one_is_given_one_that_it_sends_from_then_on(served: Any, recorded: Journeys) -> None:
    with served(lambda module: module.cookie("cx-attempt", issue=True)) as url:
        answer = pay(url, ("Cookie", "theme=dark"))
        given = re.fullmatch(
            r"(cx-attempt=([0-9a-f]{32})); Path=/; Max-Age=86400; HttpOnly; SameSite=Lax", answer["set-cookie"]
        )
        assert given is not None
        assert answer["content-type"] == "text/plain"
        assert "set-cookie" not in pay(url, ("Cookie", f"theme=dark; {given[1]}"))
    assert attempts(recorded, 2) == [given[2], given[2]]
    assert {type(step.attributes[semconv.JOURNEY_ATTEMPT]) for step in recorded.steps()} == {str}


def test_two_browsers_are_given_different_ids(served: Any, recorded: Journeys) -> None:
    with served(lambda module: module.cookie("cx-attempt", issue=True)) as url:
        assert pay(url)["set-cookie"] != pay(url)["set-cookie"]
    assert len(set(attempts(recorded, 2))) == 2


def test_over_https_the_cookie_is_secure() -> None:
    scope = {"headers": [], "scheme": "https"}
    environ = {"wsgi.url_scheme": "https"}
    for issued in (otel_cx.asgi.cookie("a", issue=True)(scope), otel_cx.wsgi.cookie("a", issue=True)(environ)):
        assert getattr(issued, "set_cookie", "").endswith("; Secure")


@pytest.mark.parametrize("module", [otel_cx.asgi, otel_cx.wsgi])
@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "a\r\nSet-Cookie: x", "é"])
def test_a_name_that_cannot_be_sent_is_refused_at_start(module: Any, name: str) -> None:
    for make in (module.cookie, module.header):
        with pytest.raises(ConfigurationError, match="Write it as it is sent"):
            make(name)


def test_cookies_over_the_limit_are_not_searched(recorded: Journeys) -> None:
    assert in_cookies("cart", ["cart=c-42", "x" * (MAX_COOKIES_LENGTH - 10)]) == "c-42"
    assert in_cookies("cart", ["cart=c-42", "x" * (MAX_COOKIES_LENGTH - 9)]) is None
    assert otel_cx.diagnostics() == {"invalid_attempt": 1}


@given(st.lists(st.text(), max_size=4))
def test_whatever_a_client_sends_an_attempt_has_its_shape_or_is_none(lines: list[str]) -> None:
    found = in_cookies("cart", [*lines, "cart=c-42"])
    assert found is None or semconv.VALUE.fullmatch(found)
