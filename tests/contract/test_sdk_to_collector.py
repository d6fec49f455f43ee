"""The contract: what the SDK emits is what the collector reads. Real exporter, real receiver, real bytes."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind
from otlp import DecodingSink, grpc_server

import otel_cx
from otel_cx.pseudonym import Keyring
from otel_cx.testing import recording
from otel_cx_collector.events import Grade, Outcome, StepRow
from otel_cx_collector.tag import HashKeys

INVENTORY = """
dimensions: {segment: [enterprise], plan: [pro], region: [eu]}
journeys: {checkout: {steps: [cart, payment, confirm]}}
"""


class Sent:
    """A provider that is traced by the SDK's recorder and exports to a real receiver."""

    def __init__(self, provider: TracerProvider, sink: DecodingSink) -> None:
        self.provider = provider
        self.sink = sink

    def rows(self) -> list[StepRow]:
        self.provider.force_flush()
        return sorted(self.sink.rows, key=lambda row: row.end)


@pytest.fixture
def sent() -> Iterator[Sent]:
    sink = DecodingSink(INVENTORY)
    with grpc_server(sink) as served, recording() as journeys:
        exporter = OTLPSpanExporter(endpoint=f"127.0.0.1:{served.port}", insecure=True)
        journeys.provider.add_span_processor(SimpleSpanProcessor(exporter))
        yield Sent(journeys.provider, sink)


def test_a_step_arrives_with_journey_attempt_customer_dimensions_and_money(sent: Sent) -> None:
    checkout = otel_cx.journey("checkout", revenue_class="new")
    tracer = sent.provider.get_tracer("server")
    with tracer.start_as_current_span("POST /confirm", kind=SpanKind.SERVER):
        otel_cx.identify(customer="anna", segment="enterprise", plan="pro", region="eu")
        with checkout.attempt("cart-1"), checkout.step("confirm") as step:
            step.revenue(Decimal("129.00"), "EUR")
    (row,) = sent.rows()
    assert (row.journey, row.step, row.attempt, row.grade) == ("checkout", "confirm", "cart-1", Grade.EXPLICIT)
    assert (row.outcome, row.segment, row.plan, row.region, row.revenue_class) == (
        Outcome.OK, "enterprise", "pro", "eu", "new",
    )  # fmt: skip
    assert (Decimal(row.amount), row.currency) == (Decimal(129), "EUR")
    assert row.customer
    assert "anna" not in row.customer


def test_outcomes_arrive_as_the_application_meant_them(sent: Sent) -> None:
    checkout = otel_cx.journey("checkout")

    class DeclinedError(Exception):
        pass

    @checkout.step("payment", rejects=(DeclinedError,))
    def pay(error: Exception | None) -> None:
        if error:
            raise error

    pay(None)
    for error in (DeclinedError(), RuntimeError()):
        with pytest.raises(type(error)):
            pay(error)
    assert [row.outcome for row in sent.rows()] == [Outcome.OK, Outcome.REJECTED, Outcome.FAILED]


def test_a_span_below_a_step_is_no_second_execution(sent: Sent) -> None:
    checkout = otel_cx.journey("checkout")
    tracer = sent.provider.get_tracer("client")
    with checkout.step("payment"), tracer.start_as_current_span("SELECT"), checkout.step("payment"):
        pass
    assert [row.step for row in sent.rows()] == ["payment"]


def test_sdk_and_collector_make_the_same_pseudonym_from_the_same_key_file() -> None:
    text = "k1:a secret of more than sixteen\n"
    for raw in ("anna", "é", "x" * 300):
        assert Keyring.parse(text).pseudonym(raw) == HashKeys.parse(text).pseudonym(raw)


def test_the_resource_names_service_version_and_environment(sent: Sent) -> None:
    assert isinstance(sent.provider.resource, Resource)
    with otel_cx.journey("checkout").step("cart"):
        pass
    (row,) = sent.rows()
    assert row.environment == "unset"
    assert row.service == sent.provider.resource.attributes["service.name"]
