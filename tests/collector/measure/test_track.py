"""Laws of a track: however rows come, and whatever came in between, it ends as one that was fed at once."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import START_S, Row, table

from otel_cx_collector import inventory
from otel_cx_collector.events import NS
from otel_cx_collector.measure.columns import Bools
from otel_cx_collector.measure.episodes import NORMAL_REACH
from otel_cx_collector.measure.evaluation import of_track
from otel_cx_collector.measure.live import pulse
from otel_cx_collector.measure.track import HISTORY_PARTS, Measured, Track, always

FILE = inventory.parse(
    """
journeys:
  checkout:
    timeout: 3m
    steps: [{name: cart, stage: 0.4}, {name: payment, slow_after: 1s}]
    objectives: [{sli: availability, target: 95%, window: 30d}, {sli: latency, threshold: 1s, target: 90%, window: 7d}]
"""
)
JOURNEY = FILE.journeys["checkout"]
MINUTES = 30
FIRST = START_S // 60

rows = st.builds(
    Row,
    at_s=st.integers(0, MINUTES * 60 - 1),
    attempt=st.integers(0, 60).map(str),
    step=st.sampled_from(["cart", "payment"]),
    outcome=st.sampled_from(["ok", "ok", "failed", "rejected", "cancelled"]),
    duration_s=st.sampled_from([0.1, 0.9, 3.0]),
    grade=st.sampled_from(["explicit", "session"]),
    customer=st.sampled_from(["", "", "k.1", "k.2"]),
)


def graded(row: Row) -> Row:
    """An attempt has one grade: its key says which."""
    return replace(row, grade="session" if int(row.attempt) % 3 == 0 else "explicit")


traffic = st.lists(rows.map(graded), min_size=20, max_size=80)


def state(track: Track) -> dict[str, Any]:
    """What counts of a track."""
    walk = track.walk
    return {
        "spans": [replace_beta(span) for span in walk.spans],
        "clean": walk.clean,
        "missing": walk.missing,
        "levels": walk.levels,
        "minutes": counted(track.first, track.counts),
        "slices": counted(track.slices.first, track.slices.counts),
        "rows": track.rows,
    }


def replace_beta(span: Any) -> tuple[object, ...]:
    reference = span.reference
    beta = tuple(np.round(reference.beta, 9).tolist())
    return span.start, span.end, span.confirmed, span.young, span.over, span.quiet, reference.baseline, beta


def counted(first: int, counts: Any) -> dict[tuple[int, int], int]:
    return {(first + int(at), int(what)): int(counts[at, what]) for at, what in zip(*np.nonzero(counts), strict=True)}


def whole(rows: pa.Table, measured: Measured = always) -> Track:
    track = Track(JOURNEY, FILE)
    track.add(rows)
    track.close(START_S + MINUTES * 60, measured)
    return track


def first_minute(rows: pa.Table) -> pa.Table:
    """A row in the first minute, so that every feed begins alike."""
    return pa.concat_tables([table([Row(0, "first")]), rows.slice(0)])


@dataclass
class Draw:
    """Pieces of a table: which rows come when, and up to which minute is walked after each piece."""

    pieces: list[pa.Table]
    closes: list[int]


@st.composite
def feeds(draw: st.DrawFn) -> tuple[pa.Table, Draw]:
    """Rows, some in a later version too and some twice, in any order and any pieces."""
    known = first_minute(table(draw(traffic)))
    changed = draw(st.lists(st.integers(0, known.num_rows - 1), max_size=10))
    newer = known.take(pa.array(changed, pa.int64()))
    outcome = draw(st.sampled_from(["ok", "failed", "rejected"]))
    newer = newer.set_column(
        newer.schema.get_field_index("outcome"), "outcome", pa.array([outcome] * len(changed), pa.string())
    )
    newer = newer.set_column(
        newer.schema.get_field_index("version"), "version", pa.array([1] * len(changed), pa.uint64())
    )
    everything = pa.concat_tables([known, newer])
    order = draw(st.permutations(range(everything.num_rows)))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=5)))
    pieces = [order[low:high] for low, high in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    again = draw(st.lists(st.integers(0, everything.num_rows - 1), max_size=10))
    tables = [everything.take(pa.array(piece, pa.int64())) for piece in [*pieces, again]]
    return everything, Draw(tables, draw(st.lists(st.integers(0, MINUTES), min_size=len(tables), max_size=len(tables))))


@settings(max_examples=25, deadline=None)
@given(feeds())
def test_a_track_fed_in_any_order_and_any_pieces_ends_as_one_fed_at_once(fed: tuple[pa.Table, Draw]) -> None:
    everything, drawn = fed
    track = Track(JOURNEY, FILE, part_s=120)
    for piece, minute in zip(drawn.pieces, drawn.closes, strict=True):
        track.add(piece)
        track.close(START_S + minute * 60)
    track.close(START_S + MINUTES * 60)
    expected = whole(everything)
    assert state(track) == state(expected)
    last = FIRST + MINUTES - 1
    assert round(pulse(track, last).score, 9) == round(pulse(expected, last).score, 9)
    assert track.customers(FIRST, last + 1) == expected.customers(FIRST, last + 1)


@settings(max_examples=20, deadline=None)
@given(traffic, st.lists(st.booleans(), min_size=MINUTES, max_size=MINUTES), st.integers(1, MINUTES))
def test_heartbeats_that_come_late_change_what_was_walked_as_if_they_had_been_there(
    drawn: list[Row], beats: list[bool], early: int
) -> None:
    known = first_minute(table(drawn))

    def measured(first: int, count: int) -> Bools:
        return np.array([beats[at] if at < MINUTES else True for at in range(first - FIRST, first - FIRST + count)])

    def none(first: int, count: int) -> Bools:
        return np.zeros(count, dtype=np.bool_)

    track = Track(JOURNEY, FILE)
    track.add(known)
    track.close(START_S + early * 60, none)
    assert not track.walk.spans
    assert not track.walk.clean
    track.close(START_S + MINUTES * 60, measured)
    assert state(track) == state(whole(known, measured))


@settings(max_examples=25, deadline=None)
@given(traffic, st.integers(1, MINUTES - 1))
def test_what_a_minute_says_does_not_change_with_what_comes_after_it(drawn: list[Row], minute: int) -> None:
    known = first_minute(table(drawn))
    edge = (START_S + minute * 60) * NS
    early = known.filter(pa.array(known["end"].to_numpy() < edge))
    cut, full = Track(JOURNEY, FILE), Track(JOURNEY, FILE)
    cut.add(early)
    full.add(known)
    for track in (cut, full):
        track.close(START_S + minute * 60)
    at = FIRST + minute - 1
    one, other = pulse(cut, at), pulse(full, at)
    assert (round(one.score, 9), one.harmed, one.young, one.missing) == (
        round(other.score, 9), other.harmed, other.young, other.missing
    )  # fmt: skip
    assert cut.customers(FIRST, at + 1) == full.customers(FIRST, at + 1)
    assert state(cut)["spans"] == state(full)["spans"]


def test_a_late_row_long_after_an_episode_was_dropped_is_taken() -> None:
    outage = [Row(m * 60 + i, f"{m}-{i}", outcome="failed" if m == 30 else "ok") for m in range(60) for i in range(5)]
    track = Track(JOURNEY, FILE)
    track.add(table(outage))
    track.close(START_S + 3600)
    assert len(track.walk.spans) == 1
    month_s = (NORMAL_REACH + 120) * 60
    track.add(table([Row(month_s, "new")]))
    track.close(START_S + month_s + 120)
    track.drop(START_S + month_s - 3600)
    assert not track.walk.spans
    track.add(table([Row(month_s + 30, "late")]))
    track.close(START_S + month_s + 180)
    assert track.walk.next == (START_S + month_s + 180) // 60


def test_history_of_a_quiet_journey_lies_in_few_parts_and_what_is_new_in_its_own() -> None:
    track = Track(JOURNEY, FILE)
    hours = HISTORY_PARTS * 4
    track.add(table([Row(hour * 3600, f"h{hour}") for hour in range(hours)]))
    assert len(track._parts) <= 2
    track.add(table([Row(hours * 3600, "new")]))
    assert track._parts[(START_S + hours * 3600) // 900].table.num_rows == 1
    assert track.rows == hours + 1
    track.close(START_S + (hours * 3600) + 60)
    assert track.counts[:, 0].sum() == hours + 1


def test_all_rows_of_a_track_are_given_back_as_the_store_encoded_them() -> None:
    rows = table([Row(at_s=at_s, attempt=str(at_s)) for at_s in (0, 7_200)])
    stored = rows.set_column(rows.schema.get_field_index("segment"), "segment", rows["segment"].dictionary_encode())
    track = Track(JOURNEY, FILE)
    assert track.table().num_rows == 0
    for at in range(stored.num_rows):
        track.add(stored.slice(at, 1))
    assert track.table().num_rows == 2


def test_rows_that_came_after_the_last_closed_minute_are_answered_without_being_judged() -> None:
    track = Track(JOURNEY, FILE)
    track.add(table([Row(at_s=at_s, attempt=str(at_s)) for at_s in range(0, 1_200, 10)]))
    track.close(START_S + 1_200)
    track.add(table([Row(at_s=at_s, attempt=str(at_s)) for at_s in range(1_200, 1_500, 5)]))
    later = of_track(track, (START_S + 1_600) * NS)
    assert len(later.columns) == 180
    assert 6 <= later.mature.started <= 12
