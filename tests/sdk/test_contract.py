"""What the SDK writes is what the collector reads: real spans, real OTLP bytes."""

import pytest
from fastapi import FastAPI, HTTPException
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.trace import SpanKind
from sdk.serving import asgi_server
from sdk.test_middleware import request, wait_for_step

import otel_cx
from otel_cx import Journey
from otel_cx.testing import TEST_KEY, Journeys
from otel_cx_collector import inventory
from otel_cx_collector.decode.limits import DecodeLimits
from otel_cx_collector.events import Grade, Outcome, StepRow
from otel_cx_collector.tag import Bounds, HashKeys, Tagger, decode_traces

INVENTORY = inventory.parse(
    """
    dimensions: {segment: {trial: 0.4}, region: [eu]}
    identify: {customer: {attribute: enduser.id, hash: true}}
    journeys:
      checkout:
        steps: [cart, payment, confirm]
        match: [{step: payment, route: "POST /pay"}]
        errors: [{class: payment-declined, error_type: card_declined, recoverable: false, consequence: lost order}]
    """
)
TAGGER = Tagger(INVENTORY, HashKeys.parse("test:not-a-secret-for-tests"))
ALWAYS = Bounds(0, 2**62)


def rows_of(recorded: Journeys) -> list[StepRow]:
    body = encode_spans(recorded.spans).SerializeToString()
    return sorted(decode_traces(body, TAGGER, ALWAYS, DecodeLimits()).rows, key=lambda row: row.end)


def test_a_step_is_the_row_the_application_meant(recorded: Journeys, checkout: Journey) -> None:
    tracer = recorded.provider.get_tracer("server")
    with tracer.start_as_current_span("POST /pay", kind=SpanKind.SERVER, attributes={"http.route": "/pay"}):
        otel_cx.identify(customer="user-42", account="org-7", segment="trial", region="eu")
        with checkout.attempt("cart-42"):
            with checkout.step("payment") as step:
                step.revenue("129.00", "EUR")
            with checkout.step("confirm") as step:
                step.reject("card_declined")
    payment, confirm = rows_of(recorded)
    assert (payment.journey, payment.step, payment.attempt) == ("checkout", "payment", "cart-42")
    assert payment.grade is Grade.EXPLICIT
    assert payment.outcome is Outcome.OK
    assert (payment.amount, payment.currency) == ("129.00", "EUR")
    assert payment.customer == TEST_KEY.pseudonym("user-42")
    assert payment.account == TEST_KEY.pseudonym("org-7")
    assert (payment.segment, payment.region, payment.revenue_class) == ("trial", "eu", "new")
    assert (confirm.outcome, confirm.error_class) == (Outcome.REJECTED, "payment-declined")


def test_outcomes_are_those_the_application_set_or_its_exceptions_mean(recorded: Journeys, checkout: Journey) -> None:
    def leave(error: BaseException) -> None:
        with pytest.raises(type(error)), checkout.step("payment", rejects=(KeyError,)):
            raise error

    leave(KeyError())
    leave(TimeoutError())
    leave(type("CancelledError", (BaseException,), {})())
    with checkout.step("payment") as step:
        step.fail("gateway_timeout", recoverable=True)
    rows = rows_of(recorded)
    assert [row.outcome for row in rows] == [Outcome.REJECTED, Outcome.FAILED, Outcome.CANCELLED, Outcome.FAILED]
    assert [row.recoverable for row in rows] == [False, True, False, True]


def test_sdk_and_collector_make_the_same_pseudonym(recorded: Journeys, checkout: Journey) -> None:
    tracer = recorded.provider.get_tracer("server")
    with tracer.start_as_current_span("server"):
        otel_cx.identify(customer="user-ü")
        with checkout.step("payment"):
            pass
    with checkout.step("payment") as step:
        step.span.set_attribute("enduser.id", "user-ü")
    with_sdk, without = rows_of(recorded)
    assert with_sdk.customer == without.customer != ""


def test_a_matched_server_span_never_doubles_the_step_inside_it(recorded: Journeys, checkout: Journey) -> None:
    server = recorded.provider.get_tracer("server")
    attributes = {"http.request.method": "POST", "http.route": "/pay"}
    with (
        server.start_as_current_span("POST /pay", kind=SpanKind.SERVER, attributes=attributes),
        checkout.step("payment"),
    ):
        pass
    server.start_span("POST /pay", kind=SpanKind.SERVER, attributes=attributes).end()
    tagged, matched = rows_of(recorded)
    assert tagged.span_id == recorded.span("checkout/payment").context.span_id.to_bytes(8, "big")
    assert matched.step == "payment"


@pytest.mark.parametrize(("status", "outcome"), [(402, Outcome.REJECTED), (503, Outcome.FAILED), (200, Outcome.OK)])
def test_the_answers_code_is_the_outcome_of_a_step_made_by_the_middleware(
    recorded: Journeys, status: int, outcome: Outcome
) -> None:
    app = FastAPI()

    @app.post("/pay")
    def pay() -> None:
        if status != 200:
            raise HTTPException(status)

    app.add_middleware(otel_cx.asgi.CXMiddleware, routes={"POST /pay": "checkout/payment"}, attempt=lambda _: "a")
    FastAPIInstrumentor.instrument_app(app, tracer_provider=recorded.provider)
    with asgi_server(app) as url:
        assert request(url, "/pay") == status
        wait_for_step(recorded, "checkout")
    [row] = rows_of(recorded)
    assert (row.outcome, row.step, row.attempt) == (outcome, "payment", "a")
