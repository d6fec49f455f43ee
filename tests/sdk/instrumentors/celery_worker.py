"""A shop's tasks over kombu's file-system transport. Not a test.

Run as `python celery_worker.py DIRECTORY ORDER LINKS`, it works until told to stop and writes the spans it ends to
DIRECTORY.
"""

import sys
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from celery import Celery
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from sdk import celery_files

import otel_cx
from otel_cx.instrumentors.celery import CeleryCXInstrumentor

QUEUE = "payments"
TASKS = ("pay", "declined", "broken", "flaky", "gone", "said")
ROUTES = {f"task shop.{name}": f"checkout/{name}" for name in TASKS}
checkout = otel_cx.journey("checkout")
tracer_name = "shop"


class Declined(Exception):  # noqa: N818 - the customer's side, no error
    """The customer's side; the name says what happened."""


def application(directory: Path) -> Celery:
    app = celery_files.application("shop", QUEUE, directory)
    declare(app)
    return app


def declare(app: Celery) -> None:
    def task(**options: Any) -> Any:
        return app.task(shared=False, **options)

    @task(name="shop.pay")  # type: ignore[untyped-decorator]  # Celery is untyped
    def pay(provider: str | None = None) -> None: ...

    @task(name="shop.declined", throws=(Declined,))  # type: ignore[untyped-decorator]  # Celery is untyped
    def declined() -> None:
        raise Declined

    @task(name="shop.broken")  # type: ignore[untyped-decorator]  # Celery is untyped
    def broken() -> None:
        raise RuntimeError("broken")

    @task(name="shop.flaky", bind=True)  # type: ignore[untyped-decorator]  # Celery is untyped
    def flaky(self: Any) -> None:
        if self.request.retries == 0:
            raise self.retry(exc=TimeoutError("slow"), countdown=0)

    @task(name="shop.gone")  # type: ignore[untyped-decorator]  # Celery is untyped
    def gone() -> None:
        raise CancelledError

    @task(name="shop.said")  # type: ignore[untyped-decorator]  # Celery is untyped
    def said() -> None:
        with checkout.step("said") as step:
            step.reject("card_declined")
        raise RuntimeError("and then")


def instrument(provider: TracerProvider, order: str, links: str) -> None:
    both: dict[str, Any] = {"ours": CeleryCXInstrumentor(), "theirs": CeleryInstrumentor()}  # type: ignore[no-untyped-call]  # untyped
    for name in sorted(both, key=lambda name: name != order):
        both[name].instrument(
            tracer_provider=provider,
            use_span_links=links == "links",
            routes=ROUTES,
            identify=lambda request: {"customer": f"user-of-{request.task}"},
        )


def work(directory: Path, order: str, links: str) -> None:
    instrument(celery_files.tracing(directory), order, links)
    celery_files.work(application(directory), QUEUE)


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
