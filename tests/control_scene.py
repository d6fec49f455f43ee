"""A control over a store in memory, with a clock that the test turns. No expectations."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
from rows import START_S, Row, table

from otel_cx_collector import inventory
from otel_cx_collector.answers import Answers
from otel_cx_collector.beat import Beater
from otel_cx_collector.control import Control
from otel_cx_collector.events import NS, SIGNAL_SCHEMA, Fact
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.state import State
from otel_cx_collector.views.source import Intake

FILE = inventory.parse("journeys: {checkout: {steps: [cart, payment, confirm]}}")


def stored(rows: list[Row], arrived_s: float | None = None) -> pa.Table:
    """Rows as the store answers: with the time they were inserted, microseconds."""
    found = table(rows)
    ends = found["end"].to_pylist()
    inserted = [(START_S + arrived_s) * 10**6 if arrived_s is not None else end // 1000 + 10**6 for end in ends]
    return found.append_column("inserted_at", pa.array([int(one) for one in inserted], pa.int64()))


@dataclass
class FakeStore:
    """The store's answers over rows in memory, in order of arrival."""

    arrived: list[pa.Table] = field(default_factory=list)
    beats: dict[str, list[int]] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    levels: list[pa.Table] = field(default_factory=list)

    def steps(self, journey: str, start_ns: int, end_ns: int, environments: tuple[str, ...]) -> pa.Table:  # noqa: ARG002
        return pa.concat_tables(self.arrived) if self.arrived else stored([])

    def cursor_us(self) -> int:
        return len(self.arrived)

    def steps_inserted_since(self, journey: str, cursor_us: int) -> tuple[pa.Table, int]:  # noqa: ARG002
        fresh = self.arrived[cursor_us:]
        return (pa.concat_tables(fresh) if fresh else stored([])), len(self.arrived)

    def facts_since(self, cursor_us: int) -> tuple[list[Fact], int]:
        return self.facts[cursor_us:], len(self.facts)

    def signals_since(self, cursor_us: int) -> tuple[pa.Table, int]:
        fresh = self.levels[cursor_us:]
        return (pa.concat_tables(fresh) if fresh else SIGNAL_SCHEMA.empty_table()), len(self.levels)

    def heartbeat(self, node: str, slices_s: list[int]) -> None:
        self.beats.setdefault(node, []).extend(slices_s)

    def heartbeats(self, start_s: int, end_s: int) -> dict[str, list[int]]:
        return {node: [s for s in slices if start_s <= s < end_s] for node, slices in self.beats.items()}


@dataclass
class Scene:
    """A control over a fake store, with a clock that the test turns."""

    store: FakeStore = field(default_factory=FakeStore)
    state: State = field(default_factory=State.memory)
    inventory: Inventory = FILE
    now_s: float = 0
    took_all: bool = True
    flushed: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        def clock() -> int:
            return round((START_S + self.now_s) * NS)

        beater = Beater("one", self.store, clock, lambda: self.flushed(), lambda: self.took_all)  # noqa: PLW0108
        self.control = Control(
            inventory=self.inventory,
            rows=self.store,
            state=self.state,
            clock=clock,
            prepare=beater.beat,
            counters=Intake,
        )
        self.answers = Answers(self.control, list)

    def judge(self, at_s: float) -> None:
        self.now_s = at_s
        self.control.judge()
