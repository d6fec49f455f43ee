"""``validate`` and ``init``: what an operator needs to write an inventory. Not the reading of it."""

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from otel_cx_collector import inventory, recording
from otel_cx_collector.cli.asking import Collector
from otel_cx_collector.cli.options import COLLECTOR, INVENTORY, CollectorOption, loaded
from otel_cx_collector.cli.rules_text import rules_and_channels
from otel_cx_collector.errors import UserError
from otel_cx_collector.inventory import Observed
from otel_cx_collector.traffic import Traffic

SMALLEST: Final = """\
journeys:
  checkout:                          # the journey, as otelcx.journey.name says it
    steps: [cart, payment, confirm]  # in order; the last one completes it
"""


def validate(
    inventory_file: Annotated[Path, typer.Argument(metavar="FILE")] = INVENTORY,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema for editors instead.")] = False,
) -> None:
    """Check an inventory and say in words how it is read."""
    if schema:
        typer.echo(json.dumps(inventory.json_schema(), indent=2))
        return
    found = loaded(inventory_file)
    typer.echo(inventory.explain(found) + rules_and_channels(found), nl=False)


def init(
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="OTLP JSON lines, .gz too.")] = None,
    from_traffic: Annotated[bool, typer.Option("--from-traffic", help="Draft from what was seen.")] = False,
    collector: CollectorOption = COLLECTOR,
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
    found = Collector(collector, instead="or give recordings: init --from-traffic FILE").get("/traffic")
    return [Observed.from_json(one) for one in found]
