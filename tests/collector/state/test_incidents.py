"""Incidents, their frozen history and the audit trail. Not when one opens: that is the machine's."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from otel_cx_collector.incidents.words import Act, Happening, Incident, Status
from otel_cx_collector.state import Audit, NewNotice, Round, Stale, State

ID = "checkout-20260105T090000Z"


@pytest.fixture
def put(state: State) -> Callable[..., None]:
    """Commit incidents as a round does."""

    def commit(*incidents: Incident) -> None:
        state.commit(Round(10, 1, b"", incidents))

    return commit


def audit(who: str = "mira", act: Act = Act.ACKNOWLEDGE, after: Status = Status.ACKNOWLEDGED) -> Audit:
    return Audit(ID, 20, who, act, "looking", Status.OPEN, after)


def test_incidents_come_newest_first_and_page_by_page(
    state: State, put: Callable[..., None], incident: Callable[..., Incident]
) -> None:
    made = [incident(id=f"i{number}", opened_s=number) for number in (3, 1, 5, 2, 4)]
    put(*made)
    assert [each.id for each in state.incidents()] == ["i5", "i4", "i3", "i2", "i1"]
    assert [each.id for each in state.incidents(limit=2)] == ["i5", "i4"]
    assert [each.id for each in state.incidents(limit=2, before_s=4)] == ["i3", "i2"]


def test_open_is_what_is_not_resolved(
    state: State, put: Callable[..., None], incident: Callable[..., Incident]
) -> None:
    put(*(incident(id=status.value, status=status) for status in Status))
    assert {each.status for each in state.incidents(open_only=True)} == set(Status) - {Status.RESOLVED}
    put(incident(id="resolved", status=Status.OPEN))
    assert len(state.incidents(open_only=True)) == len(Status)


def test_a_journey_has_a_latest_incident(
    state: State, put: Callable[..., None], incident: Callable[..., Incident]
) -> None:
    put(incident(id="a", opened_s=1), incident(id="b", opened_s=2), incident(id="c", opened_s=3, journey="login"))
    found = state.latest("checkout"), state.latest("login"), state.latest("search")
    assert [each and each.id for each in found] == ["b", "c", None]
    assert state.incident("a") == incident(id="a", opened_s=1)
    assert state.incident("z") is None


def test_an_act_is_written_with_its_audit_and_its_notices(
    state: State,
    put: Callable[..., None],
    incident: Callable[..., Incident],
    longer: Callable[..., Incident],
    notice: Callable[..., NewNotice],
) -> None:
    put(incident())
    acked = longer(incident(), Happening.ACKNOWLEDGED, status=Status.ACKNOWLEDGED)
    state.act(acked, audit(), [notice(key=f"{ID}:2", sequence=2, what="acknowledged")])
    assert state.incident(ID) == acked
    assert state.audit(ID) == [audit()]
    assert [each.what for each in state.deliveries(ID)] == ["acknowledged"]


def test_of_two_acts_on_the_same_incident_the_later_is_stale_and_leaves_nothing(
    state: State,
    put: Callable[..., None],
    incident: Callable[..., Incident],
    longer: Callable[..., Incident],
    notice: Callable[..., NewNotice],
) -> None:
    put(incident())
    first, second = longer(incident(), who="mira"), longer(incident(), who="ben")
    state.act(first, audit("mira"))
    with pytest.raises(Stale, match=f"'{ID}' was changed meanwhile.*read it again"):
        state.act(second, audit("ben"), [notice()])
    assert state.incident(ID) == first
    assert [each.who for each in state.audit(ID)] == ["mira"]
    assert state.undelivered() == 0


def test_the_same_words_of_two_people_are_two_acts_and_the_second_is_stale(
    state: State, put: Callable[..., None], incident: Callable[..., Incident], longer: Callable[..., Incident]
) -> None:
    put(incident())
    state.act(longer(incident()), audit())
    with pytest.raises(Stale):
        state.act(longer(incident()), audit())
    assert len(state.audit(ID)) == 1


def test_an_act_on_figures_that_a_round_has_renewed_is_stale_by_its_revision(
    state: State, put: Callable[..., None], incident: Callable[..., Incident], longer: Callable[..., Incident]
) -> None:
    put(incident())
    revision = state.revision(ID)
    put(incident(quiet_s=10))
    assert state.revision(ID) == 2
    with pytest.raises(Stale, match="revision 2 stored, 1 given"):
        state.act(longer(incident()), audit(), revision=revision)
    state.act(longer(incident(quiet_s=10)), audit(), revision=2)
    assert state.revision(ID) == 3
    assert state.revision("z") is None


def test_an_act_on_an_incident_that_is_not_there_is_stale(state: State, incident: Callable[..., Incident]) -> None:
    with pytest.raises(Stale, match=f"'{ID}' is not stored"):
        state.act(incident(), audit())
    assert state.incidents() == []


def test_of_many_people_at_once_one_wins_and_all_others_are_told(
    state: State, put: Callable[..., None], incident: Callable[..., Incident], longer: Callable[..., Incident]
) -> None:
    put(incident())
    stale: list[str] = []

    def act(who: str) -> None:
        try:
            state.act(longer(incident(), who=who), audit(who))
        except Stale:
            stale.append(who)

    people = [threading.Thread(target=act, args=(f"p{number}",)) for number in range(8)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert len(stale) == 7
    assert len(state.audit(ID)) == 1


@pytest.mark.parametrize("history", ["shorter", "edited"])
def test_no_round_takes_back_or_edits_what_the_history_says(
    state: State,
    put: Callable[..., None],
    incident: Callable[..., Incident],
    longer: Callable[..., Incident],
    history: str,
) -> None:
    before = longer(incident())
    put(before)
    edited = replace(before.history[0], text="nothing happened")
    changed = {"shorter": before.history[:1], "edited": (edited, *before.history[1:])}[history]
    with pytest.raises(Stale):
        put(replace(before, history=changed, quiet_s=10))
    assert state.incident(ID) == before


def test_every_growth_of_the_history_keeps_what_was_known_then(
    state: State, put: Callable[..., None], incident: Callable[..., Incident], longer: Callable[..., Incident]
) -> None:
    opened = incident()
    put(opened)
    put(replace(opened, quiet_s=10))
    raised = longer(replace(opened, quiet_s=20), Happening.RAISED)
    put(raised)
    put(replace(raised, quiet_s=30))
    assert state.versions(ID) == [opened, raised]


@pytest.mark.parametrize("table", ["incident_history", "audit"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET incident = incident", "DELETE FROM {}"])
def test_history_and_audit_cannot_be_changed_by_any_statement(
    state: State,
    put: Callable[..., None],
    incident: Callable[..., Incident],
    longer: Callable[..., Incident],
    table: str,
    statement: str,
) -> None:
    put(incident())
    state.act(longer(incident()), audit())
    with pytest.raises(IntegrityError, match=table), state._database.writing() as connection:
        connection.exec_driver_sql(statement.format(table))
    assert len(state.versions(ID)) == 2
    assert state.audit(ID) == [audit()]
