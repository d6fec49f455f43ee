"""What the file may say and this version does not evaluate yet: one table, refused entry by entry. Not its checks.

Silence would let an operator believe that a rule is watched. A later version that evaluates one deletes its line.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from otel_cx_collector.inventory.tree import Node, Path


class Pending(NamedTuple):
    """One key that is understood but not evaluated."""

    path: tuple[str, ...]
    """Keys from the root; ``*`` stands for every key of a mapping and every entry of a list."""
    instead: str
    """What the operator can do about it today, for the end of the message."""


PENDING: Final = (
    Pending(("journeys", "*", "strict"), "remove it or write false; steps are taken in loose order until then"),
    Pending(("journeys", "*", "value"), "remove it; harm is counted in customers and minutes until then"),
)


def asked_for(root: Node, pending: tuple[Pending, ...] = PENDING) -> Iterator[tuple[Pending, Path]]:
    """Every place that asks for something pending. Empty, false and absent ask for nothing."""
    for each in pending:
        for path, node in _matches(root, each.path):
            if node.value or node.entries or node.items:
                yield each, path


def _matches(node: Node, pattern: tuple[str, ...], path: Path = ()) -> Iterator[tuple[Path, Node]]:
    if not pattern:
        yield path, node
        return
    keys: list[str | int] = [pattern[0]]
    if pattern[0] == "*":
        keys = [*node.entries, *range(len(node.items))]
    for key in keys:
        found = node.child(key)
        if found is not None:
            yield from _matches(found[1], pattern[1:], (*path, key))
