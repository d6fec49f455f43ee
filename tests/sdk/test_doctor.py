"""`otel-cx doctor` and `otel_cx.doctor()`: each thing that hides a journey is named, with evidence and cure."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from collector_process import Process, ask, send, until
from otlp import FakeSink, grpc_server, http_server

from otel_cx import Finding
from otel_cx.__main__ import main
from otel_cx._consultation import SECRET, endpoint, environment
from otel_cx_collector.clock import now_ns
from otel_cx_collector.receive import Access

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A real one, that knows checkout/payment and was sent ten payments."""
    process = Process(tmp_path_factory.mktemp("doctor"))
    send(process.ports["http"], 0, 10, now_ns() - 10**9)
    until(
        lambda: (
            (ask(process.ports["web"], "/api/v1/journeys/checkout?range=1h") or {}).get("attempts", {}).get("started")
        )
    )
    yield process
    process.stop()


def consulted(collector: Process, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, list[dict[str, str]]]:
    """Exit code and findings of the command, asked of the real collector."""
    words = ["--endpoint", f"http://127.0.0.1:{collector.ports['grpc']}", "--api"]
    code = main(["doctor", *words, f"http://127.0.0.1:{collector.ports['web']}", "--json", *more])
    return code, json.loads(capsys.readouterr().out)


def problems(found: list[dict[str, str]]) -> list[str]:
    return [each["what"] for each in found if each["level"] == "problem"]


def test_a_journey_that_shows_up_has_no_problem(collector: Process, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = consulted(collector, capsys, "--journey", "checkout")
    assert (code, problems(found)) == (0, [])
    assert {"what": "checkout is seen", "evidence": "payment 10"}.items() <= found[-1].items()
    assert any(each["what"].endswith("takes spans over gRPC") for each in found)


def test_a_journey_the_inventory_has_not_is_named_with_those_it_has(
    collector: Process, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = consulted(collector, capsys, "--journey", "chekout")
    assert (code, problems(found)) == (1, ["the collector's inventory has no journey 'chekout'"])
    assert found[-1]["evidence"] == "it has checkout"


def test_spans_that_are_refused_are_told_with_the_cure(collector: Process, capsys: pytest.CaptureFixture[str]) -> None:
    program = f"""
import otel_cx
otel_cx.configure("http://127.0.0.1:{collector.ports["grpc"]}")
with otel_cx.journey("checkout").step("no-such-step"):
    pass
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    until(lambda: ask(collector.ports["web"], "/api/v1/intake")["refused"].get("unknown_step"))
    code, found = consulted(collector, capsys)
    [refused] = [each for each in found if each["level"] == "problem"]
    assert (code, refused["what"], refused["evidence"]) == (1, "spans are refused: unknown_step", "1 times")
    assert "add the step" in refused["cure"]


def one(findings: Iterator[Finding]) -> Finding:
    [found] = findings
    return found


def test_the_http_port_told_as_the_grpc_port_is_recognised(collector: Process) -> None:
    found = one(endpoint(f"http://127.0.0.1:{collector.ports['http']}"))
    assert found.level == "problem"
    assert "http/protobuf" in found.cure


def test_the_grpc_port_told_as_the_http_port_is_recognised(collector: Process) -> None:
    found = one(endpoint(f"http://127.0.0.1:{collector.ports['grpc']}", "http/protobuf"))
    assert found.level == "problem"
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in found.cure


def test_http_is_asked_as_the_exporter_asks(collector: Process) -> None:
    assert one(endpoint(f"http://127.0.0.1:{collector.ports['http']}", "http/protobuf")).level == "ok"


def test_a_page_that_is_no_otlp_is_recognised(collector: Process) -> None:
    found = one(endpoint(f"http://127.0.0.1:{collector.ports['web']}", "http/protobuf"))
    assert (found.level, "4318" in found.cure) == ("problem", True)


def test_a_port_where_nobody_listens_is_told() -> None:
    found = one(endpoint("http://127.0.0.1:1"))
    assert (found.level, "ConnectionRefusedError" in found.evidence) == ("problem", True)


@pytest.mark.parametrize("url", ["localhost:4317", "http://", "ftp://x", "http://x:port"])
def test_an_endpoint_that_is_no_url_is_told(url: str) -> None:
    assert "write http://collector:4317" in one(endpoint(url)).cure


def test_a_token_that_is_missing_is_told(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-long-secret-token-of-the-test\n")
    token.chmod(0o600)
    access = Access(token_file=token)
    with grpc_server(FakeSink(), access=access) as rpc, http_server(FakeSink(), access=access) as http:
        for port, protocol in ((rpc.port, "grpc"), (http.port, "http/protobuf")):
            found = one(endpoint(f"http://127.0.0.1:{port}", protocol))
            assert (found.level, "OTEL_EXPORTER_OTLP_HEADERS" in found.cure) == ("problem", True)


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"OTEL_PROPAGATORS": "tracecontext"}, "names no baggage"),
        ({"OTEL_SDK_DISABLED": "true"}, "switched off"),
        ({"OTEL_TRACES_EXPORTER": "none"}, "sent anywhere"),
        ({"OTELCX_TRUST": "everybody"}, "cannot be used"),
        ({"OTELCX_ROUTES": "POST /pay"}, "cannot be used"),
        ({"OTELCX_KEY_FILE": "/no/such/file"}, "cannot be used"),
    ],
)
def test_a_wrong_environment_is_told(environ: dict[str, str], told: str) -> None:
    [found] = [each for each in environment(environ) if each.level == "problem"]
    assert told in found.what
    assert found.cure


def test_sampling_without_exact_is_noted() -> None:
    sampled = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}
    assert [each.cure for each in environment(sampled) if each.level == "note"] == ["set OTELCX_EXACT=true"]
    assert not [each for each in environment({**sampled, "OTELCX_EXACT": "true"}) if each.level == "note"]


def test_secrets_are_not_shown() -> None:
    environ = {f"OTEL_{word}": "hush-hush" for word in SECRET} | {"OTELCX_KEY": "k1:hush-hush-hush-hush"}
    assert "hush" not in str([str(each) for each in environment(environ)])


IN_PROCESS = {
    "print('set up')": "no tracer provider is set",
    "otel_cx.configure('http://127.0.0.1:1')": None,
    "from opentelemetry.sdk.trace import TracerProvider; trace.set_tracer_provider(TracerProvider())": (
        "the tracer provider does not stamp journeys"
    ),
    "otel_cx.configure('http://127.0.0.1:1'); propagate.set_global_textmap(tracecontext())": (
        "the process's propagator is not guarded"
    ),
    "otel_cx.configure('http://127.0.0.1:1'); otel_cx.journey('checkout').step('Bad Name').__enter__()": (
        "a run-time journey or step name broke the rule for names and became 'other'"
    ),
}


@pytest.mark.parametrize("program", IN_PROCESS)
def test_what_a_process_set_up_is_looked_at(program: str) -> None:
    whole = f"""
import json, os, otel_cx
from opentelemetry import propagate, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator as tracecontext
{program}
print(json.dumps([each.to_json() for each in otel_cx.doctor()]), flush=True)
os._exit(0)
"""
    said = subprocess.run([sys.executable, "-c", whole], check=True, capture_output=True, text=True, timeout=60).stdout
    found: list[dict[str, Any]] = json.loads(said.splitlines()[-1])
    wanted = IN_PROCESS[program]
    assert problems(found)[:1] == ([] if wanted is None else [wanted])
    assert all(each["cure"] for each in found if each["level"] != "ok")


def test_the_application_is_imported_and_looked_at(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import otel_cx\notel_cx.configure('http://127.0.0.1:1')\n")
    command = [sys.executable, "-m", "otel_cx", "doctor", "--import", "shop", "--endpoint", "http://127.0.0.1:1"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert said.returncode == 1
    assert "ok       the tracer provider stamps journeys" in said.stdout
    broken = subprocess.run([*command[:5], "no_such"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "no_such cannot be imported: ModuleNotFoundError" in broken.stdout


def test_the_how_to_names_what_the_doctor_says() -> None:
    page = (ROOT / "docs" / "how-to" / "doctor.md").read_text()
    symptoms = re.findall(r"^\| (?!symptom|---)([^|]+) \|", page, re.MULTILINE)
    sources = "".join((ROOT / "src" / "otel_cx" / name).read_text() for name in ("_consultation.py", "_doctor.py"))
    assert len(symptoms) > 8
    assert [each for each in symptoms if each.strip("` ") not in sources] == []
