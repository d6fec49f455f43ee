"""Dramatiq: a real worker over the broker that dramatiq brings for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from opentelemetry.trace import SpanKind

import otel_cx
from otel_cx import Settings, semconv
from otel_cx.instrumentors.dramatiq import DramatiqCXInstrumentor
from otel_cx.testing import TEST_KEY, Journeys, recording

ROUTES = {"task charge": "checkout/payment", "queue mail": "checkout/receipt"}
INSIDE = Settings(keys=TEST_KEY, trust="all", egress_destinations=("default", "mail"))
checkout = otel_cx.journey("checkout")


@contextmanager
def worked(journeys: Journeys, **told: Any) -> Iterator[dict[str, Any]]:
    """A broker with a worker and two actors, made while it is instrumented."""
    DramatiqCXInstrumentor().instrument(tracer_provider=journeys.provider, **{"routes": ROUTES, **told})
    broker = StubBroker()
    broker.emit_after("process_boot")
    done: list[str] = []
    tries: list[int] = []

    @dramatiq.actor(actor_name="charge", broker=broker, max_retries=1, min_backoff=1, max_backoff=2)
    def charge(cart: str, *, fail: bool = False) -> None:
        tries.append(1)
        if fail and len(tries) == 1:
            raise LookupError(cart)
        done.append(cart)

    @dramatiq.actor(actor_name="send", queue_name="mail", broker=broker)
    def send(cart: str) -> None:
        otel_cx.identify(customer="user-7")
        done.append(cart)

    worker = dramatiq.Worker(broker, worker_timeout=10, worker_threads=1)
    worker.start()

    def finish() -> None:
        for queue in ("default", "mail"):
            broker.join(queue, timeout=20_000, fail_fast=False)
        worker.join()

    try:
        yield {"charge": charge, "send": send, "done": done, "finish": finish}
    finally:
        worker.stop()
        broker.close()
        DramatiqCXInstrumentor().uninstrument()


def publish(actor: Any, **keywords: Any) -> None:
    with checkout.attempt("cart-1"):
        actor.send("cart-1", **keywords)


def test_a_run_is_the_step_and_goes_on_in_the_attempt_of_the_sender() -> None:
    with recording(INSIDE) as journeys, worked(journeys) as shop:
        with journeys.provider.get_tracer("panel").start_as_current_span("POST /pay", kind=SpanKind.SERVER):
            publish(shop["charge"])
        shop["finish"]()
        step = journeys.assert_step("checkout/payment", outcome="ok", attempt="cart-1")
        assert step.span.kind is SpanKind.CONSUMER
        sent = journeys.span("publish default")
        assert step.span.parent is not None
        assert sent.context is not None
        assert step.span.parent.span_id == sent.context.span_id


def test_a_queues_route_is_for_tasks_without_one_and_the_customer_is_found_out_inside() -> None:
    with recording(INSIDE) as journeys, worked(journeys) as shop:
        publish(shop["send"])
        shop["finish"]()
        journeys.assert_step("checkout/receipt", customer="user-7", attempt="cart-1")


def test_each_retry_is_an_execution() -> None:
    with recording(INSIDE) as journeys, worked(journeys) as shop:
        publish(shop["charge"], fail=True)
        shop["finish"]()
        assert shop["done"] == ["cart-1"]
        steps = journeys.assert_steps("checkout/payment", "checkout/payment", attempt="cart-1")
        assert [step.counts_as for step in steps] == ["failed", "ok"]
        assert steps[0].attributes[semconv.JOURNEY_ATTEMPT] == "cart-1"


def test_a_queue_that_is_not_allowed_carries_nothing() -> None:
    with recording(Settings(trust="all")) as journeys, worked(journeys) as shop:
        publish(shop["charge"])
        shop["finish"]()
        assert journeys.assert_step("checkout/payment").attempt is None
        assert otel_cx.diagnostics() == {"egress_denied": 1}


def test_a_worker_that_trusts_nobody_begins_anew() -> None:
    with recording(Settings(egress_destinations=("*",))) as journeys, worked(journeys) as shop:
        publish(shop["charge"])
        shop["finish"]()
        assert journeys.assert_step("checkout/payment").attempt is None


def test_the_attempt_and_the_customer_can_be_read_off_the_message() -> None:
    with recording(Settings(keys=TEST_KEY)) as journeys:
        told: dict[str, Any] = {"attempt": lambda message: message.args[0], "identify": lambda _: {"customer": "u"}}
        with worked(journeys, **told) as shop:
            shop["charge"].send("cart-5")
            shop["finish"]()
        journeys.assert_step("checkout/payment", attempt="cart-5", customer="u")


def raising(_: Any) -> Any:
    raise RuntimeError("of the callback")


def test_callbacks_that_raise_change_no_result() -> None:
    with recording() as journeys, worked(journeys, attempt=raising, identify=raising) as shop:
        shop["charge"].send("cart-5")
        shop["finish"]()
        assert shop["done"] == ["cart-5"]
        assert otel_cx.diagnostics() == {"internal": 2}
        journeys.assert_step("checkout/payment")


def test_brokers_made_after_uninstrumenting_have_nothing_of_ours() -> None:
    with recording() as journeys:
        with worked(journeys):
            pass
        assert not [each for each in StubBroker().middleware if type(each).__module__.startswith("otel_cx")]


@pytest.mark.parametrize("told", [{}])
def test_told_nothing_it_adds_nothing(told: dict[str, Any]) -> None:
    DramatiqCXInstrumentor().instrument(**told)
    try:
        assert not [each for each in StubBroker().middleware if type(each).__module__.startswith("otel_cx")]
    finally:
        DramatiqCXInstrumentor().uninstrument()
