"""Counts by equal steps of time that add up: what minutes and slices are kept as. Says nothing of what is counted."""

from dataclasses import dataclass

import numpy as np

from otel_cx_collector.measure.columns import Ints


@dataclass(slots=True)
class Tally:
    """Counts, one row a step of time. Tallies over disjoint sets of attempts add up to that of their union."""

    first: int
    """Steps since the epoch of row 0."""
    counts: Ints
    """Shape (steps of time, things counted)."""
    floor: int = 0
    """Steps before it were dropped and do not come back."""

    @staticmethod
    def empty(width: int) -> "Tally":
        """Nothing counted of ``width`` things."""
        return Tally(0, np.zeros((0, width), dtype=np.int64))

    def __len__(self) -> int:
        """How many steps of time there are."""
        return len(self.counts)

    @property
    def end(self) -> int:
        """The step after the last."""
        return self.first + len(self)

    def add(self, other: "Tally", sign: int = 1) -> None:
        """Add another tally, or with ``sign`` -1 take it away again; grows at either end."""
        low = max(other.first, self.floor)
        if low >= other.end:
            return
        self.reach(low, other.end)
        self.counts[low - self.first : other.end - self.first] += sign * other.counts[low - other.first :]

    def reach(self, low: int, high: int) -> None:
        """Grow so that the steps ``[low, high)`` are there."""
        if not len(self):
            self.first, self.counts = low, np.zeros((high - low, self.counts.shape[1]), dtype=np.int64)
        elif low < self.first or high > self.end:
            low, high = min(low, self.first), max(high, self.end)
            grown = np.zeros((high - low, self.counts.shape[1]), dtype=np.int64)
            grown[self.first - low : self.end - low] = self.counts
            self.first, self.counts = low, grown

    def drop(self, before: int) -> None:
        """Forget the steps before ``before``."""
        self.floor = max(self.floor, before)
        if len(self) and before > self.first:
            self.counts = self.counts[before - self.first :].copy()
            self.first = before

    def total(self, column: int, low: int, high: int) -> int:
        """Sum of one thing over the steps ``[low, high)``; those outside count 0."""
        return int(self.counts[max(0, low - self.first) : max(0, high - self.first), column].sum())
