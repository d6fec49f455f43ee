"""The command line: `otel-cx doctor`, or `python -m otel_cx doctor`. What it finds is found elsewhere."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence

from otel_cx import _consultation, _doctor
from otel_cx._findings import Finding, is_healthy, problem

EPILOG = "Exit code: 0 when no problem was found, 1 when one was."


def main(arguments: Sequence[str] | None = None) -> int:
    """Looks, prints what it found, and answers 0 when there is no problem, else 1."""
    parser = argparse.ArgumentParser("otel-cx", description="otel-cx, the SDK's tools.")
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser(
        "doctor", help="why does a journey not show up?", description="Why does a journey not show up?", epilog=EPILOG
    )
    doctor.add_argument("--journey", help="which one is missed")
    doctor.add_argument(
        "--endpoint",
        default=os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317"),
        help="where spans go; default: what OTEL_EXPORTER_OTLP_ENDPOINT says, else %(default)s",
    )
    doctor.add_argument("--api", default="http://127.0.0.1:8080", help="the collector's page; default %(default)s")
    doctor.add_argument(
        "--import", dest="module", metavar="MODULE", help="import the application, and look at what it set up as well"
    )
    doctor.add_argument("--json", action="store_true", help="one JSON array")
    asked = parser.parse_args(arguments)
    findings = [
        *_consultation.packages(),
        *_consultation.environment(),
        *_application(asked.module),
        *_consultation.endpoint(asked.endpoint, _protocol()),
        *_consultation.collector(asked.api, asked.journey),
    ]
    shown = (
        json.dumps([finding.to_json() for finding in findings], indent=1)
        if asked.json
        else "\n".join(str(finding) for finding in findings)
    )
    sys.stdout.write(f"{shown}\n")
    return 0 if is_healthy(findings) else 1


def _protocol() -> str:
    return (
        os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "grpc"
    )


def _application(module: str | None) -> list[Finding]:
    if module is None:
        return []
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as `python -m` does
    try:
        importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is wrong
        return [problem(f"{module} cannot be imported", f"{type(error).__name__}: {error}", "correct it, or the name")]
    return _doctor.doctor()


if __name__ == "__main__":
    sys.exit(main())
