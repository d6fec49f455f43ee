"""Flask: every application serves its routes as steps. It starts no span."""

from __future__ import annotations

import wrapt
from flask import Flask, Request
from opentelemetry.instrumentation.utils import unwrap

from otel_cx.instrumentors._shape import ServingInstrumentor, Told
from otel_cx.instrumentors._wsgi import around


class FlaskCXInstrumentor(ServingInstrumentor):
    """Puts the middleware around `wsgi_app`; `identify` and `attempt` get the Request, outside of its context.

    They must not read the body: it would be gone for the application.
    """

    requires = ("flask >= 2.2",)

    def _put(self, told: Told) -> None:
        wrapt.wrap_function_wrapper(Flask, "wsgi_app", around(told.of(Request)))

    def _remove(self) -> None:
        unwrap(Flask, "wsgi_app")
