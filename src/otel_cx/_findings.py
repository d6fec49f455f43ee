"""What a doctor says: findings, and how they are shown. It looks at nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """It may be meant so."""
    PROBLEM = "problem"
    """A journey, or a part of it, does not show up because of it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    what: str
    evidence: str = ""
    """The value that was found."""
    cure: str = ""
    """What to do; empty where nothing is to be done."""

    def __str__(self) -> str:
        mark = {Level.OK: "ok     ", Level.NOTE: "note   ", Level.PROBLEM: "PROBLEM"}[self.level]
        lines = [f"{mark}  {self.what}" + (f": {self.evidence}" if self.evidence else "")]
        if self.cure:
            lines.append(f"         -> {self.cure}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, str]:
        """As `--json` prints it."""
        return {name: str(value) for name, value in asdict(self).items()}


def ok(what: str, evidence: str = "") -> Finding:
    """Something is as it should be."""
    return Finding(Level.OK, what, evidence)


def note(what: str, evidence: str, cure: str) -> Finding:
    """Something may be meant so."""
    return Finding(Level.NOTE, what, evidence, cure)


def problem(what: str, evidence: str, cure: str) -> Finding:
    """Something is wrong."""
    return Finding(Level.PROBLEM, what, evidence, cure)


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Whether none of them is a problem."""
    return all(finding.level is not Level.PROBLEM for finding in findings)
