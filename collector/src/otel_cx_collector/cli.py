"""The command line: ``run | validate | replay | init | version``. Parses arguments and prints; decides nothing.

Exit codes: 0 done, 1 the answer is no (``replay --expect`` differs), 2 something the user wrote is wrong (the reason on
stderr, nothing on stdout).
"""

import json
import os
import signal
import sys
import threading
import urllib.request
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, NoReturn

import structlog
import typer

from otel_cx_collector import config, inventory, recording, replay
from otel_cx_collector.app import App
from otel_cx_collector.errors import CollectorError, UserError
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.measure.report import dump
from otel_cx_collector.report_text import as_text
from otel_cx_collector.traffic import Observed, Traffic
from otel_cx_collector.version import VERSION

INVENTORY: Final = Path("cx.yaml")
EMPTY: Final = "journeys: {}"
SMALLEST: Final = """\
journeys:
  checkout:                          # the journey, as otelcx.journey.name says it
    steps: [cart, payment, confirm]  # in order; the last one completes it
"""
ASK_TIMEOUT_S: Final = 10
ASK_MAX_BYTES: Final = 16 << 20

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Turns tagged OpenTelemetry spans into judged customer journeys.",
)

InventoryOption = Annotated[
    Path, typer.Option("--inventory", "-i", help="The journeys to judge by.", show_default=str(INVENTORY))
]


class Format(StrEnum):
    """How replay prints its report."""

    JSON = "json"
    TEXT = "text"


def main() -> NoReturn:
    """Run the command line; a user's mistake ends with its reason on stderr and exit code 2."""
    try:
        cli()
    except CollectorError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    sys.exit(0)


@cli.command()
def run(
    config_file: Annotated[Path | None, typer.Option("--config", help="Settings; every one has a default.")] = None,
    inventory_file: InventoryOption = INVENTORY,
) -> None:
    """Receive OTLP, judge journeys, serve the pages, until SIGINT or SIGTERM."""
    _log_to_stderr()
    log = structlog.get_logger("otel_cx_collector")
    settings = config.load(config_file, os.environ) if config_file else config.Settings()
    app = App(settings, _inventory_or_none(inventory_file))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    ports = app.start()
    log.info("ready", version=VERSION, grpc=ports.grpc, http=ports.http, web=ports.web, health=ports.health)
    stop.wait()
    log.info("stopping")
    app.stop()


def _inventory_or_none(path: Path) -> Inventory:
    """The inventory; without the default file the collector runs, shows what it sees, and says what to do."""
    if path == INVENTORY and not path.exists():
        sys.stderr.write(
            f"no {INVENTORY} here: nothing is judged yet; traffic is watched, "
            "and `otel-cx-collector init --from-traffic` drafts one from it\n"
        )
        return inventory.parse(EMPTY)
    return inventory.load(path)


@cli.command()
def validate(
    inventory_file: Annotated[Path, typer.Argument(metavar="FILE")] = INVENTORY,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema for editors instead.")] = False,
) -> None:
    """Check an inventory and say in words how it is read."""
    if schema:
        typer.echo(json.dumps(inventory.json_schema(), indent=2))
        return
    typer.echo(inventory.explain(inventory.load(inventory_file)), nl=False)


@cli.command("replay")
def replay_command(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="OTLP JSON lines, .gz too; - for stdin.")],
    inventory_file: InventoryOption = INVENTORY,
    output: Annotated[Format, typer.Option("--format")] = Format.JSON,
    at: Annotated[list[datetime] | None, typer.Option(help="Report as of this time (UTC) too; repeatable.")] = None,
    expect: Annotated[Path | None, typer.Option(help="Exit 1 and print where the report differs from this.")] = None,
) -> None:
    """Judge recorded telemetry with time taken from the data."""
    expected = _expected(expect) if expect else None
    moments = [int((one if one.tzinfo else one.replace(tzinfo=UTC)).timestamp()) for one in at or []]
    report = replay.run(files, inventory.load(inventory_file), moments)
    if expected is not None:
        found = list(replay.differences(expected, json.loads(dump(report))))
        typer.echo("\n".join(found) if found else "as expected")
        raise typer.Exit(1 if found else 0)
    typer.echo(dump(report) if output is Format.JSON else as_text(report), nl=False)


def _expected(path: Path) -> object:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; name a report that replay printed") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); name a report that replay printed") from error


@cli.command()
def init(
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="OTLP JSON lines, .gz too.")] = None,
    from_traffic: Annotated[bool, typer.Option("--from-traffic", help="Draft from what was seen.")] = False,
    collector: Annotated[str, typer.Option(help="A running collector's page to ask.")] = "http://127.0.0.1:8080",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write here instead of to stdout.")] = None,
) -> None:
    """Draft an inventory: from recordings, from a running collector, or the smallest useful one."""
    if files and not from_traffic:
        raise UserError(f"{files[0]} is given without --from-traffic; add it to draft from recordings")
    text = SMALLEST
    if from_traffic:
        text = inventory.draft(_recorded(files) if files else _asked(collector))
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        with output.open("x") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}; name another file, or move it away") from error


def _recorded(files: list[str]) -> list[Observed]:
    seen = Traffic()
    for line in recording.lines(files):
        seen.observe(line, encoding_json=True)
    return seen.observed()


def _asked(collector: str) -> list[Observed]:
    """What a running collector has seen."""
    url = f"{collector.rstrip('/')}/api/v1/traffic"
    if not url.startswith(("http://", "https://")):
        raise UserError(f"--collector {collector!r} is no address; write it like http://127.0.0.1:8080")
    try:
        with urllib.request.urlopen(url, timeout=ASK_TIMEOUT_S) as answer:  # noqa: S310 - http and https alone, see above
            return [Observed.from_json(one) for one in json.loads(answer.read(ASK_MAX_BYTES))]
    except (OSError, ValueError) as error:
        raise UserError(
            f"{url} did not answer ({error}); start `otel-cx-collector run`, or give recordings: "
            "init --from-traffic FILE"
        ) from error


@cli.command()
def version() -> None:
    """Print the version."""
    typer.echo(VERSION)


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
