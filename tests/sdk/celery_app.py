"""A Celery application over kombu's file-system transport: a deployment that is finished by a worker.

Run as `python celery_app.py worker DIRECTORY`, it works until told to stop and writes the spans it ends to
DIRECTORY/spans.jsonl. Not a test.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from celery import Celery
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

import otel_cx
from otel_cx import Settings

deployment = otel_cx.journey("deployment")


def application(directory: Path) -> Celery:
    queues = directory / "queues"
    queues.mkdir(exist_ok=True)
    app = Celery("deployments", broker="filesystem://")
    app.conf.broker_transport_options = {
        "data_folder_in": str(queues),
        "data_folder_out": str(queues),
        "control_folder": str(directory / "control"),
    }
    app.conf.task_default_queue = "deployments"
    app.conf.worker_hijack_root_logger = False

    @app.task(name="deploy", shared=False)  # type: ignore[untyped-decorator]  # Celery is untyped
    @deployment.step("finish")
    def deploy(site: str) -> str:
        return site

    return app


class Lines(SpanExporter):
    """Writes a line for each span."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self.path.open("a") as file:
            for span in spans:
                line = {"name": span.name, "kind": span.kind.name, "attributes": dict(span.attributes or {})}
                file.write(json.dumps(line, default=str) + "\n")
        return SpanExportResult.SUCCESS


def work(directory: Path) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Lines(directory / "spans.jsonl")))
    otel_cx.install(provider, Settings.from_env())
    CeleryInstrumentor().instrument(  # type: ignore[no-untyped-call]  # untyped
        tracer_provider=provider
    )
    application(directory).worker_main(
        ["worker", "--pool=solo", "--loglevel=ERROR", "--without-mingle", "-Q", "deployments"]
    )


if __name__ == "__main__":
    work(Path(sys.argv[2]))
