"""What was decided of a journey and why: the tree of rules with live values, and its changes. Not the evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_cx_collector.views.names import known

if TYPE_CHECKING:
    from otel_cx_collector.decide.words import Branch, Decision, Record
    from otel_cx_collector.views.source import Source

RECORDS: Final = 20
"""As many changes of verdict as a page lists."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rules say of one journey at T."""

    decision: Decision
    tree: tuple[Branch, ...]


def judgement(source: Source, name: str) -> Judgement:
    """The decision and the tree behind it. Raises NotFound, Unavailable."""
    known(source.inventory, name)
    return Judgement(source.decision(name), tuple(source.tree(name)))


def records(source: Source, name: str, limit: int = RECORDS) -> tuple[Record, ...]:
    """Changes of verdict, newest first. Raises NotFound, Unavailable."""
    known(source.inventory, name)
    return tuple(source.records(name, limit))
