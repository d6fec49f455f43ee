"""The names a file defines, gathered from its tree before wrong parts are taken out. Not whether they are right.

A reference to something that is defined with a mistake in it is no second mistake.
"""

from dataclasses import dataclass

from otel_cx_collector.inventory.tree import Node


@dataclass(frozen=True, slots=True)
class Names:
    """What may be referred to."""

    journeys: tuple[str, ...]
    steps: dict[str, tuple[str, ...]]
    """By journey, in order."""
    saturation: tuple[str, ...]
    channels: tuple[str, ...]


def names_in(root: Node) -> Names:
    """Names as written, whatever else is wrong."""
    journeys = _child(root, "journeys")
    return Names(
        journeys=tuple(journeys.entries),
        steps={name: _steps(_child(journey, "steps")) for name, (_, journey) in journeys.entries.items()},
        saturation=tuple(_child(root, "saturation").entries),
        channels=tuple(_child(root, "notify").entries),
    )


def _child(node: Node, key: str) -> Node:
    found = node.child(key)
    return found[1] if found else Node(node.line, "scalar")


def _steps(node: Node) -> tuple[str, ...]:
    values = (each.value if each.kind == "scalar" else _child(each, "name").value for each in node.items)
    return tuple(value for value in values if isinstance(value, str))
