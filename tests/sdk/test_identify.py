"""Who the customer is reaches the request it was said in, all of it that follows, and no other request."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Span, SpanKind

import otel_cx
from otel_cx import Journey, Settings, semconv
from otel_cx.testing import TEST_KEY, Journeys, recording

Request = Callable[[], AbstractContextManager[Span]]


def attributes(recorded: Journeys, name: str) -> dict[str, Any]:
    return dict(recorded.span(name).attributes or {})


def test_it_reaches_the_server_span_that_is_open_and_everything_after(
    recorded: Journeys, checkout: Journey, request_span: Request
) -> None:
    tracer = recorded.provider.get_tracer("x")
    with request_span():
        with tracer.start_as_current_span("before"):
            pass
        with tracer.start_as_current_span("authenticate"):
            otel_cx.identify(customer="user-42", account="org-7", segment="enterprise", plan="pro", region="eu")
        with checkout.step("payment"), tracer.start_as_current_span("INSERT"):
            pass
    expected = {
        semconv.CUSTOMER_ID: TEST_KEY.pseudonym("user-42"),
        semconv.ACCOUNT_ID: TEST_KEY.pseudonym("org-7"),
        semconv.SEGMENT: "enterprise",
        semconv.PLAN: "pro",
        semconv.REGION: "eu",
    }
    for name in ("authenticate", "checkout/payment", "INSERT", "POST /pay"):
        assert expected.items() <= attributes(recorded, name).items(), name
    assert attributes(recorded, "before") == {}


def test_the_raw_id_stands_nowhere(recorded: Journeys, request_span: Request) -> None:
    with request_span():
        otel_cx.identify(customer="user-42")
    assert "user-42" not in recorded.span("POST /pay").to_json()


def test_it_reaches_a_step_that_is_open(recorded: Journeys, checkout: Journey, request_span: Request) -> None:
    async def authenticate() -> None:
        otel_cx.identify(customer="user-42")

    async def pay() -> None:
        with checkout.step("payment"):
            await asyncio.sleep(0.001)

    async def main() -> None:
        with request_span():
            await asyncio.gather(pay(), authenticate())
            with checkout.step("confirm"), recorded.provider.get_tracer("x").start_as_current_span("deep"):
                otel_cx.identify(segment="trial")

    asyncio.run(main())
    payment, confirm = recorded.steps()
    assert payment.customer == TEST_KEY.pseudonym("user-42")
    assert confirm.attributes[semconv.SEGMENT] == "trial"


def test_it_works_from_a_thread_that_runs_in_the_requests_context(recorded: Journeys, request_span: Request) -> None:
    with request_span(), ThreadPoolExecutor(1) as pool:
        pool.submit(contextvars.copy_context().run, lambda: otel_cx.identify(customer="user-42")).result()
    assert attributes(recorded, "POST /pay")[semconv.CUSTOMER_ID] == TEST_KEY.pseudonym("user-42")


def test_it_attaches_no_context(recorded: Journeys, request_span: Request) -> None:
    with request_span():
        before = otel_context.get_current()
        otel_cx.identify(customer="user-42")
        assert otel_context.get_current() is before


def test_outside_any_request_it_is_a_counted_no_op(recorded: Journeys) -> None:
    otel_cx.identify(customer="user-42")
    with recorded.provider.get_tracer("x").start_as_current_span("other"):
        pass
    assert attributes(recorded, "other") == {}
    assert otel_cx.diagnostics() == {"no_holder": 1}


def test_in_a_request_that_is_not_sampled_it_is_a_counted_no_op() -> None:
    with recording(sampler=ALWAYS_OFF) as recorded:
        with recorded.provider.get_tracer("x").start_as_current_span("server"):
            otel_cx.identify(customer="user-42")
        assert otel_cx.diagnostics() == {"no_holder": 1}


def test_the_holder_is_dropped_when_its_root_ends(recorded: Journeys, checkout: Journey, request_span: Request) -> None:
    """A background task goes on with the attempt; it does not name the customer unless it is told anew."""
    tracer = recorded.provider.get_tracer("x")
    with request_span() as root:
        otel_cx.identify(customer="user-42", segment="trial")
        with checkout.attempt("cart-1"):
            left = otel_context.get_current()
    token = otel_context.attach(left)
    try:
        assert not root.is_recording()
        otel_cx.identify(customer="somebody-else")
        with checkout.step("provision"):
            pass
        with tracer.start_as_current_span("later"):
            otel_cx.identify(customer="user-43")
    finally:
        otel_context.detach(token)
    [step] = recorded.steps()
    assert step.attempt == "cart-1"
    assert step.customer is None
    assert semconv.SEGMENT not in step.attributes
    assert attributes(recorded, "later")[semconv.CUSTOMER_ID] == TEST_KEY.pseudonym("user-43")
    assert attributes(recorded, "POST /pay")[semconv.CUSTOMER_ID] == TEST_KEY.pseudonym("user-42")
    assert otel_cx.diagnostics() == {"no_holder": 1}


def test_another_customer_begins_with_nothing_of_the_one_before(recorded: Journeys, request_span: Request) -> None:
    with request_span():
        otel_cx.identify(customer="a", account="org", segment="enterprise")
        otel_cx.identify(plan="pro")
        otel_cx.identify(customer="b")
        with recorded.provider.get_tracer("x").start_as_current_span("after"):
            pass
    assert attributes(recorded, "after") == {semconv.CUSTOMER_ID: TEST_KEY.pseudonym("b")}


def test_what_is_none_stays_as_it_was(recorded: Journeys, request_span: Request) -> None:
    with request_span():
        otel_cx.identify(customer="a", segment="enterprise")
        otel_cx.identify(region="eu")
    found = attributes(recorded, "POST /pay")
    assert (found[semconv.SEGMENT], found[semconv.REGION]) == ("enterprise", "eu")


def test_a_customers_fact_goes_before_a_journeys_constant(
    recorded: Journeys, checkout: Journey, request_span: Request
) -> None:
    with request_span():
        otel_cx.identify(revenue_class="renewal")
        with checkout.step("payment"):
            pass
    assert recorded.steps()[0].attributes[semconv.REVENUE_CLASS] == "renewal"
    assert attributes(recorded, "POST /pay")[semconv.REVENUE_CLASS] == "renewal"


def test_without_a_key_ids_are_left_out_and_counted_and_the_rest_is_kept() -> None:
    with recording(Settings()) as recorded:
        with recorded.provider.get_tracer("x").start_as_current_span("server"):
            otel_cx.identify(customer="user-42", segment="trial")
        assert attributes(recorded, "server") == {semconv.SEGMENT: "trial"}
        assert otel_cx.diagnostics() == {"no_key": 1}


def test_a_value_that_breaks_the_rule_becomes_other_and_is_counted(recorded: Journeys, request_span: Request) -> None:
    with request_span():
        otel_cx.identify(segment="very large; customers", region="x" * 65)
    found = attributes(recorded, "POST /pay")
    assert (found[semconv.SEGMENT], found[semconv.REGION]) == ("other", "other")
    assert otel_cx.diagnostics() == {"invalid_value": 2}


def test_an_id_that_cannot_be_written_as_text_breaks_nothing(recorded: Journeys, request_span: Request) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with request_span():
        otel_cx.identify(customer=Broken())
    assert otel_cx.diagnostics() == {"internal": 1}


def test_each_message_of_a_consumer_has_its_own_customer(recorded: Journeys) -> None:
    tracer = recorded.provider.get_tracer("queue")
    for number in range(3):
        with tracer.start_as_current_span(f"message {number}", kind=SpanKind.CONSUMER):
            if number != 1:
                otel_cx.identify(customer=f"user-{number}")
    assert semconv.CUSTOMER_ID not in attributes(recorded, "message 1")


@settings(max_examples=25, deadline=None)
@given(
    requests=st.lists(
        st.lists(st.sampled_from(["identify", "step", "child", "task", "thread", "pause"]), max_size=6),
        min_size=2,
        max_size=6,
    )
)
def test_one_requests_customer_never_appears_in_anothers(requests: list[list[str]]) -> None:
    with recording() as recorded:
        asyncio.run(_serve(recorded, requests))
        for span in recorded.spans:
            found = dict(span.attributes or {})
            own = TEST_KEY.pseudonym(f"customer of {found['request']}") if "request" in found else None
            assert found.get(semconv.CUSTOMER_ID) in {None, own}
            assert found.get(semconv.JOURNEY_ATTEMPT) in {None, f"attempt-{found.get('request')}"}


async def _serve(recorded: Journeys, requests: list[list[str]]) -> None:
    tracer = recorded.provider.get_tracer("server")
    journey = otel_cx.journey("checkout")

    async def work(number: int, actions: list[str]) -> None:
        for position, action in enumerate(actions):
            rest = actions[position + 1 :]
            if action == "identify":
                otel_cx.identify(customer=f"customer of {number}")
            elif action == "step":
                with journey.attempt(f"attempt-{number}"), journey.step("payment") as step:
                    step.span.set_attribute("request", number)
                    await asyncio.sleep(0)
            elif action == "child":
                with tracer.start_as_current_span("child", attributes={"request": number}):
                    await work(number, rest)
                return
            elif action == "task":
                await asyncio.create_task(work(number, rest))
                return
            elif action == "thread":
                await asyncio.to_thread(otel_cx.identify, customer=f"customer of {number}")
            else:
                await asyncio.sleep(0)

    async def request(number: int, actions: list[str]) -> None:
        with tracer.start_as_current_span("server", kind=SpanKind.SERVER, attributes={"request": number}):
            await work(number, actions)

    await asyncio.gather(*(request(number, actions) for number, actions in enumerate(requests)))


def test_many_threads_that_identify_at_once_lose_nothing(recorded: Journeys, request_span: Request) -> None:
    names = ("segment", "plan", "region", "device", "workflow")
    with request_span():
        context = contextvars.copy_context
        threads = [
            threading.Thread(target=context().run, args=(lambda name=name: otel_cx.identify(**{name: "v"}),))
            for name in names
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with recorded.provider.get_tracer("x").start_as_current_span("after"):
            pass
    assert len(attributes(recorded, "after")) == len(names)


def test_the_current_span_may_be_one_that_the_sdk_did_not_make(recorded: Journeys) -> None:
    foreign = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=False))
    with trace.use_span(foreign):
        otel_cx.identify(customer="user-42")
    assert otel_cx.diagnostics() == {"no_holder": 1}


@pytest.mark.parametrize("unknown", ["vip", "customer_id"])
def test_an_unknown_dimension_is_a_mistake_in_the_code(unknown: str) -> None:
    with pytest.raises(TypeError, match=unknown):
        otel_cx.identify(**{unknown: "x"})
