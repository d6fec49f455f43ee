"""What the doctor says: findings, each with its evidence and its cure. Not how anything is found out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    NOTE = "note"
    """May be as it is meant; where a journey is missing, it may be why."""
    PROBLEM = "problem"
    """Journeys, or parts of them, do not show up because of this."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    code: str
    """Stable, for programs and for `docs/how-to/doctor.md`: `no-provider`."""
    level: Level
    what: str
    evidence: str = ""
    """The value that was seen."""
    cure: str = ""
    """What to do; empty when there is nothing to do."""


def ok(code: str, what: str, evidence: str = "") -> Finding:
    """Returns what is as it should be."""
    return Finding(code, Level.OK, what, evidence)


def note(code: str, what: str, evidence: str, cure: str) -> Finding:
    """Returns what may be meant so."""
    return Finding(code, Level.NOTE, what, evidence, cure)


def problem(code: str, what: str, evidence: str, cure: str) -> Finding:
    """Returns what is wrong."""
    return Finding(code, Level.PROBLEM, what, evidence, cure)
