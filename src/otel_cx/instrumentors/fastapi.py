"""FastAPI: every application made from now on serves its routes as steps. It starts no span."""

from __future__ import annotations

import wrapt
from fastapi.applications import FastAPI
from opentelemetry.instrumentation.utils import unwrap

from otel_cx.instrumentors._shape import ServingInstrumentor, Told
from otel_cx.instrumentors.starlette import STACK, around


class FastAPICXInstrumentor(ServingInstrumentor):
    """Puts the middleware around every application's own; `identify` and `attempt` get the Request, and may be async.

    Applications that have served a request before stay as they are.
    """

    requires = ("fastapi >= 0.100",)

    def _put(self, told: Told) -> None:
        wrapt.wrap_function_wrapper(FastAPI, STACK, around(told))

    def _remove(self) -> None:
        unwrap(FastAPI, STACK)
