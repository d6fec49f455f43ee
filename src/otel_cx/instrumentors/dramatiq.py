"""Dramatiq, which no official instrumentation covers: spans, context, and routes of tasks and queues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import dramatiq
from dramatiq.common import q_name
from opentelemetry import trace

from otel_cx._diagnostics import Reason, count
from otel_cx.instrumentors._messages import Sending, Work
from otel_cx.instrumentors._patch import Patch
from otel_cx.instrumentors._shape import ServingInstrumentor, Told

_HEADERS: Final = "otelcx_headers"
"""Option of a message that carries the sender's headers."""


class DramatiqCXInstrumentor(ServingInstrumentor):
    """A span where an actor is sent to and one where it runs, of every broker, unless another instrumentation has them.

    A run is the step that `task ACTOR`, else `queue NAME`, stands for; each retry is an execution of it. `identify` and
    `attempt` get the Message. An exception of a class in the actor's `throws` is a rejection; one after which the
    message is tried again is recoverable. `egress_destinations` name the queues that are sent the customer's context.

    It stands around what a broker tells its middlewares, so that a retry is sent inside the run that asked for it.
    """

    requires = ("dramatiq >= 1.14",)

    def _put(self, told: Told) -> None:
        self._told = told
        self._open: dict[int, Work] = {}
        self._patches = [
            Patch(dramatiq.Broker, "emit_before", self._before),
            Patch(dramatiq.Broker, "emit_after", self._after),
        ]

    def _remove(self) -> None:
        for patch in self._patches:
            patch.remove()

    def _before(
        self, wrapped: Callable[..., Any], _broker: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> None:
        wrapped(*arguments, **keywords)
        try:
            signal, *about = arguments
            if signal == "enqueue":
                _send(about[0])
            elif signal == "process_message":
                self._open[id(about[0])] = self._work(about[0])
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)

    def _after(
        self, wrapped: Callable[..., Any], broker: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> None:
        signal, *about = arguments
        work = self._open.pop(id(about[0]), None) if about else None
        if work is None or signal not in {"process_message", "skip_message"}:
            wrapped(*arguments, **keywords)
            return
        error = keywords.get("exception")
        try:
            if error is not None:
                work.failed(error, _throws(broker, about[0]))
            wrapped(*arguments, **keywords)
            if error is not None and not about[0].failed:
                work.tried_again()
        finally:
            work.finish()

    def _work(self, message: Any) -> Work:
        routes = self._told.routes
        target = routes.find_name("task", message.actor_name) or routes.find_name("queue", q_name(message.queue_name))
        arrival = self._told.arrival(target, message, is_message=True)
        headers = message.options.get(_HEADERS)
        came_with = headers if isinstance(headers, dict) else {}
        return Work(arrival, f"run {message.actor_name}", _attributes(message), came_with, alone=True)


def _send(message: dramatiq.Message[Any]) -> None:
    """Starts and ends the span of sending, and puts its headers into the message.

    It does not last while the broker works, which does not say when it failed. What a worker puts from the delay queue
    into the real one, outside of any run, keeps the headers it has.
    """
    if _HEADERS in message.options and not trace.get_current_span().get_span_context().is_valid:
        return
    sending = Sending(f"publish {q_name(message.queue_name)}", _attributes(message))
    sending.finish()
    message.options[_HEADERS] = sending.headers


def _throws(broker: Any, message: Any) -> tuple[type[BaseException], ...]:
    try:
        throws = message.options.get("throws") or broker.get_actor(message.actor_name).options.get("throws") or ()
        return tuple(throws) if isinstance(throws, tuple | list) else (throws,)
    except Exception:  # noqa: BLE001 - an actor that is not declared here throws nothing it was told of
        return ()


def _attributes(message: dramatiq.Message[Any]) -> dict[str, str]:
    return {
        "messaging.system": "dramatiq",
        "messaging.destination.name": q_name(message.queue_name),  # a delayed message waits beside it, for the same
        "messaging.message.id": message.message_id,
    }
