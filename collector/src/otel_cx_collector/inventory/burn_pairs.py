"""Burn-rate pairs as data, and which of them can fire at a target. Not their evaluation (measure/burn.py)."""

from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from otel_cx_collector.inventory.quantities import UNITS


class Pair(NamedTuple):
    """Two windows that must both burn faster than ``factor``, for an objective over 30 days."""

    long_ns: int
    short_ns: int
    factor: Fraction
    kind: str
    """``page`` or ``ticket``."""


PAIRS: Final = {
    "1h/5m": Pair(UNITS["h"], 5 * UNITS["m"], Fraction("14.4"), "page"),
    "6h/30m": Pair(6 * UNITS["h"], 30 * UNITS["m"], Fraction(6), "page"),
    "1d/2h": Pair(UNITS["d"], 2 * UNITS["h"], Fraction(3), "ticket"),
    "3d/6h": Pair(3 * UNITS["d"], 6 * UNITS["h"], Fraction(1), "ticket"),
}
"""Source: The Site Reliability Workbook, table 5-8; 1d/2h from sloth's google-30d windows."""
WINDOW_NS: Final = 30 * UNITS["d"]
"""The window of the objective that the factors are written for."""


def scaled(pair: Pair, window_ns: int) -> Fraction:
    """The factor for an objective over ``window_ns``: the same share of its budget is gone when it fires."""
    return pair.factor * window_ns / WINDOW_NS


def allowed(target: float) -> Fraction:
    """1 - target, exactly as the file writes it: the share that may fail."""
    return 1 - Fraction(repr(target))


def can_fire(factor: Fraction, target: float) -> bool:
    """Whether a total failure burns faster than ``factor``: no burn is larger than 1/(1 - target)."""
    return factor * allowed(target) < 1


def largest_factor(target: float) -> str:
    """1/(1 - target), rounded down to two decimals: no burn rate is larger."""
    factor = 1 / (1 - Decimal(repr(target)))
    return f"{factor.quantize(Decimal('0.01'), ROUND_DOWN):f}"
