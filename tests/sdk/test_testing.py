"""The pytest plugin: assertions in one line that say what was recorded, and tests that are the same every run."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace.status import Status, StatusCode

import otel_cx
from otel_cx import Journey, semconv
from otel_cx._recorded import RecordedStep
from otel_cx.testing import BEGINNING, Clock, Journeys, recording
from otel_cx_collector.tag.outcome import _outcome, _signs

HOW_TO = Path(__file__).parents[2] / "docs/how-to/test-your-journeys.md"


def pytest_in(folder: Path, *options: str, **files: str) -> str:
    """Runs pytest over test files in a process of its own, as a user's project does; returns what it printed."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    return done.stdout + done.stderr


@pytest.fixture
def shop(recorded: Journeys, checkout: Journey) -> Journeys:
    """One attempt that was declined, and one that went well."""
    with checkout.attempt("cart-1"):
        with checkout.step("cart"):
            pass
        with checkout.step("payment") as step:
            step.reject("card_declined")
    with checkout.attempt("cart-2"), checkout.step("payment"):
        pass
    return recorded


def test_assertions_that_hold_return_what_they_found(shop: Journeys) -> None:
    assert shop.assert_step("checkout/payment", outcome="rejected").attempt == "cart-1"
    assert shop.assert_step("checkout/payment", outcome="ok", attempt="cart-2").outcome is None
    shop.assert_step("checkout/payment", count=2)
    shop.assert_step("checkout/payment", attributes={semconv.ERROR_TYPE: "card_declined"})
    assert len(shop.assert_steps("checkout/cart", "checkout/payment", attempt="cart-1")) == 2
    shop.assert_steps("checkout/cart", "checkout/payment", "checkout/payment")
    shop.assert_no_steps("search")
    shop.assert_no_steps("checkout/confirm")
    shop.assert_no_steps(attempt="cart-3")


@pytest.mark.parametrize(
    ("check", "arguments", "options", "said"),
    [
        ("assert_step", ("checkout/payment",), {}, "2 steps, not 1, have name='checkout/payment'."),
        (
            "assert_step",
            ("checkout/payment",),
            {"outcome": "failed"},
            "0 steps, not 1, have name='checkout/payment'",
        ),
        ("assert_step", ("checkout/cart",), {"attempt": "cart-2"}, "attempt='cart-2'."),
        ("assert_step", ("checkout/cart",), {"customer": "u"}, "customer='test."),
        ("assert_step", ("checkout/cart",), {"attributes": {"a": 1}}, "a=1."),
        ("assert_steps", ("checkout/payment", "checkout/cart"), {"attempt": "cart-1"}, "The steps of attempt 'cart-1'"),
        ("assert_no_steps", (), {}, "3 steps are there, and none should be."),
        ("assert_no_steps", ("checkout/cart",), {}, "1 steps are there"),
    ],
)
def test_assertions_that_fail_show_what_was_recorded(
    shop: Journeys, check: str, arguments: tuple[str, ...], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(AssertionError) as failed:
        getattr(shop, check)(*arguments, **options)
    message = str(failed.value)
    assert message.startswith(said) or said in message.partition("\n")[0]
    assert message.partition("\n")[2].splitlines() == [
        "Recorded, in order of ending:",
        "  checkout/cart     ok        attempt=cart-1",
        "  checkout/payment  rejected  attempt=cart-1  error.type=card_declined",
        "  checkout/payment  ok        attempt=cart-2",
    ]


def test_a_failure_without_steps_names_other_spans_and_what_the_sdk_counted(recorded: Journeys) -> None:
    with recorded.provider.get_tracer("server").start_as_current_span("POST /pay"):
        pass
    otel_cx.identify(customer="user-42")
    with pytest.raises(AssertionError) as failed:
        recorded.assert_step("checkout/payment")
    assert "Recorded: no step.\n  other spans: POST /pay\nThe SDK counted no_holder 1 times: identify()" in str(
        failed.value
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "payment"}, "Write 'journey/step'"),
        ({"name": "checkout/payment", "count": 0}, "Use assert_no_steps"),
        ({"name": "checkout/payment", "outcome": "declined"}, "Use one of: ok, failed, rejected, cancelled"),
    ],
)
def test_a_question_that_cannot_be_asked_is_no_failure_of_the_application(
    recorded: Journeys, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        recorded.assert_step(**arguments)


SCALARS = st.one_of(
    st.integers(0, 700), st.sampled_from(["OK", "CANCELLED", "UNAVAILABLE", "NOT_FOUND", "14", "404", ""])
)


@given(
    attributes=st.dictionaries(
        st.sampled_from([
            semconv.STEP_OUTCOME, semconv.ERROR_TYPE, "http.response.status_code", "http.status_code",
            "rpc.response.status_code", "rpc.grpc.status_code",
        ]),
        SCALARS | st.sampled_from(["ok", "failed", "CancelledError", "x.AbortError"]),
    ),
    error=st.booleans(),
)  # fmt: skip
def test_a_step_counts_as_what_the_collector_makes_of_it(attributes: dict[str, Any], error: bool) -> None:
    class Decoded:
        events = ()

    span = ReadableSpan("s", attributes={semconv.JOURNEY_STEP: "s", **attributes})
    span._status = Status(StatusCode.ERROR if error else StatusCode.UNSET)
    Decoded.attributes = attributes  # type: ignore[attr-defined]  # what the collector reads of a span
    said = attributes.get(semconv.STEP_OUTCOME)
    expected = said if said in semconv.OUTCOMES else _outcome(_signs(Decoded()), 2 if error else 0).value  # type: ignore[arg-type]  # as above
    assert RecordedStep.of(span).counts_as == expected


def test_the_clock_stands_still_until_it_is_moved(checkout: Journey) -> None:
    with recording(clock=Clock()) as recorded, checkout.step("payment") as step:
        recorded.clock.advance(0.25)
        step.span.add_event("half")
        recorded.clock.tick_ns = 1
    [payment] = recorded.steps()
    begin = int(BEGINNING.timestamp()) * 10**9
    assert (payment.span.start_time, payment.duration_ns) == (begin, 250_000_000)
    assert payment.span.events[0].timestamp == begin + 250_000_000
    with recording(clock=Clock()) as recorded:
        recorded.clock.tick_ns = 7
        with checkout.step("payment"):
            pass
    assert recorded.steps()[0].duration_ns == 7


def test_the_clock_is_set_to_a_time_with_its_zone() -> None:
    clock = Clock(datetime(2030, 5, 1, 12, 0, 0, 123456, tzinfo=UTC))
    assert clock.now_ns == 1_903_867_200_123_456_000
    with pytest.raises(ValueError, match="no time zone"):
        clock.set(datetime(2030, 5, 1))  # noqa: DTZ001 - the mistake under test


def test_real_time_has_no_clock_to_move(recorded: Journeys) -> None:
    with pytest.raises(RuntimeError, match=r"recording\(clock=Clock\(\)\)"):
        recorded.clock.advance(1)


APPLICATION = """
import otel_cx
from opentelemetry import trace

{set_up}
checkout = otel_cx.journey("checkout")
tracer = trace.get_tracer("library")

@checkout.step("payment")
def pay():
    with tracer.start_as_current_span("INSERT"):
        otel_cx.identify(customer="user-42")

@checkout.step("payment")
async def apay():
    pay()
"""
TESTS = """
import logging
import shop
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"

{before}
@pytest.mark.parametrize("time", range(4))
def test_pay(journeys, caplog, time):
    create()
    shop.pay()
    payment = journeys.assert_step("checkout/payment", outcome="ok", customer="user-42")
    [insert] = [span for span in journeys.spans if span.name == "INSERT"]
    assert (payment.span.context.trace_id, payment.span.context.span_id, insert.context.span_id) == (1, 2, 3)
    assert (payment.span.start_time, payment.duration_ns) == (1767225600000000000, 0)
    assert not caplog.records

@pytest.mark.anyio
async def test_apay(journeys):
    create()
    await shop.apay()
    journeys.assert_step("checkout/payment")
"""


NOTHING = "def create(): pass"
CONFIGURE_EACH = """
import otel_cx
def create():
    otel_cx.configure(resource={'service.name': 'shop'})
"""
INSTALL = """
from opentelemetry.sdk.trace import TracerProvider
provider = TracerProvider()
trace.set_tracer_provider(provider)
otel_cx.install(provider)
"""
INSTALL_EACH = """
import otel_cx
from opentelemetry.sdk.trace import TracerProvider
def create():
    provider = TracerProvider()
    otel_cx.install(provider)
    shop.tracer = provider.get_tracer("library")
"""


@pytest.mark.parametrize(
    ("set_up", "create"),
    [
        ("", NOTHING),
        ("otel_cx.configure('http://127.0.0.1:1', resource={'service.name': 'shop'})", NOTHING),
        ("", CONFIGURE_EACH),
        (INSTALL, NOTHING),
        ("", INSTALL_EACH),
    ],
    ids=["nothing", "configure at import", "configure in each test", "install at import", "install in each test"],
)
def test_the_plugin_records_whatever_way_the_application_sets_up_tracing(
    tmp_path: Path, set_up: str, create: str
) -> None:
    said = pytest_in(
        tmp_path, "-p", "no:xdist", shop=APPLICATION.format(set_up=set_up), test_shop=TESTS.format(before=create)
    )
    assert "5 passed" in said, said


def test_the_plugin_works_in_parallel_workers(tmp_path: Path) -> None:
    said = pytest_in(tmp_path, "-n", "2", shop=APPLICATION.format(set_up=""), test_shop=TESTS.format(before=NOTHING))
    assert "5 passed" in said, said


def test_a_provider_that_the_application_shuts_down_is_recorded_in_the_next_test(tmp_path: Path) -> None:
    test = """
import pytest
from opentelemetry import trace
import otel_cx

@pytest.mark.parametrize("time", range(2))
def test_step(journeys, time):
    with otel_cx.journey("checkout").step("payment"):
        pass
    journeys.assert_step("checkout/payment")
    trace.get_tracer_provider().shutdown()
"""
    assert "2 passed" in pytest_in(tmp_path, test_shop=test)


def test_the_report_of_a_failed_test_shows_what_was_recorded(tmp_path: Path) -> None:
    test = """
import otel_cx

def test_step(journeys):
    with otel_cx.journey("checkout").attempt("cart-1"), otel_cx.journey("checkout").step("payment"):
        pass
    assert 1 == 2
"""
    said = pytest_in(tmp_path, test_shop=test)
    assert re.search(
        r"Recorded journeys -+\nRecorded, in order of ending:\n  checkout/payment  ok  attempt=cart-1", said
    ), said


def test_outside_of_the_fixture_nothing_is_kept_and_time_is_real(tmp_path: Path) -> None:
    test = """
import time
import otel_cx

def test_recorded(journeys):
    journeys.assert_no_steps()

def test_not_recorded():
    with otel_cx.journey("checkout").step("payment") as step:
        pass
    assert abs(step.span.start_time / 1e9 - time.time()) < 3600

def test_recorded_again(journeys):
    journeys.assert_no_steps()
"""
    assert "3 passed" in pytest_in(tmp_path, test_shop=test)


def test_the_examples_of_the_how_to_run(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python title=(\w+)\.py\n(.*?)^```", HOW_TO.read_text(), re.DOTALL | re.MULTILINE)
    files: dict[str, str] = {}
    for name, block in blocks:
        files[name] = files.get(name, "") + block
    assert set(files) == {"shop", "test_shop"}
    said = pytest_in(tmp_path, "-p", "no:xdist", **files)
    tests = sum(block.count("def test_") for block in files.values())
    assert f"{tests} passed" in said, said
