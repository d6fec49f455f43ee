"""The command `otel-cx`: arguments in, exit code out. What is looked at, and how, is in `_doctor`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from opentelemetry import trace

from otel_cx._doctor import Finding, doctor
from otel_cx._doctor.findings import problem

_API: Final = "http://127.0.0.1:8080"
_EPILOG: Final = """examples:
  otel-cx doctor --endpoint http://localhost:4317
  otel-cx doctor --journey checkout --health http://127.0.0.1:13133
  otel-cx doctor --import shop.app
  opentelemetry-instrument otel-cx doctor --import shop.app

The exit code is 0 when there is no problem, 1 when there is one, 2 when the arguments are wrong.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    told = _parser().parse_args(arguments)
    from otel_cx._doctor.text import as_json, as_text, healthy

    findings = list(_findings(told))
    sys.stdout.write((as_json if told.json else as_text)(findings) + "\n")
    return 0 if healthy(findings) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="otel-cx", description="Tools of the otel-cx SDK.")
    commands = parser.add_subparsers(dest="command", required=True)
    says = "explain why a journey does not show up"
    command = commands.add_parser(
        "doctor", help=says, description=says, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = command.add_argument
    add("--endpoint", metavar="URL", help="where spans go; by default as OTEL_EXPORTER_OTLP_ENDPOINT has it")
    add("--protocol", help="grpc or http/protobuf; by default as OTEL_EXPORTER_OTLP_PROTOCOL has it, else grpc")
    add("--health", metavar="URL", help="the collector's health port, such as http://127.0.0.1:13133")
    add("--api", metavar="URL", help=f"the collector's web port, asked about --journey; by default {_API}")
    add("--journey", metavar="NAME", help="the journey that is missing")
    add("--step", metavar="NAME", action="append", default=[], help="a step of it; may be given several times")
    add("--import", metavar="MODULE", dest="module", help="import the application, then look at this process")
    add("--json", action="store_true", help="for programs")
    command.set_defaults(refuse=command.error)
    return parser


def _findings(told: argparse.Namespace) -> Iterator[Finding]:
    from otel_cx._doctor import collector, endpoint, environment
    from otel_cx.exceptions import ConfigurationError

    if told.api and not told.journey:
        told.refuse("--api needs --journey: the collector is asked about one journey")
    yield from environment.examine()
    yield from _application(told.module)
    try:
        target = endpoint.target_of(os.environ, told.endpoint, told.protocol)
    except ConfigurationError as error:
        cure = "Correct it in --endpoint, --protocol or the variables of the exporter."
        yield problem("endpoint-unusable", str(error), "", cure)
    else:
        yield from endpoint.examine(target)
    if told.health:
        yield from collector.health(told.health)
    if told.journey:
        yield from collector.journey(told.api or _API, told.journey, tuple(told.step), os.environ)


def _application(module: str | None) -> Iterator[Finding]:
    """Looks at this process, when it is an application's: one was imported, or instrumented around the command."""
    if module is None and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return
    if module is not None:
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as `python -m` does, which a console script does not
        try:
            importlib.import_module(module.partition(":")[0])
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the application's start says is told
            cure = "Make it importable here: python -c 'import ...' must succeed."
            said = f"{type(error).__name__}: {error}"
            yield problem("import-failed", f"{module!r} cannot be imported.", said, cure)
            return
    yield from doctor()


if __name__ == "__main__":
    sys.exit(main())
