"""The span processor of `otel_cx.testing`: keeps what ends, with ids that count. It asserts nothing.

Needs the OpenTelemetry SDK, so it is imported when a test records and not with the pytest plugin.
"""

from __future__ import annotations

import dataclasses
import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import pytest
from opentelemetry import trace
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from otel_cx._settings import runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.sampling import Sampler

    from otel_cx.pseudonym import Keyring

_RECORDER = "_otelcx_recorder"


class CountingIds(RandomIdGenerator):
    """1, 2, 3 ... so that a test's ids are the same every run; the recorder starts them anew."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begins at 1."""
        self._ids = itertools.count(1)

    def generate_span_id(self) -> int:
        """Returns the next number."""
        return next(self._ids)

    def generate_trace_id(self) -> int:
        """Returns the next number."""
        return next(self._ids)

    def is_trace_id_random(self) -> bool:
        """They are not."""
        return False


class Recorder(SpanProcessor):
    """Keeps the sampled spans that end while it is on, of all the providers it was added to."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self._on = False
        self._ids = CountingIds()

    def clear(self) -> None:
        """Forgets the spans, and begins the ids anew."""
        self.spans.clear()
        self._ids.restart()

    def on_end(self, span: ReadableSpan) -> None:
        """Keeps `span`."""
        if self._on and span.context is not None and span.context.trace_flags.sampled:
            self.spans.append(span)

    def new_provider(self, sampler: Sampler | None = None) -> TracerProvider:
        """Returns a provider that this listens to."""
        provider = TracerProvider(sampler=sampler, id_generator=self._ids, shutdown_on_exit=False)
        self.listen(provider)
        return provider

    def global_provider(self) -> TracerProvider:
        """Returns the process's provider, made now if it has none that can be listened to."""
        present = trace.get_tracer_provider()
        if hasattr(present, "add_span_processor"):
            return cast("TracerProvider", present)
        provider = self.new_provider()
        trace.set_tracer_provider(provider)
        return provider

    def listen(self, provider: TracerProvider) -> None:
        """Adds this to `provider`, once."""
        if getattr(provider, _RECORDER, None) is not self:
            provider.add_span_processor(self)
            setattr(provider, _RECORDER, self)

    @contextmanager
    def on(self) -> Iterator[None]:
        """Keeps what ends from now on."""
        self.clear()
        self._on = True
        try:
            yield
        finally:
            self._on = False

    @contextmanager
    def everywhere(self, key: Keyring) -> Iterator[None]:
        """Is on for the process's provider and those the application installs; all their ids count.

        `key` makes the pseudonyms where the application has set none. What this sets in `runtime`, the caller restores.
        """

        def hear_of(provider: TracerProvider) -> None:
            self.listen(provider)
            if runtime.settings.keys is None:
                runtime.settings = dataclasses.replace(runtime.settings, keys=key)

        self.listen(self.global_provider())
        runtime.on_install = hear_of
        with pytest.MonkeyPatch.context() as patch, self.on():
            # Tracers that were made before keep the generator they were made with: the default one counts now.
            patch.setattr(RandomIdGenerator, "generate_span_id", lambda _: self._ids.generate_span_id())
            patch.setattr(RandomIdGenerator, "generate_trace_id", lambda _: self._ids.generate_trace_id())
            yield


@contextmanager
def time_from(read: Callable[[], int]) -> Iterator[None]:
    """Gives spans and their events the nanoseconds that `read` returns, where they are given no time of their own."""
    with pytest.MonkeyPatch.context() as patch:
        # Where the SDK, from 1.30 to the newest, reads the time.
        patch.setattr(sdk, "time_ns", read)
        yield
