"""Celery workers: every task is the step its name stands for. It starts no span."""

from __future__ import annotations

from typing import Any, Final

from celery import signals
from opentelemetry import propagate

from otel_cx import semconv
from otel_cx._arrival import Arrival, depart
from otel_cx._context import INHERITED
from otel_cx._diagnostics import Reason, count
from otel_cx.instrumentors._shape import ServingInstrumentor, Told, hand_over

_ARRIVAL: Final = "_otelcx_arrival"
_HEADERS: Final = ("baggage", "traceparent", "tracestate")


class CeleryCXInstrumentor(ServingInstrumentor):
    """Makes the consumer span of a task the step that `task NAME` stands for; each retry is an execution of it.

    `identify` and `attempt` get the task's request. The attempt that came with the message is known also where the
    official instrumentation links spans (`use_span_links`) and so leaves the context behind.
    """

    requires = ("celery >= 5.2",)

    def _put(self, told: Told) -> None:
        self._told = told
        # Whichever is connected first is called first; both orders end with the span having the arrival.
        signals.task_prerun.connect(self._begin, weak=False)
        signals.task_postrun.connect(self._end, weak=False)

    def _remove(self) -> None:
        signals.task_prerun.disconnect(self._begin)
        signals.task_postrun.disconnect(self._end)

    def _begin(self, task: Any = None, **_: Any) -> None:
        try:
            request = task.request
            arrival = self._told.arrival(self._told.routes.find_name("task", task.name), request)
            arrival.inherit(_came_with(request))
            setattr(request, _ARRIVAL, (arrival, hand_over(arrival)))
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)

    def _end(self, task: Any = None, **_: Any) -> None:
        try:
            begun: tuple[Arrival, Any] | None = getattr(task.request, _ARRIVAL, None)
            if begun is not None:
                depart(*begun)
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)


def _came_with(request: Any) -> dict[str, Any]:
    """Returns the members that came with the task's message and are believed."""
    headers = {name: value for name in _HEADERS if isinstance(value := getattr(request, name, None), str)}
    if semconv.PREFIX not in headers.get("baggage", ""):
        return {}
    members: Any = propagate.extract(headers).get(INHERITED)
    return dict(members or {})
