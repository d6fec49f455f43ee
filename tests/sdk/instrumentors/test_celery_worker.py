"""Celery tasks as steps, beside the official instrumentation: a real worker process, messages in files."""

import inspect
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.trace import SpanKind
from sdk.celery_files import SPANS, worker
from sdk.instrumentors.celery_worker import QUEUE, TASKS, application, checkout

import otel_cx
from otel_cx import Settings, semconv
from otel_cx.instrumentors.celery import CeleryCXInstrumentor
from otel_cx.pseudonym import Keyring
from otel_cx.testing import TEST_KEY, Journeys, recording

KEY = "k1:0123456789abcdef"
OFFICIAL: Any = CeleryInstrumentor
LINKS = "use_span_links" in inspect.getsource(CeleryInstrumentor)
"""Since 0.65b0; those before go on in the sender's trace whatever they are told."""
EXECUTIONS = len(TASKS) + 1
"""One of them is tried again."""
Spans = dict[str, list[dict[str, Any]]]
"""Consumer spans by the task's name, in order of ending."""


def publish(directory: Path) -> None:
    """The shop's process, which may send the context to the worker's queue."""
    with recording(Settings(keys=Keyring.parse(KEY), egress_destinations=(QUEUE,))) as journeys:
        official = OFFICIAL()
        official.instrument(tracer_provider=journeys.provider)
        app = application(directory)
        with journeys.provider.get_tracer("shop").start_as_current_span("POST /pay"), checkout.attempt("cart-7"):
            for name in TASKS:
                app.tasks[f"shop.{name}"].delay()
        app.close()
        official.uninstrument()


def consumed(directory: Path) -> list[dict[str, Any]]:
    path = directory / SPANS
    lines = path.read_text().splitlines() if path.exists() else []
    spans = [json.loads(line) for line in lines if line.endswith("}")]
    return [span for span in spans if span["kind"] == "CONSUMER"]


@pytest.fixture(
    scope="module",
    params=["theirs parents all", "ours parents all", "theirs links all", "ours links all", "ours parents none"],
)
def worked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Spans]:
    """Everything published and worked off: whose instrumentation was first, parents or links, whom it trusts."""
    order, links, trust = request.param.split()
    directory = tmp_path_factory.mktemp("celery")
    publish(directory)
    settings = {"OTELCX_TRUST": trust, "OTELCX_KEY": KEY, "OTELCX_EGRESS_DESTINATIONS": QUEUE}
    program = Path(__file__).with_name("celery_worker.py")
    with worker(program, directory, order, links, **settings) as working:
        deadline = time.monotonic() + 60
        while len(consumed(directory)) < EXECUTIONS and time.monotonic() < deadline:
            time.sleep(0.05)
        working.kill()
    spans: Spans = {}
    for span in consumed(directory):
        spans.setdefault(span["name"].removeprefix("run/shop."), []).append(span)
    return request.param, spans


def outcomes(spans: list[dict[str, Any]]) -> list[str | None]:
    return [span["attributes"].get(semconv.STEP_OUTCOME) for span in spans]


def test_the_consumer_span_of_a_task_is_its_step(worked: tuple[str, Spans]) -> None:
    _, spans = worked
    assert {name: {span["attributes"].get(semconv.JOURNEY_STEP) for span in spans[name]} for name in spans} == {
        name: {name} for name in TASKS
    }


def test_the_attempt_arrives_also_where_spans_are_only_linked(worked: tuple[str, Spans]) -> None:
    how, spans = worked
    expected = None if how.endswith("none") else "cart-7"
    assert {span["attributes"].get(semconv.JOURNEY_ATTEMPT) for found in spans.values() for span in found} == {expected}
    assert {span["linked"] for found in spans.values() for span in found} == {"links" in how and LINKS}


def test_the_customer_is_read_off_the_request(worked: tuple[str, Spans]) -> None:
    _, spans = worked
    customer = Keyring.parse(KEY).pseudonym("user-of-shop.pay")
    assert [span["attributes"][semconv.CUSTOMER_ID] for span in spans["pay"]] == [customer]


def test_each_retry_is_an_execution_and_the_one_that_asked_for_it_failed(worked: tuple[str, Spans]) -> None:
    _, spans = worked
    assert outcomes(spans["flaky"]) == ["failed", None]
    assert spans["flaky"][0]["attributes"][semconv.ERROR_TYPE] == "TimeoutError"
    assert spans["flaky"][0]["attributes"][semconv.STEP_RECOVERABLE] is True


def test_what_leaves_a_task_is_its_outcome(worked: tuple[str, Spans]) -> None:
    _, spans = worked
    found = {name: outcomes(spans[name]) for name in ("pay", "declined", "broken", "gone", "said")}
    assert found == {
        "pay": [None],
        "declined": ["rejected"],
        "broken": ["failed"],
        "gone": ["cancelled"],
        "said": ["rejected"],
    }
    assert spans["said"][0]["attributes"][semconv.ERROR_TYPE] == "card_declined"


def raising(_: Any) -> Any:
    raise RuntimeError("of the callback")


@contextmanager
def in_place(journeys: Journeys, order: str, **told: Any) -> Iterator[Any]:
    """An application whose tasks run where they are called (`apply`), as in its own tests."""
    with ExitStack() as stack:
        both: dict[str, Any] = {"ours": CeleryCXInstrumentor(), "theirs": OFFICIAL()}
        for name in sorted(both, key=lambda name: name != order):
            both[name].instrument(tracer_provider=journeys.provider, **{"routes": {"task pay": "checkout/pay"}, **told})
            stack.callback(both[name].uninstrument)
        yield Celery("shop", broker="memory://", set_as_current=False)


@pytest.mark.parametrize("order", ["theirs", "ours"])
def test_a_task_run_in_place_is_the_step_and_not_the_request_around_it(order: str) -> None:
    routes = {"task pay": "checkout/pay", "task inner": "checkout/inner"}
    with recording(Settings(keys=TEST_KEY)) as journeys, in_place(journeys, order, routes=routes) as app:
        tracer = journeys.provider.get_tracer("shop")

        @app.task(name="inner", shared=False)  # type: ignore[untyped-decorator]  # Celery is untyped
        def inner() -> int:
            return 2

        @app.task(name="pay", shared=False)  # type: ignore[untyped-decorator]  # Celery is untyped
        def pay() -> int:
            return int(inner.apply().get()) + 1

        with tracer.start_as_current_span("POST /pay", kind=SpanKind.SERVER), checkout.attempt("cart-1"):
            assert pay.apply().get() == 3
        assert [(step.name, step.attempt, step.span.name) for step in journeys.steps()] == [
            ("checkout/inner", "cart-1", "run/inner"),
            ("checkout/pay", "cart-1", "run/pay"),
        ]
        assert otel_cx.diagnostics() == {}


@pytest.mark.parametrize("order", ["theirs", "ours"])
def test_callbacks_that_raise_change_no_result(order: str) -> None:
    with recording() as journeys, in_place(journeys, order, identify=raising, attempt=raising) as app:

        @app.task(name="pay", shared=False)  # type: ignore[untyped-decorator]  # Celery is untyped
        def pay() -> int:
            return 3

        assert pay.apply().get() == 3
        assert [step.name for step in journeys.steps()] == ["checkout/pay"]
        assert otel_cx.diagnostics() == {"internal": 2}


def test_the_attempt_can_be_read_off_the_request() -> None:
    def by_cart(request: Any) -> str:
        return f"cart-{request.args[0]}"

    with recording() as journeys, in_place(journeys, "theirs", attempt=by_cart) as app:

        @app.task(name="pay", shared=False)  # type: ignore[untyped-decorator]  # Celery is untyped
        def pay(cart: int) -> int:
            return cart

        assert pay.apply((9,)).get() == 9
        assert [step.attempt for step in journeys.steps()] == ["cart-9"]


@pytest.mark.parametrize("order", ["theirs", "ours"])
def test_uninstrumented_nothing_of_ours_is_left(order: str) -> None:
    with recording() as journeys:
        with in_place(journeys, order) as app:

            @app.task(name="pay", shared=False)  # type: ignore[untyped-decorator]  # Celery is untyped
            def pay() -> int:
                return 3

        official = OFFICIAL()
        official.instrument(tracer_provider=journeys.provider)
        try:
            assert pay.apply().get() == 3
        finally:
            official.uninstrument()
        assert len(journeys.spans) == 1
        assert journeys.steps() == []


def test_without_the_official_instrumentation_tasks_run_and_it_is_counted() -> None:
    with recording() as journeys:
        CeleryCXInstrumentor().instrument(routes={"task pay": "checkout/pay"})
        try:
            app = Celery("shop", broker="memory://", set_as_current=False)

            @app.task(name="pay", shared=False)  # type: ignore[untyped-decorator]  # Celery is untyped
            def pay() -> int:
                return 3

            assert pay.apply().get() == 3
        finally:
            CeleryCXInstrumentor().uninstrument()
        assert journeys.spans == ()
        assert otel_cx.diagnostics() == {"no_server_span": 1}
