"""What is public, what its examples say, and the pytest plugin as a user's project finds it."""

import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import otel_cx
from otel_cx import _diagnostics, semconv

PUBLIC = ("_carry", "_diagnostics", "_journey", "_settings", "_routes", "pseudonym")


@pytest.mark.parametrize("module", PUBLIC)
def test_examples_in_docstrings_run(module: str) -> None:
    _diagnostics.reset()
    result = doctest.testmod(importlib.import_module(f"otel_cx.{module}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_the_public_names_are_these() -> None:
    assert sorted(otel_cx.__all__) == [
        "Attempt", "CXError", "ConfigurationError", "Finding", "InvalidName", "Journey", "MissingDependency",
        "Settings", "Step", "asgi", "carry", "configure", "diagnostics", "doctor", "identify", "install",
        "journey", "wsgi",
    ]  # fmt: skip
    for name in otel_cx.__all__:
        assert inspect.getdoc(getattr(otel_cx, name)), name


def test_middleware_is_reached_from_the_package() -> None:
    assert otel_cx.asgi.CXMiddleware.__module__ == "otel_cx.asgi"
    assert otel_cx.wsgi.CXMiddleware.__module__ == "otel_cx.wsgi"


def test_what_travels_never_holds_step_or_money() -> None:
    for name in (semconv.JOURNEY_STEP, semconv.JOURNEY_WITHIN, semconv.REVENUE_AMOUNT, semconv.REVENUE_CURRENCY):
        assert name not in semconv.CONTEXT


def test_the_plugin_records_the_tests_of_a_users_project(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(
        """
import logging
import pytest
from opentelemetry import trace
import otel_cx

checkout = otel_cx.journey("checkout")
tracer = trace.get_tracer("library")  # as instrumented libraries do, at import

@checkout.step("payment")
def pay(declined):
    with tracer.start_as_current_span("INSERT"):
        otel_cx.identify(customer="user-42")
    if declined:
        with checkout.step("payment") as step:
            step.reject("card_declined")

@pytest.mark.parametrize("declined", [True, False])
def test_pay(journeys, declined):
    with checkout.attempt("cart-42"):
        pay(declined)
    [payment] = journeys.steps("checkout")
    assert (payment.step, payment.attempt) == ("payment", "cart-42")
    assert payment.outcome == ("rejected" if declined else None)
    assert payment.customer == "test.VwSsOXlIVPYjpD3fYTRvZW"
    assert [span.name for span in journeys.spans] == ["INSERT", "checkout/payment"]
    assert (payment.span.context.trace_id, payment.span.context.span_id) == (1, 2)
    assert journeys.steps("other") == []
    with pytest.raises(AssertionError, match="recorded: .'INSERT'"):
        journeys.span("nothing")

def test_nothing_is_left_of_the_test_before(journeys):
    assert journeys.spans == ()
    assert otel_cx.diagnostics() == {}
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "test_shop.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "3 passed" in done.stdout, done.stdout


def test_the_plugin_records_beside_a_provider_that_is_there_already(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(
        """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
import otel_cx

trace.set_tracer_provider(TracerProvider())

def test_step(journeys):
    with otel_cx.journey("checkout").step("payment"):
        pass
    assert [step.step for step in journeys.steps()] == ["payment"]
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "test_shop.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout
