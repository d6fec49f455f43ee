"""``replay``, ``backtest`` and ``explain``: recordings judged, and what the answer is. Not how they are judged."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from otel_cx_collector.cli.asking import Collector
from otel_cx_collector.cli.expectation import differences
from otel_cx_collector.cli.options import COLLECTOR, INVENTORY, CollectorOption, Format, InventoryOption, loaded, moment
from otel_cx_collector.errors import UserError
from otel_cx_collector.measure.report import dump

Recordings = Annotated[list[str], typer.Argument(metavar="FILE...", help="OTLP JSON lines, .gz too; - for stdin.")]
Output = Annotated[Format, typer.Option("--format")]


class FailOn(StrEnum):
    """Differences that end a backtest with exit code 1."""

    ADDED = "added"
    REMOVED = "removed"
    EARLIER = "earlier"
    LATER = "later"
    SEVERITY = "severity"


def replay(
    files: Recordings,
    inventory_file: InventoryOption = INVENTORY,
    output: Output = Format.JSON,
    at: Annotated[list[str] | None, typer.Option(help="Report as of this time (UTC) too; repeatable.")] = None,
    expect: Annotated[Path | None, typer.Option(help="Exit 1 and print where the report differs from this.")] = None,
) -> None:
    """Judge recorded telemetry with time taken from the data."""
    from otel_cx_collector.replay import run
    from otel_cx_collector.report_text import as_text

    expected = _expected(expect) if expect else None
    moments = [moment(one) for one in at or []]
    report = run(files, loaded(inventory_file), moments)
    if expected is not None:
        found = list(differences(expected, json.loads(dump(report))))
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


def backtest(
    files: Recordings,
    against: Annotated[Path, typer.Option("--against", help="The inventory to compare with.")],
    inventory_file: InventoryOption = INVENTORY,
    output: Output = Format.TEXT,
    fail_on: Annotated[
        list[FailOn] | None, typer.Option("--fail-on", help="Exit 1 when there is such a difference; repeatable.")
    ] = None,
) -> None:
    """Say who would have been told otherwise under another inventory, by the same recordings."""
    from otel_cx_collector.backtest import as_json, run
    from otel_cx_collector.report_text import compared

    found = run(files, loaded(inventory_file), loaded(against))
    text = dump(as_json(found)) if output is Format.JSON else compared(found, str(inventory_file), str(against))
    typer.echo(text, nl=False)
    raise typer.Exit(1 if {each.kind.value for each in found.differences} & set(fail_on or ()) else 0)


def explain(
    journey: Annotated[str, typer.Argument(metavar="JOURNEY")],
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help="Recordings; without, a running collector is asked.")
    ] = None,
    at: Annotated[str, typer.Option(help="A time (UTC), taken down to a multiple of 10 s, or now.")] = "now",
    inventory_file: InventoryOption = INVENTORY,
    collector: CollectorOption = COLLECTOR,
    output: Output = Format.TEXT,
) -> None:
    """Print the decision tree of a journey with values, intervals and what is missing."""
    from otel_cx_collector.cli import explaining

    at_s = None if at == "now" else moment(at)
    if files:
        answer = explaining.by_recordings(files, loaded(inventory_file), journey, at_s)
    else:
        answer = explaining.by_collector(Collector(collector), journey, at_s)
    typer.echo(dump(answer.json()) if output is Format.JSON else answer.text(), nl=False)
