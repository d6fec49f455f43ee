"""What is old goes, a little at a time; what is open stays however old it is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from otel_cx_collector.decide.words import Record
from otel_cx_collector.incidents.words import Act, Happening, Incident, Status
from otel_cx_collector.measure.figures import BurnAlert
from otel_cx_collector.state import Audit, NewNotice, Retention, Round, State

DAY_S = 86_400


@pytest.fixture
def filled(
    state: State,
    incident: Callable[..., Incident],
    longer: Callable[..., Incident],
    record: Callable[..., Record],
    alert: Callable[..., BurnAlert],
    notice: Callable[..., NewNotice],
    t0: int,
) -> State:
    """An incident that ended at T0, with all that belongs to it; and one of everything that never ended."""
    ended = incident(id="ended", status=Status.RESOLVED, closed_s=t0)
    notices = [notice(key=f"{number}", incident=f"{number}") for number in range(4)]
    state.commit(
        Round(
            t0,
            1,
            b"x",
            (ended, incident(id="open")),
            (record(),),
            (alert(resolved_s=t0), alert(fired_s=0)),
            tuple(notices),
        )
    )
    state.act(
        longer(ended, Happening.ANNOTATED),
        Audit("ended", t0, "mira", Act.ANNOTATE, "fixed", Status.RESOLVED, Status.RESOLVED),
    )
    first, second, third, _ = state.due(t0, 10)
    state.delivered(first.id, t0)
    state.refused(second.id, t0, "gone")
    state.held(third.id, t0, "quiet hours")
    return state


def test_delivered_and_refused_notices_go_after_thirty_days_and_waiting_ones_never(filled: State, t0: int) -> None:
    assert filled.prune(t0 + 30 * DAY_S) == 0
    assert filled.prune(t0 + 30 * DAY_S + 1) == 2
    assert {each.state.value for each in filled.deliveries(None)} == {"waiting", "held"}


def test_records_alerts_and_incidents_go_after_four_hundred_days_and_open_ones_never(filled: State, t0: int) -> None:
    filled.prune(t0 + 400 * DAY_S)
    assert len(filled.incidents()) == len(filled.alerts("checkout", 0, 1 << 40)) == 2
    assert len(filled.records("checkout")) == 1
    assert filled.prune(t0 + 400 * DAY_S + 1) == 3
    assert [each.id for each in filled.incidents()] == ["open"]
    assert [each.fired_s for each in filled.alerts("checkout", 0, 1 << 40)] == [0]
    assert filled.records("checkout") == []


def test_an_incident_takes_its_history_and_its_audit_with_it(filled: State, t0: int) -> None:
    assert (len(filled.versions("ended")), len(filled.audit("ended"))) == (2, 1)
    filled.prune(t0 + 401 * DAY_S)
    assert (filled.versions("ended"), filled.audit("ended")) == ([], [])
    assert len(filled.versions("open")) == 1


def test_an_incident_is_as_old_as_its_end(state: State, incident: Callable[..., Incident], t0: int) -> None:
    resolved = incident(status=Status.RESOLVED, opened_s=0, closed_s=None)
    state.commit(Round(10, 1, b"", (resolved,)))  # resolved by a person, at T0 by its history
    state.prune(t0 + 400 * DAY_S)
    assert state.incidents() == [resolved]
    state.prune(t0 + 400 * DAY_S + 1)
    assert state.incidents() == []


def test_one_call_deletes_no_more_than_its_limit_and_the_oldest_first(
    place: Path | str, notice: Callable[..., NewNotice], t0: int
) -> None:
    with State.open(place, Retention(rows=3)) as state:
        told = tuple(notice(key=f"{number}", incident=f"{number}") for number in range(7))
        state.commit(Round(10, 1, b"", notices=told))
        for number, each in enumerate(state.due(t0, 10)):
            state.delivered(each.id, t0 - number)
        assert [state.prune(t0 + 31 * DAY_S) for _ in range(4)] == [3, 3, 1, 0]


def test_the_limit_takes_the_oldest_first(place: Path | str, record: Callable[..., Record], t0: int) -> None:
    with State.open(place, replace(Retention(), rows=2)) as state:
        state.commit(Round(10, 1, b"", records=tuple(record(at_s=number) for number in (3, 1, 4, 2))))
        state.prune(t0)
        assert [each.at_s for each in state.records("checkout")] == [4, 3]


def test_the_number_of_a_pruned_notice_is_never_given_again(
    state: State, notice: Callable[..., NewNotice], t0: int
) -> None:
    state.commit(Round(10, 1, b"", notices=(notice(key="a"),)))
    (first,) = state.due(t0, 1)
    state.delivered(first.id, t0)
    state.prune(t0 + 31 * DAY_S)
    state.commit(Round(10, 1, b"", notices=(notice(key="b"),)))
    (second,) = state.due(t0, 1)
    state.delivered(first.id, t0)  # a courier that comes late
    assert second.id > first.id
    assert state.due(t0, 1) == [second]
