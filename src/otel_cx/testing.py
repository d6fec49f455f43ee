"""Tests of journeys: steps asserted in one line, the same ids and times every run. A pytest plugin; no mocks.

```python
def test_a_declined_card_is_rejected(journeys):
    pay(declined_card)
    journeys.assert_step("checkout/payment", outcome="rejected")
```
"""

from __future__ import annotations

import functools
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest

from otel_cx import _diagnostics, semconv
from otel_cx._install import install, missing_sdk
from otel_cx._recorded import RecordedStep, described
from otel_cx._settings import Settings, runtime
from otel_cx.pseudonym import Keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.sampling import Sampler

    from otel_cx._recorder import Recorder

__all__ = ["TEST_KEY", "Clock", "Journeys", "RecordedStep", "journeys", "recording"]

TEST_KEY: Final = Keyring.parse("test:not-a-secret-for-tests")
"""The key of recorded pseudonyms: the same raw id has the same pseudonym in every test and every run."""

BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When every test begins."""


class Clock:
    """The time that spans start, end and record events at. It stands still until the test moves it.

    >>> clock = Clock()
    >>> clock.advance(0.25)
    >>> clock.now.isoformat()
    '2026-01-01T00:00:00.250000+00:00'
    """

    def __init__(self, now: datetime = BEGINNING) -> None:
        self.now_ns = 0
        """Nanoseconds since the epoch."""
        self.tick_ns = 0
        """What each reading moves it by, for tests that want times apart from one another."""
        self.set(now)

    @property
    def now(self) -> datetime:
        """The time it shows, to the microsecond."""
        return datetime.fromtimestamp(self.now_ns // 1000 / 1e6, UTC)

    def set(self, now: datetime) -> None:
        """Sets it, also back. `now` needs a time zone."""
        if now.tzinfo is None:
            raise ValueError(f"The time {now} has no time zone. Write datetime(..., tzinfo=UTC).")
        since = now - datetime(1970, 1, 1, tzinfo=UTC)
        self.now_ns = (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000

    def advance(self, seconds: float) -> None:
        """Moves it."""
        self.now_ns += round(seconds * 1e9)

    def read(self) -> int:
        """Returns the nanoseconds it shows, then ticks."""
        now_ns = self.now_ns
        self.now_ns += self.tick_ns
        return now_ns


class Journeys:
    """Everything that was traced, in order of ending."""

    def __init__(self, provider: TracerProvider, recorder: Recorder, clock: Clock | None = None) -> None:
        self.provider = provider
        self._recorder = recorder
        self._clock = clock

    @property
    def clock(self) -> Clock:
        """The clock of this test's spans.

        Raises:
            RuntimeError: they have the real time.
        """
        if self._clock is None:
            raise RuntimeError("These spans have the real time. Use the fixture journeys, or recording(clock=Clock()).")
        return self._clock

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """All spans that ended, of journeys or not."""
        return tuple(self._recorder.spans)

    def span(self, name: str) -> ReadableSpan:
        """Returns the one span of this name; an AssertionError names those there are."""
        found = [span for span in self.spans if span.name == name]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} spans are named {name!r}; recorded: {[s.name for s in self.spans]}.")
        return found[0]

    def steps(self, of: str | None = None, *, attempt: str | None = None) -> list[RecordedStep]:
        """Returns the steps of a journey (`checkout`), of one name (`checkout/payment`), or all; of one attempt."""
        spans = [span for span in self.spans if span.attributes and semconv.JOURNEY_STEP in span.attributes]
        steps = [RecordedStep.of(span) for span in spans]
        return [step for step in steps if of in {None, step.journey, step.name} and attempt in {None, step.attempt}]

    def assert_step(
        self,
        name: str,
        *,
        count: int = 1,
        outcome: str | None = None,
        attempt: str | None = None,
        customer: object = None,
        attributes: Mapping[str, Any] | None = None,
        wait_s: float = 0,
    ) -> RecordedStep:
        """Asserts that exactly `count` steps `journey/step` of this kind ended, and returns the first.

        Args:
            name: such as `checkout/payment`.
            count: how many; for none there is `assert_no_steps`.
            outcome: what the collector will count it as: ok, failed, rejected or cancelled.
            attempt: the attempt's id.
            customer: the raw id, as the application gives it to `identify`.
            attributes: attributes of the step's span, and their values.
            wait_s: how long to wait for steps that another thread or task is still ending.
        """
        __tracebackhide__ = True
        wanted = _wanted(name, count, outcome, attempt, customer, attributes)
        found = self._wait(wait_s, lambda: [step for step in self.steps() if _fits(step, wanted)], count)
        if len(found) != count:
            asked = ", ".join(f"{key}={value!r}" for key, value in wanted.items())
            raise AssertionError(f"{len(found)} steps, not {count}, have {asked}.\n{self.describe()}")
        return found[0]

    def assert_steps(self, *names: str, attempt: str | None = None, wait_s: float = 0) -> list[RecordedStep]:
        """Asserts that exactly these steps `journey/step` ended, in this order; with `attempt`, of one attempt."""
        __tracebackhide__ = True
        found = self._wait(wait_s, lambda: self.steps(attempt=attempt), len(names))
        if [step.name for step in found] != list(names):
            whose = "" if attempt is None else f" of attempt {attempt!r}"
            raise AssertionError(f"The steps{whose} are not {', '.join(names)}.\n{self.describe()}")
        return found

    def assert_no_steps(self, of: str | None = None, *, attempt: str | None = None) -> None:
        """Asserts that no step ended: of a journey (`checkout`), of one name (`checkout/payment`), or at all."""
        __tracebackhide__ = True
        if found := self.steps(of, attempt=attempt):
            raise AssertionError(f"{len(found)} steps are there, and none should be.\n{self.describe()}")

    def describe(self) -> str:
        """Returns what was recorded, as the failure messages show it."""
        steps, names = self.steps(), [span.name for span in self.spans]
        lines = ["Recorded, in order of ending:", described(steps)] if steps else ["Recorded: no step."]
        if not steps and names:
            lines.append(f"  other spans: {', '.join(names[:_SHOWN])}{' ...' if len(names) > _SHOWN else ''}")
        for reason, times in _diagnostics.diagnostics().items():
            lines.append(f"The SDK counted {reason} {times} times: {_MEANINGS[reason]}.")
        return "\n".join(lines)

    def clear(self) -> None:
        """Forgets what was recorded, and begins the ids anew."""
        self._recorder.clear()

    def _wait(self, wait_s: float, find: Callable[[], list[RecordedStep]], count: int) -> list[RecordedStep]:
        deadline = time.monotonic() + wait_s
        while len(found := find()) < count and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return found


_MEANINGS: Final = {reason.value: reason.meaning for reason in _diagnostics.Reason}
_SHOWN: Final = 20
"""Names of spans in a failure message: a screen, not a page."""
_POLL_S: Final = 0.005


def _wanted(
    name: str,
    count: int,
    outcome: str | None,
    attempt: str | None,
    customer: object,
    attributes: Mapping[str, Any] | None,
) -> dict[str, Any]:
    if count < 1:
        raise ValueError(f"count is {count}. Use assert_no_steps({name!r}).")
    if name.count("/") != 1:
        raise ValueError(f"The step {name!r} is none. Write 'journey/step', such as 'checkout/payment'.")
    if outcome is not None and outcome not in semconv.OUTCOMES:
        raise ValueError(f"The outcome {outcome!r} is none. Use one of: {', '.join(semconv.OUTCOMES)}.")
    keys = runtime.settings.keys or TEST_KEY
    pseudonym = None if customer is None else keys.pseudonym(str(customer))
    given = {"name": name, "counts_as": outcome, "attempt": attempt, "customer": pseudonym}
    return {**{key: value for key, value in given.items() if value is not None}, **(attributes or {})}


def _fits(step: RecordedStep, wanted: Mapping[str, Any]) -> bool:
    return all(
        (getattr(step, key) if key in _FIELDS else step.attributes.get(key)) == value for key, value in wanted.items()
    )


_FIELDS: Final = ("name", "counts_as", "attempt", "customer")


@contextmanager
def recording(
    settings: Settings | None = None, *, sampler: Sampler | None = None, clock: Clock | None = None
) -> Iterator[Journeys]:
    """Records with a tracer provider of its own; the process's global one is not touched. Puts everything back.

    Raises:
        MissingDependency: opentelemetry-sdk is not installed.
    """
    recorder = _new_recorder()
    journeys = Journeys(recorder.new_provider(sampler), recorder, clock)
    try:
        with _installed(journeys, settings), _time_of(clock), recorder.on():
            yield journeys
    finally:
        journeys.provider.shutdown()


@pytest.fixture
def journeys() -> Iterator[Journeys]:
    """Everything the test traces, through whatever tracer providers it uses, with ids and times the same every run."""
    recorder = _process_recorder()
    clock = Clock()
    recorded = Journeys(recorder.global_provider(), recorder, clock)
    with _installed(recorded, None), _time_of(clock), recorder.everywhere(TEST_KEY):
        yield recorded


@contextmanager
def _installed(journeys: Journeys, settings: Settings | None) -> Iterator[None]:
    from opentelemetry import propagate

    before = {name: getattr(runtime, name) for name in runtime.__slots__}
    propagator = propagate.get_global_textmap()
    _diagnostics.reset()
    install(journeys.provider, Settings(keys=TEST_KEY) if settings is None else settings)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(runtime, name, value)
        propagate.set_global_textmap(propagator)


@contextmanager
def _time_of(clock: Clock | None) -> Iterator[None]:
    if clock is None:
        yield
        return
    from otel_cx._recorder import time_from

    with time_from(clock.read):
        yield


def _new_recorder() -> Recorder:
    try:
        from otel_cx._recorder import Recorder
    except ImportError as error:
        raise missing_sdk() from error
    return Recorder()


_process_recorder = functools.cache(_new_recorder)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the ini option `otel_cx_export`."""
    parser.addini("otel_cx_export", "let otel_cx.configure() export spans in tests as well", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Tests send nothing: `otel_cx.configure()` makes no exporter, and may be called by every test."""
    runtime.exports = bool(config.getini("otel_cx_export"))


def pytest_unconfigure() -> None:
    """Puts it back, for a program that runs pytest inside."""
    runtime.exports = True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds what was recorded to the report of a test that failed."""
    report = yield
    recorded = getattr(item, "funcargs", {}).get("journeys")
    if call.when == "call" and report.failed and isinstance(recorded, Journeys):
        report.sections.append(("Recorded journeys", recorded.describe()))
    return report
