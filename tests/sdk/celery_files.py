"""Celery over kombu's file-system transport, and workers that write the spans they end to a file. Not assertions."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from celery import Celery
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

import otel_cx
from otel_cx import Settings

SPANS = "spans.jsonl"
"""In a worker's directory: a line for each span that ended."""


def application(name: str, queue: str, directory: Path) -> Celery:
    """An application whose messages are files in `directory`."""
    queues = directory / "queues"
    queues.mkdir(exist_ok=True)
    app = Celery(name, broker="filesystem://")
    app.conf.broker_transport_options = {
        "data_folder_in": str(queues),
        "data_folder_out": str(queues),
        "control_folder": str(directory / "control"),
    }
    app.conf.task_default_queue = queue
    app.conf.worker_hijack_root_logger = False
    return app


class _Lines(SpanExporter):
    def __init__(self, path: Path) -> None:
        self.path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self.path.open("a") as file:
            for span in spans:
                line = {
                    "name": span.name,
                    "kind": span.kind.name,
                    "status": span.status.status_code.name,
                    "linked": bool(span.links),
                    "attributes": dict(span.attributes or {}),
                }
                file.write(json.dumps(line, default=str) + "\n")
        return SpanExportResult.SUCCESS


def tracing(directory: Path) -> TracerProvider:
    """Sets a worker up, by its environment; its spans are written to `directory`."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_Lines(directory / SPANS)))
    otel_cx.install(provider, Settings.from_env())
    return provider


def work(app: Celery, queue: str) -> None:
    """Works until told to stop."""
    app.worker_main(["worker", "--pool=solo", "--loglevel=ERROR", "--without-mingle", "-Q", queue])


def worker(program: Path, directory: Path, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
    """Starts `program` on `directory`. Kill it: it has written what a test reads; a warm shutdown takes seconds."""
    environ = {**os.environ, **settings}
    environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # the same code as here, installed or not
    environ.pop("DJANGO_SETTINGS_MODULE", None)  # of a test before: Celery would set Django up
    return subprocess.Popen([sys.executable, program, directory, *arguments], env=environ, cwd=directory)
