"""What a judgement reads besides the journey's own rows: saturation, facts, coverage. Values only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from otel_cx_collector.events import SLICE_S
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.measure.changes import Known
from otel_cx_collector.measure.columns import Bools
from otel_cx_collector.measure.track import Measured, always


class Level(Protocol):
    """How full one resource is."""

    def share(self, at_s: int) -> float | None:
        """Of its limit, as of the slice that ends at T; None: nothing was reported."""
        ...


def every_slice(from_s: int, to_s: int) -> Bools:
    """All slices of ``[from_s, to_s)`` are measured, as in replay."""
    return np.ones(max(0, (to_s - from_s) // SLICE_S), dtype=np.bool_)


@dataclass(frozen=True)
class World:
    """The surroundings of all journeys at the boundaries that are judged."""

    inventory: Inventory
    levels: Mapping[str, Level] = field(default_factory=dict)
    """By the resource's name under ``saturation``."""
    known: Known = field(default_factory=Known)
    """Deploys, flags, renewals, maintenance."""
    measured_slices: Callable[[int, int], Bools] = every_slice
    """Of every slice in ``[from_s, to_s)``, whether it was measured."""
    measured_minutes: Measured = always
