"""Rounds: what is read, when it is judged, what is unmeasured (measures.md 1)."""

import pyarrow as pa
import pytest
from control_scene import FILE, Scene, stored
from rows import START_S, Row, table

from otel_cx_collector.coverage import settle_s
from otel_cx_collector.errors import Unavailable
from otel_cx_collector.events import NS
from otel_cx_collector.measure.track import Track, merged
from otel_cx_collector.views.source import NotFound


def test_a_round_judges_the_newest_boundary_that_is_settled() -> None:
    scene = Scene()
    scene.judge(100)
    assert scene.answers.watermark_s() == START_S + 80
    scene.judge(105)
    assert scene.answers.watermark_s() == START_S + 90


def test_the_watermark_never_goes_back_when_stragglers_make_the_wait_longer() -> None:
    scene = Scene()
    scene.judge(100)
    scene.store.arrived.append(stored([Row(10, "a", "cart")], arrived_s=100))
    scene.judge(101)
    assert scene.answers.watermark_s() == START_S + 80


def test_rows_that_came_late_change_the_next_round() -> None:
    scene = Scene()
    scene.store.arrived.append(stored([Row(10, "a", "cart")]))
    scene.judge(100)
    scene.store.arrived.append(stored([Row(5, "b", "cart")]))
    before = scene.answers.figures("checkout", START_S, START_S + 80).attempts.started
    scene.judge(120)
    after = scene.answers.figures("checkout", START_S, START_S + 80).attempts.started
    assert (before, after) == (1, 2)


def test_a_row_that_comes_twice_is_one_row_and_the_higher_version_wins() -> None:
    low = stored([Row(10, "a", "cart", outcome="failed")])
    high = stored([Row(10, "a", "cart", outcome="ok")])
    high = high.set_column(high.schema.get_field_index("version"), "version", pa.array([7], pa.uint64()))
    for first, second in ((low, high), (high, low)):
        found = merged(first, second)
        assert found["outcome"].to_pylist() == ["ok"]


def test_merged_rows_are_sorted_as_the_store_sorts() -> None:
    rows = [Row(30, "b", "cart"), Row(20, "a", "payment"), Row(10, "a", "cart"), Row(5, "c", "cart")]
    found = merged(stored(rows[:2]), stored(rows[2:]))
    assert found["attempt"].to_pylist() == ["a", "a", "b", "c"]
    assert found["end"].to_pylist()[:2] == [(START_S + 10) * NS, (START_S + 20) * NS]


def test_over_the_limit_the_newest_attempts_stay() -> None:
    track = Track(FILE.journeys["checkout"], FILE)
    track.add(table([Row(i * 900, f"a{i}", "cart") for i in range(10)]))
    track.thin(4)
    assert sorted((end // NS - START_S) // 900 for end in track.table()["end"].to_pylist()) == [6, 7, 8, 9]


@pytest.mark.parametrize(("lag_s", "settle"), [(1, 15), (40, 40), (1000, 120)])
def test_a_round_waits_for_the_p99_of_the_arrival_lag_within_its_bounds(lag_s: int, settle: int) -> None:
    rows = [Row(i, f"a{i}", "cart") for i in range(200)]
    table = stored(rows)
    inserted = pa.array([end // 1000 + lag_s * 10**6 for end in table["end"].to_pylist()])
    table = table.set_column(table.schema.get_field_index("inserted_at"), "inserted_at", inserted)
    assert settle_s([table], START_S) == settle


def test_history_and_what_waited_for_our_start_do_not_make_the_rounds_wait() -> None:
    scene = Scene(now_s=1000)
    scene.store.arrived.append(stored([Row(number, f"a{number}", "cart") for number in range(0, 999, 3)], 1002))
    scene.judge(1100)
    assert scene.answers.watermark_s() == START_S + 1080


def test_before_the_first_heartbeat_nothing_was_expected_and_history_counts_as_measured() -> None:
    scene = Scene(now_s=3000)
    scene.store.arrived.append(stored([Row(0, "a", "cart")], arrived_s=3000))
    scene.judge(3000)
    coverage = scene.answers.coverage("checkout", START_S, START_S + 2000)
    assert (coverage.measured, coverage.expected, coverage.reason) == (200, 200, "")


def test_history_stays_measured_once_the_node_reports() -> None:
    scene = Scene(now_s=3000)
    scene.store.arrived.append(stored([Row(0, "a", "cart")], arrived_s=3000))
    scene.store.beats["one"] = [START_S + s for s in range(2000, 3000, 10)]
    scene.judge(3000)
    coverage = scene.answers.coverage("checkout", START_S, START_S + 2900)
    assert (coverage.measured, coverage.expected) == (290, 290)


def test_slices_without_a_heartbeat_are_unmeasured_and_the_reason_is_told() -> None:
    scene = Scene(now_s=1000)
    scene.store.arrived.append(stored([Row(0, "a", "cart")]))
    scene.store.beats["one"] = [START_S + s for s in range(0, 1000, 10) if not 300 <= s < 600]
    scene.judge(1000)
    coverage = scene.answers.coverage("checkout", START_S, START_S + 900)
    assert (coverage.measured, coverage.expected) == (60, 90)
    assert "300 s" in coverage.reason


def test_a_slice_in_which_something_was_refused_for_want_of_room_gets_no_heartbeat() -> None:
    scene = Scene()
    scene.judge(100)
    scene.took_all = False
    scene.judge(110)
    scene.took_all = True
    scene.judge(130)
    assert scene.store.beats["one"][-2:] == [START_S + 110, START_S + 120]
    assert START_S + 100 not in scene.store.beats["one"]


def test_a_window_that_reaches_back_beyond_the_first_data_says_since_when() -> None:
    scene = Scene()
    scene.store.arrived.append(stored([Row(500, "a", "cart")]))
    scene.judge(1000)
    coverage = scene.answers.coverage("checkout", START_S, START_S + 900)
    assert (coverage.since_s, coverage.expected) == (START_S + 500, 40)


def test_a_journey_without_data_has_no_expected_slices() -> None:
    scene = Scene()
    scene.judge(100)
    assert scene.answers.coverage("checkout", START_S, START_S + 80).expected == 0
    assert scene.answers.live("checkout").score == 0


def test_what_comes_after_the_watermark_is_shown_and_marked_provisional() -> None:
    scene = Scene()
    scene.store.arrived.append(stored([Row(10, "a", "cart"), Row(95, "b", "cart")]))
    scene.judge(100)
    series = scene.answers.series("checkout", START_S, START_S + 100, 10)
    assert series.active == [0, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert series.provisional == [False] * 8 + [True] * 2


def test_a_question_before_the_first_round_is_answered_with_when_to_come_back() -> None:
    with pytest.raises(Unavailable, match="under way"):
        Scene().answers.live("checkout")


def test_a_journey_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(NotFound, match=r"'nope'.*checkout"):
        Scene().answers.live("nope")


def test_a_failed_round_keeps_the_last_answers_and_the_next_one_succeeds() -> None:
    scene = Scene()
    scene.store.arrived.append(stored([Row(10, "a", "cart")]))
    scene.judge(100)

    def behind() -> None:
        raise Unavailable("the store is away")

    scene.flushed = behind
    with pytest.raises(Unavailable):
        scene.judge(110)
    assert scene.answers.figures("checkout", START_S, START_S + 80).attempts.started == 1
    scene.flushed = lambda: None
    scene.judge(120)
    assert scene.answers.round() == 2


def test_a_waiter_is_woken_by_the_next_round_and_by_the_end() -> None:
    scene = Scene()
    assert scene.answers.wait_round(0, 0.01) == 0
    scene.judge(100)
    assert scene.answers.wait_round(0, 10) == 1
    scene.control.stop()
    assert scene.answers.wait_round(1, 10) == 1
