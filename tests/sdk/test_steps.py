"""A step is one span that carries the journey, the attempt and what came of it."""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace import Span, StatusCode

import otel_cx
from otel_cx import InvalidName, Journey, journey, semconv
from otel_cx.testing import Journeys, recording

Request = Callable[[], AbstractContextManager[Span]]


class CardDeclined(Exception):  # noqa: N818 - as applications name them
    pass


def test_a_step_carries_journey_attempt_step_and_the_journeys_constants(recorded: Journeys, checkout: Journey) -> None:
    with checkout.attempt("cart-42"), checkout.step("payment"):
        pass
    [step] = recorded.steps("checkout")
    assert step.attributes == {
        "otelcx.journey.name": "checkout",
        "otelcx.journey.step": "payment",
        "otelcx.journey.attempt": "cart-42",
        "otelcx.revenue.class": "new",
    }
    assert step.span.name == "checkout/payment"


def test_without_an_attempt_the_attribute_is_absent(recorded: Journeys, checkout: Journey) -> None:
    with checkout.attempt(None), checkout.step("payment"):
        pass
    assert semconv.JOURNEY_ATTEMPT not in recorded.steps()[0].attributes


def test_spans_below_a_step_carry_within_and_never_the_step(recorded: Journeys, checkout: Journey) -> None:
    tracer = recorded.provider.get_tracer("db")
    with checkout.step("payment"), tracer.start_as_current_span("INSERT"), tracer.start_as_current_span("fsync"):
        pass
    for name in ("INSERT", "fsync"):
        attributes = dict(recorded.span(name).attributes or {})
        assert attributes[semconv.JOURNEY_WITHIN] == "payment"
        assert semconv.JOURNEY_STEP not in attributes


def test_a_step_inside_another_serves_it_and_is_a_step_of_its_own(recorded: Journeys, checkout: Journey) -> None:
    with checkout.step("payment"), checkout.step("confirm"):
        pass
    inner, outer = recorded.steps()
    assert (inner.step, inner.attributes[semconv.JOURNEY_WITHIN]) == ("confirm", "payment")
    assert (outer.step, semconv.JOURNEY_WITHIN in outer.attributes) == ("payment", False)


def test_a_step_of_another_journey_serves_no_step_of_its_own_journey(recorded: Journeys, checkout: Journey) -> None:
    with checkout.attempt("a"), checkout.step("payment"), otel_cx.journey("fraud").step("check"):
        pass
    [check] = recorded.steps("fraud")
    assert semconv.JOURNEY_WITHIN not in check.attributes
    assert check.attempt is None, "an attempt is an attempt at one journey"
    assert semconv.REVENUE_CLASS not in check.attributes


def test_back_in_the_first_journey_its_attempt_is_found_again(recorded: Journeys, checkout: Journey) -> None:
    with checkout.attempt("a"), otel_cx.journey("fraud").step("check"), checkout.step("payment"):
        pass
    assert recorded.steps("checkout")[0].attempt == "a"


def test_a_step_of_the_same_name_inside_an_open_one_is_the_same_execution(
    recorded: Journeys, checkout: Journey
) -> None:
    with checkout.step("payment") as outer, checkout.step("confirm"), checkout.step("payment") as inner:
        inner.reject("card_declined")
    assert inner is outer
    assert [step.step for step in recorded.steps()] == ["confirm", "payment"]
    assert recorded.steps()[1].outcome == "rejected"


def test_the_same_execution_takes_the_attempt_that_is_known_only_inside(
    recorded: Journeys, checkout: Journey, request_span: Request
) -> None:
    insert = recorded.provider.get_tracer("db").start_as_current_span("INSERT")
    with request_span(), checkout.step("payment"), checkout.attempt("cart-9"), checkout.step("payment"), insert:
        pass
    assert [step.attempt for step in recorded.steps()] == ["cart-9"]
    for name in ("POST /pay", "INSERT"):
        assert dict(recorded.span(name).attributes or {})[semconv.JOURNEY_ATTEMPT] == "cart-9"


def test_the_same_step_of_another_attempt_is_another_execution(recorded: Journeys, checkout: Journey) -> None:
    with checkout.attempt("a"), checkout.step("payment"), checkout.attempt("b"), checkout.step("payment"):
        pass
    assert [step.attempt for step in recorded.steps()] == ["b", "a"]


def test_a_step_opened_again_after_it_closed_is_a_new_execution(recorded: Journeys, checkout: Journey) -> None:
    async def later() -> None:
        await asyncio.sleep(0)
        with checkout.step("payment"):
            pass

    async def main() -> None:
        with checkout.step("payment"):
            task = asyncio.create_task(later())  # its context holds the outer step, which is over when it runs
        await task

    asyncio.run(main())
    assert [step.step for step in recorded.steps()] == ["payment", "payment"]


def test_opening_a_step_writes_journey_and_attempt_on_the_local_root_span(
    recorded: Journeys, checkout: Journey, request_span: Request
) -> None:
    with request_span(), checkout.attempt("cart-42"), checkout.step("payment"):
        pass
    root = dict(recorded.span("POST /pay").attributes or {})
    assert root[semconv.JOURNEY_NAME] == "checkout"
    assert root[semconv.JOURNEY_ATTEMPT] == "cart-42"
    assert semconv.JOURNEY_STEP not in root


def test_the_first_journey_on_the_root_stays(recorded: Journeys, checkout: Journey, request_span: Request) -> None:
    with request_span():
        with checkout.step("payment"):
            pass
        with otel_cx.journey("fraud").attempt("f"), otel_cx.journey("fraud").step("check"):
            pass
    root = dict(recorded.span("POST /pay").attributes or {})
    assert root[semconv.JOURNEY_NAME] == "checkout"
    assert semconv.JOURNEY_ATTEMPT not in root


def test_an_exception_is_an_error_and_leaves_the_outcome_to_the_status(recorded: Journeys, checkout: Journey) -> None:
    with pytest.raises(ZeroDivisionError), checkout.step("payment"):
        raise ZeroDivisionError("no")
    [step] = recorded.steps()
    assert step.outcome is None
    assert step.span.status.status_code is StatusCode.ERROR
    assert step.attributes[semconv.ERROR_TYPE] == "ZeroDivisionError"
    assert [event.name for event in step.span.events] == ["exception"]


def test_an_exception_among_rejects_is_the_customers_side(recorded: Journeys, checkout: Journey) -> None:
    with pytest.raises(CardDeclined), checkout.step("payment", rejects=(CardDeclined,)):
        raise CardDeclined
    [step] = recorded.steps()
    assert step.outcome == "rejected"
    assert step.span.status.status_code is StatusCode.UNSET
    assert step.attributes[semconv.ERROR_TYPE] == "CardDeclined"


def test_a_rejection_that_leaves_an_inner_opening_counts_for_the_execution(
    recorded: Journeys, checkout: Journey
) -> None:
    with pytest.raises(CardDeclined), checkout.step("payment"), checkout.step("payment", rejects=(CardDeclined,)):
        raise CardDeclined
    [step] = recorded.steps()
    assert (step.outcome, step.span.status.status_code) == ("rejected", StatusCode.UNSET)


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        type("OperationCancelledException", (Exception,), {})(),
        type("AbortError", (Exception,), {})(),
        type("Cancelled", (BaseException,), {})(),
    ],
)
def test_a_cancellation_is_cancelled_and_no_error(recorded: Journeys, checkout: Journey, error: BaseException) -> None:
    with pytest.raises(type(error)), checkout.step("payment"):
        raise error
    [step] = recorded.steps()
    assert (step.outcome, step.span.status.status_code) == ("cancelled", StatusCode.UNSET)


def test_exiting_the_process_is_no_failure_of_the_step(recorded: Journeys, checkout: Journey) -> None:
    with pytest.raises(SystemExit), checkout.step("payment"):
        raise SystemExit
    [step] = recorded.steps()
    assert (step.outcome, step.span.status.status_code) == (None, StatusCode.UNSET)


def test_what_the_application_said_stays_when_an_exception_follows(recorded: Journeys, checkout: Journey) -> None:
    def pay() -> None:
        with checkout.step("payment") as step:
            step.reject("card_declined")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        pay()
    [recorded_step] = recorded.steps()
    assert recorded_step.outcome == "rejected"
    assert recorded_step.attributes[semconv.ERROR_TYPE] == "card_declined"
    assert recorded_step.span.status.status_code is StatusCode.UNSET


def test_fail_names_the_reason_and_whether_trying_again_may_help(recorded: Journeys, checkout: Journey) -> None:
    with checkout.step("payment") as step:
        step.fail("gateway_timeout", recoverable=True)
    [failed] = recorded.steps()
    assert failed.outcome == "failed"
    assert failed.attributes[semconv.ERROR_TYPE] == "gateway_timeout"
    assert failed.attributes[semconv.STEP_RECOVERABLE] is True
    assert failed.span.status.status_code is StatusCode.ERROR


def test_fail_keeps_its_reason_when_the_exception_follows(recorded: Journeys, checkout: Journey) -> None:
    def pay() -> None:
        with checkout.step("payment") as step:
            step.fail("gateway_timeout")
            raise TimeoutError

    with pytest.raises(TimeoutError):
        pay()
    assert recorded.steps()[0].attributes[semconv.ERROR_TYPE] == "gateway_timeout"


def test_cancel_ok_and_recoverable_are_recorded(recorded: Journeys, checkout: Journey) -> None:
    with checkout.step("a") as step:
        step.cancel()
    with checkout.step("b") as step:
        step.ok()
        step.recoverable(retryable=False)
    cancelled, well = recorded.steps()
    assert (cancelled.outcome, well.outcome) == ("cancelled", "ok")
    assert well.attributes[semconv.STEP_RECOVERABLE] is False


@pytest.mark.parametrize(
    ("amount", "sent"),
    [
        (Decimal("129.00"), "129.00"),
        (Decimal("1E+3"), "1000"),
        ("0.10", "0.10"),
        (5, "5"),
        (12.5, 12.5),
        (Decimal(0), "0"),
        (Decimal("-3.50"), "-3.50"),
    ],
)
def test_revenue_is_exact_but_for_floats(recorded: Journeys, checkout: Journey, amount: Any, sent: object) -> None:
    with checkout.step("confirm") as step:
        step.revenue(amount, "eur")
    attributes = recorded.steps()[0].attributes
    assert attributes[semconv.REVENUE_AMOUNT] == sent
    assert attributes[semconv.REVENUE_CURRENCY] == "EUR"


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("abc", "EUR"), (float("nan"), "EUR"), (float("inf"), "EUR"), (None, "EUR"), ("1e999999", "EUR"),
        (1, "EURO"), (1, "€€€"), (1, ""), (1, None),
    ],
)  # fmt: skip
def test_revenue_that_is_none_is_counted_and_left_out(
    recorded: Journeys, checkout: Journey, amount: Any, currency: Any
) -> None:
    with checkout.step("confirm") as step:
        step.revenue(amount, currency)
    assert semconv.REVENUE_AMOUNT not in recorded.steps()[0].attributes
    assert otel_cx.diagnostics() == {"invalid_revenue": 1}


def test_a_handle_kept_after_the_end_does_nothing(recorded: Journeys, checkout: Journey) -> None:
    with checkout.step("confirm") as step:
        pass
    step.reject("late")
    step.revenue(1, "EUR")
    assert recorded.steps()[0].outcome is None
    assert otel_cx.diagnostics() == {}


def test_one_object_can_be_entered_by_many_tasks_at_once(recorded: Journeys, checkout: Journey) -> None:
    confirm = checkout.step("confirm")

    async def one(number: int) -> None:
        with checkout.attempt(f"a{number}"), confirm as step:
            await asyncio.sleep(0.001 * (3 - number % 3))
            step.reject(f"r{number}")

    async def main() -> None:
        await asyncio.gather(*(one(number) for number in range(9)))

    asyncio.run(main())
    found = {(step.attempt, step.attributes[semconv.ERROR_TYPE]) for step in recorded.steps()}
    assert found == {(f"a{number}", f"r{number}") for number in range(9)}


def test_the_context_of_before_is_restored_whatever_leaves(recorded: Journeys, checkout: Journey) -> None:
    before = trace.get_current_span()
    with pytest.raises(KeyError), checkout, checkout.attempt("a"), checkout.step("payment"):
        raise KeyError
    assert trace.get_current_span() is before


def test_without_sdk_or_install_steps_do_nothing_and_break_nothing(checkout: Journey) -> None:
    with checkout.attempt("a"), checkout.step("payment", rejects=(CardDeclined,)) as step:
        step.revenue(1, "EUR")
        step.fail("x", recoverable=True)


def test_a_static_name_that_breaks_the_rule_raises_where_it_stands() -> None:
    with pytest.raises(InvalidName, match=r"'Check out'.*Use 1 to 64 of a-z"):
        otel_cx.journey("Check out")
    with pytest.raises(InvalidName, match=r"revenue\.class"):
        otel_cx.journey("checkout", revenue_class="brand new")
    with pytest.raises(InvalidName, match="'Pay!'"):

        @otel_cx.journey("checkout").step("Pay!")
        def pay() -> None: ...


def test_rejects_must_be_exception_classes() -> None:
    checkout = otel_cx.journey("checkout")
    with pytest.raises(otel_cx.ConfigurationError, match="tuple"):
        checkout.step("payment", rejects=CardDeclined)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(otel_cx.ConfigurationError, match="'CardDeclined'"):
        checkout.step("payment", rejects=("CardDeclined",))  # type: ignore[arg-type]  # the mistake under test


@given(name=st.one_of(st.text(), st.integers(), st.none(), st.text(min_size=65, max_size=80)))
def test_a_run_time_name_or_attempt_never_raises_and_never_breaks_the_vocabulary(name: Any) -> None:
    with recording() as recorded:
        checkout = otel_cx.journey("checkout")
        with checkout.attempt(name), checkout.step(name) as step:
            step.reject(name)
        [found] = recorded.steps()
        assert semconv.NAME.fullmatch(found.step)
        assert semconv.VALUE.fullmatch(found.attributes.get(semconv.ERROR_TYPE, "none"))
        assert found.attempt is None or semconv.VALUE.fullmatch(found.attempt)
        if found.step == semconv.OTHER and name != semconv.OTHER:
            assert otel_cx.diagnostics()["invalid_name"] == 1


def test_a_retry_that_goes_well_takes_back_the_rejection_of_the_one_before(
    recorded: Journeys, checkout: Journey
) -> None:
    @checkout.step("payment", rejects=(CardDeclined,))
    def charge(card: str) -> str:
        if card == "empty":
            raise CardDeclined
        return card

    with checkout.step("payment"):
        with pytest.raises(CardDeclined):
            charge("empty")
        charge("full")
    [step] = recorded.steps()
    assert (step.outcome, step.attributes.get(semconv.ERROR_TYPE)) == (None, None)


def test_after_a_retry_that_went_well_a_failure_counts(recorded: Journeys, checkout: Journey) -> None:
    payment = checkout.step("payment", rejects=(CardDeclined,))

    @payment
    def pay() -> None:
        with pytest.raises(CardDeclined), payment:
            raise CardDeclined
        with payment:
            pass
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        pay()
    [step] = recorded.steps()
    assert (step.outcome, step.span.status.status_code) == (None, StatusCode.ERROR)


def test_what_the_application_said_is_not_taken_back(recorded: Journeys, checkout: Journey) -> None:
    with checkout.step("payment") as step, checkout.step("payment"):
        step.reject("bad_form")
        with checkout.step("payment"):
            pass
    assert [found.outcome for found in recorded.steps()] == ["rejected"]


def test_tries_inside_a_step_are_one_execution_and_serve_it(recorded: Journeys, checkout: Journey) -> None:
    tracer = recorded.provider.get_tracer("client")

    @checkout.step("payment")
    def pay() -> int:
        for number in range(1, 4):
            with contextlib.suppress(TimeoutError), tracer.start_as_current_span("POST bank"):
                if number < 3:
                    raise TimeoutError
        return number

    assert pay() == 3
    tries = [dict(span.attributes or {}) for span in recorded.spans if span.name == "POST bank"]
    assert [attributes[semconv.JOURNEY_WITHIN] for attributes in tries] == ["payment"] * 3
    [step] = recorded.steps()
    assert (step.outcome, step.span.status.status_code) == (None, StatusCode.UNSET)


def test_tries_around_a_step_are_executions_of_one_attempt(recorded: Journeys, checkout: Journey) -> None:
    left = [TimeoutError(), TimeoutError()]

    @checkout.step("payment")
    def pay() -> None:
        if left:
            raise left.pop()

    with checkout.attempt("cart-42"):
        for _ in range(3):
            with contextlib.suppress(TimeoutError):
                pay()
    statuses = [step.span.status.status_code for step in recorded.steps()]
    assert statuses == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    assert {step.attempt for step in recorded.steps()} == {"cart-42"}


def test_journeys_in_parallel_tasks_of_one_request_stay_apart(
    recorded: Journeys, checkout: Journey, request_span: Request
) -> None:
    search = journey("search")
    turn = asyncio.Barrier(2)

    async def one(of: Journey, attempt: str, step: str) -> None:
        with of.attempt(attempt), of.step(step):
            await turn.wait()
            with recorded.provider.get_tracer("db").start_as_current_span(f"query {attempt}"):
                await turn.wait()

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(one(checkout, "cart-42", "payment"))
            group.create_task(one(search, "search-7", "suggest"))

    with request_span():
        asyncio.run(both())
    assert {(step.journey, step.step, step.attempt) for step in recorded.steps()} == {
        ("checkout", "payment", "cart-42"),
        ("search", "suggest", "search-7"),
    }
    served = {
        span.name: dict(span.attributes or {})[semconv.JOURNEY_WITHIN]
        for span in recorded.spans
        if "query" in span.name
    }
    assert served == {"query cart-42": "payment", "query search-7": "suggest"}


def test_a_task_group_that_fails_cancels_the_steps_of_its_other_tasks(recorded: Journeys, checkout: Journey) -> None:
    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(waiting())
            group.create_task(failing())

    @checkout.step("wait")
    async def waiting() -> None:
        await asyncio.Event().wait()

    @checkout.step("fail")
    async def failing() -> None:
        raise OSError("disk")

    with pytest.raises(ExceptionGroup):
        asyncio.run(both())
    outcomes = {step.step: (step.outcome, step.span.status.status_code) for step in recorded.steps()}
    assert outcomes == {"wait": ("cancelled", StatusCode.UNSET), "fail": (None, StatusCode.ERROR)}


def test_an_attempt_that_spans_traces_is_one(recorded: Journeys, checkout: Journey, request_span: Request) -> None:
    for step in ("cart", "payment", "confirm"):
        with request_span(), checkout.attempt("cart-42"), checkout.step(step):
            pass
    assert len({step.span.context.trace_id for step in recorded.steps()}) == 3
    assert {step.attempt for step in recorded.steps()} == {"cart-42"}
