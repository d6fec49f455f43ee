"""The help desk: an older Flask service that has never heard of otel-cx. Its journey comes from match rules alone.

What it has is ordinary OpenTelemetry: server spans with a route, and a session id that somebody once added.
"""

import time
from random import Random

from flask import Flask, Response, request
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor

from examples.hosting import everyday, serving, settings, telemetry
from examples.hosting.everyday import Verdict


def make(random: Random) -> Flask:
    """Build the help desk."""
    app = Flask("helpdesk")
    # First, so that `describe` finds the span open.
    FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]  # the instrumentation has no types

    @app.before_request
    def describe() -> None:
        span = trace.get_current_span()
        for attribute, cookie in (
            ("session.id", "session"),
            ("tenant.tier", "tier"),
            ("tenant.region", "region"),
        ):
            span.set_attribute(attribute, request.cookies.get(cookie, "unknown"))

    def work(step: str) -> Response:
        done = everyday.draw("support", step, random)
        time.sleep(done.duration_s)
        failed = done.verdict is Verdict.FAILED
        return Response("cannot save the ticket" if failed else "ok", status=500 if failed else 200)

    @app.get("/tickets/new")
    def open_ticket() -> Response:
        return work("open")

    @app.post("/tickets")
    def submit_ticket() -> Response:
        return work("submit")

    return app


def main() -> None:
    """Run the process."""
    mine = settings.from_environment()
    telemetry.set_up("helpdesk", mine)
    serving.serve_wsgi(make(Random(mine.seed)))


if __name__ == "__main__":
    main()
