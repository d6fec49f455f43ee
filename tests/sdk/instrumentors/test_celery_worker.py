"""Celery workers: a task is a step with nothing in its code, in either order, whether spans are nested or linked."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.trace import SpanKind

import otel_cx
from otel_cx import Settings
from otel_cx.instrumentors.celery import CeleryCXInstrumentor
from otel_cx.testing import TEST_KEY, Journeys, recording

ROUTES = {"task charge": "checkout/payment"}
INSIDE = Settings(keys=TEST_KEY, trust="all", egress_destinations=("celery",))
checkout = otel_cx.journey("checkout")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
"""Of Celery's own worker for tests."""


@contextmanager
def worked(journeys: Journeys, *, first: str = "theirs", links: bool = False, **told: Any) -> Iterator[Any]:
    """A worker in a thread, over a broker in memory, with a task that fails as often as it is told."""
    app = Celery("shop", broker="memory://", backend="cache+memory://")
    tries: list[int] = []

    @app.task(name="charge", bind=True, max_retries=1, default_retry_delay=0, shared=False)  # type: ignore[untyped-decorator]  # Celery is untyped
    def charge(task: Any, cart: str, *, fail: bool = False) -> str:
        tries.append(1)
        if fail and len(tries) == 1:
            raise task.retry(exc=LookupError(cart), countdown=0)
        otel_cx.identify(segment="trial")
        return cart

    with ExitStack() as stack:
        for whose in ("theirs", "ours") if first == "theirs" else ("ours", "theirs"):
            if whose == "theirs":
                theirs: Any = CeleryInstrumentor()  # type: ignore[no-untyped-call]  # untyped
                theirs.instrument(tracer_provider=journeys.provider, use_span_links=links)
                stack.callback(theirs.uninstrument)
            else:
                CeleryCXInstrumentor().instrument(**{"routes": ROUTES, **told})
                stack.callback(CeleryCXInstrumentor().uninstrument)
        stack.enter_context(start_worker(app, perform_ping_check=False, pool="solo", loglevel="CRITICAL"))
        yield charge


def run(task: Any, **keywords: Any) -> str:
    with checkout.attempt("cart-1"):
        sent = task.delay("cart-1", **keywords)
    return str(sent.get(timeout=20, disable_sync_subtasks=False))


@pytest.mark.parametrize("links", [False, True], ids=["nested", "linked"])
@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_a_task_is_the_step_and_goes_on_in_the_attempt_of_the_sender(first: str, links: bool) -> None:
    with recording(INSIDE) as journeys:
        with worked(journeys, first=first, links=links) as charge:
            assert run(charge) == "cart-1"
        step = journeys.assert_step("checkout/payment", outcome="ok", attempt="cart-1", wait_s=20)
        assert step.span.kind is SpanKind.CONSUMER
        assert step.attributes["otelcx.segment"] == "trial"


def test_each_retry_is_an_execution() -> None:
    with recording(INSIDE) as journeys:
        with worked(journeys) as charge:
            assert run(charge, fail=True) == "cart-1"
        journeys.assert_step("checkout/payment", count=2, attempt="cart-1", wait_s=20)


@pytest.mark.parametrize("settings", [Settings(trust="all"), Settings(egress_destinations=("celery",))])
def test_a_queue_that_is_not_allowed_or_a_sender_that_is_not_trusted_gives_no_attempt(settings: Settings) -> None:
    with recording(settings) as journeys:
        with worked(journeys, links=True) as charge:
            run(charge)
        assert journeys.assert_step("checkout/payment", wait_s=20).attempt is None


def test_the_attempt_and_the_customer_can_be_read_off_the_request() -> None:
    told: dict[str, Any] = {"attempt": lambda request: request.args[0], "identify": lambda _: {"customer": "user-9"}}
    with recording(Settings(keys=TEST_KEY)) as journeys:
        with worked(journeys, **told) as charge:
            run(charge)
        journeys.assert_step("checkout/payment", attempt="cart-1", customer="user-9", wait_s=20)


def raising(_: Any) -> Any:
    raise RuntimeError("of the callback")


def test_callbacks_that_raise_change_no_result() -> None:
    with recording() as journeys:
        with worked(journeys, attempt=raising, identify=raising) as charge:
            assert run(charge) == "cart-1"
        journeys.assert_step("checkout/payment", wait_s=20)
        assert otel_cx.diagnostics()["internal"] == 2


def test_uninstrumented_nothing_of_ours_is_left() -> None:
    with recording(INSIDE) as journeys:
        with worked(journeys, routes={}) as charge:
            run(charge)
        journeys.assert_no_steps()
