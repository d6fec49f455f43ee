"""A Celery application over kombu's file-system transport: a deployment that is finished by a worker.

Run as `python celery_app.py DIRECTORY`, it works until told to stop and writes the spans it ends there. Not a test.
"""

import sys
from pathlib import Path

from celery import Celery
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from sdk import celery_files

import otel_cx

QUEUE = "deployments"
deployment = otel_cx.journey("deployment")


def application(directory: Path) -> Celery:
    app = celery_files.application("deployments", QUEUE, directory)

    @app.task(name="deploy", shared=False)  # type: ignore[untyped-decorator]  # Celery is untyped
    @deployment.step("finish")
    def deploy(site: str) -> str:
        return site

    return app


def work(directory: Path) -> None:
    provider = celery_files.tracing(directory)
    CeleryInstrumentor().instrument(tracer_provider=provider)  # type: ignore[no-untyped-call]  # untyped
    celery_files.work(application(directory), QUEUE)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
