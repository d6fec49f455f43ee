"""confluent-kafka consumers: a message is the step its topic stands for. It starts no span: the official one does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from opentelemetry.instrumentation.confluent_kafka import ConfluentKafkaInstrumentor

from otel_cx._arrival import Arrival, arrive, depart
from otel_cx._diagnostics import Reason, count
from otel_cx.instrumentors._messages import members_in
from otel_cx.instrumentors._patch import Patch
from otel_cx.instrumentors._shape import ServingInstrumentor, Told

_BEGUN: Final = "_otelcx_begun"


class ConfluentKafkaCXInstrumentor(ServingInstrumentor):
    """Makes the process span, open from one poll to the next, the step that `queue TOPIC` stands for.

    `identify` and `attempt` get the Message. The official instrumentation links to the sender instead of going on in
    its trace; the attempt that came in the headers goes on all the same. Several messages that are consumed at once are
    one execution, of nobody's attempt. How a message was dealt with the loop knows alone: it says so on the step, as in
    `with checkout.step("confirm") as step`. Which topics are sent the customer's context, `egress_destinations` says.

    Patched is what every instrumented consumer calls, whenever and however it was instrumented.
    """

    # Before 0.61b0 closing an instrumented consumer raised, whether we were there or not.
    requires = ("confluent-kafka >= 1.8.2", "opentelemetry-instrumentation-confluent-kafka >= 0.61b0")

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

        self._patches = [
            Patch(ConfluentKafkaInstrumentor, "wrap_poll", poll),
            Patch(ConfluentKafkaInstrumentor, "wrap_consume", consume),
        ]

    def _remove(self) -> None:
        for patch in self._patches:
            patch.remove()


def _begin(told: Told, consumer: Any, records: Sequence[Any]) -> None:
    try:
        if records[0].error() is not None:
            return
        target = told.routes.find_name("queue", str(records[0].topic()))
        if len(records) == 1:
            arrival = told.arrival(target, records[0], is_message=True)
            arrival.inherit(lambda: members_in(_headers(records[0])))
        else:
            arrival = Arrival(target, is_message=True)
        setattr(consumer, _BEGUN, (arrival, arrive(arrival)))
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)


def _end(consumer: Any) -> None:
    begun = getattr(consumer, _BEGUN, None)
    if begun is not None:
        setattr(consumer, _BEGUN, None)
        depart(*begun)


def _headers(record: Any) -> dict[str, str]:
    """Returns a message's headers as a propagator reads them; `baggage` may stand there more than once."""
    lines: dict[str, list[str]] = {}
    for name, value in record.headers() or ():
        lines.setdefault(str(name), []).append(value.decode("latin-1") if isinstance(value, bytes) else str(value))
    return {name: ",".join(values) for name, values in lines.items()}
