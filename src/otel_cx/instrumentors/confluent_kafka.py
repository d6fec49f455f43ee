"""confluent-kafka consumers: a message is the step its topic stands for. It starts no span: the official one does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import wrapt
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.confluent_kafka import ConfluentKafkaInstrumentor
from opentelemetry.instrumentation.utils import unwrap

from otel_cx._arrival import depart
from otel_cx._context import INHERITED, Holder, State, hang, state_of
from otel_cx._diagnostics import Reason, count
from otel_cx.instrumentors._shape import ServingInstrumentor, Told, hand_over

_POLL, _CONSUME = "wrap_poll", "wrap_consume"
"""What every instrumented consumer calls, however and whenever it was instrumented."""
_BEGUN: Final = "_otelcx_begun"


class ConfluentKafkaCXInstrumentor(ServingInstrumentor):
    """Makes the process span, open from one poll to the next, the step that `queue TOPIC` stands for.

    `identify` and `attempt` get the Message. The official instrumentation links to the sender instead of going on in
    its trace; the attempt that came in the headers goes on all the same. Several messages that are consumed at once are
    one execution, of nobody's attempt.
    """

    requires = ("confluent-kafka >= 1.8.2", "opentelemetry-instrumentation-confluent-kafka")

    def _put(self, told: Told) -> None:
        def poll(wrapped: Callable[..., Any], _: object, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
            _end(arguments[1])
            record = wrapped(*arguments, **keywords)
            if record is not None:
                _begin(told, arguments[1], [record])
            return record

        def consume(
            wrapped: Callable[..., Any], _: object, arguments: tuple[Any, ...], keywords: dict[str, Any]
        ) -> Any:
            _end(arguments[1])
            records = wrapped(*arguments, **keywords)
            if records:
                _begin(told, arguments[1], records)
            return records

        wrapt.wrap_function_wrapper(ConfluentKafkaInstrumentor, _POLL, poll)
        wrapt.wrap_function_wrapper(ConfluentKafkaInstrumentor, _CONSUME, consume)

    def _remove(self) -> None:
        unwrap(ConfluentKafkaInstrumentor, _POLL)
        unwrap(ConfluentKafkaInstrumentor, _CONSUME)


def _begin(told: Told, consumer: Any, records: Sequence[Any]) -> None:
    try:
        if records[0].error() is not None:
            return
        target = told.routes.find_name("queue", str(records[0].topic()))
        if len(records) == 1:
            arrival = told.arrival(target, records[0])
            arrival.inherit(_came_with(records[0]))
            _root_here()
        else:
            arrival = Told(told.routes, None, None).arrival(target, None)
        setattr(consumer, _BEGUN, (arrival, hand_over(arrival)))
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)


def _root_here() -> None:
    """Makes the process span its own local root: its parent, the span of receiving, is over already."""
    span = trace.get_current_span()
    state = state_of(span)
    if state is not None and span.is_recording() and state.holder.open_root() is None:
        hang(span, State(Holder(span, state.holder.inherited), state.scope))


def _end(consumer: Any) -> None:
    begun = getattr(consumer, _BEGUN, None)
    if begun is not None:
        setattr(consumer, _BEGUN, None)
        depart(*begun)


def _came_with(record: Any) -> dict[str, Any]:
    """Returns the members in a message's headers that are believed."""
    headers = {
        str(name): value.decode("latin-1") if isinstance(value, bytes) else str(value)
        for name, value in record.headers() or ()
    }
    members: Any = propagate.extract(headers).get(INHERITED)
    return dict(members or {})
