"""Counters of a node, and of several processes added up. Not what is counted."""

from dataclasses import dataclass, field, fields, replace
from functools import reduce
from typing import Any, Final

from otel_cx_collector.inventory.observed import Observed
from otel_cx_collector.receive.counts import Kind, Reason, Total, Transport
from otel_cx_collector.views.source import Intake

_KIND: Final = ("service", "kind", "route", "rpc", "destination", "journey", "step")
_COUNTS: Final = ("spans", "entries", "attempts", "sessions", "customers")


@dataclass(frozen=True, slots=True)
class Tally:
    """What a node counts beside what arrived: requests, its log, and the way to the store. Of all since its start."""

    requests: dict[Kind, Total] = field(default_factory=dict)
    refused: dict[tuple[Transport, Reason], int] = field(default_factory=dict)
    abandoned: dict[Transport, int] = field(default_factory=dict)
    in_flight_bytes: int = 0
    in_flight_limit_bytes: int = 0
    in_flight_clients: int = 0
    log_waiting: int = 0
    """Batches of the log that the store does not have."""
    durable_lag_s: float = 0.0
    """How long the request that waits longest for the disk has waited."""
    flush_lag_s: float = 0.0
    """How long the oldest batch that the store does not have has waited."""
    store_up: bool = True
    store_rows: int = 0
    store_blocks: int = 0
    store_errors: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        """Both nodes as one: sums, but the longest of lags, and a store that is down when it is down for one."""
        values = {each.name: _sum(getattr(self, each.name), getattr(other, each.name)) for each in fields(Tally)}
        for lag in ("durable_lag_s", "flush_lag_s"):
            values[lag] = max(getattr(self, lag), getattr(other, lag))
        return Tally(**{**values, "store_up": self.store_up and other.store_up})

    def outlived(self) -> "Tally":
        """What stays when the process is gone: what it counted, not how it stood."""
        counted = {"requests", "refused", "abandoned", "store_rows", "store_blocks", "store_errors"}
        return Tally(**{each.name: getattr(self, each.name) for each in fields(Tally) if each.name in counted})


def added(intakes: list[Intake]) -> Intake:
    """All of them as one: since the first, with every log, and the store failing when it fails one of them."""
    return reduce(_add, intakes, Intake())


def outlived(intake: Intake) -> Intake:
    """What stays of the counters of a process that is gone: what arrived, not how its log stood."""
    return replace(intake, log_used_bytes=0, log_limit_bytes=0, log_minutes_left=None, store_ok=True, store_error="")


def _add(one: Intake, other: Intake) -> Intake:
    values: dict[str, Any] = {
        each.name: _sum(getattr(one, each.name), getattr(other, each.name))
        for each in fields(Intake)
        if each.name != "log_minutes_left"
    }
    left = [each for each in (one.log_minutes_left, other.log_minutes_left) if each is not None]
    values["log_minutes_left"] = min(left, default=None)  # the first log that is full refuses
    values["since_s"] = min(filter(None, (one.since_s, other.since_s)), default=0)
    values["store_ok"] = one.store_ok and other.store_ok
    values["store_error"] = one.store_error or other.store_error
    return Intake(**values)


def _sum(one: Any, other: Any) -> Any:
    """Of two numbers, or of two mappings, value by value."""
    if not isinstance(one, dict):
        return one + other
    return {**one, **{key: one[key] + value if key in one else value for key, value in other.items()}}


def merged(seen: list[list[Observed]]) -> list[Observed]:
    """Kinds of traffic that several processes saw, each once; most frequent first."""
    kinds: dict[tuple[str, ...], Observed] = {}
    for each in (each for part in seen for each in part):
        kind = tuple(getattr(each, name) for name in _KIND)
        kinds[kind] = _both(kinds[kind], each) if kind in kinds else each
    return sorted(kinds.values(), key=lambda each: (-each.spans, *(getattr(each, name) for name in _KIND)))


def _both(one: Observed, other: Observed) -> Observed:
    return replace(
        one,
        **{name: getattr(one, name) + getattr(other, name) for name in _COUNTS},
        first_ns=min(filter(None, (one.first_ns, other.first_ns)), default=0),
        last_ns=max(one.last_ns, other.last_ns),
        position=_position(one, other),
        environments=_union(one.environments, other.environments),
        dimensions={
            name: _union(one.dimensions.get(name, ()), other.dimensions.get(name, ()))
            for name in {**one.dimensions, **other.dimensions}
        },
        ids=_union(one.ids, other.ids),
        probes=_union(one.probes, other.probes),
    )


def _position(one: Observed, other: Observed) -> float | None:
    """The mean of both, by spans: how many attempts each was seen in is not told."""
    if one.position is None or other.position is None:
        return other.position if one.position is None else one.position
    spans = one.spans + other.spans
    return (one.position * one.spans + other.position * other.spans) / spans if spans else one.position


def _union(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*one, *other}))
