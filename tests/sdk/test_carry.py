"""Threads and processes: where OpenTelemetry begins with an empty context, `carry` takes the customer's along."""

import asyncio
import json
import math
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from opentelemetry.trace import Span

import otel_cx
from otel_cx import Journey, semconv
from otel_cx.testing import TEST_KEY, Journeys

Request = Callable[[], AbstractContextManager[Span]]
checkout = otel_cx.journey("checkout")


@checkout.step("line")
def line(number: int = 0) -> int:
    otel_cx.identify(region="eu")
    return number


def assert_in_the_request(recorded: Journeys, count: int = 1) -> None:
    """All steps are of the request's attempt and below it, and their threads' customer reached its server span."""
    lines = [step for step in recorded.steps() if step.step == "line"]
    server = recorded.span("POST /pay")
    assert [step.attempt for step in lines] == ["cart-42"] * count
    assert {step.span.context.trace_id for step in lines} == {server.context.trace_id}
    assert dict(server.attributes or {})[semconv.REGION] == "eu"


def test_a_new_thread_begins_with_nothing(recorded: Journeys, request_span: Request) -> None:
    with request_span(), checkout.attempt("cart-42"), ThreadPoolExecutor() as pool:
        pool.submit(line).result()
    [step] = recorded.steps()
    assert (step.attempt, step.span.parent) == (None, None)


def test_a_carried_function_runs_where_it_was_carried_from(recorded: Journeys, request_span: Request) -> None:
    with request_span(), checkout.attempt("cart-42"):
        thread = threading.Thread(target=otel_cx.carry(line))
        thread.start()
        thread.join()
    assert_in_the_request(recorded)


def test_a_pool_runs_one_carried_function_many_times_at_once(recorded: Journeys, request_span: Request) -> None:
    together = threading.Barrier(4, timeout=10)

    def fetch(number: int) -> int:
        together.wait()
        return line(number)

    with request_span(), checkout.attempt("cart-42"), ThreadPoolExecutor(4) as pool:
        assert list(pool.map(otel_cx.carry(fetch), range(8))) == list(range(8))
    assert_in_the_request(recorded, 8)


def test_a_pools_thread_keeps_nothing_of_what_it_carried(recorded: Journeys, request_span: Request) -> None:
    def fail() -> None:
        raise OSError("disk")

    with ThreadPoolExecutor(1) as pool:
        with request_span(), checkout.attempt("cart-42"):
            assert isinstance(pool.submit(otel_cx.carry(fail)).exception(), OSError)
            pool.submit(otel_cx.carry(line)).result()
        assert pool.submit(trace.get_current_span).result() is trace.INVALID_SPAN
    assert_in_the_request(recorded)


def test_an_executor_of_an_event_loop_runs_a_carried_function(recorded: Journeys, request_span: Request) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with request_span(), checkout.attempt("cart-42"):
            await loop.run_in_executor(None, otel_cx.carry(line))

    asyncio.run(main())
    assert_in_the_request(recorded)


def test_asyncio_carries_by_itself_into_to_thread_tasks_and_another_threads_loop(
    recorded: Journeys, request_span: Request
) -> None:
    async def aline() -> int:
        return line()

    async def main(other: asyncio.AbstractEventLoop) -> None:
        with request_span(), checkout.attempt("cart-42"):
            await asyncio.to_thread(line)
            await asyncio.create_task(aline())
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(aline(), other))

    other = asyncio.new_event_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()
    asyncio.run(main(other))
    other.call_soon_threadsafe(other.stop)
    thread.join()
    other.close()
    assert_in_the_request(recorded, 3)


def test_a_coroutine_function_is_carried_to_where_it_is_awaited(recorded: Journeys, request_span: Request) -> None:
    @checkout.step("line")
    async def aline() -> None:
        await asyncio.sleep(0)
        otel_cx.identify(region="eu")

    with request_span(), checkout.attempt("cart-42"):
        carried = otel_cx.carry(aline)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: asyncio.run(carried())).result()
    assert_in_the_request(recorded)


def test_the_official_instrumentation_of_threads_carries_too(recorded: Journeys, request_span: Request) -> None:
    ThreadingInstrumentor().instrument()
    try:
        with request_span(), checkout.attempt("cart-42"), ThreadPoolExecutor(1) as pool:
            pool.submit(line).result()
            pool.submit(otel_cx.carry(line)).result()
    finally:
        ThreadingInstrumentor().uninstrument()
    assert_in_the_request(recorded, 2)


def test_outside_of_everything_a_function_is_carried_to_nowhere(recorded: Journeys) -> None:
    assert otel_cx.carry(line)(number=3) == 3
    assert [step.attempt for step in recorded.steps()] == [None]


PROGRAM = """
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import otel_cx
from otel_cx.testing import TEST_KEY, recording

checkout = otel_cx.journey("checkout")

@checkout.step("line")
def line(number):
    return number

class Order:
    @checkout.step("line")
    def price(self, number):
        return number

def work(job, number):  # a worker's own tracing: what it records is sent back with the answer
    with recording() as recorded:
        answer = job(number)
        [step] = recorded.steps()
        parent = step.span.parent
        return answer, step.attempt, step.customer, parent and (parent.trace_id, parent.span_id)

if __name__ == "__main__":
    with recording() as recorded, ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(START)) as pool:
        tracer = recorded.provider.get_tracer("server")
        with tracer.start_as_current_span("POST /pay") as server, checkout.attempt("cart-42"):
            otel_cx.identify(customer="user-42")
            bare = pool.submit(work, line, 1).result()
            carried = pool.submit(work, otel_cx.carry(line), 2).result()
            method = pool.submit(work, otel_cx.carry(Order().price), 3).result()
            began = server.get_span_context()
    print(json.dumps([bare, carried, method, (began.trace_id, began.span_id)]))
"""


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_a_pool_of_processes_goes_on_with_trace_attempt_and_pseudonym(tmp_path: Path, start: str) -> None:
    (tmp_path / "shop.py").write_text(PROGRAM.replace("START", repr(start)))
    done = subprocess.run(
        [sys.executable, "-W", "error", "shop.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert not done.stderr
    bare, carried, method, server = json.loads(done.stdout)
    customer = TEST_KEY.pseudonym("user-42")
    assert bare == [1, None, None, None]
    assert carried == [2, "cart-42", customer, server]
    assert method == [3, "cart-42", customer, server]


def test_what_cannot_be_packed_is_counted_and_the_function_arrives(
    recorded: Journeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr("otel_cx._carry.state_of", broken)
    assert pickle.loads(pickle.dumps(otel_cx.carry(math.sqrt)))(25) == 5  # noqa: S301 - our own bytes
    assert otel_cx.diagnostics() == {"internal": 1}


def test_a_journey_given_by_hand_needs_nothing_carried(recorded: Journeys, checkout: Journey) -> None:
    def work() -> None:
        with checkout.attempt("cart-42"):
            line()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [step.attempt for step in recorded.steps()] == ["cart-42"]
