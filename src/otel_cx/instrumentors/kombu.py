"""kombu consumers and producers, which no official instrumentation covers: spans, context, and routes of queues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kombu.messaging import Consumer, Producer
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from otel_cx._context import SCOPE
from otel_cx._diagnostics import Reason, count
from otel_cx.instrumentors._messages import Sending, Work
from otel_cx.instrumentors._patch import Patch
from otel_cx.instrumentors._shape import ServingInstrumentor, Told
from otel_cx.trust import strip

_ROUTING_KEY, _HEADERS, _EXCHANGE = ("routing_key", 1), ("headers", 9), ("exchange", 11)
"""Arguments of `Producer.publish`: name and place."""
_OWN_PLUMBING: Final = ("kombu.", "celery.")
"""Handlers of these take messages to where they are worked on, or are mailboxes and events between workers."""


class KombuCXInstrumentor(ServingInstrumentor):
    """A span around each message that callbacks or `on_message` get, the step of `queue NAME`, and around each publish.

    Messages go on in the sender's trace. `identify` and `attempt` get the Message. `egress_destinations` name what is
    sent the customer's context: routing keys, or exchanges where there is none; of the default exchange the routing key
    is the queue. Nothing is done to what another instrumentation sends in its own span, as Celery's does, to what is
    sent outside of any trace and journey, nor to what kombu and Celery take in for themselves.
    """

    requires = ("kombu >= 5.2",)

    def _put(self, told: Told) -> None:
        def receive(
            wrapped: Callable[..., Any], consumer: Consumer, arguments: tuple[Any, ...], keywords: dict[str, Any]
        ) -> Any:
            message = arguments[1] if len(arguments) > 1 else keywords.get("message")
            work = None if all(map(_is_plumbing, consumer.callbacks or ())) else _begun(told, consumer, message)
            return _worked(work, wrapped, arguments, keywords)

        self._patches = [Patch(Consumer, "receive", receive), Patch(Producer, "publish", _publish)]
        self._on_message = vars(Consumer)["on_message"]
        Consumer.on_message = _OnMessage(told)

    def _remove(self) -> None:
        for patch in self._patches:
            patch.remove()
        Consumer.on_message = self._on_message


class _OnMessage:
    """The attribute of a consumer that holds its handler of whole messages; read, it answers the handler wrapped."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def __set__(self, consumer: Any, handler: Any) -> None:
        vars(consumer)["on_message"] = handler

    def __get__(self, consumer: Any, _owner: object = None) -> Any:
        handler = None if consumer is None else vars(consumer).get("on_message")
        if handler is None or _is_plumbing(handler):
            return handler

        def receive(message: Any, *arguments: Any, **keywords: Any) -> Any:
            work = _begun(self._told, consumer, message)
            return _worked(work, handler, (message, *arguments), keywords)

        return receive


def _is_plumbing(handler: Any) -> bool:
    return str(getattr(handler, "__module__", "")).startswith(_OWN_PLUMBING)


def _begun(told: Told, consumer: Any, message: Any) -> Work | None:
    try:
        queue = _queue_of(consumer, message)
        arrival = told.arrival(told.routes.find_name("queue", queue), message, is_message=True)
        headers = {str(name): value for name, value in (message.headers or {}).items() if isinstance(value, str)}
        attributes = {**_system(consumer.connection), "messaging.destination.name": queue}
        return Work(arrival, f"process {queue}", attributes, headers)
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)
        return None


def _worked(
    work: Work | None, handler: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> Any:
    if work is None:
        return handler(*arguments, **keywords)
    try:
        return handler(*arguments, **keywords)
    except BaseException as error:
        work.failed(error)
        raise
    finally:
        work.finish()


def _queue_of(consumer: Any, message: Any) -> str:
    """Returns the name of the queue a message came out of: its tag says it, else where it was sent to."""
    queues, told = consumer.queues, message.delivery_info or {}
    if len(queues) == 1:
        return str(queues[0].name)
    tag, key, exchange = told.get("consumer_tag"), told.get("routing_key"), told.get("exchange") or ""
    for queue in queues:
        if tag is not None and getattr(consumer, "_active_tags", {}).get(queue.name) == tag:
            return str(queue.name)
    for queue in queues:
        if (queue.exchange.name, queue.routing_key) == (exchange, key):
            return str(queue.name)
    return str(key or "")


def _publish(wrapped: Callable[..., Any], producer: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    sending = None
    try:
        if _has_something_to_say():
            sending = Sending(*_described(producer, arguments, keywords))
            arguments, keywords = _with_headers(sending.headers, arguments, keywords)
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)
    try:
        return wrapped(*arguments, **keywords)
    except BaseException as error:
        if sending is not None:
            sending.mark(error)
        raise
    finally:
        if sending is not None:
            sending.finish()


def _has_something_to_say() -> bool:
    """Tells whether the code is in a trace or a journey, and nobody else's span of sending is open."""
    span = trace.get_current_span()
    if getattr(span, "kind", None) is SpanKind.PRODUCER:
        return False
    return span.get_span_context().is_valid or otel_context.get_value(SCOPE) is not None


def _described(producer: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[str, dict[str, str]]:
    exchange = _argument(_EXCHANGE, arguments, keywords) or producer.exchange
    key = _argument(_ROUTING_KEY, arguments, keywords)
    destination = str((producer.routing_key if key is None else key) or getattr(exchange, "name", exchange) or "")
    return f"publish {destination}", {**_system(producer.connection), "messaging.destination.name": destination}


def _argument(argument: tuple[str, int], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    name, place = argument
    return arguments[place] if len(arguments) > place else keywords.get(name)


def _with_headers(
    headers: dict[str, str], arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Returns the arguments with `headers` among those of the application, whose own stays as it is."""
    name, place = _HEADERS
    present = dict(_argument(_HEADERS, arguments, keywords) or {})
    strip(present)
    both = {**present, **headers}
    if len(arguments) > place:
        return (*arguments[:place], both, *arguments[place + 1 :]), keywords
    return arguments, {**keywords, name: both}


def _system(connection: Any) -> dict[str, str]:
    driver = str(getattr(getattr(connection, "transport", None), "driver_type", None) or "kombu")
    return {"messaging.system": "rabbitmq" if driver == "amqp" else driver}
