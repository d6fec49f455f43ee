"""Steps by a table in the settings: the ordinary instrumentations of real frameworks, and no middleware of ours."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import falcon
import grpc
import pytest
from aiohttp import ClientSession, web
from fastapi import FastAPI
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor
from opentelemetry.instrumentation.falcon import FalconInstrumentor
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.grpc import server_interceptor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Tracer
from sdk.serving import asgi_server, wsgi_server

import otel_cx
from otel_cx import ConfigurationError, MissingDependency, Settings, semconv
from otel_cx._route_rules import Rule, read_rules
from otel_cx._span_routes import MAX_UNMATCHED, SpanRoutes
from otel_cx.asgi import CXMiddleware
from otel_cx.testing import TEST_KEY, Journeys, recording

ROUTES = {
    "POST /pay": "checkout/payment",
    "GET /sites/{site}": "dns/show",
    "shop.Checkout/Confirm": "checkout/confirm",
    "queue orders": "checkout/ship",
    "task billing.charge": "checkout/charge",
    "GET /shop/<int:item>": "shop/look",
}
checkout = otel_cx.journey("checkout")


@pytest.fixture
def routed() -> Iterator[Journeys]:
    """Everything traced in this test, by the routes above."""
    with recording(Settings(keys=TEST_KEY, routes=ROUTES)) as journeys:
        yield journeys


@pytest.fixture
def tracer(routed: Journeys) -> Tracer:
    """What an instrumentation starts its spans with."""
    return routed.provider.get_tracer("server")


def request(url: str, path: str, method: str = "POST") -> None:
    connection = HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request(method, path)
    connection.getresponse().read()
    connection.close()


def steps_of(recorded: Journeys) -> list[tuple[str, str, SpanKind]]:
    return [(step.journey, step.step, step.span.kind) for step in recorded.steps()]


PAYMENT = ("checkout", "payment", SpanKind.SERVER)
SHOW = ("dns", "show", SpanKind.SERVER)


# Real frameworks


def test_fastapi_the_server_span_is_the_step_and_spans_below_serve_it(routed: Journeys, tracer: Tracer) -> None:
    app = FastAPI()

    @app.post("/pay")
    async def pay() -> None:
        with tracer.start_as_current_span("INSERT"):
            otel_cx.identify(customer="user-42")

    @app.get("/sites/{name}")
    async def show(name: str) -> str:
        return name

    FastAPIInstrumentor.instrument_app(app, tracer_provider=routed.provider)
    with asgi_server(app) as url:
        request(url, "/pay?card=4711")
        request(url, "/sites/42", "GET")
        request(url, "/nothing", "GET")
    assert steps_of(routed) == [PAYMENT, SHOW]
    insert = dict(routed.span("INSERT").attributes or {})
    assert insert[semconv.JOURNEY_NAME] == "checkout"
    assert insert[semconv.JOURNEY_WITHIN] == "payment"
    assert routed.steps()[0].customer == TEST_KEY.pseudonym("user-42")


def test_flask_the_server_span_is_the_step(routed: Journeys) -> None:
    app = Flask("shop")
    app.add_url_rule("/pay", view_func=lambda: "", methods=["POST"])
    app.add_url_rule("/sites/<name>", "show", view_func=lambda name: name)
    FlaskInstrumentor().instrument_app(  # type: ignore[no-untyped-call]  # untyped
        app, tracer_provider=routed.provider
    )
    with wsgi_server(app) as url:
        request(url, "/pay")
        request(url, "/sites/42", "GET")
    assert steps_of(routed) == [PAYMENT, SHOW]


def test_falcon_the_server_span_is_the_step(routed: Journeys) -> None:
    class Pay:
        def on_post(self, _request: Any, response: Any) -> None:
            response.text = ""

    FalconInstrumentor().instrument(tracer_provider=routed.provider)
    try:
        app = falcon.App()
        app.add_route("/pay", Pay())
        with wsgi_server(app) as url:
            request(url, "/pay")
    finally:
        FalconInstrumentor().uninstrument()
    assert steps_of(routed) == [PAYMENT]


@pytest.mark.filterwarnings("ignore:Inheritance class _InstrumentedApplication")  # the instrumentation's own way
def test_aiohttp_the_server_span_is_the_step(routed: Journeys) -> None:
    async def pay(_: web.Request) -> web.Response:
        return web.Response()

    async def serve_one() -> None:
        app = web.Application()
        app.router.add_post("/pay", pay)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with ClientSession() as client, client.post(f"http://127.0.0.1:{runner.addresses[0][1]}/pay"):
            pass
        await runner.cleanup()

    AioHttpServerInstrumentor().instrument(tracer_provider=routed.provider)
    try:
        asyncio.run(serve_one())
    finally:
        AioHttpServerInstrumentor().uninstrument()
    assert steps_of(routed) == [PAYMENT]


def test_grpc_the_server_span_is_the_step(routed: Journeys) -> None:
    handler = grpc.method_handlers_generic_handler(
        "shop.Checkout", {"Confirm": grpc.unary_unary_rpc_method_handler(lambda body, _: body)}
    )
    interceptor = server_interceptor(tracer_provider=routed.provider)  # type: ignore[no-untyped-call]  # untyped
    server = grpc.server(ThreadPoolExecutor(1), interceptors=[interceptor])
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        confirm: Any = channel.unary_unary("/shop.Checkout/Confirm")
        assert confirm(b"body", timeout=10) == b"body"
    server.stop(0).wait()
    assert steps_of(routed) == [("checkout", "confirm", SpanKind.SERVER)]


# What a span tells as it starts


@pytest.mark.parametrize(
    ("kind", "attributes", "step"),
    [
        (SpanKind.SERVER, {"http.request.method": "POST", "url.path": "/pay"}, "payment"),
        (SpanKind.SERVER, {"http.method": "POST", "http.target": "/pay?card=1"}, "payment"),
        (SpanKind.SERVER, {"http.method": "POST", "http.url": "http://shop:8000/pay?card=1"}, "payment"),
        (SpanKind.SERVER, {"http.method": "POST", "http.target": "http://shop/pay"}, "payment"),
        (SpanKind.SERVER, {"http.method": "GET", "http.route": "/sites/<name>", "http.target": "/"}, "show"),
        (SpanKind.SERVER, {"http.method": "GET", "http.route": "shop/<int:item>"}, "look"),
        (SpanKind.SERVER, {"rpc.service": "shop.Checkout", "rpc.method": "Confirm"}, "confirm"),
        (SpanKind.SERVER, {"rpc.method": "shop.Checkout/Confirm"}, "confirm"),
        (SpanKind.CONSUMER, {"messaging.destination.name": "orders"}, "ship"),
        (SpanKind.CONSUMER, {"messaging.destination": "orders"}, "ship"),
        (SpanKind.CONSUMER, {"celery.task_name": "billing.charge"}, "charge"),
        (SpanKind.SERVER, {"http.request.method": "GET", "url.path": "/pay"}, None),
        (SpanKind.SERVER, {"http.request.method": "POST", "url.path": "/pay/"}, None),
        (SpanKind.SERVER, {"http.request.method": "POST", "url.path": 7}, None),
        (SpanKind.CLIENT, {"http.request.method": "POST", "url.path": "/pay"}, None),
        (SpanKind.PRODUCER, {"messaging.destination.name": "orders"}, None),
        (SpanKind.CONSUMER, {"messaging.destination.name": "other"}, None),
        (SpanKind.SERVER, {}, None),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_old_and_new_names_tell_the_step_at_the_start_and_later(
    routed: Journeys, tracer: Tracer, kind: SpanKind, attributes: dict[str, Any], step: str | None, late: bool
) -> None:
    with tracer.start_as_current_span("work", kind=kind, attributes=None if late else attributes) as span:
        if late:
            for name, value in attributes.items():
                span.set_attribute(name, value)
        with tracer.start_as_current_span("INSERT"):
            pass
    assert [found.step for found in routed.steps()] == ([] if step is None else [step])
    assert dict(routed.span("INSERT").attributes or {}).get(semconv.JOURNEY_WITHIN) == step
    assert {name: dict(routed.span("work").attributes or {})[name] for name in attributes} == attributes
    assert otel_cx.diagnostics() == {}


def test_celery_names_its_task_in_the_name_of_its_span(routed: Journeys) -> None:
    celery = routed.provider.get_tracer("opentelemetry.instrumentation.celery")
    celery.start_span("run/billing.charge", kind=SpanKind.CONSUMER).end()
    routed.provider.get_tracer("mine").start_span("run/billing.charge", kind=SpanKind.CONSUMER).end()
    assert steps_of(routed) == [("checkout", "charge", SpanKind.CONSUMER)]


def test_the_route_that_the_framework_finds_later_decides_when_the_path_does_not(
    routed: Journeys, tracer: Tracer
) -> None:
    """As Django's instrumentation: the path at the start, the route when a view is found."""
    at_start = {"http.method": "GET", "http.target": "/shop/7"}
    with tracer.start_as_current_span("GET", kind=SpanKind.SERVER, attributes=at_start) as span:
        span.set_attribute("http.user_agent", "x")
        span.set_attribute("http.route", "shop/<int:item>")
        span.set_attribute("http.route", "shop/<int:other>")
    assert steps_of(routed) == [("shop", "look", SpanKind.SERVER)]


def test_a_message_handled_below_the_span_that_received_it_is_the_step(routed: Journeys, tracer: Tracer) -> None:
    """As confluent-kafka's instrumentation: the topic is told to a span inside another one that ends first."""
    with tracer.start_as_current_span("recv", kind=SpanKind.CONSUMER):
        process = tracer.start_span("orders process", kind=SpanKind.CONSUMER)
        process.set_attribute("messaging.destination", "orders")
    from opentelemetry.trace import use_span

    with use_span(process, end_on_exit=True), tracer.start_as_current_span("INSERT"):
        pass
    assert steps_of(routed) == [("checkout", "ship", SpanKind.CONSUMER)]
    assert routed.steps()[0].span.name == "orders process"
    assert dict(routed.span("INSERT").attributes or {})[semconv.JOURNEY_WITHIN] == "ship"


# Whose word goes first

PAY: dict[str, Any] = {"http.request.method": "POST", "url.path": "/pay"}


def test_a_step_opened_inside_with_the_same_name_is_the_same_execution(routed: Journeys, tracer: Tracer) -> None:
    with (
        tracer.start_as_current_span("POST /pay", kind=SpanKind.SERVER, attributes=PAY),
        checkout.attempt("cart-42"),
        checkout.step("payment") as step,
    ):
        step.revenue("129.00", "EUR")
    [found] = routed.steps()
    assert (found.span.kind, found.attempt) == (SpanKind.SERVER, "cart-42")
    assert found.attributes[semconv.REVENUE_AMOUNT] == "129.00"


def test_a_step_that_code_opened_goes_before_what_the_span_is_told_after_it(routed: Journeys, tracer: Tracer) -> None:
    with tracer.start_as_current_span("work", kind=SpanKind.CONSUMER) as span:
        with checkout.step("ship"):
            pass
        span.set_attribute("messaging.destination", "orders")
    assert [(step.step, step.span.kind) for step in routed.steps()] == [("ship", SpanKind.INTERNAL)]


def test_a_server_span_inside_an_open_step_of_that_name_is_the_same_execution(routed: Journeys, tracer: Tracer) -> None:
    with (
        checkout.step("payment"),
        tracer.start_as_current_span("POST /pay", kind=SpanKind.SERVER, attributes=PAY),
    ):
        pass
    assert [(step.step, step.span.kind) for step in routed.steps()] == [("payment", SpanKind.INTERNAL)]


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize(("routes", "step"), [({"POST /pay": "checkout/pay-by-card"}, "pay-by-card"), ({}, "payment")])
def test_the_middlewares_word_goes_first_and_its_attempt_counts_in_any_case(
    routed: Journeys, tracer: Tracer, outside: bool, routes: dict[str, str], step: str
) -> None:
    app = FastAPI()

    @app.post("/pay")
    async def pay() -> None:
        with tracer.start_as_current_span("INSERT"), checkout.step(step):
            pass

    def said(inner: Any) -> Any:
        return CXMiddleware(inner, routes, lambda _: {"segment": "trial"}, lambda _: "cart-42")

    if not outside:
        app.add_middleware(said)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=routed.provider)
    with asgi_server(said(app) if outside else app) as url:
        request(url, "/pay")
    [found] = routed.steps()
    assert (found.step, found.attempt, found.span.kind) == (step, "cart-42", SpanKind.SERVER)
    assert found.attributes[semconv.SEGMENT] == "trial"
    insert = dict(routed.span("INSERT").attributes or {})
    assert (insert[semconv.JOURNEY_WITHIN], insert[semconv.JOURNEY_ATTEMPT]) == (step, "cart-42")


def test_an_attempt_that_came_with_the_call_goes_on(tracer: Tracer) -> None:
    from otel_cx.propagator import CXPropagator

    with recording(Settings(trust="all", routes=ROUTES)) as recorded:
        from opentelemetry import propagate

        assert isinstance(propagate.get_global_textmap(), CXPropagator)
        came = propagate.extract({"baggage": "otelcx.journey.name=checkout,otelcx.journey.attempt=cart-42"})
        recorded.provider.get_tracer("x").start_span("x", came, SpanKind.SERVER, PAY).end()
        assert [(step.step, step.attempt) for step in recorded.steps()] == [("payment", "cart-42")]


# Rules for services


@contextmanager
def service(name: str, rules: tuple[Rule, ...]) -> Iterator[tuple[Tracer, InMemorySpanExporter]]:
    provider = TracerProvider(resource=Resource({"service.name": name}), shutdown_on_exit=False)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with recording():  # puts the process's settings back
        otel_cx.install(provider, Settings(routes=rules))
        yield provider.get_tracer("x"), exporter


@pytest.mark.parametrize(
    ("name", "step"), [("checkout-api", "payment"), ("webshop", "confirm"), ("worker", "charge"), ("other", None)]
)
def test_a_rule_with_a_service_is_for_that_service_alone_and_the_first_wins(name: str, step: str | None) -> None:
    rules = (
        Rule("POST /pay", "checkout/payment", "checkout-api"),
        Rule("POST /pay", "checkout/confirm", "webshop"),
        Rule("POST /pay", "checkout/other", "webshop"),
        Rule(None, "checkout/charge", "worker"),
        Rule("POST /pay", "checkout/never", "worker"),
    )
    with service(name, rules) as (tracer, exporter):
        tracer.start_span("x", kind=SpanKind.SERVER, attributes=PAY).end()
        [span] = exporter.get_finished_spans()
    assert dict(span.attributes or {}).get(semconv.JOURNEY_STEP) == step


# Reading rules


def test_rules_are_read_from_the_environment_and_then_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "routes"
    path.write_text("# the shop\n\nGET /a=b/{x}=shop/a,b\n".replace("a,b", "look") + "POST /pay = other/pay\n")
    environ = {"OTELCX_ROUTES": "POST /pay=checkout/payment, queue orders=checkout/confirm,"}
    assert Settings.from_env({**environ, "OTELCX_ROUTES_FILE": str(path)}).routes == (
        Rule("POST /pay", "checkout/payment"),
        Rule("queue orders", "checkout/confirm"),
        Rule("GET /a=b/{x}", "shop/look"),
        Rule("POST /pay", "other/pay"),
    )


INVENTORY = """
version: 1
match: &shop {service: checkout-api}
journeys:
  checkout:
    steps: [cart, payment, on]
    match:
      - {step: cart, <<: *shop, route: "GET /cart/{id}"}
      - {step: on, route: "POST sites/<int:site>/on"}
  plain: {steps: [a]}
  other:
    steps: [confirm]
    match:
      - {step: confirm, rpc: shop.Checkout/Confirm}
      - {step: confirm, service: "1"}
"""


def test_the_match_rules_of_an_inventory_are_read_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cx.yaml"
    path.write_text(INVENTORY)
    assert read_rules(None, str(path)) == (
        Rule("GET /cart/{id}", "checkout/cart", "checkout-api"),
        Rule("POST /sites/<int:site>/on", "checkout/on", None),
        Rule("shop.Checkout/Confirm", "other/confirm", None),
        Rule(None, "other/confirm", "1"),
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("routes", "POST /pay", r"routes has 'POST /pay', without a step\. Write 'POST /pay=checkout/payment'"),
        ("routes", "POST pay=checkout/payment", r"The route 'POST pay' cannot be used"),
        ("routes", "POST /pay=checkout", r"Write 'journey/step'"),
        ("routes", "x" * (1 << 20) + "y", r"over 1048576 characters\. Give a table"),
        ("cx.yaml", "a: [", r"is not YAML: (?s:.*)otel-cx-collector validate"),
        ("cx.yaml", "- POST /pay", r"has no journeys, so it is no inventory\. Give the path of a cx\.yaml"),
        ("cx.yaml", "journeys: {c: {match: [{route: GET /}]}}", r"of journey 'c' is no match rule\. Write step and"),
        ("cx.yaml", "journeys: {c: {match: [{step: a}]}}", r"at least one of service, route and rpc"),
        ("cx.yaml", "journeys: {c: {match: [{step: a, route: GET /, rpc: a.B/C}]}}", r"not both"),
        ("cx.yaml", "journeys: {c: {match: [{step: a, host: x}]}}", r"is no match rule"),
        ("cx.yaml", "journeys: {c: {match: [{step: A, route: GET /}]}}", r"The step name 'A' cannot be used"),
    ],
)
def test_a_rule_that_cannot_be_used_stops_the_start(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        Settings.from_env({"OTELCX_ROUTES_FILE": str(tmp_path / name)})


def test_a_file_that_is_not_there_or_routes_that_are_no_table_stop_the_start() -> None:
    with pytest.raises(ConfigurationError, match="'/nowhere' cannot be read"):
        Settings.from_env({"OTELCX_ROUTES_FILE": "/nowhere"})
    with pytest.raises(ConfigurationError, match=r"Use a mapping"):
        Settings(routes=["POST /pay"])  # type: ignore[arg-type]  # the mistake under test


def test_an_inventory_without_pyyaml_names_the_command(tmp_path: Path) -> None:
    (tmp_path / "cx.yaml").write_text(INVENTORY)
    program = """
import sys
sys.modules["yaml"] = None
import otel_cx
try:
    otel_cx.Settings.from_env({"OTELCX_ROUTES_FILE": "cx.yaml"})
except otel_cx.MissingDependency as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "pip install pyyaml" in done.stdout
    assert MissingDependency.__name__


# Robustness


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text in a fresh checkout makes Unicode's tables
@given(
    st.dictionaries(
        st.sampled_from(["http.method", "http.route", "http.target", "url.path", "rpc.service", "rpc.method", "x"]),
        st.one_of(st.text(), st.integers(), st.booleans(), st.lists(st.text(), max_size=2)),
    )
)
def test_whatever_a_span_says_it_ends_as_it_would(attributes: dict[str, Any]) -> None:
    with recording(Settings(routes=ROUTES)) as recorded:
        tracer = recorded.provider.get_tracer("x")
        tracer.start_span("start", kind=SpanKind.SERVER, attributes=attributes).end()
        span = tracer.start_span("late", kind=SpanKind.SERVER)
        span.set_attributes(attributes)
        span.end()
        assert otel_cx.diagnostics() == {}
        assert len(recorded.spans) == 2


def test_what_no_rule_took_is_remembered_without_what_names_a_customer(routed: Journeys, tracer: Tracer) -> None:
    for number in range(MAX_UNMATCHED + 5):
        told = {"http.method": "GET", "http.target": f"/users/{number}", "http.route": f"/r{number % 2}/<id>"}
        tracer.start_span("x", kind=SpanKind.SERVER, attributes=told).end()
    tracer.start_span("x", kind=SpanKind.SERVER, attributes={"http.method": "GET", "url.path": "/users/7"}).end()
    tracer.start_span("x", kind=SpanKind.SERVER, attributes=PAY).end()
    routes = routed.provider._otelcx_installed.routes  # type: ignore[attr-defined]  # ours
    assert isinstance(routes, SpanRoutes)
    assert list(routes.unmatched) == ["GET /r0/<id>", "GET /r1/<id>", "GET (no http.route)"]
    assert (routes.matched, routes.passed_over) == (1, MAX_UNMATCHED + 6)


def test_a_request_leaves_nothing_for_the_garbage_collector(routed: Journeys, tracer: Tracer) -> None:
    import gc

    def serve() -> None:
        with tracer.start_as_current_span("x", kind=SpanKind.SERVER, attributes=PAY), checkout.step("payment"):
            pass
        with tracer.start_as_current_span("x", kind=SpanKind.CONSUMER) as span:
            span.set_attribute("messaging.destination", "orders")
        tracer.start_span("x", kind=SpanKind.CONSUMER).end()

    serve()
    routed.clear()
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            serve()
        routed.clear()
        assert gc.collect() == 0
    finally:
        gc.enable()
