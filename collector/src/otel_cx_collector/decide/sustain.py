"""``for``: how long a predicate has been true, in measured slices of event time (measures.md 5.6). No clock."""

from dataclasses import dataclass
from typing import Final

from otel_cx_collector.decide.words import Truth
from otel_cx_collector.events import NS, SLICE_S

LIFETIMES: Final = 2
"""The state expires when the last true slice is more than this many times ``for`` ago."""


@dataclass(frozen=True, slots=True)
class Sustained:
    """What one place in a tree remembers between slice boundaries."""

    slices: int = 0
    """Measured slices on which the predicate was true since it last was false."""
    last_s: int = 0
    """T of the last of them."""

    @property
    def held_s(self) -> int:
        """Seconds for which it has been true on measured slices."""
        return self.slices * SLICE_S


NEVER: Final = Sustained()


def advanced(state: Sustained, inner: Truth, at_s: int, for_ns: int) -> Sustained:
    """The state after the slice that ends at ``at_s``; asking again at the same T changes nothing.

    Args:
        state: After an earlier boundary, or after this one.
        inner: The predicate without its ``for``; unknown also for a slice that was not measured.
        at_s: T.
        for_ns: How long it must be true.
    """
    if inner is Truth.FALSE:
        return NEVER
    if state.slices and (at_s - state.last_s) * NS > LIFETIMES * for_ns:
        state = NEVER
    if inner is Truth.UNKNOWN or state.last_s == at_s:
        return state
    return Sustained(state.slices + 1, at_s)


def verdict(state: Sustained, inner: Truth, for_ns: int) -> Truth:
    """True when true for long enough (a gap holds it), else false, or unknown when nothing is known just now."""
    if state.held_s * NS >= for_ns:
        return Truth.TRUE
    return Truth.UNKNOWN if inner is Truth.UNKNOWN else Truth.FALSE
