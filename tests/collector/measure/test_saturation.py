"""How full resources are (measures.md 5.5): the worst instance's sum over its series, of the limit, carried 60 s."""

import random
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector import inventory
from otel_cx_collector.events import NS, SLICE_S, SignalPoint, signal_batch
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.inventory.decisions import Saturation as Entry
from otel_cx_collector.measure.saturation import CARRIED_S, Saturation, build

T0 = 1_767_603_600


def file(limit: float = 50) -> Inventory:
    entries = {"db": Entry(metric="connections", limit=limit), "cache": Entry(metric="entries", limit=10.0)}
    return replace(inventory.parse("journeys: {checkout: {steps: [payment]}}"), saturation=entries)


FILE = file()


def point(second: float, value: float, series: str = "s", instance: str = "i", resource: str = "db") -> SignalPoint:
    return SignalPoint(resource, instance, series, round((T0 + second) * NS), value)


def db(*points: SignalPoint) -> Saturation:
    return build(list(points), FILE)["db"]


def test_every_resource_is_there_also_without_a_point() -> None:
    found = build([point(1, 5)], FILE)
    assert set(found) == {"db", "cache"}
    assert found["cache"].share(T0 + 10) is None
    assert found["cache"].series(T0, T0 + 20) == [None, None]


def test_a_share_is_of_the_limit_and_as_of_the_slice_that_has_ended() -> None:
    found = db(point(1, 10), point(8, 40), point(10, 25))
    assert found.share(T0 + 9) is None
    assert found.share(T0 + 10) == 0.8
    assert found.share(T0 + 19) == 0.8
    assert found.share(T0 + 20) == 0.5
    assert found.times[0] == T0 + 10


def test_series_of_one_instance_are_added_up() -> None:
    assert db(point(1, 10, "used"), point(2, 5, "idle"), point(9, 15, "used")).share(T0 + 10) == 0.4


def test_the_worst_instance_counts() -> None:
    points = [point(1, 10, instance="a"), point(1, 30, instance="b"), point(2, 10, "t", instance="a")]
    assert db(*points).share(T0 + 10) == 0.6


def test_a_value_is_carried_for_60_s_after_the_slice_that_holds_it_and_no_longer() -> None:
    found = db(point(0, 10))
    known = [found.share(T0 + SLICE_S + carried) for carried in range(0, CARRIED_S + 20, SLICE_S)]
    assert known == [0.2] * 7 + [None]


def test_a_series_and_an_instance_that_fall_silent_no_longer_count() -> None:
    points = [point(0, 40, "gone"), point(0, 45, instance="gone")]
    points += [point(second, 10) for second in range(0, 100, 10)]
    found = db(*points)
    assert found.share(T0 + 10 + CARRIED_S) == 1.0
    assert found.share(T0 + 20 + CARRIED_S) == 0.2


def test_an_exporter_that_sends_once_a_minute_leaves_no_gap_when_it_is_a_little_late() -> None:
    found = db(*(point(9.9 + 60.1 * number, 10) for number in range(60)))
    assert None not in found.series(T0, T0 + 3600)


def test_a_gap_in_the_data_is_a_gap_in_the_chart() -> None:
    found = db(point(0, 10), point(100, 20))
    assert found.series(T0, T0 + 110) == [0.2] * 7 + [None] * 3 + [0.4]


def test_points_come_as_the_table_of_the_store_with_dictionaries_or_without() -> None:
    points = [point(second, second, series) for second in range(30) for series in ("a", "b")]
    plain = pa.Table.from_batches([signal_batch(points)])
    parts = [signal_batch(points[:7]), signal_batch(points[7:])]
    chunked = pa.Table.from_batches(parts)
    encoded = plain
    for name in ("resource", "instance", "series"):
        at = plain.column_names.index(name)
        encoded = encoded.set_column(at, name, plain[name].dictionary_encode())
    expected = build(points, FILE)["db"].series(T0, T0 + 60)
    for table in (plain, chunked, encoded):
        assert build(table, FILE)["db"].series(T0, T0 + 60) == expected


def test_the_limit_is_that_of_the_inventory_in_force() -> None:
    assert build([point(1, 10)], file(limit=20))["db"].share(T0 + 10) == 0.5


POINTS = st.builds(
    point,
    st.integers(0, 3_000).map(lambda tenths: tenths / 10),
    st.integers(-5, 100).map(lambda halves: halves / 2),
    st.sampled_from("abc"),
    st.sampled_from(["i", "j"]),
)


def plainly(points: list[SignalPoint], at_s: int) -> float | None:
    """The definition, written as it is read."""
    latest: dict[tuple[str, str], tuple[int, float]] = {}
    for each in points:
        if each.at_ns < at_s * NS and at_s - (each.at_ns // NS // SLICE_S + 1) * SLICE_S <= CARRIED_S:
            key = each.instance, each.series
            latest[key] = max(latest.get(key, (0, 0.0)), (each.at_ns, each.value))
    sums: dict[str, float] = {}
    for (instance, _), (_, value) in latest.items():
        sums[instance] = sums.get(instance, 0) + value
    return max(sums.values()) / 50 if sums else None


@given(st.lists(POINTS, max_size=40))
def test_shares_are_what_the_definition_says(points: list[SignalPoint]) -> None:
    found = db(*points)
    times = range(T0, T0 + 400, SLICE_S)
    assert [found.share(at) for at in times] == [plainly(points, at) for at in times]
    assert [found.share(at) for at in times[1:]] == found.series(T0, T0 + 390)


@given(st.lists(st.tuples(POINTS, st.floats(-1e9, 1e9)), max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_points_and_points_that_come_twice_change_nothing(
    given_points: list[tuple[SignalPoint, float]], chance: random.Random
) -> None:
    points = [SignalPoint(p.resource, p.instance, p.series, p.at_ns, value) for p, value in given_points]
    shuffled = points * 2
    chance.shuffle(shuffled)
    assert db(*shuffled).shares.tobytes() == db(*points).shares.tobytes()


@given(st.lists(POINTS, max_size=30, unique_by=lambda each: (each.instance, each.series, each.at_ns)))
def test_a_value_split_into_two_series_adds_up(points: list[SignalPoint]) -> None:
    halves = [
        SignalPoint(p.resource, p.instance, f"{p.series}{half}", p.at_ns, p.value / 2)
        for p in points
        for half in (1, 2)
    ]
    assert db(*halves).shares.tolist() == pytest.approx(db(*points).shares.tolist())


@given(st.lists(POINTS, max_size=30), st.integers(0, 30))
def test_what_was_known_at_a_boundary_stays_when_later_points_come(points: list[SignalPoint], slices: int) -> None:
    at_s = T0 + slices * SLICE_S
    before = [each for each in points if each.at_ns < at_s * NS]
    assert db(*before).share(at_s) == db(*points).share(at_s)
