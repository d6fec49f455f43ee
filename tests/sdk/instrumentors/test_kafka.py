"""confluent-kafka: a real client against the broker that librdkafka brings for tests, in either order."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import confluent_kafka
import pytest
from opentelemetry.instrumentation.confluent_kafka import ConfluentKafkaInstrumentor
from opentelemetry.trace import SpanKind

import otel_cx
from otel_cx import Settings
from otel_cx.instrumentors.confluent_kafka import ConfluentKafkaCXInstrumentor
from otel_cx.testing import TEST_KEY, Journeys, recording

ROUTES = {"queue orders": "checkout/confirm"}
INSIDE = Settings(keys=TEST_KEY, trust="all", egress_destinations=("orders",))
checkout = otel_cx.journey("checkout")


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """The address of a broker; it lives as long as the client that it is a part of."""
    holder = confluent_kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 0})
    [found] = holder.list_topics(timeout=20).brokers.values()
    holder.produce("orders", b"the first", partition=0)  # which makes the topic
    assert holder.flush(20) == 0
    yield f"{found.host}:{found.port}"
    holder.flush(5)


@contextmanager
def instrumented(journeys: Journeys, *, first: str = "theirs", **told: Any) -> Iterator[None]:
    with ExitStack() as stack:
        for whose in ("theirs", "ours") if first == "theirs" else ("ours", "theirs"):
            if whose == "theirs":
                theirs: Any = ConfluentKafkaInstrumentor()
                theirs.instrument(tracer_provider=journeys.provider)
                stack.callback(theirs.uninstrument)
            else:
                ConfluentKafkaCXInstrumentor().instrument(**{"routes": ROUTES, **told})
                stack.callback(ConfluentKafkaCXInstrumentor().uninstrument)
        yield


def publish(broker: str, messages: int = 1) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": broker})
    with checkout.attempt("cart-1"):
        for number in range(messages):
            producer.produce("orders", f"{number}".encode(), partition=0)
    assert producer.flush(20) == 0


@contextmanager
def consumer(broker: str) -> Iterator[Any]:
    """Of what is sent from now on: its one partition is assigned to it, for a group takes seconds to form."""
    made = confluent_kafka.Consumer({"bootstrap.servers": broker, "group.id": "shop", "log_level": 0})
    place = confluent_kafka.TopicPartition("orders", 0)
    _, place.offset = made.get_watermark_offsets(place, timeout=20)
    made.assign([place])
    yield made
    made.close()


def one_message(made: Any) -> Any:
    for _ in range(100):
        record = made.poll(0.2)
        if record is not None and record.error() is None:
            return record
    raise AssertionError("no message came")


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_from_poll_to_poll_is_the_step_of_the_topic_in_the_attempt_of_the_sender(broker: str, first: str) -> None:
    with recording(INSIDE) as journeys, instrumented(journeys, first=first), consumer(broker) as made:
        publish(broker)
        assert one_message(made).value() == b"0"
        otel_cx.identify(customer="user-7")
        with journeys.provider.get_tracer("shop").start_as_current_span("INSERT"):
            pass
        made.poll(0)
        step = journeys.assert_step("checkout/confirm", attempt="cart-1", customer="user-7")
        assert step.span.kind is SpanKind.CONSUMER
        assert (journeys.span("INSERT").attributes or {})["otelcx.journey.within"] == "confirm"


def test_a_topic_that_is_not_allowed_carries_nothing(broker: str) -> None:
    with recording(Settings(trust="all")) as journeys, instrumented(journeys), consumer(broker) as made:
        publish(broker)
        assert not [name for name, _ in one_message(made).headers() or () if name == "baggage"]
        made.poll(0)
        assert journeys.assert_step("checkout/confirm").attempt is None
        assert otel_cx.diagnostics() == {"egress_denied": 1}


def test_a_consumer_that_trusts_nobody_begins_anew(broker: str) -> None:
    settings = Settings(egress_destinations=("orders",))
    with recording(settings) as journeys, instrumented(journeys), consumer(broker) as made:
        publish(broker)
        one_message(made)
        made.poll(0)
        assert journeys.assert_step("checkout/confirm").attempt is None


def test_the_attempt_and_the_customer_can_be_read_off_the_message(broker: str) -> None:
    told: dict[str, Any] = {
        "attempt": lambda message: f"cart-{message.value().decode()}",
        "identify": lambda _: {"customer": "user-9"},
    }
    with recording(Settings(keys=TEST_KEY)) as journeys, instrumented(journeys, **told), consumer(broker) as made:
        publish(broker)
        one_message(made)
        made.poll(0)
        journeys.assert_step("checkout/confirm", attempt="cart-0", customer="user-9")


def raising(_: Any) -> Any:
    raise RuntimeError("of the callback")


def test_callbacks_that_raise_change_no_message(broker: str) -> None:
    with recording() as journeys, instrumented(journeys, attempt=raising, identify=raising), consumer(broker) as made:
        publish(broker)
        assert one_message(made).value() == b"0"
        made.poll(0)
        assert otel_cx.diagnostics()["internal"] == 2
        journeys.assert_step("checkout/confirm")


def test_messages_that_are_consumed_at_once_are_one_execution(broker: str) -> None:
    with recording(INSIDE) as journeys, instrumented(journeys), consumer(broker) as made:
        publish(broker, messages=3)
        taken: list[Any] = []
        while len(taken) < 3:
            taken += made.consume(3 - len(taken), timeout=0.5)
        made.poll(0)
        steps = journeys.steps("checkout/confirm")
        assert 1 <= len(steps) <= 3
        assert len({step.attempt for step in steps if step.attempt}) <= 1


def test_uninstrumented_nothing_of_ours_is_left(broker: str) -> None:
    with recording(INSIDE) as journeys:
        with instrumented(journeys):
            pass
        theirs: Any = ConfluentKafkaInstrumentor()
        theirs.instrument(tracer_provider=journeys.provider)
        try:
            with consumer(broker) as made:
                publish(broker)
                one_message(made)
                made.poll(0)
        finally:
            theirs.uninstrument()
        journeys.assert_no_steps()
