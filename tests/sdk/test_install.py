"""Setting the SDK up: in a process of its own where it changes what is global. Real exporters, real collector bytes."""

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from opentelemetry import propagate
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import TracerProvider

import otel_cx
from otel_cx import ConfigurationError, Settings
from otel_cx.propagator import CXPropagator
from otel_cx.testing import Journeys, recording


def run(program: str, *arguments: str, environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments],
        capture_output=True, text=True, check=False, timeout=60, env=environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def Export(self, request: Any, _: Any) -> Any:  # noqa: N802 - the name gRPC calls
        self.requests.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()


def test_configure_sends_steps_to_a_collector_over_grpc() -> None:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]  # generated
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    run(
        """
        import sys
        import otel_cx
        provider = otel_cx.configure(endpoint=sys.argv[1], resource={"service.name": "checkout-api"})
        assert otel_cx.configure(endpoint=sys.argv[1], resource={"service.name": "checkout-api"}) is provider
        checkout = otel_cx.journey("checkout")
        with checkout.attempt("cart-42"), checkout.step("payment"):
            pass
        """,
        f"http://127.0.0.1:{port}",
    )
    server.stop(0)
    [request] = collector.requests
    [resource_spans] = request.resource_spans
    [span] = resource_spans.scope_spans[0].spans
    resource = {item.key: item.value.string_value for item in resource_spans.resource.attributes}
    attributes = {item.key: item.value.string_value for item in span.attributes}
    assert resource["service.name"] == "checkout-api"
    assert attributes["otelcx.journey.attempt"] == "cart-42"
    assert attributes["otelcx.journey.step"] == "payment"


def test_configure_beside_another_set_up_says_what_to_do() -> None:
    said = run(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        import otel_cx
        trace.set_tracer_provider(TracerProvider())
        try:
            otel_cx.configure()
        except otel_cx.ConfigurationError as error:
            print(error)
        """
    )
    assert "already a TracerProvider. Call otel_cx.install(provider)" in said


def test_configuring_twice_differently_is_refused() -> None:
    said = run(
        """
        import otel_cx
        otel_cx.configure("http://127.0.0.1:1")
        try:
            otel_cx.configure("http://127.0.0.1:2")
        except otel_cx.ConfigurationError as error:
            print(error)
        """,
    )
    assert "127.0.0.1:1" in said
    assert "Call it once, at start" in said


def test_without_the_sdk_importing_and_steps_work_and_configure_names_the_command() -> None:
    said = run(
        """
        import sys
        class No:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[:2] in (["opentelemetry", "sdk"], ["opentelemetry", "exporter"]):
                    raise ModuleNotFoundError(name, name=name)
        sys.meta_path.insert(0, No())
        import otel_cx
        checkout = otel_cx.journey("checkout")
        @checkout.step("payment")
        def pay():
            otel_cx.identify(customer="u")
            return 1
        assert pay() == 1
        for set_up in (otel_cx.configure, lambda: otel_cx.install(object())):
            try:
                set_up()
            except otel_cx.MissingDependency as error:
                print(error)
        """
    )
    assert said.count("pip install 'otel-cx[sdk]'") == 2


def test_importing_needs_only_the_api_and_wrapt() -> None:
    loaded = run("import sys, otel_cx; print(sorted({name.split('.')[0] for name in sys.modules}))")
    assert not {"grpc", "pytest", "google", "asyncio"} & set(eval(loaded))  # noqa: S307 - our own list
    assert "opentelemetry.sdk" not in run("import sys, otel_cx; print(list(sys.modules))")


def test_installing_again_adds_nothing(recorded: Journeys) -> None:
    before = propagate.get_global_textmap()
    otel_cx.install(recorded.provider, Settings())
    assert propagate.get_global_textmap() is before
    assert isinstance(before, CXPropagator)
    with recorded.provider.get_tracer("x").start_as_current_span("server"):
        otel_cx.identify(segment="trial")
    assert len(recorded.provider._active_span_processor._span_processors) == 2


def test_a_provider_of_another_kind_is_refused_and_nothing_is_changed(recorded: Journeys) -> None:
    from otel_cx._settings import runtime

    before = runtime.settings
    with pytest.raises(ConfigurationError, match="Pass the TracerProvider of opentelemetry-sdk"):
        otel_cx.install(object(), Settings(trust="all"))  # type: ignore[arg-type]  # the mistake under test
    assert runtime.settings is before


def test_a_wrong_environment_stops_the_start(monkeypatch: pytest.MonkeyPatch, recorded: Journeys) -> None:
    monkeypatch.setenv("OTELCX_TRUST", "everybody")
    with pytest.raises(ConfigurationError, match="'everybody'"):
        otel_cx.install(TracerProvider(shutdown_on_exit=False))


def test_a_recording_puts_everything_back() -> None:
    from otel_cx._settings import runtime

    before = (runtime.settings, runtime.tracer, propagate.get_global_textmap())
    with recording(Settings(trust="all")):
        assert runtime.settings.trust == "all"
    assert (runtime.settings, runtime.tracer, propagate.get_global_textmap()) == before


def test_a_process_forked_while_another_thread_counts_does_not_wait_for_it() -> None:
    run(
        """
        import os
        from otel_cx import _diagnostics
        with _diagnostics._lock:
            child = os.fork()
            if child == 0:
                _diagnostics.count(_diagnostics.Reason.NO_KEY)
                os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0
        """
    )
