"""Tests of journeys: spans kept in memory, the same ids every run, and steps read as steps. A pytest plugin; no mocks.

```python
def test_a_declined_card_is_rejected(journeys):
    pay(declined_card)
    [payment] = journeys.steps("checkout")
    assert (payment.step, payment.outcome) == ("payment", "rejected")
```
"""

from __future__ import annotations

import functools
import itertools
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

from otel_cx import _diagnostics, semconv
from otel_cx._install import install, missing_sdk
from otel_cx._settings import Settings, runtime
from otel_cx.pseudonym import Keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.sampling import Sampler

TEST_KEY = Keyring.parse("test:not-a-secret-for-tests")
"""The key of recorded pseudonyms: the same raw id has the same pseudonym in every test and every run."""


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One step span that ended."""

    journey: str
    step: str
    attempt: str | None
    outcome: str | None
    """What the SDK or the application set; None where status and code decide."""
    customer: str | None
    """The pseudonym."""
    attributes: Mapping[str, Any]
    span: ReadableSpan


class Journeys:
    """Everything that was traced, in order of ending."""

    def __init__(self, provider: TracerProvider, exporter: InMemorySpanExporter, restart: Callable[[], None]) -> None:
        self.provider = provider
        self._exporter = exporter
        self._restart = restart

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """All spans that ended, of journeys or not."""
        return self._exporter.get_finished_spans()

    def span(self, name: str) -> ReadableSpan:
        """Returns the one span of this name; an AssertionError names those there are."""
        found = [span for span in self.spans if span.name == name]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} spans are named {name!r}; recorded: {[s.name for s in self.spans]}.")
        return found[0]

    def steps(self, journey: str | None = None) -> list[RecordedStep]:
        """Returns the steps of one journey, or of all."""
        steps = [_step(span) for span in self.spans if span.attributes and semconv.JOURNEY_STEP in span.attributes]
        return [step for step in steps if journey in {None, step.journey}]

    def clear(self) -> None:
        """Forgets what was recorded, and begins the ids anew."""
        self._exporter.clear()
        self._restart()


def _step(span: ReadableSpan) -> RecordedStep:
    attributes = dict(span.attributes or {})
    return RecordedStep(
        journey=str(attributes.get(semconv.JOURNEY_NAME)),
        step=str(attributes[semconv.JOURNEY_STEP]),
        attempt=_text(attributes.get(semconv.JOURNEY_ATTEMPT)),
        outcome=_text(attributes.get(semconv.STEP_OUTCOME)),
        customer=_text(attributes.get(semconv.CUSTOMER_ID)),
        attributes=attributes,
        span=span,
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


@contextmanager
def recording(settings: Settings | None = None, *, sampler: Sampler | None = None) -> Iterator[Journeys]:
    """Records with a tracer provider of its own; the process's global one is not touched. Puts everything back.

    Raises:
        MissingDependency: opentelemetry-sdk is not installed.
    """
    journeys = _recorder(sampler)
    try:
        with _installed(journeys, settings):
            yield journeys
    finally:
        journeys.provider.shutdown()


@pytest.fixture
def journeys() -> Iterator[Journeys]:
    """Everything the test traces, through the global tracer provider, so instrumented libraries are recorded too."""
    recorder = _process_recorder()
    recorder.clear()
    with _installed(recorder, None):
        yield recorder


@contextmanager
def _installed(journeys: Journeys, settings: Settings | None) -> Iterator[None]:
    from opentelemetry import propagate

    before = (runtime.settings, runtime.tracer, runtime.sampler_is_blind)
    propagator = propagate.get_global_textmap()
    _diagnostics.reset()
    install(journeys.provider, Settings(keys=TEST_KEY) if settings is None else settings)
    try:
        yield
    finally:
        runtime.settings, runtime.tracer, runtime.sampler_is_blind = before
        propagate.set_global_textmap(propagator)


@functools.cache
def _process_recorder() -> Journeys:
    from opentelemetry import trace

    present = trace.get_tracer_provider()
    if hasattr(present, "add_span_processor"):
        return _recorder(provider=cast("TracerProvider", present))
    journeys = _recorder()
    trace.set_tracer_provider(journeys.provider)
    return journeys


def _recorder(sampler: Sampler | None = None, provider: TracerProvider | None = None) -> Journeys:
    try:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    except ImportError as error:
        raise missing_sdk() from error

    class CountingIds(RandomIdGenerator):
        """1, 2, 3 ... so that a test's ids are the same every run; the recorder starts them anew."""

        def restart(self) -> None:
            self._ids = itertools.count(1)

        def generate_span_id(self) -> int:
            return next(self._ids)

        def generate_trace_id(self) -> int:
            return next(self._ids)

        def is_trace_id_random(self) -> bool:
            return False

    exporter = InMemorySpanExporter()
    ids = CountingIds()
    ids.restart()
    if provider is None:
        provider = TracerProvider(sampler=sampler, id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Journeys(provider, exporter, ids.restart)
