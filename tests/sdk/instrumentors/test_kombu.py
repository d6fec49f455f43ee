"""kombu: real producers and consumers over its memory transport."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import kombu as untyped
import pytest
from opentelemetry.trace import SpanKind, StatusCode

import otel_cx
from otel_cx import Settings, semconv
from otel_cx.instrumentors.kombu import KombuCXInstrumentor
from otel_cx.testing import TEST_KEY, Journeys, recording

kombu: Any = untyped
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

    with kombu.Connection("memory://") as connection:
        place = kombu.Queue(queue, routing_key=queue)
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


@contextmanager
def connected() -> Iterator[Any]:
    """To a broker of its own: the memory transport keeps its queues for the whole process."""
    with kombu.Connection("memory://") as connection:
        yield connection
        for queue in ("orders", "refunds"):
            kombu.Queue(queue).bind(connection).purge()


def test_a_handler_of_whole_messages_is_the_step_and_stays_the_consumers_own() -> None:
    taken: list[Any] = []

    def take(message: Any) -> None:
        taken.append(message.payload)
        message.ack()

    with recording(INSIDE) as journeys, instrumented(journeys), connected() as connection:
        queue = kombu.Queue("orders")
        with checkout.attempt("cart-1"):
            connection.Producer().publish({"cart": 1}, routing_key="orders", declare=[queue])
        with connection.Consumer(queue, on_message=take) as consumer:
            connection.drain_events(timeout=10)
        journeys.assert_step("checkout/confirm", attempt="cart-1")
    assert taken == [{"cart": 1}]
    assert consumer.on_message is take


def test_a_queue_bound_to_an_exchange_has_its_own_name() -> None:
    exchange = kombu.Exchange("shop", "direct")
    orders = kombu.Queue("orders", exchange, routing_key="order.new")
    refunds = kombu.Queue("refunds", exchange, routing_key="order.back")
    settings = Settings(trust="all", egress_destinations=("order.*",))
    with recording(settings) as journeys, instrumented(journeys), connected() as connection:
        with checkout.attempt("cart-1"):
            for key in ("order.back", "order.new"):
                connection.Producer().publish({}, exchange=exchange, routing_key=key, declare=[orders, refunds])
        with connection.Consumer([orders, refunds], callbacks=[lambda _, message: message.ack()]):
            for _ in range(2):
                connection.drain_events(timeout=10)
        journeys.assert_step("checkout/confirm", attempt="cart-1")
        assert {"process orders", "process refunds"} <= {span.name for span in journeys.spans}


def test_a_queue_to_get_from_only_passes_messages_on() -> None:
    with recording(INSIDE) as journeys, instrumented(journeys), connected() as connection:
        queue = connection.SimpleQueue("orders")
        queue.put({"cart": 1})
        message = queue.get(timeout=10)
        message.ack()
        queue.close()
        assert message.payload == {"cart": 1}
        assert journeys.spans == ()


def test_the_applications_headers_stay_and_those_handed_on_carry_nothing_elsewhere() -> None:
    seen: list[dict[str, Any]] = []

    def take(_: Any, message: Any) -> None:
        seen.append(message.headers)
        message.ack()

    mine = {"x-mine": "1", "baggage": "theirs=1,otelcx.segment=vip"}
    with recording(Settings(trust="all")) as journeys, instrumented(journeys), connected() as connection:
        with checkout.attempt("cart-1"):
            place = [None, False, False, 0, None, None, None]
            connection.Producer().publish({}, "orders", *place, mine, declare=[kombu.Queue("orders")])
            connection.Producer().publish({}, routing_key="orders", headers=mine)
        with connection.Consumer(kombu.Queue("orders"), callbacks=[take]):
            for _ in range(2):
                connection.drain_events(timeout=10)
    assert mine == {"x-mine": "1", "baggage": "theirs=1,otelcx.segment=vip"}
    for headers in seen:
        assert (headers["x-mine"], headers["baggage"]) == ("1", "theirs=1")
        assert "traceparent" in headers


def test_what_is_sent_outside_of_any_trace_gets_none() -> None:
    with recording(INSIDE) as journeys, instrumented(journeys), connected() as connection:
        connection.Producer().publish({}, routing_key="orders", declare=[kombu.Queue("orders")])
        assert journeys.spans == ()


def test_a_publish_that_raises_raises_the_same_and_its_span_says_so() -> None:
    with recording(INSIDE) as journeys, instrumented(journeys), checkout.attempt("cart-1"):
        with pytest.raises(AttributeError):
            kombu.Producer(None).publish({}, routing_key="orders")
        assert journeys.span("publish orders").status.status_code is StatusCode.ERROR
        assert otel_cx.diagnostics() == {}


def test_inside_a_task_the_tasks_span_is_not_taken_for_the_messages() -> None:
    with recording(INSIDE) as journeys, instrumented(journeys):
        with journeys.provider.get_tracer("celery").start_as_current_span("run/task", kind=SpanKind.CONSUMER):
            sent_and_taken()
        assert journeys.assert_step("checkout/confirm").span.name == "process orders"


def test_uninstrumented_kombus_own_is_back() -> None:
    names = ((kombu.Consumer, "receive"), (kombu.Consumer, "on_message"), (kombu.Producer, "publish"))
    before = [vars(owner)[name] for owner, name in names]
    with recording() as journeys, instrumented(journeys):
        assert [vars(owner)[name] for owner, name in names] != before
    assert [vars(owner)[name] for owner, name in names] == before
