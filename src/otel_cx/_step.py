"""One execution of a step in the application's hands: outcome, reason, revenue. It neither starts nor ends its span."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from opentelemetry.trace import INVALID_SPAN, StatusCode

from otel_cx import semconv
from otel_cx._diagnostics import Reason, count
from otel_cx._values import runtime_value

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_TRIO_CANCELLED: Final = "Cancelled"


class Step:
    """One execution of a step, as the application sees it. Its methods never raise into the application.

    The outcome set last wins. Set none and the span's status and the HTTP or gRPC code decide.
    """

    __slots__ = ("_outcome", "_rejected_inside", "name", "span")

    def __init__(self, name: str, span: Span | None = None) -> None:
        self.name = name
        self.span: Span = INVALID_SPAN if span is None else span
        """The OpenTelemetry span of this execution, for attributes of your own."""
        self._outcome: str | None = None
        self._rejected_inside = False

    @property
    def is_open(self) -> bool:
        """Whether the execution is still running and recorded."""
        return self.span.is_recording()

    @property
    def is_failed(self) -> bool:
        """Whether it was said that it failed."""
        return self._outcome == "failed"

    def ok(self) -> None:
        """It went well, whatever an exception or a status code says."""
        self._conclude("ok", None)

    def reject(self, reason: str = "rejected") -> None:
        """The customer's side said no (a declined card, a bad form): not our failure. `reason` becomes `error.type`."""
        self._conclude("rejected", reason)

    def fail(self, reason: str = "failed", *, recoverable: bool | None = None) -> None:
        """It failed on our side. `reason` becomes `error.type`; `recoverable`: trying again may help."""
        self._conclude("failed", reason)
        if recoverable is not None:
            self.recoverable(recoverable)

    def cancel(self, reason: str = "cancelled") -> None:
        """The customer gave up, or the caller went away. `reason` becomes `error.type`."""
        self._conclude("cancelled", reason)

    def recoverable(self, retryable: bool = True) -> None:
        """Says whether the failure may go away when tried again (a timeout, a 503)."""
        self._write({semconv.STEP_RECOVERABLE: bool(retryable)})

    def revenue(self, amount: Decimal | float | str, currency: str) -> None:
        """Records the money this step carries, in an ISO 4217 currency. A float is sent as a double, others exactly."""
        try:
            number = Decimal(str(amount))
            unit = str(currency).upper()
            if not number.is_finite() or abs(number.adjusted()) > _MAX_DIGITS or not _is_currency(unit):
                count(Reason.INVALID_REVENUE)
                return
            value = amount if isinstance(amount, float) else format(number, "f")
            self._write({semconv.REVENUE_AMOUNT: value, semconv.REVENUE_CURRENCY: unit})
        except InvalidOperation:
            count(Reason.INVALID_REVENUE)
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)

    def observe(self, error: BaseException, rejects: tuple[type[BaseException], ...]) -> None:
        """Reads the outcome off an exception that leaves the step; an outcome already set stays."""
        if self._outcome not in {None, "failed"}:
            return
        if isinstance(error, rejects):
            self._conclude("rejected", error_type(error))
        elif is_cancellation(error):
            self._conclude("cancelled", error_type(error))
        elif isinstance(error, Exception):
            if self._outcome is None:
                self._write({semconv.ERROR_TYPE: error_type(error)})
            self.span.set_status(StatusCode.ERROR, _described(error))
            self.span.record_exception(error)

    def settle(self, outcome: str, reason: str) -> None:
        """Sets the outcome if nobody did: the word of who served the request or ran the task."""
        if self._outcome is None:
            self._conclude(outcome, reason)

    def observe_inside(self, error: BaseException, rejects: tuple[type[BaseException], ...]) -> None:
        """Reads a rejection off an exception that leaves an inner opening of this same execution."""
        if self._outcome is None and isinstance(error, rejects):
            self._conclude("rejected", error_type(error))
            self._rejected_inside = True

    def well_inside(self) -> None:
        """An inner opening went well: when one before it was rejected, the step was tried again, and that is over."""
        if not self._rejected_inside:
            return
        self._rejected_inside = False
        self._outcome = None
        try:
            for name in (semconv.STEP_OUTCOME, semconv.ERROR_TYPE):
                self.span._attributes.pop(name, None)  # type: ignore[attr-defined] # noqa: SLF001 - the SDK offers no way
        except Exception:  # noqa: BLE001 - a span of another make keeps what was written on it
            self._write({semconv.STEP_OUTCOME: "ok"})

    def _conclude(self, outcome: str, reason: str | None) -> None:
        try:
            self._outcome = outcome
            self._rejected_inside = False
            values: dict[str, Any] = {semconv.STEP_OUTCOME: outcome}
            if reason is not None:
                values[semconv.ERROR_TYPE] = runtime_value(reason)
            self._write(values)
            if outcome == "failed" and self.is_open:
                self.span.set_status(StatusCode.ERROR, values.get(semconv.ERROR_TYPE))
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)

    def _write(self, values: dict[str, Any]) -> None:
        try:
            if self.span.is_recording():
                self.span.set_attributes(values)
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)


class OwnStep(Step):
    """The step that a request's span is by itself. Holds it weakly: what hangs on the span leads here."""

    __slots__ = ("_reference",)

    @property
    def span(self) -> Span:
        """The OpenTelemetry span of this execution, while it is alive."""
        return self._reference() or INVALID_SPAN

    @span.setter
    def span(self, span: Span) -> None:
        self._reference = ref(span)


_MAX_DIGITS: Final = 15
"""A larger amount is a mistake, and would not survive the sums of the collector."""
_CURRENCY_LETTERS: Final = 3


def _is_currency(unit: str) -> bool:
    return len(unit) == _CURRENCY_LETTERS and unit.isascii() and unit.isalpha()


def error_type(error: BaseException) -> str:
    """Returns the name of an exception's class, as it stands in `error.type`."""
    return type(error).__qualname__.rpartition("<locals>.")[2]


def _described(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an exception of the application that cannot be printed
        return type(error).__name__


def is_cancellation(error: BaseException) -> bool:
    """Tells whether an exception means that the caller went away, by the names of the wire vocabulary and trio's."""
    return any(
        kind.__name__.endswith(semconv.CANCELLED_TYPES) or kind.__name__ == _TRIO_CANCELLED
        for kind in type(error).__mro__
    )
