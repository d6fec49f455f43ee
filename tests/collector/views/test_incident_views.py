"""Incidents as people see them: order, filter, what stands around one, what can be done. And budgets and resources."""

from datetime import UTC, datetime

import pytest
from fakes_source import NOW_S, FakeSource
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.errors import Unavailable
from otel_cx_collector.incidents.machine import possible
from otel_cx_collector.incidents.words import Act, Status
from otel_cx_collector.views import budgets, decisions, incident, journey, overview, windows
from otel_cx_collector.views.resources import resources
from otel_cx_collector.views.source import NotFound
from otel_cx_collector.views.state import State

CHECKOUT = "checkout-20261124T095000Z"


def test_open_incidents_come_first_the_most_severe_of_them_first_then_the_newest() -> None:
    source = FakeSource()
    assert [(one.journey, one.status.value) for one in incident.incidents(source)] == [
        ("checkout", "open"), ("login", "acknowledged"), ("dns-change", "resolved"),
    ]  # fmt: skip
    incident.act(source, CHECKOUT, Act.RESOLVE, "Ana", "")
    assert [one.journey for one in incident.incidents(source)] == ["login", "checkout", "dns-change"]


def test_incidents_are_filtered_by_journey_and_by_being_open() -> None:
    source = FakeSource()
    assert [one.journey for one in incident.incidents(source, journey="dns-change")] == ["dns-change"]
    assert incident.incidents(source, open_only=True, journey="dns-change") == ()
    assert len(incident.incidents(source, limit=1)) == 1
    with pytest.raises(NotFound, match="did you mean checkout"):
        incident.incidents(source, journey="chekout")


def test_an_incident_stands_with_the_others_of_its_group_what_is_full_and_who_was_told() -> None:
    case = incident.case(FakeSource(), CHECKOUT)
    assert case.title == "Checkout"
    assert [one.journey for one in case.together] == ["login"]
    assert [one.name for one in case.resources] == ["payments-db", "worker-queue"]
    assert {each.incident for each in case.deliveries} == {CHECKOUT}
    assert case.recommended is not None
    assert case.recommended.do == "Roll back the billing service"
    assert case.status_line.startswith("P1 Checkout: 412 of 1,030 customers affected (40 %)")


def test_an_incident_of_a_journey_that_the_inventory_no_longer_has_can_still_be_read() -> None:
    source = FakeSource()
    kept = source.incident(CHECKOUT)
    del source.inventory.journeys["checkout"]
    source._incidents = lambda: [kept]  # type: ignore[method-assign] # what was stored before
    case = incident.case(source, CHECKOUT)
    assert (case.journey, case.decision, case.tree, case.title) == (None, None, (), "checkout")


def test_an_incident_can_be_read_and_acted_on_while_the_store_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource()

    def dead() -> None:
        raise Unavailable("the store does not answer")

    monkeypatch.setattr(source, "saturation", dead)
    case = incident.case(source, CHECKOUT)
    assert (case.decision, case.tree, case.resources, case.trouble) == (None, (), (), "the store does not answer")
    assert case.incident.facts is not None
    assert incident.act(source, CHECKOUT, Act.ACKNOWLEDGE, "Ana", "").status is Status.ACKNOWLEDGED


def test_what_a_status_does_not_allow_is_refused_with_what_it_does() -> None:
    source = FakeSource()
    incident.act(source, CHECKOUT, Act.RESOLVE, "Ana", "rolled back")
    with pytest.raises(incident.NotPossible, match="mitigate is not possible") as refused:
        incident.act(source, CHECKOUT, Act.MITIGATE, "Ana", "")
    assert refused.value.possible == possible(Status.RESOLVED) == (Act.REOPEN, Act.ANNOTATE)


def test_what_a_person_does_is_done_now_by_the_sources_clock() -> None:
    source = FakeSource()
    changed = incident.act(source, CHECKOUT, Act.ACKNOWLEDGE, "Ana", "on it")
    last = changed.history[-1]
    assert (changed.status, last.who, last.text, last.at_s) == (Status.ACKNOWLEDGED, "Ana", "on it", source.now_s())


def test_a_journey_knows_its_open_incident_and_what_was_decided() -> None:
    source = FakeSource()
    found = journey.answer(source, "checkout", windows.window(source, None))
    assert found.incident is not None
    assert found.incident.id == CHECKOUT
    assert found.decision.rule == "impact"
    incident.act(source, CHECKOUT, Act.RESOLVE, "Ana", "")
    found = journey.answer(source, "checkout", windows.window(source, None))
    assert found.incident is None
    assert found.state is State.SEVERE, "resolved by hand, and still hurt by the score"


def test_alerts_that_fire_come_before_those_that_are_over_and_errors_by_harm() -> None:
    source = FakeSource()
    window = windows.window(source, None)
    assert [alert.resolved_s is None for alert in budgets.alerts(source, "checkout", window)] == [True, False]
    harms = [one.harm for one in journey.errors(source, "checkout", window)]
    assert harms == sorted(harms, reverse=True)


def test_questions_about_a_journey_there_is_not_are_answered_with_the_nearest_names() -> None:
    source = FakeSource()
    window = windows.window(source, None)
    for ask in (
        lambda: budgets.budgets(source, "chekout"),
        lambda: budgets.alerts(source, "chekout", window),
        lambda: decisions.judgement(source, "chekout"),
        lambda: decisions.records(source, "chekout"),
        lambda: journey.errors(source, "chekout", window),
    ):
        with pytest.raises(NotFound, match="did you mean checkout"):
            ask()


def test_the_fullest_resource_comes_first_and_what_is_not_reported_last_and_is_not_empty() -> None:
    found = resources(FakeSource())
    assert [(one.name, one.share, one.warned) for one in found] == [
        ("payments-db", 0.92, True), ("worker-queue", 0.31, False), ("edge-disk", None, False),
    ]  # fmt: skip
    assert found[0].journeys == ("checkout",)


@pytest.mark.parametrize(
    ("due", "soon"),
    [("2026-11-24", True), ("2026-12-24", True), ("2026-12-25", False), ("2026-11-22", False), ("soon", False)],
)
def test_a_renewal_is_soon_from_the_day_itself_to_30_days_ahead(due: str, soon: bool) -> None:
    assert budgets.renews_soon(due, NOW_S) is soon


@given(st.dates(), st.integers(0, 2**31))
def test_a_renewal_date_never_breaks_the_page(due: object, at_s: int) -> None:
    soon = budgets.renews_soon(str(due), at_s)
    if soon:
        days = (datetime.fromisoformat(str(due)).replace(tzinfo=UTC) - datetime.fromtimestamp(at_s, UTC)).days
        assert -1 <= days <= 30


def test_small_incidents_and_customers_are_listed_worst_first_and_no_more_than_the_page_has_room_for() -> None:
    source = FakeSource()
    found = overview.overview(source, windows.window(source, None))
    assert [cut.harm_minutes for cut in found.paper_cuts] == [1.8, 0.9, 0.6]
    assert [one.attempts for one in found.hurt_again] == [9, 8, 7, 6]
    assert len(overview.hurt_again(source, 2)) == 2
