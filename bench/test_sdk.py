"""What the SDK costs a request: opening and closing a step, stamping a child span, naming the customer, importing.

    .venv/bin/pytest bench/test_sdk.py --benchmark-only -s

Targets: a step at most 8 µs over a bare OpenTelemetry span, stamping a child at most 2 µs, importing at most 15 ms over
opentelemetry-api. The differences are CPU time measured in one run, the rounds of both sides taking turns, so that a
busy machine disturbs both alike; the smallest round of each counts.
"""

import os
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, StaticSampler
from opentelemetry.trace import SpanKind, Tracer

import otel_cx
from otel_cx import Settings
from otel_cx.testing import Journeys, recording

NUMBER = 300
ROUNDS = 60
IMPORTS = 15

checkout = otel_cx.journey("checkout", revenue_class="new")
Work = Callable[[], Any]


@pytest.fixture
def bare() -> Tracer:
    return TracerProvider(shutdown_on_exit=False).get_tracer("bare")


class Looking(StaticSampler):
    """Keeps all, and for all the SDK knows it decides by attributes."""


@pytest.fixture(params=[None])
def stamped(request: pytest.FixtureRequest) -> Iterator[Tracer]:
    """A request of a known customer in an attempt: seven attributes on every span below."""
    with recording(sampler=request.param) as recorded:
        _export_nothing(recorded)
        tracer = recorded.provider.get_tracer("stamped")
        with tracer.start_as_current_span("POST /pay", kind=SpanKind.SERVER):
            otel_cx.identify(customer="user-42", segment="enterprise", plan="pro", region="eu")
            with checkout.attempt("cart-42"):
                yield tracer


def _export_nothing(recorded: Journeys) -> None:
    """Takes the recorder's own exporter out, which a bare provider does not have either."""
    processors = recorded.provider._active_span_processor  # noqa: SLF001 - the SDK offers no way to remove one
    processors._span_processors = processors._span_processors[1:]  # noqa: SLF001 - as above


def open_and_close() -> None:
    with checkout.step("payment"):
        pass


@checkout.step("payment")
def decorated() -> None:
    pass


def bare_span(tracer: Tracer) -> Work:
    def work() -> None:
        with tracer.start_as_current_span("payment"):
            pass

    return work


def child_span(tracer: Tracer) -> Work:
    return lambda: tracer.start_span("INSERT").end()


def microseconds(*sides: Work) -> list[float]:
    """CPU time of one call of each side, in turns, the smallest round of each."""
    timers = [timeit.Timer(side, timer=time.thread_time) for side in sides]
    turns = [[timer.timeit(NUMBER) for timer in timers] for _ in range(ROUNDS)]
    return [min(side) / NUMBER * 1e6 for side in zip(*turns, strict=True)]


def over(work: Work, base: Work) -> float:
    """Microseconds of `work` over `base`."""
    ours, bare = microseconds(work, base)
    return ours - bare


def over_and_ratio(work: Work, base: Work) -> tuple[float, float]:
    """The same, and how many times as long `work` takes."""
    ours, bare = microseconds(work, base)
    return ours - bare, ours / bare


def test_bare_span(benchmark: Any, bare: Tracer) -> None:
    benchmark(bare_span(bare))


@pytest.mark.usefixtures("stamped")
def test_step(benchmark: Any, bare: Tracer) -> None:
    benchmark.extra_info["over a bare span, µs"] = figure = over(open_and_close, bare_span(bare))
    print(f"\nstep over a bare span: {figure:.2f} µs (target 8)")
    benchmark(open_and_close)


@pytest.mark.parametrize("stamped", [Looking(Decision.RECORD_AND_SAMPLE)], indirect=True)
def test_step_under_a_sampler_that_may_look_at_attributes(benchmark: Any, bare: Tracer, stamped: Tracer) -> None:  # noqa: ARG001 - wanted for its effect
    benchmark.extra_info["over a bare span, µs"] = figure = over(open_and_close, bare_span(bare))
    print(f"\nstep over a bare span, attributes given to the sampler: {figure:.2f} µs")
    benchmark(open_and_close)


@pytest.mark.usefixtures("stamped")
def test_decorated_step(benchmark: Any, bare: Tracer) -> None:
    benchmark.extra_info["over a bare span, µs"] = figure = over(decorated, bare_span(bare))
    print(f"\ndecorated step over a bare span: {figure:.2f} µs (target 8)")
    benchmark(decorated)


def test_decorators_of_others(benchmark: Any, bare: Tracer, stamped: Tracer) -> None:  # noqa: ARG001 - wanted for its effect
    import logfire

    logfire.configure(send_to_logfire=False, console=False, metrics=False, inspect_arguments=False)
    sides = {
        "bare span, with block": bare_span(bare),
        "OpenTelemetry's decorator": bare.start_as_current_span("payment")(_nothing),
        "otel-cx, decorated step": decorated,
        "logfire.instrument": logfire.instrument("payment", extract_args=False)(_nothing),
    }
    figures = dict(zip(sides, microseconds(*sides.values()), strict=True))
    base = figures["OpenTelemetry's decorator"]
    print("\none call of a decorated function, CPU:")
    for side, figure in figures.items():
        print(f"  {side}: {figure:.1f} µs, {figure / base:.2f} times OpenTelemetry's decorator")
    benchmark.extra_info["of OpenTelemetry's decorator"] = figures["otel-cx, decorated step"] / base
    benchmark(decorated)


def _nothing() -> None:
    pass


def test_child_span_against_the_baggage_processor(benchmark: Any, bare: Tracer, stamped: Tracer) -> None:
    from opentelemetry.processor.baggage import ALLOW_ALL_BAGGAGE_KEYS, BaggageSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BaggageSpanProcessor(ALLOW_ALL_BAGGAGE_KEYS))
    with checkout.step("payment"):
        context = trace.set_span_in_context(trace.INVALID_SPAN)
        for name, value in stamped_attributes(stamped).items():
            context = baggage.set_baggage(name, value, context)
        copying = provider.get_tracer("baggage")
        theirs = lambda: copying.start_span("INSERT", context=context).end()  # noqa: E731 - as child_span
        plain, ours, copied = microseconds(child_span(bare), child_span(stamped), theirs)
        print(
            f"\nstamping a child: {ours - plain:.2f} µs; BaggageSpanProcessor, as many members: "
            f"{copied - plain:.2f} µs, {(copied - plain) / (ours - plain):.1f} times as much"
        )
        benchmark.extra_info["BaggageSpanProcessor, times"] = (copied - plain) / (ours - plain)
        benchmark(child_span(stamped))


def stamped_attributes(tracer: Tracer) -> dict[str, str]:
    span = tracer.start_span("INSERT")
    span.end()
    return {name: str(value) for name, value in dict(getattr(span, "attributes", {})).items()}


def test_child_span(benchmark: Any, bare: Tracer, stamped: Tracer) -> None:
    with checkout.step("payment"):
        benchmark.extra_info["over a bare span, µs"] = figure = over(child_span(stamped), child_span(bare))
        print(f"\nstamping a child span: {figure:.2f} µs (target 2)")
        benchmark(child_span(stamped))


SERVED: dict[str, Any] = {"http.method": "GET", "http.target": "/health", "http.scheme": "http", "http.host": "shop"}
ROUTES = {f"GET /sites/{{site}}/{number}": "dns/show" for number in range(25)} | {
    f"POST /pay/{number}": "checkout/payment" for number in range(25)
}


def server_span(tracer: Tracer) -> Work:
    return lambda: tracer.start_span("GET /health", kind=SpanKind.SERVER, attributes=SERVED).end()


def test_server_span_that_no_route_takes(benchmark: Any, bare: Tracer) -> None:
    """Of 50 routes, half with a parameter; beside it the same without any, which is what the SDK costs anyway."""
    sides = {"installed": Settings(), "with 50 routes": Settings(routes=ROUTES)}
    for side, settings in sides.items():
        with recording(settings) as recorded:
            _export_nothing(recorded)
            tracer = recorded.provider.get_tracer("served")
            figure, ratio = over_and_ratio(server_span(tracer), server_span(bare))
            benchmark.extra_info[f"{side}, times a bare server span"] = ratio
            print(f"\nserver span, {side}: {ratio:.2f} times a bare one, {figure:.2f} µs over it")
            if side != "installed":
                benchmark(server_span(tracer))


@pytest.mark.usefixtures("stamped")
def test_identify(benchmark: Any) -> None:
    benchmark(otel_cx.identify, customer="user-42", segment="enterprise")


def test_import(benchmark: Any, tmp_path: Path) -> None:
    api = "import opentelemetry.trace, opentelemetry.context, opentelemetry.baggage"
    ours_and_step = "import otel_cx; otel_cx.journey('checkout').step('payment')(len)"
    programs = (api, f"{api}; import otel_cx", f"{api}; {ours_and_step}")
    _import_ms(programs[-1], tmp_path)  # compiles all of it, as installing does
    turns = [[_import_ms(program, tmp_path) for program in programs] for _ in range(IMPORTS)]
    base, ours, with_wrapt = (min(side) for side in zip(*turns, strict=True))
    benchmark.extra_info["over opentelemetry-api, ms"] = ours - base
    print(f"\nimport otel_cx over opentelemetry-api: {ours - base:.1f} ms, {ours / base:.2f} times (target 15 ms)")
    print(f"with a first decoration, which imports wrapt and with it asyncio: {with_wrapt - base:.1f} ms")
    benchmark.pedantic(_import_ms, args=("import otel_cx", tmp_path), rounds=3)


def _import_ms(statement: str, compiled: Path) -> float:
    """CPU milliseconds of `statement` in a new process; byte code is kept in `compiled`, whatever the shell says."""
    program = f"import time; begin = time.process_time(); {statement}; print((time.process_time() - begin) * 1e3)"
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled), "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, env=environ)
    return float(done.stdout)
