"""confluent-kafka: a real client against the broker that librdkafka brings for tests, in either order."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import confluent_kafka
import pytest
from opentelemetry.instrumentation.confluent_kafka import AutoInstrumentedConsumer, ConfluentKafkaInstrumentor
from opentelemetry.instrumentation.utils import unwrap
from opentelemetry.trace import SpanKind

import otel_cx
from otel_cx import Settings, semconv
from otel_cx.instrumentors.confluent_kafka import ConfluentKafkaCXInstrumentor
from otel_cx.testing import TEST_KEY, Journeys, recording

ROUTES = {f"queue orders-{number}": "checkout/confirm" for number in range(100)}
INSIDE = Settings(keys=TEST_KEY, trust="all", egress_destinations=("orders-*",))
checkout = otel_cx.journey("checkout")


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """The address of a broker; it lives as long as the client that it is a part of."""
    holder = confluent_kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock"})
    [found] = holder.list_topics(timeout=20).brokers.values()
    yield f"{found.host}:{found.port}"
    holder.flush(5)


_topics = itertools.count()


@pytest.fixture
def topic() -> str:
    """One that no other test uses."""
    return f"orders-{next(_topics)}"


@contextmanager
def instrumented(journeys: Journeys, *, first: str = "theirs", **told: Any) -> Iterator[None]:
    with ExitStack() as stack:
        for whose in ("theirs", "ours") if first == "theirs" else ("ours", "theirs"):
            if whose == "theirs":
                theirs: Any = ConfluentKafkaInstrumentor()
                theirs.instrument(tracer_provider=journeys.provider)
                stack.callback(unwrap, AutoInstrumentedConsumer, "consume")  # it leaves these two wrapped, and the next
                stack.callback(unwrap, AutoInstrumentedConsumer, "close")  # instrument() would wrap them once more
                stack.callback(theirs.uninstrument)
            else:
                ConfluentKafkaCXInstrumentor().instrument(**{"routes": ROUTES, **told})
                stack.callback(ConfluentKafkaCXInstrumentor().uninstrument)
        yield


def publish(broker: str, topic: str, messages: int = 1, **told: Any) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": broker})
    with checkout.attempt("cart-1"):
        for number in range(messages):
            producer.produce(topic, f"{number}".encode(), partition=0, **told)
    assert producer.flush(20) == 0


@contextmanager
def consumer(broker: str, topic: str) -> Iterator[Any]:
    """Of all messages of the topic, which is the test's own."""
    made = confluent_kafka.Consumer(
        {"bootstrap.servers": broker, "group.id": topic, "allow.auto.create.topics": True, "fetch.wait.max.ms": 20}
    )
    made.list_topics(topic, timeout=20)  # makes it, so that the consumer does not wait for it to be
    made.assign([confluent_kafka.TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)])
    yield made
    made.close()


def one_message(made: Any) -> Any:
    for _ in range(100):
        record = made.poll(0.2)
        if record is not None and record.error() is None:
            return record
    raise AssertionError("no message came")


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_from_poll_to_poll_is_the_step_of_the_topic_in_the_attempt_of_the_sender(
    broker: str, topic: str, first: str
) -> None:
    with recording(INSIDE) as journeys, instrumented(journeys, first=first), consumer(broker, topic) as made:
        publish(broker, topic)
        assert one_message(made).value() == b"0"
        otel_cx.identify(customer="user-7")
        with journeys.provider.get_tracer("shop").start_as_current_span("INSERT"):
            pass
        made.poll(0)
        step = journeys.assert_step("checkout/confirm", attempt="cart-1", customer="user-7")
        assert (step.span.kind, step.span.name) == (SpanKind.CONSUMER, f"{topic} process")
        insert = journeys.span("INSERT").attributes or {}
        assert (insert[semconv.JOURNEY_WITHIN], insert[semconv.JOURNEY_ATTEMPT]) == ("confirm", "cart-1")
        assert insert[semconv.CUSTOMER_ID] == step.customer
        assert otel_cx.diagnostics() == {}


def test_a_topic_that_is_not_allowed_carries_nothing(broker: str, topic: str) -> None:
    with recording(Settings(trust="all")) as journeys, instrumented(journeys), consumer(broker, topic) as made:
        publish(broker, topic)
        assert not [name for name, _ in one_message(made).headers() or () if name == "baggage"]
        made.poll(0)
        assert journeys.assert_step("checkout/confirm").attempt is None
        assert otel_cx.diagnostics() == {"egress_denied": 1}


def test_a_consumer_that_trusts_nobody_begins_anew(broker: str, topic: str) -> None:
    settings = Settings(egress_destinations=("orders-*",))
    with recording(settings) as journeys, instrumented(journeys), consumer(broker, topic) as made:
        publish(broker, topic)
        one_message(made)
        made.poll(0)
        assert journeys.assert_step("checkout/confirm").attempt is None


def test_the_attempt_and_the_customer_can_be_read_off_the_message(broker: str, topic: str) -> None:
    told: dict[str, Any] = {
        "attempt": lambda message: f"cart-{message.value().decode()}",
        "identify": lambda _: {"customer": "user-9"},
    }
    with (
        recording(Settings(keys=TEST_KEY)) as journeys,
        instrumented(journeys, **told),
        consumer(broker, topic) as made,
    ):
        publish(broker, topic)
        one_message(made)
        made.poll(0)
        journeys.assert_step("checkout/confirm", attempt="cart-0", customer="user-9")


def test_how_a_message_was_dealt_with_is_said_on_the_step(broker: str, topic: str) -> None:
    with recording(INSIDE) as journeys, instrumented(journeys), consumer(broker, topic) as made:
        publish(broker, topic)
        one_message(made)
        with checkout.step("confirm") as step:
            step.reject("sold_out")
        made.poll(0)
        assert journeys.assert_step("checkout/confirm", attempt="cart-1").outcome == "rejected"


def test_headers_that_are_handed_on_carry_nothing_to_a_topic_that_is_not_allowed(broker: str, topic: str) -> None:
    other = f"dead-{topic}"
    with recording(INSIDE) as journeys, instrumented(journeys):
        with consumer(broker, topic) as made:
            publish(broker, topic)
            record = one_message(made)
            assert any(b"otelcx." in value for _, value in record.headers())
            handed_on = [("baggage", b"theirs=1,otelcx.segment=vip"), *record.headers()]
            publish(broker, other, headers=handed_on)
        with consumer(broker, other) as made:
            headers = one_message(made).headers()
    assert not any(b"otelcx." in value for _, value in headers)
    assert ("baggage", b"theirs=1") in headers


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_a_consumer_that_was_instrumented_by_hand_is_covered(broker: str, topic: str, first: str) -> None:
    bare = confluent_kafka.Consumer
    with recording(INSIDE) as journeys, instrumented(journeys, first=first):
        publish(broker, topic)
        made: Any = bare({"bootstrap.servers": broker, "group.id": topic})
        made.assign([confluent_kafka.TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)])
        wrapped: Any = ConfluentKafkaInstrumentor.instrument_consumer(made, tracer_provider=journeys.provider)
        one_message(wrapped)
        wrapped.close()
        journeys.assert_step("checkout/confirm", attempt="cart-1")


def raising(_: Any) -> Any:
    raise RuntimeError("of the callback")


def test_callbacks_that_raise_change_no_message(broker: str, topic: str) -> None:
    with (
        recording() as journeys,
        instrumented(journeys, attempt=raising, identify=raising),
        consumer(broker, topic) as made,
    ):
        publish(broker, topic)
        assert one_message(made).value() == b"0"
        made.poll(0)
        assert otel_cx.diagnostics()["internal"] == 2
        journeys.assert_step("checkout/confirm")


def test_messages_that_are_consumed_at_once_are_one_execution(broker: str, topic: str) -> None:
    with recording(INSIDE) as journeys, instrumented(journeys), consumer(broker, topic) as made:
        publish(broker, topic, messages=3)
        taken: list[Any] = []
        while len(taken) < 3:
            taken += made.consume(3 - len(taken), timeout=0.5)
        made.poll(0)
        steps = journeys.steps("checkout/confirm")
        assert 1 <= len(steps) <= 3
        assert len({step.attempt for step in steps if step.attempt}) <= 1


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_uninstrumented_the_official_ones_functions_are_its_own(first: str) -> None:
    before = dict(vars(ConfluentKafkaInstrumentor))
    with recording() as journeys, instrumented(journeys, first=first):
        assert vars(ConfluentKafkaInstrumentor)["wrap_poll"] is not before["wrap_poll"]
    for name in ("wrap_poll", "wrap_consume"):
        assert vars(ConfluentKafkaInstrumentor)[name] is before[name]


def test_uninstrumented_nothing_of_ours_is_left(broker: str, topic: str) -> None:
    with recording(INSIDE) as journeys:
        with instrumented(journeys):
            pass
        theirs: Any = ConfluentKafkaInstrumentor()
        theirs.instrument(tracer_provider=journeys.provider)
        try:
            with consumer(broker, topic) as made:
                publish(broker, topic)
                one_message(made)
                made.poll(0)
        finally:
            theirs.uninstrument()
            for name in ("consume", "close"):
                unwrap(AutoInstrumentedConsumer, name)
        journeys.assert_no_steps()
