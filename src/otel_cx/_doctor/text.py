"""Findings for people and for programs. Decides nothing but the exit code."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Final

from otel_cx._doctor.findings import Finding, Level

WIDTH: Final = 110
VERSION: Final = 1
"""Of the JSON: raised when a key changes its meaning."""

_MARKS: Final = {Level.OK: "ok     ", Level.NOTE: "note   ", Level.PROBLEM: "PROBLEM"}
_INDENT: Final = " " * 9


def healthy(findings: Iterable[Finding]) -> bool:
    """Tells whether nothing is a problem: the exit code 0."""
    return all(finding.level is not Level.PROBLEM for finding in findings)


def as_json(findings: list[Finding]) -> str:
    """Returns one JSON object."""
    told = {"version": VERSION, "healthy": healthy(findings), "findings": [asdict(finding) for finding in findings]}
    return json.dumps(told, indent=2)


def as_text(findings: list[Finding]) -> str:
    """Returns lines for a terminal, in the order in which things were looked at, and a sum."""
    lines = [line for finding in findings for line in _lines(finding)]
    return "\n".join([*lines, "", _sum(findings)])


def _lines(finding: Finding) -> Iterator[str]:
    yield f"{_MARKS[finding.level]}  {finding.what} [{finding.code}]"
    for word, text in (("seen:", finding.evidence), ("do:  ", finding.cure)):
        if text:
            yield from textwrap.wrap(
                text, WIDTH, initial_indent=f"{_INDENT}{word} ", subsequent_indent=f"{_INDENT}      ",
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip


def _sum(findings: list[Finding]) -> str:
    numbers = Counter(finding.level for finding in findings)
    problems, notes = numbers[Level.PROBLEM], numbers[Level.NOTE]
    if not problems:
        return f"No problem is seen from here; {_number(notes, 'note')}."
    return f"{_number(problems, 'problem')}, {_number(notes, 'note')}. Begin with the first."


def _number(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
