"""Which stretches of the past already have traffic, made or live, so that a restart fills only the gaps.

One small JSON file; not the traffic itself, which is the collector's.
"""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Covered:
    """The file that remembers, ``covered.json`` beside the collector's data; times are seconds since the epoch."""

    path: Path

    def stretches(self) -> list[tuple[float, float]]:
        """What is covered, in order, without overlaps."""
        try:
            return [(begin, end) for begin, end in json.loads(self.path.read_text())]
        except FileNotFoundError:
            return []

    def gaps(self, from_s: float, until_s: float) -> list[tuple[float, float]]:
        """What is not covered between two times."""
        gaps: list[tuple[float, float]] = []
        for begin, end in [*self.stretches(), (until_s, until_s)]:
            if begin > from_s:
                gaps.append((from_s, min(begin, until_s)))
            from_s = max(from_s, end)
            if from_s >= until_s:
                break
        return gaps

    def add(self, from_s: float, until_s: float) -> None:
        """Remember that ``[from_s, until_s)`` has traffic now."""
        merged: list[tuple[float, float]] = []
        for begin, end in sorted([*self.stretches(), (from_s, until_s)]):
            if merged and begin <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((begin, end))
        new = self.path.with_suffix(".tmp")
        new.write_text(json.dumps(merged))
        new.replace(self.path)
