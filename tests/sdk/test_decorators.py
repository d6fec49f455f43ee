"""A decorated function behaves as before, and its step is open exactly while it runs, whatever its kind."""

import asyncio
import contextvars
import copy
import functools
import gc
import inspect
import logging
import pickle
import threading
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import otel_cx
from otel_cx import Journey, semconv
from otel_cx.testing import Journeys

module_level = otel_cx.journey("checkout")


@module_level.step("payment")
def charge(amount: int, *, currency: str = "EUR") -> str:
    """Charges."""
    return f"{amount} {currency}"


@module_level.step("stream")
async def achunks(count: int) -> AsyncGenerator[int, None]:
    with trace.get_tracer("body").start_as_current_span("prepare"):
        pass
    for number in range(count):
        yield number


def current() -> trace.Span:
    return trace.get_current_span()


def test_name_signature_docstring_and_pickling_stay() -> None:
    assert charge.__name__ == "charge"
    assert charge.__doc__ == "Charges."
    assert str(inspect.signature(charge)) == "(amount: int, *, currency: str = 'EUR') -> str"
    assert pickle.loads(pickle.dumps(charge)) is charge  # noqa: S301 - our own bytes


def test_a_function_is_a_step_while_it_runs(recorded: Journeys) -> None:
    assert charge(5, currency="USD") == "5 USD"
    assert [step.step for step in recorded.steps()] == ["payment"]


def test_the_kind_of_a_function_stays() -> None:
    checkout = otel_cx.journey("checkout")

    @checkout.step("a")
    async def coroutine() -> None: ...

    @checkout.step("b")
    def generator() -> Generator[int, None, None]:
        yield 1

    assert inspect.iscoroutinefunction(coroutine)
    assert inspect.isgeneratorfunction(generator)
    assert inspect.isasyncgenfunction(achunks)


def test_methods_of_every_kind(recorded: Journeys, checkout: Journey) -> None:
    class Shop:
        @checkout.step("method")
        def method(self, number: int) -> tuple["Shop", int]:
            return self, number

        @checkout.step("class-method")
        @classmethod
        def of_class(cls) -> type:
            return cls

        @staticmethod
        @checkout.step("static-method")
        def static() -> str:
            return "static"

    shop = Shop()
    assert shop.method(3) == (shop, 3)
    assert Shop.of_class() is Shop
    assert shop.static() == "static"
    assert [step.step for step in recorded.steps()] == ["method", "class-method", "static-method"]


def test_partials_and_callable_objects(recorded: Journeys, checkout: Journey) -> None:
    class Pay:
        async def __call__(self, number: int) -> int:
            return number

    partial = checkout.step("partial")(functools.partial(Pay().__call__, 4))
    called = checkout.step("object")(Pay())
    assert asyncio.run(partial()) == 4
    assert asyncio.run(called(5)) == 5
    assert [step.step for step in recorded.steps()] == ["partial", "object"]


def test_a_class_or_a_value_cannot_be_decorated(checkout: Journey) -> None:
    with pytest.raises(otel_cx.ConfigurationError, match="Decorate a function or a method"):
        checkout.step("payment")(int)
    with pytest.raises(otel_cx.ConfigurationError, match="42 cannot be decorated"):
        checkout.step("payment")(42)  # type: ignore[type-var]  # the mistake under test


def test_a_coroutine_is_a_step_while_it_is_awaited(recorded: Journeys, checkout: Journey) -> None:
    @checkout.step("payment")
    async def pay() -> trace.Span:
        await asyncio.sleep(0)
        return current()

    async def main() -> None:
        awaitable = pay()
        assert not recorded.spans
        span = await awaitable
        assert not span.is_recording()
        assert current() is trace.INVALID_SPAN

    asyncio.run(main())
    assert [step.step for step in recorded.steps()] == ["payment"]


def test_a_cancelled_task_is_a_cancelled_step(recorded: Journeys, checkout: Journey) -> None:
    @checkout.step("payment")
    async def pay() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(pay())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    [step] = recorded.steps()
    assert (step.outcome, step.span.status.status_code) == ("cancelled", StatusCode.UNSET)


def test_the_attempt_of_a_call_is_read_off_its_arguments(recorded: Journeys, checkout: Journey) -> None:
    @checkout.attempt(lambda cart, **_: cart["id"])
    @checkout.step("payment")
    def pay(cart: dict[str, str], *, fast: bool) -> bool:
        return fast

    assert pay({"id": "c-1"}, fast=True)
    assert pay({"name": "no id"}, fast=True), "a function of ours that fails is not the application's failure"
    assert [step.attempt for step in recorded.steps()] == ["c-1", None]
    assert otel_cx.diagnostics() == {"internal": 1}


def test_a_journey_decorates_too(recorded: Journeys, checkout: Journey) -> None:
    @checkout
    def work() -> None:
        with recorded.provider.get_tracer("x").start_as_current_span("query"):
            pass

    work()
    assert dict(recorded.span("query").attributes or {})[semconv.JOURNEY_NAME] == "checkout"


def test_a_generator_is_open_until_it_is_exhausted_and_current_only_in_its_body(
    recorded: Journeys, checkout: Journey
) -> None:
    bodies: list[trace.Span] = []

    @checkout.step("export")
    def rows() -> Generator[int, int | None, str]:
        bodies.append(current())
        sent = yield 1
        bodies.append(current())
        yield 2 + (sent or 0)
        return "done"

    generator = rows()
    assert not bodies
    assert next(generator) == 1
    assert current() is trace.INVALID_SPAN
    assert bodies[0].is_recording()
    assert generator.send(5) == 7
    assert not recorded.spans
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "done"
    assert bodies[0] is bodies[1]
    assert [step.step for step in recorded.steps()] == ["export"]


def test_wrong_arguments_raise_where_the_generator_is_called(checkout: Journey) -> None:
    @checkout.step("export")
    def rows(count: int) -> Generator[int, None, None]:
        yield count

    with pytest.raises(TypeError, match="count"):
        rows()  # type: ignore[call-arg]  # the mistake under test


def test_a_generator_closed_early_ends_its_step_without_an_error(recorded: Journeys, checkout: Journey) -> None:
    cleaned: list[bool] = []

    @checkout.step("export")
    def rows() -> Generator[int, None, None]:
        try:
            yield 1
            yield 2
        finally:
            cleaned.append(current().is_recording())

    for row in rows():
        assert row == 1
        break
    gc.collect()
    [step] = recorded.steps()
    assert (step.outcome, step.span.status.status_code, cleaned) == (None, StatusCode.UNSET, [True])


def test_what_is_thrown_into_a_generator_reaches_its_body(recorded: Journeys, checkout: Journey) -> None:
    @checkout.step("export")
    def rows() -> Generator[str, None, None]:
        try:
            yield "first"
        except KeyError:
            yield "caught"

    generator = rows()
    next(generator)
    assert generator.throw(KeyError("k")) == "caught"
    generator.close()
    assert recorded.steps()[0].span.status.status_code is StatusCode.UNSET


def test_an_exception_of_a_generators_body_is_the_steps(recorded: Journeys, checkout: Journey) -> None:
    @checkout.step("export")
    def rows() -> Generator[int, None, None]:
        yield 1
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(rows())
    assert recorded.steps()[0].span.status.description == "OSError: disk"


def test_spans_a_generators_body_keeps_open_over_its_yields_nest_rightly(recorded: Journeys, checkout: Journey) -> None:
    tracer = recorded.provider.get_tracer("x")

    @checkout.step("export")
    def rows() -> Generator[int, None, None]:
        with tracer.start_as_current_span("cursor"):
            yield 1
            with tracer.start_as_current_span("fetch"):
                pass
            yield 2

    seen = []
    for row in rows():
        seen.append(row)
        with tracer.start_as_current_span(f"consumer {row}"):
            pass
    cursor, fetch, export = (recorded.span(name) for name in ("cursor", "fetch", "checkout/export"))
    assert seen == [1, 2]
    assert fetch.parent is not None
    assert cursor.parent is not None
    assert fetch.parent.span_id == cursor.context.span_id
    assert cursor.parent.span_id == export.context.span_id
    assert recorded.span("consumer 1").parent is None


def test_a_generator_driven_by_threads_in_turn_has_its_context_in_each(
    recorded: Journeys, checkout: Journey, caplog: pytest.LogCaptureFixture
) -> None:
    @checkout.step("export")
    def rows() -> Generator[tuple[int, trace.Span], None, None]:
        for _ in range(4):
            yield threading.get_ident(), current()

    generator = rows()
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        seen = [pool.submit(next, generator).result() for pool in (one, other, one, other)]
        one.submit(generator.close).result()
    assert len({thread for thread, _ in seen}) == 2
    assert len({id(span) for _, span in seen}) == 1
    assert [step.step for step in recorded.steps()] == ["export"]
    assert not caplog.records


def test_an_async_generator_is_open_until_exhausted_and_current_only_in_its_body(recorded: Journeys) -> None:
    async def main() -> list[int]:
        seen = []
        async for number in achunks(3):
            assert current() is trace.INVALID_SPAN
            seen.append(number)
        return seen

    assert asyncio.run(main()) == [0, 1, 2]
    assert [step.step for step in recorded.steps()] == ["stream"]


def test_an_async_generator_closed_by_another_task_ends_in_silence(
    recorded: Journeys, checkout: Journey, caplog: pytest.LogCaptureFixture
) -> None:
    @checkout.step("stream")
    async def chunks() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)

    async def main() -> None:
        generator = chunks()
        await asyncio.create_task(anext(generator))
        await asyncio.create_task(generator.aclose())

    asyncio.run(main())
    assert [(step.step, step.outcome) for step in recorded.steps()] == [("stream", None)]
    assert not caplog.records


def test_an_abandoned_async_generator_ends_in_silence(recorded: Journeys, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        generator = achunks(3)
        await anext(generator)
        del generator
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert [step.step for step in recorded.steps()] == ["stream"]
    assert not caplog.records


def test_asend_athrow_and_cancellation_reach_an_async_generators_body(recorded: Journeys, checkout: Journey) -> None:
    @checkout.step("stream")
    async def chunks() -> AsyncGenerator[Any, Any]:
        sent = yield "ready"
        try:
            yield sent
        except KeyError:
            yield "caught"
        await asyncio.sleep(60)

    async def main() -> None:
        generator = chunks()
        assert await anext(generator) == "ready"
        assert await generator.asend(7) == 7
        assert await generator.athrow(KeyError("k")) == "caught"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(generator), 0.01)

    asyncio.run(main())
    assert [step.outcome for step in recorded.steps()] == ["cancelled"]


def test_a_with_block_left_in_another_context_ends_its_step_in_silence(
    recorded: Journeys, checkout: Journey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    step = checkout.step("payment")
    contextvars.copy_context().run(step.__enter__)
    contextvars.copy_context().run(step.__exit__, None, None, None)
    assert [found.step for found in recorded.steps()] == ["payment"]
    assert not caplog.records
    assert otel_cx.diagnostics() == {}


def test_decorated_calls_leave_nothing_for_the_garbage_collector(recorded: Journeys) -> None:
    charge(1)
    recorded.clear()
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            charge(1)
        recorded.clear()
        assert gc.collect() == 0
    finally:
        gc.enable()


class Basket:
    """At module level, as what is sent to another process has to be."""

    def __init__(self, number: int) -> None:
        self.number = number

    @module_level.step("payment")
    def pay(self) -> int:
        return self.number

    @module_level.step("list")
    @classmethod
    def kind(cls) -> str:
        return cls.__name__


def test_methods_pickle_as_methods_do() -> None:
    def there_and_back(method: Any) -> Any:
        return pickle.loads(pickle.dumps(method))  # noqa: S301 - our own bytes

    assert there_and_back(Basket(3).pay)() == 3
    assert there_and_back(Basket.kind)() == "Basket"
    assert there_and_back(Basket.pay)(Basket(4)) == 4


def test_a_decorated_function_is_copied_as_a_function_is() -> None:
    assert copy.copy(charge) is charge
    assert copy.deepcopy({"handler": charge})["handler"] is charge


def test_a_coroutine_that_was_never_awaited_is_named_as_the_function(checkout: Journey) -> None:
    @checkout.step("payment")
    async def pay() -> None: ...

    waiting = [pay()]
    assert repr(waiting[0]).startswith(f"<coroutine object {pay.__qualname__} at")
    with pytest.warns(RuntimeWarning, match=r"<locals>.pay' was never awaited"):
        waiting.clear()


def test_an_event_loop_that_ends_closes_an_async_generator_without_a_word(
    recorded: Journeys, checkout: Journey, caplog: pytest.LogCaptureFixture
) -> None:
    kept = []
    cleaned = []

    @checkout.step("stream")
    async def chunks() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            cleaned.append(current().is_recording())

    async def main() -> None:
        for _ in range(5):  # which of two generators a loop closes first depends on their addresses
            kept.append(chunks())
            await anext(kept[-1])

    asyncio.run(main())
    assert [(step.step, step.outcome) for step in recorded.steps()] == [("stream", None)] * 5
    assert cleaned == [True] * 5
    assert not caplog.records


def test_an_async_generator_hidden_from_the_loop_leaves_others_in_its_sight(checkout: Journey) -> None:
    closed = []

    async def plain() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            closed.append("plain")

    @checkout.step("stream")
    async def chunks() -> AsyncGenerator[int, None]:
        kept.append(plain())
        yield await anext(kept[-1])

    kept: list[AsyncGenerator[int, None]] = []

    async def main() -> None:
        kept.append(chunks())
        await anext(kept[0])

    asyncio.run(main())
    assert closed == ["plain"]


def test_a_generator_that_yields_on_while_it_is_closed_is_told_so_by_python(checkout: Journey) -> None:
    @checkout.step("export")
    def rows() -> Generator[int, None, None]:
        try:
            yield 1
        except GeneratorExit:
            yield 2

    generator = rows()
    next(generator)
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        generator.close()


def test_yield_from_sends_throws_and_returns_through_a_decorated_generator(
    recorded: Journeys, checkout: Journey
) -> None:
    @checkout.step("export")
    def inner() -> Generator[Any, Any, str]:
        sent = yield "ready"
        try:
            yield sent
        except KeyError:
            yield "caught"
        return "returned"

    def outer() -> Generator[Any, Any, None]:
        yield (yield from inner())

    generator = outer()
    assert [next(generator), generator.send("s"), generator.throw(KeyError()), next(generator)] == [
        "ready", "s", "caught", "returned",
    ]  # fmt: skip
    assert [step.step for step in recorded.steps()] == ["export"]


def test_a_generator_belongs_where_it_was_called_although_it_runs_when_that_was_left(
    recorded: Journeys, checkout: Journey
) -> None:
    @checkout.step("export")
    def rows() -> Generator[int, None, None]:
        yield 1

    tracer = recorded.provider.get_tracer("x")
    with tracer.start_as_current_span("POST /export"), checkout.attempt("cart-42"):
        streamed, handed = rows(), achunks(1)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(list, streamed).result() == [1]
    assert asyncio.run(anext(handed)) == 0
    asyncio.run(handed.aclose())
    assert {step.attempt for step in recorded.steps()} == {"cart-42"}
    assert {step.span.context.trace_id for step in recorded.steps()} == {recorded.span("POST /export").context.trace_id}


def test_a_generator_called_outside_of_everything_belongs_where_it_is_driven(
    recorded: Journeys, checkout: Journey
) -> None:
    waiting = achunks(1)

    async def main() -> None:
        with checkout.attempt("cart-42"):
            async for _ in waiting:
                pass

    asyncio.run(main())
    assert [step.attempt for step in recorded.steps()] == ["cart-42"]
