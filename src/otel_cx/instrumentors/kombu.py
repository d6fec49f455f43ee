"""kombu consumers and producers, which no official instrumentation covers: spans, context, and routes of queues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt
from kombu.messaging import Consumer, Producer
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.utils import unwrap
from opentelemetry.trace import SpanKind

from otel_cx._arrival import depart
from otel_cx.instrumentors._shape import ServingInstrumentor, Told, hand_over


class KombuCXInstrumentor(ServingInstrumentor):
    """Starts a span around each callback of a consumer, the step that `queue NAME` stands for, and around each publish.

    Messages go on in the sender's trace. A queue's name is its routing key. `identify` and `attempt` get the Message.
    What has a producer span already, as Celery's official instrumentation starts one, gets none of ours; nor have
    consumers that take messages by `on_message`, as Celery's workers do.
    """

    requires = ("kombu >= 5.2",)

    def _instrument(self, *, tracer_provider: Any = None, **told: Any) -> None:
        self._tracer = trace.get_tracer(__name__, tracer_provider=tracer_provider)
        super()._instrument(**told)

    def _put(self, told: Told) -> None:
        tracer = self._tracer

        def receive(
            wrapped: Callable[..., Any], _: Consumer, arguments: tuple[Any, ...], keywords: dict[str, Any]
        ) -> Any:
            message = arguments[1] if len(arguments) > 1 else keywords["message"]
            queue = str(message.delivery_info.get("routing_key") or "")
            arrival = told.arrival(told.routes.find_name("queue", queue), message)
            waiting = None
            attributes = {**_system(message.channel), "messaging.destination.name": queue}
            try:
                with tracer.start_as_current_span(
                    f"process {queue}",
                    propagate.extract({str(name): str(value) for name, value in message.headers.items()}),
                    SpanKind.CONSUMER,
                    attributes,
                ):
                    waiting = hand_over(arrival)
                    return wrapped(*arguments, **keywords)
            finally:
                depart(arrival, waiting)

        def publish(
            wrapped: Callable[..., Any], producer: Producer, arguments: tuple[Any, ...], keywords: dict[str, Any]
        ) -> Any:
            if getattr(trace.get_current_span(), "kind", None) is SpanKind.PRODUCER:
                return wrapped(*arguments, **keywords)
            queue = str(keywords.get("routing_key") or (arguments[1] if len(arguments) > 1 else producer.routing_key))
            attributes = {**_system(producer.channel), "messaging.destination.name": queue}
            with tracer.start_as_current_span(f"publish {queue}", kind=SpanKind.PRODUCER, attributes=attributes):
                headers = dict(keywords.get("headers") or {})
                propagate.inject(headers)
                return wrapped(*arguments, **{**keywords, "headers": headers})

        wrapt.wrap_function_wrapper(Consumer, "receive", receive)
        wrapt.wrap_function_wrapper(Producer, "publish", publish)

    def _remove(self) -> None:
        unwrap(Consumer, "receive")
        unwrap(Producer, "publish")


def _system(channel: Any) -> dict[str, str]:
    driver = str(getattr(getattr(channel.connection.client, "transport", None), "driver_type", "") or "kombu")
    return {"messaging.system": "rabbitmq" if driver == "amqp" else driver}
