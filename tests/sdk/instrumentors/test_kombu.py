"""kombu: real producers and consumers over its memory transport."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kombu.connection import Connection
from kombu.entity import Queue
from opentelemetry.trace import SpanKind

import otel_cx
from otel_cx import Settings, semconv
from otel_cx.instrumentors.kombu import KombuCXInstrumentor
from otel_cx.testing import TEST_KEY, Journeys, recording

ROUTES = {"queue orders": "checkout/confirm"}
INSIDE = Settings(keys=TEST_KEY, trust="all", egress_destinations=("orders",))
checkout = otel_cx.journey("checkout")


@contextmanager
def instrumented(journeys: Journeys, **told: Any) -> Iterator[None]:
    KombuCXInstrumentor().instrument(tracer_provider=journeys.provider, **{"routes": ROUTES, **told})
    try:
        yield
    finally:
        KombuCXInstrumentor().uninstrument()


def sent_and_taken(callback: Any = None, *, queue: str = "orders") -> list[Any]:
    """One message through a queue; what came out."""
    taken: list[Any] = []

    def take(body: Any, message: Any) -> None:
        message.ack()
        taken.append(body)
        if callback is not None:
            callback()

    with Connection("memory://") as connection:  # type: ignore[no-untyped-call]  # kombu is untyped
        place = Queue(queue, routing_key=queue)  # type: ignore[no-untyped-call]  # likewise
        with checkout.attempt("cart-1"):
            connection.Producer().publish({"cart": 1}, routing_key=queue, declare=[place])
        with connection.Consumer(place, callbacks=[take]):
            connection.drain_events(timeout=10)
    return taken


def test_a_callback_is_the_step_of_its_queue_and_goes_on_in_the_attempt_of_the_sender() -> None:
    with recording(INSIDE) as journeys, instrumented(journeys):
        assert sent_and_taken(lambda: otel_cx.identify(customer="user-7")) == [{"cart": 1}]
        step = journeys.assert_step("checkout/confirm", outcome="ok", attempt="cart-1", customer="user-7")
        assert step.span.kind is SpanKind.CONSUMER
        assert step.span.parent is not None
        sent = journeys.span("publish orders").context
        assert sent is not None
        assert step.span.parent.span_id == sent.span_id
        assert step.attributes["messaging.destination.name"] == "orders"


def test_a_callback_that_raises_is_a_failure_and_the_exception_is_the_applications() -> None:
    def broken() -> None:
        raise LookupError

    with recording(INSIDE) as journeys, instrumented(journeys):
        with pytest.raises(LookupError):
            sent_and_taken(broken)
        journeys.assert_step("checkout/confirm", outcome="failed")


def test_a_queue_that_is_not_allowed_carries_nothing() -> None:
    with recording(Settings(trust="all")) as journeys, instrumented(journeys):
        sent_and_taken()
        assert journeys.assert_step("checkout/confirm").attempt is None
        assert otel_cx.diagnostics() == {"egress_denied": 1}


def test_a_consumer_that_trusts_nobody_begins_anew() -> None:
    with recording(Settings(egress_destinations=("*",))) as journeys, instrumented(journeys):
        sent_and_taken()
        assert journeys.assert_step("checkout/confirm").attempt is None


def test_a_queue_without_a_route_is_no_step() -> None:
    with recording(INSIDE) as journeys, instrumented(journeys):
        sent_and_taken(queue="other")
        journeys.assert_no_steps()


def test_the_attempt_and_the_customer_can_be_read_off_the_message() -> None:
    told: dict[str, Any] = {"attempt": lambda message: f"cart-{message.payload['cart']}"}
    with recording(Settings(keys=TEST_KEY)) as journeys, instrumented(journeys, **told):
        sent_and_taken()
        journeys.assert_step("checkout/confirm", attempt="cart-1")


def raising(_: Any) -> Any:
    raise RuntimeError("of the callback")


def test_callbacks_of_ours_that_raise_change_no_result() -> None:
    with recording() as journeys, instrumented(journeys, attempt=raising, identify=raising):
        assert sent_and_taken() == [{"cart": 1}]
        assert otel_cx.diagnostics()["internal"] == 2
        journeys.assert_step("checkout/confirm")


def test_uninstrumented_nothing_of_ours_is_left() -> None:
    with recording(INSIDE) as journeys:
        with instrumented(journeys):
            pass
        assert sent_and_taken() == [{"cart": 1}]
        assert journeys.spans == ()


def test_a_message_sent_under_a_producer_span_gets_none_of_ours() -> None:
    with recording(INSIDE) as journeys, instrumented(journeys):
        with journeys.provider.get_tracer("celery").start_as_current_span("apply_async", kind=SpanKind.PRODUCER):
            sent_and_taken()
        assert not [span for span in journeys.spans if span.name.startswith("publish")]
        assert semconv.JOURNEY_STEP in (journeys.span("process orders").attributes or {})
