"""An attempt goes on in a Celery worker: the real packages, a real worker process, messages in files."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from sdk.celery_app import application
from sdk.celery_files import SPANS, worker

import otel_cx
from otel_cx import Settings, semconv
from otel_cx.pseudonym import Keyring
from otel_cx.testing import Journeys, recording

KEY = "k1:0123456789abcdef"
deployment = otel_cx.journey("deployment")


@pytest.fixture
def publisher(request: pytest.FixtureRequest) -> Iterator[Journeys]:
    """The panel's process: an edge, which sends the context to the queues named by the test."""
    with recording(Settings(keys=Keyring.parse(KEY), egress_destinations=request.param)) as recorded:
        instrumentor = CeleryInstrumentor()  # type: ignore[no-untyped-call]  # untyped
        instrumentor.instrument(tracer_provider=recorded.provider)
        yield recorded
        instrumentor.uninstrument()


def publish(recorded: Journeys, directory: Path) -> None:
    app = application(directory)
    with recorded.provider.get_tracer("server").start_as_current_span("POST /deploy"):
        otel_cx.identify(customer="user-42", segment="developer")
        with deployment.attempt("d-7"), deployment.step("request"):
            app.send_task("deploy", ["site-1"])
    app.close()


def worked(directory: Path, trust: str) -> dict[str, dict[str, Any]]:
    """Returns the attributes of the worker's spans by kind, once the task is done."""
    path = directory / SPANS
    with worker(Path(__file__).with_name("celery_app.py"), directory, OTELCX_TRUST=trust, OTELCX_KEY=KEY) as working:
        deadline = time.monotonic() + 30
        while not (path.exists() and '"run/deploy"' in path.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        working.kill()
    return {span["kind"]: span["attributes"] for span in map(json.loads, path.read_text().splitlines())}


@pytest.mark.parametrize("publisher", [("deployments",)], indirect=True)
@pytest.mark.parametrize("trust", ["all", "signed"])
def test_the_worker_finishes_the_attempt_that_the_panel_began(publisher: Journeys, tmp_path: Path, trust: str) -> None:
    publish(publisher, tmp_path)
    spans = worked(tmp_path, trust)
    customer = Keyring.parse(KEY).pseudonym("user-42")
    for kind in ("INTERNAL", "CONSUMER"):
        assert spans[kind][semconv.JOURNEY_NAME] == "deployment"
        assert spans[kind][semconv.JOURNEY_ATTEMPT] == "d-7"
        assert spans[kind][semconv.CUSTOMER_ID] == customer
        assert spans[kind][semconv.SEGMENT] == "developer"
    assert spans["INTERNAL"][semconv.JOURNEY_STEP] == "finish"
    assert semconv.JOURNEY_STEP not in spans["CONSUMER"]


@pytest.mark.parametrize("publisher", [("other-queue",)], indirect=True)
def test_a_queue_that_is_not_allowed_carries_nothing(publisher: Journeys, tmp_path: Path) -> None:
    publish(publisher, tmp_path)
    [message] = (tmp_path / "queues").iterdir()
    assert "otelcx" not in message.read_text()
    assert "traceparent" in message.read_text()
    assert otel_cx.diagnostics() == {"egress_denied": 1}


@pytest.mark.parametrize("publisher", [("deployments",)], indirect=True)
def test_a_worker_that_trusts_nobody_begins_anew(publisher: Journeys, tmp_path: Path) -> None:
    publish(publisher, tmp_path)
    spans = worked(tmp_path, "none")
    assert semconv.JOURNEY_ATTEMPT not in spans["INTERNAL"]
    assert semconv.CUSTOMER_ID not in spans["INTERNAL"]
