"""Celery workers: every task is the step its name stands for. It starts no span and sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from celery import signals

from otel_cx._arrival import Arrival, arrive, depart
from otel_cx._diagnostics import Reason, count
from otel_cx.instrumentors._messages import members_in
from otel_cx.instrumentors._shape import ServingInstrumentor, Told

_ARRIVAL: Final = "_otelcx_arrival"
_HEADERS: Final = ("baggage", "traceparent", "tracestate")


class CeleryCXInstrumentor(ServingInstrumentor):
    """Makes the consumer span of a task the step that `task NAME` stands for; each retry is an execution of it.

    `identify` and `attempt` get the task's request. The attempt that came with the message is known also where the
    official instrumentation links spans (`use_span_links`) and so leaves the context behind. An exception of a class in
    the task's `throws` is a rejection; an execution that asks for a retry failed, recoverably. Which queues are sent
    the customer's context, `egress_destinations` says, by the routing key.
    """

    requires = ("celery >= 5.2",)

    def _put(self, told: Told) -> None:
        self._told = told
        # Whichever is connected first is called first; both orders end with the span having the arrival.
        self._receivers: list[tuple[Any, Callable[..., None]]] = [
            (signals.task_prerun, self._begin),
            (signals.task_failure, self._fail),
            (signals.task_retry, self._retry),
            (signals.task_postrun, self._end),
        ]
        for signal, receiver in self._receivers:
            signal.connect(receiver, weak=False)

    def _remove(self) -> None:
        for signal, receiver in self._receivers:
            signal.disconnect(receiver)

    def _begin(self, task: Any = None, **_: Any) -> None:
        try:
            request = task.request
            target = self._told.routes.find_name("task", task.name)
            arrival = self._told.arrival(target, request, is_message=True)
            arrival.inherit(lambda: members_in(_headers(request)))
            setattr(request, _ARRIVAL, (arrival, arrive(arrival)))
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)

    def _fail(self, sender: Any = None, exception: Any = None, **_: Any) -> None:
        try:
            arrival = _arrival_of(sender.request)
            if arrival is not None and isinstance(exception, BaseException):
                arrival.left_by(exception, tuple(sender.throws or ()))
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)

    def _retry(self, request: Any = None, reason: Any = None, **_: Any) -> None:
        try:
            arrival = _arrival_of(request)
            if arrival is not None and isinstance(reason, BaseException):
                cause = getattr(reason, "exc", None)
                arrival.left_by(cause if isinstance(cause, BaseException) else reason)
                arrival.may_recover()
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)

    def _end(self, task: Any = None, **_: Any) -> None:
        try:
            begun: tuple[Arrival, Any] | None = getattr(task.request, _ARRIVAL, None)
            if begun is not None:
                depart(*begun)
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)


def _arrival_of(request: Any) -> Arrival | None:
    begun: tuple[Arrival, Any] | None = getattr(request, _ARRIVAL, None)
    return None if begun is None else begun[0]


def _headers(request: Any) -> dict[str, str]:
    """Returns the headers of the task's message that a propagator reads."""
    return {name: value for name in _HEADERS if isinstance(value := getattr(request, name, None), str)}
