"""The doctor in a process and over an environment: every symptom made for real, in a process of its own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import otel_cx
from otel_cx import Settings
from otel_cx.__main__ import _parser
from otel_cx._diagnostics import Reason
from otel_cx._doctor import collector, environment
from otel_cx._doctor.findings import Finding, Level
from otel_cx._doctor.process import _CURES

INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")
PROGRAM = Path(sys.executable).with_name("otel-cx")
SECRET = "0123456789abcdef-of-the-tests"  # noqa: S105 - of the tests


def clean(**environ: str) -> dict[str, str]:
    """This process's environment with nothing set of OpenTelemetry and ours but what the test sets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OTELCX_"))}
    return {**kept, "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none", **environ}


def levels(program: str, **environ: str) -> dict[str, tuple[str, str]]:
    """Runs a program that ends with the doctor's findings; code -> (level, evidence)."""
    asked = (
        f"{program}\nimport json, otel_cx\nprint(json.dumps([(f.code, f.level, f.evidence) for f in otel_cx.doctor()]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=False, timeout=60, env=clean(**environ)
    )
    assert done.returncode == 0, done.stderr
    return {code: (level, evidence) for code, level, evidence in json.loads(done.stdout.splitlines()[-1])}


def problems(found: dict[str, tuple[str, str]]) -> list[str]:
    return [code for code, (level, _) in found.items() if level == Level.PROBLEM]


PROVIDER = """
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
import io, otel_cx
provider = TracerProvider(resource=Resource({"service.name": "shop"}))
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=io.StringIO())))
trace.set_tracer_provider(provider)
"""
INSTALLED = PROVIDER + "otel_cx.install(provider)\n"
SERVE = """
trace.get_tracer("x").start_span(
    "x", kind=trace.SpanKind.SERVER, attributes={"http.request.method": "POST", "http.route": "/pay"}
).end()
"""


# The running process


def test_a_process_that_is_set_up_has_no_problem() -> None:
    found = levels(INSTALLED + SERVE, OTELCX_ROUTES="POST /pay=checkout/payment", OTELCX_EGRESS_HOSTS="billing")
    assert list(found) == ["provider", "resource", "exporter", "sampler", "propagator", "routes"]
    assert {level for level, _ in found.values()} == {Level.OK}
    assert found["exporter"][1] == "ConsoleSpanExporter"


def test_configure_alone_is_well_and_shows_where_spans_go() -> None:
    found = levels("import otel_cx\notel_cx.configure('http://user:word@127.0.0.1:1', resource={'service.name': 's'})")
    assert problems(found) == []
    assert found["exporter"][1] == "OTLPSpanExporter to 127.0.0.1:1"


@pytest.mark.parametrize(
    ("program", "code", "evidence"),
    [
        ("", "no-provider", "ProxyTracerProvider"),
        (
            "from opentelemetry import trace\ntrace.set_tracer_provider(trace.NoOpTracerProvider())",
            "foreign-provider",
            "NoOpTracerProvider",
        ),
        (PROVIDER, "not-installed", "TracerProvider"),
        (
            PROVIDER + "provider._active_span_processor._span_processors = ()\notel_cx.install(provider)",
            "no-exporter",
            "CXSpanProcessor",
        ),
        (
            INSTALLED + "from opentelemetry.propagators.composite import CompositePropagator\n"
            "propagate.set_global_textmap(CompositePropagator([]))",
            "propagator-replaced",
            "CompositePropagator (no header)",
        ),
        (
            INSTALLED + "otel_cx.identify(customer='user-42')",
            "no-holder",
            "count 1",
        ),
        (
            INSTALLED + "with trace.get_tracer('x').start_as_current_span('x'): otel_cx.identify(customer='user-42')",
            "no-key",
            "count 1",
        ),
    ],
)
def test_what_is_missing_in_a_process_is_the_one_problem(program: str, code: str, evidence: str) -> None:
    found = levels(program)
    assert problems(found) == [code]
    assert evidence in found[code][1]
    assert "user-42" not in repr(found)


@pytest.mark.parametrize(
    ("environ", "code", "evidence"),
    [
        ({"OTEL_PROPAGATORS": "tracecontext"}, "propagator-missing", "traceparent"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}, "sampled", "0.01"),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, "sampled", "0.5"),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "sampled-out", "AlwaysOff"),
        ({"OTELCX_ROUTES": "POST /buy=checkout/payment"}, "routes-unmatched", "seen: POST /pay"),
    ],
)
def test_what_the_environment_does_to_a_process_is_the_one_problem(
    environ: dict[str, str], code: str, evidence: str
) -> None:
    found = levels(INSTALLED + SERVE, **environ)
    assert problems(found) == [code]
    assert evidence in found[code][1]


def test_routes_of_another_service_and_routes_before_any_request_are_told(tmp_path: Path) -> None:
    (tmp_path / "cx.yaml").write_text("journeys: {c: {match: [{step: pay, service: webshop, route: POST /pay}]}}")
    assert problems(levels(INSTALLED, OTELCX_ROUTES_FILE=str(tmp_path / "cx.yaml"))) == ["routes-of-others"]
    assert levels(INSTALLED, OTELCX_ROUTES="POST /pay=checkout/payment")["routes-unused"][0] == Level.NOTE


def test_what_was_stripped_and_denied_is_noted_as_it_may_be_meant() -> None:
    program = """
propagate.extract({"baggage": "otelcx.segment=vip"})
with trace.get_tracer("x").start_as_current_span("x", kind=trace.SpanKind.CLIENT):
    otel_cx.identify(segment="trial")
    propagate.inject({})
"""
    found = levels(INSTALLED + program)
    assert problems(found) == []
    assert found["baggage-untrusted"] == found["egress-denied"] == (Level.NOTE, "count 1")


def test_a_middleware_without_a_server_span_is_told() -> None:
    program = """
from otel_cx.wsgi import CXMiddleware
app = CXMiddleware(lambda environ, start: [b""], routes={"POST /pay": "checkout/payment"})
app({"REQUEST_METHOD": "POST", "PATH_INFO": "/pay"}, print)
"""
    found = levels(INSTALLED + program)
    assert problems(found) == ["no-server-span"]


def test_every_loss_that_is_counted_has_a_cure() -> None:
    told_otherwise = {Reason.NO_BAGGAGE.value, Reason.PROPAGATOR_REPLACED.value}
    assert {reason.value for reason in Reason} - told_otherwise - set(_CURES) == set()


def test_looking_changes_nothing() -> None:
    before = otel_cx.diagnostics()
    assert otel_cx.doctor() == otel_cx.doctor()
    assert otel_cx.diagnostics() == before


# The environment


def examined(**environ: str) -> dict[str, Finding]:
    return {finding.code: finding for finding in environment.examine(environ)}


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, "sdk-disabled"),
        ({"OTEL_TRACES_EXPORTER": "none"}, "no-exporter"),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask, cx"}, "cx-disabled"),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"}, "cx-disabled"),
        ({"OTEL_PROPAGATORS": "tracecontext"}, "propagator-missing"),
        ({"OTEL_PROPAGATORS": "b3,baggage"}, "propagator-missing"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}, "sampled"),
        ({"OTELCX_TRUST": "everybody"}, "settings"),
        ({"OTELCX_ROUTES": "POST /pay"}, "settings"),
        ({"OTEL_CONFIG_FILE": "/nowhere/otel.yaml"}, "config-file"),
    ],
)
def test_what_the_environment_breaks_is_the_one_problem(environ: dict[str, str], code: str) -> None:
    found = examined(**environ)
    assert [finding.code for finding in found.values() if finding.level is Level.PROBLEM] == [code]
    assert found[code].cure


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_PROPAGATORS": "baggage, tracecontext", "OTEL_TRACES_SAMPLER": "parentbased_always_on"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTELCX_EXACT": "true"},
        {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask"},
    ],
)
def test_an_environment_that_breaks_nothing_has_no_problem(environ: dict[str, str]) -> None:
    assert [finding for finding in examined(**environ).values() if finding.level is Level.PROBLEM] == []


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("tracer_provider: {}\npropagator: {composite: [{tracecontext: }, {baggage: }]}", set()),
        ("tracer_provider: {}\npropagator: {composite_list: 'tracecontext,baggage'}", set()),
        ("tracer_provider: {}\npropagator: {composite: [{tracecontext: }]}", {"propagator-missing"}),
        ("tracer_provider: {}", {"propagator-missing"}),
        ("propagator: {composite: [{tracecontext: }, {baggage: }]}", {"no-exporter"}),
    ],
)
def test_a_configuration_file_is_looked_into(tmp_path: Path, content: str, found: set[str]) -> None:
    pytest.importorskip("opentelemetry.configuration", reason="needs opentelemetry-sdk 1.44")
    (tmp_path / "otel.yaml").write_text(content)
    told = examined(OTEL_CONFIG_FILE=str(tmp_path / "otel.yaml"), OTEL_PROPAGATORS="none")
    assert {finding.code for finding in told.values() if finding.level is Level.PROBLEM} == found


def test_variables_are_shown_and_secrets_are_not(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"k1:{SECRET}")
    found = examined(
        OTELCX_KEY_FILE=str(tmp_path / "key"),
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer%20{SECRET}",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://user:{SECRET}@collector:4317",
        OTELCX_TRUST="all",
        PATH="/usr/bin",
    )
    shown = found["environment"].evidence
    assert f"OTELCX_KEY_FILE={tmp_path / 'key'}" in shown
    assert "OTEL_EXPORTER_OTLP_HEADERS=(set, not shown)" in shown
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://(credentials)@collector:4317" in shown
    assert "OTELCX_TRUST=all" in shown
    assert "PATH=" not in shown
    assert SECRET not in repr(list(found.values()) + list(examined(OTELCX_KEY=f"k1:{SECRET}").values()))


# The command


def doctor(*arguments: str | Path, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, arguments)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=cwd,
        env=clean(**environ),
    )


def codes(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["version"] == 1
    assert told["healthy"] is (done.returncode == 0)
    return {finding["code"]: finding["level"] for finding in told["findings"]}


def test_the_command_says_what_it_saw_and_what_to_do() -> None:
    done = doctor(PROGRAM, "doctor", "--endpoint", "http://127.0.0.1:1", OTEL_PROPAGATORS="tracecontext")
    assert done.returncode == 1, done.stderr
    assert "PROBLEM  Nothing listens at the endpoint. [endpoint-refused]" in done.stdout
    assert "seen: http://127.0.0.1:1 (grpc)" in done.stdout
    assert "do:   Set OTEL_PROPAGATORS=tracecontext,baggage" in done.stdout
    assert "2 problems, " in done.stdout


def test_an_application_is_imported_and_the_process_it_makes_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(PROVIDER)
    done = doctor(PROGRAM, "doctor", "--import", "shop:app", "--json", cwd=tmp_path)
    assert codes(done)["not-installed"] == "problem"
    done = doctor(PROGRAM, "doctor", "--import", "nothing_here", "--json", cwd=tmp_path)
    assert codes(done)["import-failed"] == "problem"


def test_under_opentelemetry_instrument_it_sees_what_the_application_would(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.distro", reason="opentelemetry-instrument sets nothing up without one")
    (tmp_path / "shop.py").write_text("")
    done = doctor(INSTRUMENT, PROGRAM, "doctor", "--json", cwd=tmp_path, OTEL_SERVICE_NAME="shop")
    assert codes(done)["provider"] == "ok"
    done = doctor(INSTRUMENT, PROGRAM, "doctor", "--json", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="cx")
    assert {"cx-disabled", "not-installed"} <= codes(done).keys()


@pytest.mark.parametrize("arguments", [["--step"], ["--api", "http://127.0.0.1:1"], ["--what"]])
def test_wrong_arguments_are_told_apart_from_problems(arguments: list[str]) -> None:
    assert doctor(PROGRAM, "doctor", *arguments).returncode == 2


def test_an_endpoint_that_cannot_be_used_is_a_problem_like_others() -> None:
    done = doctor(sys.executable, "-m", "otel_cx", "doctor", "--endpoint", "ftp://c", "--json")
    assert codes(done)["endpoint-unusable"] == "problem"


# The how-to

HOW_TO = (Path(__file__).parents[2] / "docs" / "how-to" / "doctor.md").read_text()
SOURCES = [
    *Path(otel_cx.__file__).parent.joinpath("_doctor").glob("*.py"),
    Path(otel_cx.__file__).with_name("__main__.py"),
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", HOW_TO, re.DOTALL)


def test_the_how_to_has_each_code_and_no_other() -> None:
    calls = re.compile(r'(?:problem|note|_silent)\(\s*"([a-z-]+)"')
    told = {code for source in SOURCES for code in calls.findall(source.read_text())} | set(_CURES)
    told |= {f"refused-{reason}" for reason in collector._CURES}
    told = {code.replace("_", "-") for code in told}
    documented = {
        code for row in re.findall(r"^\| (`.*?`) \|", HOW_TO, re.MULTILINE) for code in re.findall(r"`([a-z-]+)`", row)
    }
    assert documented - {"refused-bad-line"} == told


def test_the_commands_of_the_how_to_are_taken() -> None:
    commands, routes = blocks("sh")
    for line in commands.splitlines():
        _parser().parse_args(line.removeprefix("opentelemetry-instrument ").split()[1:])
    [(_, told)] = re.findall(r"(OTELCX_ROUTES)='(.*)'", routes)
    assert len(Settings.from_env({"OTELCX_ROUTES": told}).routes) == 2


def test_the_output_of_the_how_to_is_what_is_printed() -> None:
    done = doctor(PROGRAM, "doctor", "--endpoint", "http://127.0.0.1:1", OTEL_PROPAGATORS="tracecontext")
    [shown] = blocks("text")
    assert [line for line in shown.splitlines() if line not in done.stdout.splitlines()] == []


def test_the_program_of_the_how_to_runs() -> None:
    [program] = blocks("python")
    done = doctor(sys.executable, "-c", program)
    assert done.stdout.startswith("no-provider No tracer provider is set"), done.stderr
