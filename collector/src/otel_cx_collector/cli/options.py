"""What several commands share: options, the inventory with what its load has to say, moments. Not a command."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from otel_cx_collector import inventory
from otel_cx_collector.errors import UserError
from otel_cx_collector.events import SLICE_S
from otel_cx_collector.inventory import Inventory

INVENTORY: Final = Path("cx.yaml")
COLLECTOR: Final = "http://127.0.0.1:8080"

InventoryOption = Annotated[
    Path, typer.Option("--inventory", "-i", help="The journeys to judge by.", show_default=str(INVENTORY))
]
CollectorOption = Annotated[str, typer.Option("--collector", help="A running collector's page.")]


class Format(StrEnum):
    """How an answer is printed."""

    JSON = "json"
    TEXT = "text"


def loaded(path: Path) -> Inventory:
    """The inventory; what is left out of it, or pages early, is said on stderr."""
    found = inventory.load(path)
    for sentence in remarks(found):
        sys.stderr.write(f"{path}: {sentence}\n")
    return found


def remarks(found: Inventory) -> Iterator[str]:
    """What an operator has to know of an inventory that is in order."""
    from otel_cx_collector.measure import burn

    yield from burn.left_out(found)
    yield from burn.eager(found)


def moment(text: str) -> int:
    """Seconds since the epoch of a time that was written, UTC without a zone; on a slice boundary, rounded down."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise UserError(f"--at {text!r} is not a time; write it like 2026-01-05T09:30:00Z") from error
    exact = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    return int(exact // SLICE_S) * SLICE_S


def safe(value: Any) -> Any:
    """A JSON value of another process, without what a terminal would obey: its texts are one line each."""
    if isinstance(value, str):
        return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value)
    if isinstance(value, dict):
        return {safe(key): safe(one) for key, one in value.items()}
    return [safe(one) for one in value] if isinstance(value, list) else value
