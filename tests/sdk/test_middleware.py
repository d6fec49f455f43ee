"""The middleware makes server spans steps: real servers, real bytes, the ordinary instrumentations."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from flask import Flask
from opentelemetry.context import Context
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as WSGIInstrumentation
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind
from sdk.serving import asgi_server, wsgi_server

import otel_cx
from otel_cx import ConfigurationError, InvalidName, Settings, semconv
from otel_cx._routes import RouteTable
from otel_cx.asgi import CXMiddleware as ASGICXMiddleware
from otel_cx.testing import TEST_KEY, Journeys, RecordedStep, recording
from otel_cx.wsgi import CXMiddleware as WSGICXMiddleware

ROUTES = {"POST /pay": "checkout/payment", "GET /sites/{site}/dns": "dns/show"}
checkout = otel_cx.journey("checkout")


def request(url: str, path: str, headers: dict[str, str] | None = None, method: str = "POST") -> int:
    connection = HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request(method, path, headers=headers or {})
    status = connection.getresponse().status
    connection.close()
    return status


def wait_for_step(recorded: Journeys, journey: str, count: int = 1) -> list[RecordedStep]:
    deadline = time.monotonic() + 5
    while len(recorded.steps(journey)) < count and time.monotonic() < deadline:
        time.sleep(0.005)  # the server span ends a moment after the client has its answer
    return recorded.steps(journey)


def by_cookie(scope: MutableMapping[str, Any]) -> str | None:
    cookie = dict(scope["headers"]).get(b"cookie", b"").decode()
    return cookie.removeprefix("cart=") or None


def by_header(scope: MutableMapping[str, Any]) -> dict[str, str] | None:
    user = dict(scope["headers"]).get(b"x-user")
    return None if user is None else {"customer": user.decode(), "segment": "trial"}


def fastapi_app(recorded: Journeys, **options: Any) -> FastAPI:
    app = FastAPI()

    @app.post("/pay")
    def pay() -> None:
        with recorded.provider.get_tracer("db").start_as_current_span("INSERT"):
            otel_cx.identify(region="eu")

    @app.get("/sites/{site}/dns")
    async def dns(site: str) -> str:
        return site

    app.add_middleware(ASGICXMiddleware, routes=ROUTES, identify=by_header, attempt=by_cookie, **options)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=recorded.provider)
    return app


def test_fastapi_the_server_span_is_the_step(recorded: Journeys) -> None:
    with asgi_server(fastapi_app(recorded)) as url:
        assert request(url, "/pay", {"cookie": "cart=c-42", "x-user": "user-42"}) == 200
        [step] = wait_for_step(recorded, "checkout")
    assert step.span.kind is SpanKind.SERVER
    assert (step.step, step.attempt) == ("payment", "c-42")
    assert step.customer == TEST_KEY.pseudonym("user-42")
    assert step.attributes[semconv.SEGMENT] == "trial"
    assert step.attributes[semconv.REGION] == "eu"
    insert = dict(recorded.span("INSERT").attributes or {})
    assert insert[semconv.JOURNEY_WITHIN] == "payment"
    assert insert[semconv.CUSTOMER_ID] == step.customer
    assert insert[semconv.JOURNEY_ATTEMPT] == "c-42"


def test_parameters_in_a_path_and_requests_on_no_route(recorded: Journeys) -> None:
    with asgi_server(fastapi_app(recorded)) as url:
        assert request(url, "/sites/42/dns?verbose=1", method="GET") == 200
        assert request(url, "/sites/42/a/dns", method="GET") == 404
        [step] = wait_for_step(recorded, "dns")
    assert step.step == "show"
    assert len(recorded.steps()) == 1


def test_a_step_of_the_same_name_in_the_handler_is_the_server_spans_execution(recorded: Journeys) -> None:
    app = FastAPI()

    @app.post("/pay")
    @checkout.step("payment")
    def pay(cart: str) -> None:
        with checkout.attempt(cart), checkout.step("payment") as step:
            step.revenue("129.00", "EUR")
        raise HTTPException(402)

    app.add_middleware(ASGICXMiddleware, routes=ROUTES)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=recorded.provider)
    with asgi_server(app) as url:
        assert request(url, "/pay?cart=c-7") == 402
        [step] = wait_for_step(recorded, "checkout")
    assert step.span.kind is SpanKind.SERVER
    assert step.attempt == "c-7"
    assert step.attributes[semconv.REVENUE_AMOUNT] == "129.00"


def test_a_background_task_goes_on_with_the_attempt(recorded: Journeys) -> None:
    app = FastAPI()

    def provision() -> None:
        with checkout.step("provision"):
            pass

    @app.post("/pay")
    def pay(tasks: BackgroundTasks) -> None:
        tasks.add_task(provision)

    app.add_middleware(ASGICXMiddleware, routes=ROUTES, attempt=by_cookie)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=recorded.provider)
    with asgi_server(app) as url:
        request(url, "/pay", {"cookie": "cart=c-42"})
        steps = wait_for_step(recorded, "checkout", 2)
    assert {(step.step, step.attempt) for step in steps} == {("payment", "c-42"), ("provision", "c-42")}


def test_the_same_step_after_the_answer_is_an_execution_of_its_own(recorded: Journeys) -> None:
    app = FastAPI()

    @checkout.step("payment")
    def again() -> None: ...

    @app.post("/pay")
    def pay(tasks: BackgroundTasks) -> None:
        tasks.add_task(again)

    app.add_middleware(ASGICXMiddleware, routes=ROUTES)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=recorded.provider)
    with asgi_server(app) as url:
        request(url, "/pay")
        steps = wait_for_step(recorded, "checkout", 2)
    assert [(step.step, step.span.kind) for step in steps] == [
        ("payment", SpanKind.SERVER),
        ("payment", SpanKind.INTERNAL),
    ]


async def call_in_process(app: Any) -> None:
    """One POST /pay without a server, in the context of the caller."""

    async def nothing(*_: Any) -> Any: ...

    scope = {"type": "http", "method": "POST", "path": "/pay", "headers": [], "scheme": "http", "query_string": b""}
    await app(scope, nothing, nothing)


def test_a_journey_open_around_the_server_hides_no_step_of_the_middleware(recorded: Journeys) -> None:
    async def app(*_: Any) -> None:
        with checkout.step("payment") as step:
            step.reject("card_declined")

    tracer = recorded.provider.get_tracer("server")
    with checkout.attempt("a"), tracer.start_as_current_span("POST /pay", kind=SpanKind.SERVER):
        asyncio.run(call_in_process(ASGICXMiddleware(app, routes=ROUTES)))
    [step] = recorded.steps()
    assert (step.attempt, step.outcome, step.span.kind) == ("a", "rejected", SpanKind.SERVER)


def test_what_waits_for_the_server_span_is_handed_over_once(recorded: Journeys) -> None:
    tracer = recorded.provider.get_tracer("server")

    async def app(*_: Any) -> None:
        for name in ("request", "unrelated"):
            with tracer.start_as_current_span(name, context=Context(), kind=SpanKind.SERVER):
                pass

    asyncio.run(call_in_process(ASGICXMiddleware(app, routes=ROUTES)))
    assert [step.span.name for step in recorded.steps()] == ["request"]


def test_an_attempt_known_late_stands_on_everything_after(recorded: Journeys) -> None:
    tracer = recorded.provider.get_tracer("db")

    async def app(*_: Any) -> None:
        tracer.start_span("before").end()
        with checkout.attempt("late"), checkout.step("payment"):
            pass
        tracer.start_span("after").end()

    served = OpenTelemetryMiddleware(ASGICXMiddleware(app, routes=ROUTES), tracer_provider=recorded.provider)
    asyncio.run(call_in_process(served))
    assert semconv.JOURNEY_ATTEMPT not in dict(recorded.span("before").attributes or {})
    assert dict(recorded.span("after").attributes or {})[semconv.JOURNEY_ATTEMPT] == "late"
    assert recorded.steps()[0].attempt == "late"


def test_outside_the_instrumentation_it_waits_for_the_server_span(recorded: Journeys) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    inner = OpenTelemetryMiddleware(app, tracer_provider=recorded.provider)
    with asgi_server(ASGICXMiddleware(inner, routes=ROUTES, identify=by_header, attempt=by_cookie)) as url:
        request(url, "/pay", {"cookie": "cart=c-42", "x-user": "user-42"})
        [step] = wait_for_step(recorded, "checkout")
    assert (step.attempt, step.customer) == ("c-42", TEST_KEY.pseudonym("user-42"))
    assert otel_cx.diagnostics() == {}


def test_without_a_server_span_the_loss_is_counted(recorded: Journeys) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with recorded.provider.get_tracer("db").start_as_current_span("INSERT"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    with asgi_server(ASGICXMiddleware(app, routes=ROUTES)) as url:
        assert request(url, "/pay") == 200
        assert request(url, "/other") == 200
    assert recorded.steps() == [], "a database span is not the request"
    assert otel_cx.diagnostics() == {"no_server_span": 1}


def test_a_request_that_is_not_sampled_is_no_loss() -> None:
    with recording(sampler=ALWAYS_OFF) as recorded:
        with asgi_server(fastapi_app(recorded)) as url:
            assert request(url, "/pay", {"x-user": "u"}) == 200
        assert set(otel_cx.diagnostics()) <= {"no_holder"}


def test_async_callbacks_are_awaited_and_failing_ones_lose_only_their_answer(recorded: Journeys) -> None:
    async def attempt(scope: Any) -> str:
        await asyncio.sleep(0)
        return "a-1"

    def identify(scope: Any) -> dict[str, str]:
        raise KeyError("session")

    app = FastAPI()
    app.post("/pay")(lambda: None)
    app.add_middleware(ASGICXMiddleware, routes=ROUTES, attempt=attempt, identify=identify)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=recorded.provider)
    with asgi_server(app) as url:
        assert request(url, "/pay") == 200
        [step] = wait_for_step(recorded, "checkout")
    assert step.attempt == "a-1"
    assert otel_cx.diagnostics() == {"internal": 1}


def test_a_wrong_answer_of_identify_leaves_step_and_attempt(recorded: Journeys) -> None:
    app = FastAPI()
    app.post("/pay")(lambda: None)
    app.add_middleware(ASGICXMiddleware, routes=ROUTES, attempt=lambda _: "a-1", identify=lambda _: {"vip": True})
    FastAPIInstrumentor.instrument_app(app, tracer_provider=recorded.provider)
    with asgi_server(app) as url:
        assert request(url, "/pay") == 200
        [step] = wait_for_step(recorded, "checkout")
    assert step.attempt == "a-1"
    assert otel_cx.diagnostics() == {"internal": 1}


def test_the_browsers_word_is_not_taken_at_the_edge_and_duplicate_headers_are_read(recorded: Journeys) -> None:
    with asgi_server(fastapi_app(recorded)) as url:
        connection = HTTPConnection(url.removeprefix("http://"), timeout=10)
        connection.putrequest("POST", "/pay")
        connection.putheader("baggage", "a=1")
        connection.putheader("baggage", "otelcx.segment=vip,otelcx.journey.attempt=stolen")
        connection.endheaders()
        assert connection.getresponse().status == 200
        connection.close()
        [step] = wait_for_step(recorded, "checkout")
    assert step.attempt is None
    assert semconv.SEGMENT not in step.attributes
    assert otel_cx.diagnostics() == {"baggage_untrusted": 1}


def test_inside_a_duplicate_header_line_is_believed() -> None:
    with recording(Settings(trust="all")) as recorded:
        with asgi_server(fastapi_app(recorded)) as url:
            connection = HTTPConnection(url.removeprefix("http://"), timeout=10)
            connection.putrequest("POST", "/pay")
            connection.putheader("baggage", "a=1")
            connection.putheader("baggage", "otelcx.journey.attempt=c-1,otelcx.journey.name=checkout")
            connection.endheaders()
            connection.getresponse()
            connection.close()
            [step] = wait_for_step(recorded, "checkout")
        assert step.attempt == "c-1"


def test_a_task_cancelled_by_the_server_is_a_cancelled_step(recorded: Journeys) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    served = OpenTelemetryMiddleware(ASGICXMiddleware(app, routes=ROUTES), tracer_provider=recorded.provider)
    scope = {"type": "http", "method": "POST", "path": "/pay", "headers": [], "query_string": b"", "scheme": "http"}

    async def main() -> None:
        async def nothing(*_: Any) -> Any: ...

        task = asyncio.create_task(served(scope, nothing, nothing))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [step.outcome for step in recorded.steps()] == ["cancelled"]


def test_other_connections_than_http_pass_untouched(recorded: Journeys) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    scope = {"type": "lifespan"}
    asyncio.run(ASGICXMiddleware(app, routes=ROUTES)(scope, len, id))  # type: ignore[arg-type]  # any objects will do
    assert seen == [(scope, len, id)]


def test_below_a_root_path_routes_are_those_of_the_application(recorded: Journeys) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    served = OpenTelemetryMiddleware(ASGICXMiddleware(app, routes=ROUTES), tracer_provider=recorded.provider)
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/shop/pay", "root_path": "/shop"}
    scope |= {"headers": [], "scheme": "http", "query_string": b""}

    async def nothing(*_: Any) -> Any: ...

    asyncio.run(served(scope, nothing, nothing))
    assert [step.step for step in recorded.steps()] == ["payment"]


def test_a_streamed_answer_stays_in_its_step(recorded: Journeys) -> None:
    app = FastAPI()

    @app.post("/pay")
    async def pay() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(3):
                with recorded.provider.get_tracer("x").start_as_current_span("chunk"):
                    await asyncio.sleep(0)
                yield b"x"

        return StreamingResponse(body())

    app.add_middleware(ASGICXMiddleware, routes=ROUTES)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=recorded.provider)
    with asgi_server(app) as url:
        request(url, "/pay")
        wait_for_step(recorded, "checkout")
    chunks = [dict(span.attributes or {}) for span in recorded.spans if span.name == "chunk"]
    assert [chunk.get(semconv.JOURNEY_WITHIN) for chunk in chunks] == ["payment"] * 3


@contextmanager
def flask_app(recorded: Journeys, handler: Callable[[], Any], **options: Any) -> Iterator[Flask]:
    app = Flask("billing")
    app.post("/pay")(handler)
    FlaskInstrumentor().instrument_app(app, tracer_provider=recorded.provider)  # type: ignore[no-untyped-call]  # untyped
    app.wsgi_app = WSGICXMiddleware(app.wsgi_app, routes=ROUTES, **options)  # type: ignore[method-assign]  # Flask's documented way
    yield app
    FlaskInstrumentor.uninstrument_app(app)  # type: ignore[no-untyped-call]  # untyped


def test_flask_the_server_span_that_starts_inside_is_the_step(recorded: Journeys) -> None:
    def pay() -> str:
        otel_cx.identify(region="eu")
        with checkout.step("payment") as step:
            step.reject("card_declined")
        return "no"

    options = {
        "attempt": lambda environ: environ.get("HTTP_X_CART"),
        "identify": lambda environ: {"customer": environ["HTTP_X_USER"]},
    }
    with flask_app(recorded, pay, **options) as app, wsgi_server(app) as url:
        assert request(url, "/pay", {"x-cart": "c-42", "x-user": "user-42"}) == 200
        [step] = wait_for_step(recorded, "checkout")
    assert step.span.kind is SpanKind.SERVER
    assert (step.attempt, step.outcome) == ("c-42", "rejected")
    assert step.customer == TEST_KEY.pseudonym("user-42")
    assert step.attributes[semconv.REGION] == "eu"
    assert step.attributes[semconv.ERROR_TYPE] == "card_declined"
    assert otel_cx.diagnostics() == {}


def test_requests_at_once_each_keep_their_own_customer(recorded: Journeys) -> None:
    def pay() -> str:
        time.sleep(0.002)
        with recorded.provider.get_tracer("db").start_as_current_span("INSERT"):
            return "ok"

    options = {
        "attempt": lambda environ: environ.get("HTTP_X_CART"),
        "identify": lambda environ: {"customer": environ["HTTP_X_CART"]},
    }
    with flask_app(recorded, pay, **options) as app, wsgi_server(app) as url, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: request(url, "/pay", {"x-cart": f"c-{number}"}), range(40)))
        steps = wait_for_step(recorded, "checkout", 40)
    assert len({step.attempt for step in steps}) == 40
    for span in recorded.spans:
        attributes = dict(span.attributes or {})
        assert attributes[semconv.CUSTOMER_ID] == TEST_KEY.pseudonym(str(attributes[semconv.JOURNEY_ATTEMPT]))


def test_wsgi_inside_the_instrumentation(recorded: Journeys) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"ok"]

    inside = WSGIInstrumentation(
        WSGICXMiddleware(app, routes=ROUTES, attempt=lambda _: "a"), tracer_provider=recorded.provider
    )
    with wsgi_server(inside) as url:
        assert request(url, "/pay") == 200
        [step] = wait_for_step(recorded, "checkout")
    assert (step.span.kind, step.attempt) == (SpanKind.SERVER, "a")


def test_a_wsgi_applications_failure_is_its_own_and_ours_is_nobodys(recorded: Journeys) -> None:
    def broken(environ: Any) -> Any:
        raise RuntimeError("identify")

    def app(environ: Any, start_response: Any) -> list[bytes]:
        raise ValueError("the application's")

    with pytest.raises(ValueError, match="the application's"):
        WSGICXMiddleware(app, routes=ROUTES, identify=broken, attempt=broken)(
            {"REQUEST_METHOD": "POST", "PATH_INFO": "/pay"}, print
        )
    with pytest.raises(ValueError, match="the application's"):
        WSGICXMiddleware(app)({}, print)
    assert otel_cx.diagnostics() == {"internal": 3, "no_server_span": 1}


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        ({"/pay": "checkout/payment"}, "'POST /pay'"),
        ({"POST pay": "checkout/payment"}, "'POST /pay'"),
        ({"POST /pay": "checkout"}, "'journey/step'"),
    ],
)
def test_a_route_that_cannot_be_used_is_refused_at_start(routes: dict[str, str], message: str) -> None:
    for middleware in (ASGICXMiddleware, WSGICXMiddleware):
        with pytest.raises(ConfigurationError, match=message):
            middleware(print, routes=routes)  # type: ignore[arg-type]  # never called
    with pytest.raises(InvalidName, match="'Pay'"):
        RouteTable({"POST /pay": "checkout/Pay"})


def test_exact_paths_go_before_parameters_and_the_first_pattern_wins() -> None:
    table = RouteTable(
        {"GET /s/{a}": "one/a", "GET /{b}/x": "two/b", "GET /s/x": "three/c", "GET /a.b/{c}.json": "four/d"}
    )
    assert table.find("GET", "/s/x") == ("three", "c")
    assert table.find("GET", "/s/y") == ("one", "a")
    assert table.find("GET", "/t/x") == ("two", "b")
    assert table.find("GET", "/a.b/9.json") == ("four", "d")
    assert table.find("GET", "/aXb/9.json") is None
    assert table.find("POST", "/s/x") is None
    assert table.find("GET", "/s/") is None
