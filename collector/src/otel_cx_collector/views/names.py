"""Journeys by the names that people give. Not what is asked of them."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from otel_cx_collector.views.source import NotFound

if TYPE_CHECKING:
    from otel_cx_collector.inventory import Inventory, Journey


def known(inventory: Inventory, name: str) -> Journey:
    """The journey of this name. Raises NotFound with the nearest names."""
    found = inventory.journeys.get(name)
    if found is None:
        near = get_close_matches(name, inventory.journeys, n=3, cutoff=0.4) or list(inventory.journeys)[:5]
        raise NotFound(
            f"there is no journey {name[:64]!r}; "
            + (f"did you mean {' or '.join(near)}?" if near else "the inventory lists none")
        )
    return found
