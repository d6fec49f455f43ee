"""``erase`` and ``diff``: somebody taken out of what is kept, and what another inventory would change."""

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from otel_cx_collector import config, inventory
from otel_cx_collector.cli.options import INVENTORY, InventoryOption
from otel_cx_collector.errors import UserError

if TYPE_CHECKING:
    from otel_cx_collector.erase import Column


def diff(
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The inventory that would come into force.")],
    inventory_file: InventoryOption = INVENTORY,
) -> None:
    """Say in words what another inventory would change. Exit 0; nothing is printed when nothing would."""
    before, after = (inventory.explain(inventory.load(path)).splitlines() for path in (inventory_file, new))
    for line in difflib.unified_diff(before, after, str(inventory_file), str(new), lineterm="", n=1):
        typer.echo(line)


def erase(
    customer: Annotated[str | None, typer.Option(help="A customer's raw id.")] = None,
    account: Annotated[str | None, typer.Option(help="An account's raw id.")] = None,
    pseudonym: Annotated[str | None, typer.Option(help="A customer's or an account's pseudonym.")] = None,
    config_file: Annotated[Path | None, typer.Option("--config", help="Settings of the collector.")] = None,
) -> None:
    """Erase a customer or an account from log, store and working state. The collector must be stopped."""
    from otel_cx_collector.app import erased  # seconds of imports that no other command needs

    given: list[tuple[tuple[Column, ...], str | None, bool]] = [
        (("customer",), customer, True),
        (("account",), account, True),
        (("customer", "account"), pseudonym, False),
    ]
    asked = [(columns, who, raw) for columns, who, raw in given if who is not None]
    if len(asked) != 1:
        raise UserError(f"{len(asked)} are named; give exactly one of --customer, --account, --pseudonym")
    settings = config.load(config_file, os.environ) if config_file else config.Settings()
    ((columns, who, raw),) = asked
    for column in columns:
        typer.echo(str(erased(settings, column, who, raw=raw)))
