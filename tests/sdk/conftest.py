"""Fixtures of the SDK's tests. Not assertions."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from opentelemetry.trace import Span, SpanKind

from otel_cx import Journey, journey
from otel_cx.testing import Journeys, recording


@pytest.fixture
def recorded() -> Iterator[Journeys]:
    """Everything traced in this test, with a tracer provider of its own and the default settings."""
    with recording() as journeys:
        yield journeys


@pytest.fixture
def checkout() -> Journey:
    return journey("checkout", revenue_class="new")


@pytest.fixture
def request_span(recorded: Journeys) -> Callable[[], AbstractContextManager[Span]]:
    """Opens a server span, as a server instrumentation does."""
    tracer = recorded.provider.get_tracer("server")
    return lambda: tracer.start_as_current_span("POST /pay", kind=SpanKind.SERVER)
