"""Dramatiq: a real worker over the broker that dramatiq brings for tests."""

from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import TimeLimitExceeded
from opentelemetry.trace import SpanKind, StatusCode

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


class Declined(Exception):  # noqa: N818 - the customer's side, no error
    pass


@contextmanager
def one_actor(journeys: Journeys, run: Any, **options: Any) -> Iterator[Any]:
    """A broker made before it is instrumented, with an actor that does what it is told."""
    broker = StubBroker()
    actor = dramatiq.actor(actor_name="charge", broker=broker, **{"max_retries": 0, **options})(run)
    DramatiqCXInstrumentor().instrument(routes=ROUTES)
    worker = dramatiq.Worker(broker, worker_timeout=10, worker_threads=1)
    worker.start()
    try:
        with journeys.provider.get_tracer("panel").start_as_current_span("POST /pay"), checkout.attempt("cart-1"):
            yield actor
        broker.join("default", timeout=20_000, fail_fast=False)
        worker.join()
    finally:
        worker.stop()
        broker.close()
        DramatiqCXInstrumentor().uninstrument()


def leaves(error: BaseException) -> Any:
    def charge() -> None:
        raise error

    return charge


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (LookupError("x"), "failed"),
        (TimeLimitExceeded(), "failed"),
        (Declined(), "rejected"),
        (CancelledError(), "cancelled"),
    ],
)
def test_what_leaves_an_actor_is_the_outcome(error: BaseException, outcome: str) -> None:
    with recording(INSIDE) as journeys:
        with one_actor(journeys, leaves(error), throws=Declined) as actor:
            actor.send()
        step = journeys.assert_step("checkout/payment", attempt="cart-1")
        assert (step.outcome, step.attributes[semconv.ERROR_TYPE]) == (outcome, type(error).__name__)
        assert (step.span.status.status_code is StatusCode.ERROR) == (outcome == "failed")


def test_what_the_application_said_stays() -> None:
    def charge() -> None:
        with checkout.step("payment") as step:
            step.reject("card_declined")
        raise LookupError

    with recording(INSIDE) as journeys:
        with one_actor(journeys, charge) as actor:
            actor.send()
        assert journeys.assert_step("checkout/payment").attributes[semconv.ERROR_TYPE] == "card_declined"


def test_a_failure_that_is_tried_again_is_recoverable_and_the_next_try_follows_from_it() -> None:
    tries: list[int] = []

    def charge() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise LookupError

    with recording(INSIDE) as journeys:
        with one_actor(journeys, charge, max_retries=1, min_backoff=1, max_backoff=2) as actor:
            actor.send()
        first, second = journeys.steps("checkout/payment")
        assert (first.outcome, first.attributes[semconv.STEP_RECOVERABLE]) == ("failed", True)
        assert (second.outcome, second.attempt) == (None, "cart-1")
        _, again = [span for span in journeys.spans if span.name == "publish default"]
        assert again.parent is not None
        assert second.span.parent is not None
        assert first.span.context is not None
        assert again.context is not None
        assert (again.parent.span_id, second.span.parent.span_id) == (first.span.context.span_id, again.context.span_id)


def test_a_delayed_message_is_one_of_its_queue() -> None:
    with recording(INSIDE) as journeys:
        with one_actor(journeys, lambda: None) as actor:
            actor.send_with_options(delay=5)
        journeys.assert_step("checkout/payment", attempt="cart-1")
        assert otel_cx.diagnostics() == {}


class Others(dramatiq.Middleware):
    """Another instrumentation, which has a span of its own around each run."""

    def __init__(self, journeys: Journeys) -> None:
        self.tracer = journeys.provider.get_tracer("others")

    def before_process_message(self, _broker: Any, message: Any) -> None:
        self.opened = self.tracer.start_as_current_span(f"{message.actor_name} process", kind=SpanKind.CONSUMER)
        self.opened.__enter__()

    def after_process_message(self, *_: Any, **__: Any) -> None:
        self.opened.__exit__(None, None, None)


def test_the_span_of_another_instrumentation_is_the_step_and_none_is_started() -> None:
    with recording(Settings(keys=TEST_KEY)) as journeys:
        with one_actor(journeys, leaves(LookupError())) as actor:
            actor.broker.add_middleware(Others(journeys))
            actor.send()
        step = journeys.assert_step("checkout/payment")
        assert (step.span.name, step.outcome) == ("charge process", "failed")
        assert not [span for span in journeys.spans if span.name.startswith("run ")]


def test_uninstrumented_nothing_of_ours_is_left() -> None:
    before = vars(dramatiq.Broker)["emit_before"], vars(dramatiq.Broker)["emit_after"]
    with recording() as journeys, worked(journeys):
        assert vars(dramatiq.Broker)["emit_before"] is not before[0]
    assert before == (vars(dramatiq.Broker)["emit_before"], vars(dramatiq.Broker)["emit_after"])


def test_told_nothing_it_changes_nothing() -> None:
    before = vars(dramatiq.Broker)["emit_before"]
    DramatiqCXInstrumentor().instrument()
    assert vars(dramatiq.Broker)["emit_before"] is before
    DramatiqCXInstrumentor().uninstrument()
