"""Dramatiq, which no official instrumentation covers: spans, context, and routes of tasks and queues."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import dramatiq
import wrapt
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.utils import unwrap
from opentelemetry.trace import SpanKind

from otel_cx._arrival import depart
from otel_cx._diagnostics import Reason, count
from otel_cx.instrumentors._shape import ServingInstrumentor, Told, hand_over

_HEADERS: Final = "otelcx_headers"
"""Option of a message that carries the sender's headers."""


class DramatiqCXInstrumentor(ServingInstrumentor):
    """Adds a middleware to every broker made from now on: a span where an actor is sent to, and one where it runs.

    A run is the step that `task ACTOR`, else `queue NAME`, stands for; each retry is an execution of it. `identify` and
    `attempt` get the Message. Brokers made before get it by `broker.add_middleware(JourneyMiddleware(...))`.
    """

    requires = ("dramatiq >= 1.14",)

    def _instrument(self, *, tracer_provider: Any = None, **told: Any) -> None:
        self._tracer = trace.get_tracer(__name__, tracer_provider=tracer_provider)
        super()._instrument(**told)

    def _put(self, told: Told) -> None:
        tracer = self._tracer

        def made(
            wrapped: Callable[..., Any], broker: dramatiq.Broker, arguments: tuple[Any, ...], keywords: dict[str, Any]
        ) -> None:
            wrapped(*arguments, **keywords)
            broker.add_middleware(JourneyMiddleware(told, tracer))

        wrapt.wrap_function_wrapper(dramatiq.Broker, "__init__", made)

    def _remove(self) -> None:
        unwrap(dramatiq.Broker, "__init__")


class JourneyMiddleware(dramatiq.Middleware):
    """What the instrumentor adds to a broker."""

    def __init__(self, told: Told, tracer: trace.Tracer) -> None:
        self._told = told
        self._tracer = tracer
        self._open: dict[str, ExitStack] = {}

    def before_enqueue(self, _broker: dramatiq.Broker, message: dramatiq.Message[Any], _delay: int | None) -> None:
        """Starts and ends the span of sending, and puts its headers into the message; again at a retry it stays."""
        try:
            if _HEADERS in message.options:
                return
            with self._tracer.start_as_current_span(
                f"publish {message.queue_name}", kind=SpanKind.PRODUCER, attributes=_attributes(message)
            ):
                headers: dict[str, str] = {}
                propagate.inject(headers)
            message.options[_HEADERS] = headers
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)

    def before_process_message(self, _broker: dramatiq.Broker, message: Any) -> None:
        """Starts the span of a run."""
        try:
            routes = self._told.routes
            target = routes.find_name("task", message.actor_name) or routes.find_name("queue", message.queue_name)
            arrival = self._told.arrival(target, message)
            context = propagate.extract(message.options.get(_HEADERS, {}))
            opened = ExitStack()
            opened.enter_context(
                self._tracer.start_as_current_span(
                    f"run {message.actor_name}", context, SpanKind.CONSUMER, _attributes(message)
                )
            )
            opened.callback(depart, arrival, hand_over(arrival))
            self._open[message.message_id] = opened
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)

    def after_process_message(
        self,
        _broker: dramatiq.Broker,
        message: Any,
        *,
        result: Any = None,  # noqa: ARG002 - dramatiq passes it by name
        exception: BaseException | None = None,
    ) -> None:
        """Ends it, with the exception that left the actor if one did."""
        opened = self._open.pop(message.message_id, None)
        if opened is None:
            return
        try:
            opened.__exit__(*((None,) * 3 if exception is None else (type(exception), exception, None)))
        except BaseException as error:  # noqa: BLE001 - the actor's own, handed back by the span
            if error is not exception:
                count(Reason.INTERNAL, error)

    def after_skip_message(self, broker: dramatiq.Broker, message: Any) -> None:
        """Ends it likewise."""
        self.after_process_message(broker, message)


def _attributes(message: dramatiq.Message[Any]) -> dict[str, str]:
    return {
        "messaging.system": "dramatiq",
        "messaging.destination.name": message.queue_name,
        "messaging.message.id": message.message_id,
    }
