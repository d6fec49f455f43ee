"""What outlives the rows reads back as it was, is closed again while rows may come late, and not from fewer rows."""

from dataclasses import dataclass, field

import pyarrow as pa
import pytest
from crowds import crowd
from numpy import arange, where
from rows import START_S

from otel_cx_collector import inventory, keeping
from otel_cx_collector.events import NS
from otel_cx_collector.keeping import AGAIN_S, DAY_S, HOUR_S, SEASONS_S, SETTLED_S, Kept
from otel_cx_collector.measure.budgets import budgets
from otel_cx_collector.measure.evaluation import of_track
from otel_cx_collector.measure.track import Track

FILE = inventory.parse(
    """
journeys:
  checkout:
    timeout: 10m
    steps: [payment]
    objectives: [{sli: availability, target: 99%, window: 30d}]
  other: {steps: [cart, payment]}
"""
)
JOURNEY = FILE.journeys["checkout"]
MIDNIGHT = START_S // DAY_S * DAY_S + DAY_S
HOUR = START_S // HOUR_S


@dataclass
class Shelf:
    """Texts in memory."""

    texts: dict[str, str] = field(default_factory=dict)

    def kept(self, name: str) -> str | None:
        return self.texts.get(name)

    def keep(self, name: str, text: str) -> None:
        self.texts[name] = text


def rows(from_s: int, to_s: int, failed_from_s: int = 0, failed_to_s: int = 0, number: int = 0) -> pa.Table:
    """An attempt every ten seconds; all of a stretch fail."""
    at_s = arange(from_s, to_s, 10)
    hurt = (at_s >= failed_from_s) & (at_s < failed_to_s)
    return crowd(at_s * NS, number + from_s // 10, outcome=where(hurt, "failed", "ok"), customer="k1.one")


def track(table: pa.Table, kept: Kept, at_s: int) -> Track:
    found = Track(JOURNEY, FILE, kept.hours)
    found.add(table)
    found.close(at_s)
    return found


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def test_what_was_kept_reads_back_as_it_was(shelf: Shelf) -> None:
    kept, at_s = Kept(), MIDNIGHT + 4 * HOUR_S
    known = track(rows(START_S, at_s, START_S + 7200, START_S + 7500), kept, at_s)
    keeping.update(shelf, kept, known, at_s)
    again = keeping.load(shelf, JOURNEY)
    assert again.hours == kept.hours
    assert again.days == kept.days
    assert again.ledger == kept.ledger
    assert {day: each.to_pylist() for day, each in again.harmed.items()} == {
        day: each.to_pylist() for day, each in kept.harmed.items()
    }
    assert (len(kept.hours), len(kept.days), len(kept.harmed), len(kept.ledger)) == (17, 1, 1, 1)


def test_an_hour_is_closed_two_hours_after_its_end_and_without_its_episodes(shelf: Shelf) -> None:
    kept, at_s = Kept(), START_S + 2 * HOUR_S + SETTLED_S
    known = track(rows(START_S, at_s, START_S + HOUR_S + 600, START_S + HOUR_S + 900), kept, at_s)
    keeping.update(shelf, kept, known, at_s - 1)
    assert list(kept.hours) == [HOUR]
    keeping.update(shelf, kept, known, at_s)
    assert list(kept.hours) == [HOUR, HOUR + 1]
    assert (kept.hours[HOUR].minutes, kept.hours[HOUR].active, kept.hours[HOUR].failed) == (60, 360, 0)
    assert (kept.hours[HOUR + 1].minutes, kept.hours[HOUR + 1].failed) == (55, 0)


def test_rows_that_come_late_change_the_hour_and_the_day_they_belong_to(shelf: Shelf) -> None:
    kept, at_s = Kept(), MIDNIGHT + 4 * HOUR_S
    known = track(rows(START_S, at_s), kept, at_s)
    keeping.update(shelf, kept, known, at_s)
    day = MIDNIGHT // DAY_S - 1
    before = kept.hours[HOUR].active, kept.days[day][0].total
    known.add(rows(START_S, START_S + HOUR_S, number=10**12))
    known.close(at_s)
    keeping.update(shelf, kept, known, at_s)
    assert (kept.hours[HOUR].active, kept.days[day][0].total) == (before[0] + 360, before[1] + 360)
    assert keeping.load(shelf, JOURNEY).hours == kept.hours


def test_hours_and_days_are_not_closed_again_from_fewer_rows(shelf: Shelf) -> None:
    """A busy journey's oldest rows leave memory within the day."""
    kept, at_s = Kept(), MIDNIGHT + 4 * HOUR_S
    known = track(rows(START_S, at_s), kept, at_s)
    keeping.update(shelf, kept, known, at_s)
    hours, days = dict(kept.hours), dict(kept.days)
    known.thin(2000)
    assert known.rows <= 2000
    keeping.update(shelf, kept, known, at_s + 600)
    assert kept.hours == hours
    assert kept.days == days


def test_the_season_of_an_hour_is_known_when_its_rows_are_gone(shelf: Shelf) -> None:
    kept, at_s = Kept(), START_S + 5 * HOUR_S
    keeping.update(shelf, kept, track(rows(START_S, at_s), kept, at_s), at_s)
    later = Track(JOURNEY, FILE, keeping.load(shelf, JOURNEY).hours)
    later.add(rows(START_S + 21 * DAY_S, START_S + 21 * DAY_S + 60))
    assert later.usual(HOUR) == kept.hours[HOUR]
    assert later.oldest == HOUR * 60


def test_hours_older_than_six_weeks_are_forgotten(shelf: Shelf) -> None:
    kept, at_s = Kept(), START_S + 5 * HOUR_S
    known = track(rows(START_S, at_s), kept, at_s)
    keeping.update(shelf, kept, known, at_s)
    keeping.update(shelf, kept, known, START_S + SEASONS_S)
    assert HOUR in kept.hours
    keeping.update(shelf, kept, known, START_S + SEASONS_S + 1)
    assert HOUR not in kept.hours


def test_hours_of_other_steps_than_the_journey_has_now_are_forgotten(shelf: Shelf) -> None:
    kept, at_s = Kept(), START_S + 5 * HOUR_S
    keeping.update(shelf, kept, track(rows(START_S, at_s), kept, at_s), at_s)
    shelf.keep("hours/other", shelf.texts["hours/checkout"])
    assert keeping.load(shelf, FILE.journeys["other"]).hours == {}


def test_the_budget_from_closed_days_is_that_from_rows(shelf: Shelf) -> None:
    kept, at_s = Kept(), MIDNIGHT + DAY_S + 4 * HOUR_S
    table = rows(START_S, at_s, START_S + 7200, START_S + 7500)
    known = track(table, kept, at_s)
    keeping.update(shelf, kept, known, at_s)
    recent = track(table.filter(pa.array(table["end"].to_numpy() >= (MIDNIGHT + DAY_S) * NS)), kept, at_s)
    carried = [each for of in kept.days.values() for each in of]
    (whole,), (pieced,) = budgets(of_track(known, at_s * NS)), budgets(of_track(recent, at_s * NS), carried)
    assert (pieced.good, pieced.total) == (whole.good, whole.total)
    assert pieced.spent == pytest.approx(whole.spent)


def test_an_episode_is_entered_when_it_is_over_and_again_while_its_rows_may_come(shelf: Shelf) -> None:
    kept, start_s = Kept(), START_S + 7200
    table = rows(START_S, START_S + 3 * HOUR_S, start_s, start_s + 300)
    early = track(table, kept, start_s + 600)
    keeping.update(shelf, kept, early, start_s + 600)
    assert kept.ledger == {}
    early.close(START_S + 3 * HOUR_S)
    keeping.update(shelf, kept, early, START_S + 3 * HOUR_S)
    first = kept.ledger[start_s]
    early.add(crowd((arange(5) + start_s + 60) * NS, 10**13, outcome="failed"))
    early.close(START_S + 3 * HOUR_S)
    keeping.update(shelf, kept, early, start_s + AGAIN_S)
    assert kept.ledger[start_s].harm_minutes > first.harm_minutes
    known = kept.ledger[start_s]
    early.add(crowd((arange(5) + start_s + 120) * NS, 2 * 10**13, outcome="failed"))
    early.close(START_S + 3 * HOUR_S)
    keeping.update(shelf, kept, early, start_s + AGAIN_S + 1)
    assert kept.ledger[start_s] == known
