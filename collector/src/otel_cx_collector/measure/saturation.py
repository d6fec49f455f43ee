"""How full the resources of the inventory are, slice by slice, from metric points (measures.md 5.5). No verdict.

Points may come in any order, late, or twice: the same points give the same shares.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from otel_cx_collector.events import NS, SLICE_S, SignalPoint, signal_batch
from otel_cx_collector.inventory import Inventory

CARRIED_S: Final = 60
"""How long a series' last value stands after the slice that holds it: exporters send once a minute by default, and a
point that is late by less than a slice leaves no gap."""

_SLICES: Final = CARRIED_S // SLICE_S + 1
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Saturation:
    """One resource's share of its limit over time."""

    times: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    """Slice boundaries T at which the share is known, seconds since the epoch, ascending."""
    shares: Floats = field(default_factory=lambda: np.empty(0))
    """At each of them: the worst instance's sum over its series, of the limit."""

    def share(self, at_s: int) -> float | None:
        """The share as of the last slice that ended at or before ``at_s``; None when nothing stands there."""
        boundary = at_s // SLICE_S * SLICE_S
        at = int(np.searchsorted(self.times, boundary))
        return float(self.shares[at]) if at < len(self.times) and self.times[at] == boundary else None

    def series(self, from_s: int, to_s: int) -> list[float | None]:
        """The share at the end of each slice in [from_s, to_s)."""
        starts = range(from_s // SLICE_S * SLICE_S, to_s, SLICE_S)
        return [self.share(start + SLICE_S) for start in starts]


def build(points: pa.Table | list[SignalPoint], inventory: Inventory) -> dict[str, Saturation]:
    """Every resource under ``saturation``, also those without a point.

    Args:
        points: Points, or a table with the columns of SIGNAL_SCHEMA; those of other resources are passed over.
        inventory: Says which resources there are, and the limit of each.
    """
    table = pa.Table.from_batches([signal_batch(points)]) if isinstance(points, list) else points
    return {name: _of(table, name, entry.limit) for name, entry in inventory.saturation.items()}


def _of(table: pa.Table, resource: str, limit: float) -> Saturation:
    """Each point stands from its slice until the next slice with a point of its series, at most ``_SLICES`` slices.

    Written out slice by slice and added up in the order of the series, so that no order of points changes a bit.
    """
    rows = table.filter(pc.equal(table["resource"], resource))
    if not rows.num_rows:
        return Saturation()
    instance, series = _ranks(rows["instance"]), _ranks(rows["series"])
    at_ns, value = rows["at_ns"].to_numpy(), rows["value"].to_numpy()
    order = np.lexsort((value, at_ns, series, instance))
    instance, series, value = instance[order], series[order], value[order]
    slices = at_ns[order] // (SLICE_S * NS)
    same = (instance[1:] == instance[:-1]) & (series[1:] == series[:-1])
    last = np.append(~(same & (slices[1:] == slices[:-1])), True)
    instance, series, value, slices = instance[last], series[last], value[last], slices[last]
    same = (instance[1:] == instance[:-1]) & (series[1:] == series[:-1])
    stands = np.full(len(slices), _SLICES)
    stands[:-1][same] = np.minimum(np.diff(slices)[same], _SLICES)
    return _worst(np.repeat(instance, stands), _written_out(slices, stands), np.repeat(value, stands), limit)


def _written_out(slices: Ints, stands: Ints) -> Ints:
    """The slices in which each point stands, one after the other."""
    first = np.repeat(np.cumsum(stands) - stands, stands)
    return np.asarray(np.repeat(slices, stands) + np.arange(len(first)) - first)


def _worst(instance: Ints, slices: Ints, value: Floats, limit: float) -> Saturation:
    """Of each slice the largest sum of an instance."""
    order = np.lexsort((instance, slices))  # stable: series of an instance keep their order
    instance, slices, value = instance[order], slices[order], value[order]
    new = np.append(True, (np.diff(slices) != 0) | (np.diff(instance) != 0))
    sums = np.add.reduceat(value, np.flatnonzero(new))
    boundaries = (slices[new] + 1) * SLICE_S
    times, starts = np.unique(boundaries, return_index=True)
    return Saturation(times, np.maximum.reduceat(sums, starts) / limit)


def _ranks(column: Any) -> Ints:
    """Each text's place among all, in alphabetical order."""
    encoded = column.combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    ranks = pc.rank(encoded.dictionary, tiebreaker="dense").to_numpy()
    return np.asarray(ranks[encoded.indices.to_numpy()], np.int64)
