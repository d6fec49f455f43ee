"""Laws of judging: in pieces as through, live as in replay, and nothing that comes after T says anything at T."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import START_S, Row, table

from otel_cx_collector import inventory
from otel_cx_collector.coverage import Beats
from otel_cx_collector.decide.words import Record
from otel_cx_collector.events import NS
from otel_cx_collector.incidents.words import Incident, Tell
from otel_cx_collector.judging import state as memory
from otel_cx_collector.judging.judge import judge
from otel_cx_collector.judging.state import State
from otel_cx_collector.judging.subject import Subject
from otel_cx_collector.judging.world import World
from otel_cx_collector.measure.columns import Bools
from otel_cx_collector.measure.figures import BurnAlert
from otel_cx_collector.measure.track import Track

FILE = inventory.parse(
    """
notify: {ops: {slack: {webhook_url_file: /run/secrets/slack}}}
journeys:
  checkout:
    timeout: 3m
    mature: 1m
    steps: [{name: cart, stage: 0.4}, payment]
    objectives:
      - {sli: availability, target: 95%, window: 30d, alerts: [1h/5m]}
escalation:
  - name: slow
    journey: checkout
    when: {all: [{latency: p50, above: 1s, over: 2m, for: 40s}, {not: {availability: ok, over: 2m}}]}
    then: {severity: P2, notify: [ops]}
    on_unknown: hold
  - name: lost
    journey: checkout
    when: {completion: drop, by: 20%, over: 3m, for: 30s}
    then: {monitor: 2m}
  - name: hurt
    journey: "*"
    when: {impact: score, above: 4}
    then: {severity: by-score, notify: [ops]}
"""
)
JOURNEY = FILE.journeys["checkout"]
MINUTES = 24
END_S = START_S + MINUTES * 60


@dataclass
class Told:
    """What a judgement said."""

    records: list[Record]
    tells: list[Tell]
    alerts: dict[tuple[str, int], BurnAlert]
    incidents: dict[str, Incident]


@st.composite
def recordings(draw: st.DrawFn) -> list[Row]:
    """Calm, then harm, slowness or silence, then whatever."""
    rows: list[Row] = []
    minute = 0
    while minute < MINUTES:
        length = draw(st.integers(2, 12))
        a_minute, failed = draw(st.sampled_from([0, 4, 8])), draw(st.sampled_from([0, 0, 2, 8]))
        slow, account = draw(st.booleans()), draw(st.sampled_from(["", "k.1"]))
        for at in range(minute, min(MINUTES, minute + length)):
            for i in range(a_minute):
                begin, name = at * 60 + i * 60 / a_minute, f"{at}-{i}"
                rows.append(Row(begin, name, "cart", account=account, customer=f"c{i}"))
                if i % 4 < 3:
                    outcome = "failed" if i < failed else "ok"
                    end = min(begin + 20, MINUTES * 60 - 1)
                    rows.append(Row(end, name, outcome=outcome, duration_s=3.0 if slow else 0.1, account=account))
        minute += length
    return rows or [Row(0, "one")]


Covered = tuple[Callable[[int, int], Bools], Callable[[int, int], Bools]]


def world(measured: list[bool] | None = None) -> World:
    """Of each slice, whether it was measured; all were where nothing is said, by the calls of replay."""
    if measured is None:
        return World(FILE)
    beats = Beats(START_S, np.array(measured, dtype=np.bool_))
    return World(FILE, measured_slices=beats.between, measured_minutes=beats.minutes)


def subject(rows: pa.Table, around: World) -> dict[str, Subject]:
    track = Track(JOURNEY, FILE, part_s=300)
    track.add(rows)
    return {"checkout": Subject(track, around)}


def judged(cuts: list[int], around: World, subjects: Callable[[int], dict[str, Subject]]) -> Told:
    """Judge from cut to cut; from each the memory goes on as it was written down."""
    found = Told([], [], {}, {})
    state = State(START_S)
    for cut in cuts:
        said = judge(subjects(cut), state, cut, around)
        found.records += said.records
        found.tells += said.tells
        found.alerts |= {(each.policy, each.fired_s): each for each in said.alerts}
        found.incidents |= said.incidents
        latest = [each.incident for each in state.journeys.values() if each.incident]
        state = memory.read(state.at_s, memory.VERSION, memory.write(state), latest)
    return found


def boundaries(drawn: list[int]) -> list[int]:
    return [*sorted(START_S + 10 * at for at in drawn), END_S]


cuts = st.lists(st.integers(1, MINUTES * 6 - 1), max_size=6, unique=True).map(boundaries)
slices = st.lists(st.tuples(st.integers(0, MINUTES * 6 - 1), st.integers(1, 30)), max_size=3)


def gaps(drawn: list[tuple[int, int]]) -> list[bool]:
    measured = [True] * (MINUTES * 6)
    for begin, length in drawn:
        measured[begin : begin + length] = [False] * len(measured[begin : begin + length])
    return measured


@settings(max_examples=12, deadline=None)
@given(recordings(), cuts, st.one_of(st.none(), slices.map(gaps)))
def test_judging_in_pieces_with_fresh_tracks_says_the_same_as_judging_through(
    rows: list[Row], pieces: list[int], measured: list[bool] | None
) -> None:
    known, around = table(rows), world(measured)
    through = judged([END_S], around, lambda _: subject(known, around))
    assert judged(pieces, around, lambda _: subject(known, around)) == through


@settings(max_examples=10, deadline=None)
@given(recordings(), recordings(), st.integers(6, MINUTES * 6 - 1))
def test_what_comes_after_t_says_nothing_at_t(rows: list[Row], others: list[Row], at: int) -> None:
    at_s = START_S + 10 * at
    early = [row for row in rows if row.at_s < 10 * at]
    # Later rows of the same attempts, named differently, and rows of others.
    late = [replace(row, customer=f"x{row.customer}") for row in rows if row.at_s >= 10 * at]
    late += [replace(row, attempt=f"o{row.attempt}") for row in others if row.at_s >= 10 * at]
    around = world()
    known, full = (table(each) for each in (early, [*early, *late]))
    one = judged([at_s], around, lambda _: subject(known, around))
    other = judged([at_s], around, lambda _: subject(full, around))
    assert one == other


@settings(max_examples=10, deadline=None)
@given(recordings(), st.integers(20, 90))
def test_with_everything_measured_live_rounds_say_what_replay_says(rows: list[Row], settle: int) -> None:
    known = table(rows)
    replayed = judged([END_S], world(), lambda _: subject(known, world()))
    around = world([True] * (MINUTES * 6))
    live = subject(known.slice(0, 0), around)
    ends = known["end"].to_numpy()
    arrived = [START_S]

    def round_of(at_s: int) -> dict[str, Subject]:
        """Rows are there up to ``settle`` after T, those of the last round not again."""
        fresh = (ends >= arrived[-1] * NS) & (ends < (at_s + settle) * NS)
        arrived.append(at_s + settle)
        live["checkout"].track.add(known.filter(pa.array(fresh)))
        return live

    assert judged(list(range(START_S + 10, END_S + 1, 10)), around, round_of) == replayed


@settings(max_examples=10, deadline=None)
@given(recordings(), st.integers(10, MINUTES - 3))
def test_while_nothing_is_measured_nothing_opens_closes_fires_or_resolves(rows: list[Row], dark: int) -> None:
    around = world(gaps([(dark * 6, MINUTES * 6)]))
    said = judged([END_S], around, lambda _: subject(table(rows), around))
    edge = START_S + dark * 60
    assert all(tell.incident.history[-1].at_s <= edge for tell in said.tells)
    assert all(each.fired_s <= edge + 60 for each in said.alerts.values())
    assert all((each.closed_s or 0) <= edge for each in said.incidents.values())
