"""Steps as a test reads them: what a step span says, and what the collector will count it as. It records nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import StatusCode

from otel_cx import semconv

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.sdk.trace import ReadableSpan

_HTTP: Final = ("http.response.status_code", "http.status_code")
_RPC: Final = ("rpc.response.status_code", "rpc.grpc.status_code")


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One step span that ended."""

    journey: str
    step: str
    attempt: str | None
    outcome: str | None
    """What the SDK or the application set; None where status and code decide: see `counts_as`."""
    customer: str | None
    """The pseudonym."""
    attributes: Mapping[str, Any]
    span: ReadableSpan

    @classmethod
    def of(cls, span: ReadableSpan) -> RecordedStep:
        """Reads a step span."""
        attributes = dict(span.attributes or {})
        return cls(
            journey=str(attributes.get(semconv.JOURNEY_NAME)),
            step=str(attributes[semconv.JOURNEY_STEP]),
            attempt=_text(attributes.get(semconv.JOURNEY_ATTEMPT)),
            outcome=_text(attributes.get(semconv.STEP_OUTCOME)),
            customer=_text(attributes.get(semconv.CUSTOMER_ID)),
            attributes=attributes,
            span=span,
        )

    @property
    def name(self) -> str:
        """`journey/step`, as the assertions take it."""
        return f"{self.journey}/{self.step}"

    @property
    def counts_as(self) -> str:
        """What the collector counts it as: ok, failed, rejected or cancelled.

        Its rules but one: a cancelled step that had lasted longer than the inventory's `slow_after` counts as failed.
        """
        if self.outcome in semconv.OUTCOMES:
            return str(self.outcome)
        http, rpc = _http(_first(self.attributes, _HTTP)), _rpc(_first(self.attributes, _RPC))
        if (
            http == 499
            or rpc == "CANCELLED"
            or any(kind.endswith(semconv.CANCELLED_TYPES) for kind in self._error_types())
        ):
            return "cancelled"
        if http >= 400:
            return "failed" if http >= 500 or http == 429 else "rejected"
        if rpc not in {"", "OK"}:
            return "failed" if rpc in semconv.GRPC_FAILED else "rejected"
        return "failed" if self.span.status.status_code is StatusCode.ERROR else "ok"

    @property
    def duration_ns(self) -> int:
        """How long it lasted, by the test's clock."""
        return int(self.span.end_time or 0) - int(self.span.start_time or 0)

    def _error_types(self) -> list[str]:
        types = [self.attributes.get(semconv.ERROR_TYPE)]
        types += [(event.attributes or {}).get("exception.type") for event in self.span.events]
        return [str(kind) for kind in types if kind is not None]


def described(steps: Iterable[RecordedStep]) -> str:
    """Returns a line for each step: name, what it counts as, and what tells it apart."""
    rows = [(step.name, step.counts_as, _particulars(step)) for step in steps]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return "\n".join(f"  {name:<{widths[0]}}  {counts:<{widths[1]}}  {rest}".rstrip() for name, counts, rest in rows)


def _particulars(step: RecordedStep) -> str:
    shown = {
        "attempt": step.attempt,
        "customer": step.customer,
        semconv.ERROR_TYPE: step.attributes.get(semconv.ERROR_TYPE),
    }
    return "  ".join(f"{name}={value}" for name, value in shown.items() if value is not None)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((attributes[name] for name in names if attributes.get(name) is not None), None)


def _http(code: Any) -> int:
    text = str(code)
    return int(text) if text.isascii() and text.isdigit() and len(text) == 3 and text[0] != "0" else 0


def _rpc(code: Any) -> str:
    name = str(code).upper()
    if name.isascii() and name.isdigit() and len(name) <= 2 and int(name) < len(semconv.GRPC_CODES):
        return semconv.GRPC_CODES[int(name)]
    return name if name in semconv.GRPC_CODES else ""
