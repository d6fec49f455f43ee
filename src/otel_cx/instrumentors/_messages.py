"""Messages: what came in their headers, and spans for libraries that no official instrumentation covers.

It knows no library. Where another instrumentation certainly has its span open for the message, that one is used and
none is started.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, StatusCode

from otel_cx._arrival import Arrival, arrive, depart, is_free_consumer
from otel_cx._context import INHERITED, Attributes, leave
from otel_cx._diagnostics import Reason, count
from otel_cx._settings import runtime
from otel_cx._step import is_cancellation


def members_in(headers: Mapping[str, str]) -> Attributes:
    """Returns the members in a message's headers that are believed."""
    members: Any = propagate.extract(headers).get(INHERITED)
    return dict(members or {})


class _Spanned:
    """Something of a message with a span around it, ours or none of ours. Nothing here raises but the constructors."""

    def __init__(self) -> None:
        self._span: trace.Span | None = None
        self._token: Any = None

    def start(self, name: str, kind: SpanKind, attributes: Mapping[str, str], context: Any = None) -> None:
        """Starts a span of ours, in `context` or where the code stands."""
        self._span = runtime.tracer.start_span(name, context, kind, attributes)
        self._token = otel_context.attach(trace.set_span_in_context(self._span, context))

    def mark(self, error: BaseException) -> None:
        """Says on a span of ours that `error` came out."""
        try:
            if self._span is not None:
                self._span.set_status(StatusCode.ERROR, type(error).__name__)
                self._span.record_exception(error)
        except Exception as failure:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, failure)

    def finish(self) -> None:
        """Ends it."""
        try:
            if self._token is not None:
                leave(self._token)
            if self._span is not None:
                self._span.end()
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)


class Work(_Spanned):
    """One message being worked on.

    `alone`: the thread does nothing else, so a consumer span that is open is this message's, of another
    instrumentation. Else it may be that of a task which takes in messages.
    """

    def __init__(
        self,
        arrival: Arrival,
        name: str,
        attributes: Mapping[str, str],
        headers: Mapping[str, str],
        *,
        alone: bool = False,
    ) -> None:
        super().__init__()
        self._arrival = arrival
        if not (alone and is_free_consumer(trace.get_current_span())):
            self.start(name, SpanKind.CONSUMER, attributes, propagate.extract(headers))
        self._waiting = arrive(arrival)

    def failed(self, error: BaseException, rejects: tuple[type[BaseException], ...] = ()) -> None:
        """An exception left the handler; of a class in `rejects` it is the customer's side."""
        self._arrival.left_by(error, rejects)
        if not isinstance(error, rejects) and not is_cancellation(error):
            self.mark(error)

    def tried_again(self) -> None:
        """The message is put back, so what went wrong may go well the next time."""
        self._arrival.may_recover()

    def finish(self) -> None:
        """Ends it."""
        super().finish()
        depart(self._arrival, self._waiting)


class Sending(_Spanned):
    """One message being sent: `headers` go with it."""

    def __init__(self, name: str, attributes: Mapping[str, str]) -> None:
        super().__init__()
        self.headers: dict[str, str] = {}
        if getattr(trace.get_current_span(), "kind", None) is not SpanKind.PRODUCER:
            self.start(name, SpanKind.PRODUCER, attributes)
        propagate.inject(self.headers)
