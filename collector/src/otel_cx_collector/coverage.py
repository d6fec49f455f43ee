"""Which slices were measured, and how long stragglers are waited for (measures.md 1.2, 1.4). Judges nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otel_cx_collector.events import MINUTE_S, NS, SLICE_S
from otel_cx_collector.measure.columns import Bools

SLICES_A_MINUTE: Final = MINUTE_S // SLICE_S
EXPECTED_SLICES: Final = 600 // SLICE_S
"""A node is expected to report for ten minutes after it last did (1.4): one that is gone blinds nobody for long."""
SETTLE_MIN_S: Final = 15
SETTLE_MAX_S: Final = 120
"""An evaluation waits for stragglers: the services' p99 arrival lag, within these bounds."""
LAG_WINDOW_S: Final = 600
"""The arrival lag is taken from executions of the last ten minutes that ended while this process was up."""


@dataclass(frozen=True, slots=True)
class Beats:
    """Measured slices of one stretch of time. What lies outside of it counts as measured: nobody was expected."""

    from_s: int = 0
    slices: Bools = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))

    @classmethod
    def of(cls, nodes: Iterable[list[int]], from_s: int, to_s: int) -> "Beats":
        """A slice is measured when every node that should report did: each one heard of in the ten minutes before.

        Before the first heartbeat of all nobody was expected: what reached us late about that time is all there is.
        After it somebody is, always: a silence of everybody stays unmeasured however long it lasts.

        Args:
            nodes: Of each node, the slices it reported for.
            from_s: Start, a slice boundary.
            to_s: End.
        """
        count = max(0, (to_s - from_s) // SLICE_S)
        every, anyone = np.ones(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
        begin = count
        for reported in nodes:
            if not reported:
                continue
            index = (np.array(reported, dtype=np.int64) - from_s) // SLICE_S
            begin = min(begin, max(0, int(index.min())))
            beaten = np.zeros(count, dtype=np.bool_)
            beaten[index[(index >= 0) & (index < count)]] = True
            last = np.maximum.accumulate(np.where(beaten, np.arange(count), -EXPECTED_SLICES))
            expected = np.arange(count) - last < EXPECTED_SLICES
            every &= beaten | ~expected
            anyone |= beaten
        anyone[:begin] = True
        return cls(from_s, every & anyone)

    def between(self, from_s: int, to_s: int) -> Bools:
        """Of every slice in ``[from_s, to_s)``."""
        count = max(0, (to_s - from_s) // SLICE_S)
        found = np.ones(count, dtype=np.bool_)
        begin = (from_s - self.from_s) // SLICE_S
        low, high = max(0, begin), min(len(self.slices), begin + count)
        if low < high:
            found[low - begin : high - begin] = self.slices[low:high]
        return found

    def minutes(self, first: int, count: int) -> Bools:
        """Of each of ``count`` minutes from minute ``first`` (since the epoch) on: all of its slices."""
        slices = self.between(first * MINUTE_S, (first + count) * MINUTE_S)
        return np.asarray(slices.reshape(-1, SLICES_A_MINUTE).all(axis=1), dtype=np.bool_)


class Arrivals:
    """How late rows of the last minutes came."""

    def __init__(self, started_s: int) -> None:
        self._started_s = started_s
        self._recent: list[pa.Table] = []

    def settle_s(self, fresh: Iterable[pa.Table], now_s: int) -> int:
        """How long to wait for stragglers, once the rows that came since the last call are counted too."""
        since_ns = max(self._started_s, now_s - LAG_WINDOW_S) * NS
        self._recent += [table.select(["end", "inserted_at", "service"]) for table in fresh if table.num_rows]
        kept = [table.filter(pc.greater_equal(table["end"], since_ns)) for table in self._recent]
        self._recent = [table for table in kept if table.num_rows]
        return settle_s(self._recent, since_ns // NS)


def settle_s(tables: list[pa.Table], since_s: int) -> int:
    """How long to wait for stragglers: the largest p99 arrival lag of a service, within its bounds (1.2).

    Executions that ended before ``since_s`` are left out: what came about a time before we were up is a delivery that
    had to wait for us, or history, and says nothing of the way here.
    """
    if not tables:
        return SETTLE_MIN_S
    known = pa.concat_tables(tables, promote_options="permissive")
    recent = known.filter(pc.greater_equal(known["end"], since_s * NS))
    lag_s = (recent["inserted_at"].to_numpy() * 1000 - recent["end"].to_numpy()) / NS
    codes = recent["service"].cast(pa.string()).combine_chunks().dictionary_encode().indices
    service = codes.to_numpy(zero_copy_only=False)
    worst = max((float(np.quantile(lag_s[service == code], 0.99)) for code in np.unique(service)), default=0.0)
    return int(min(max(SETTLE_MIN_S, np.ceil(worst)), SETTLE_MAX_S))
