"""What an incident holds, when it is frozen, and its JSON to the letter."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from incident_builders import AT_S, command, deploy, facts, of_status, opened

from otel_cx_collector import inventory
from otel_cx_collector.incidents.machine import SYSTEM, act
from otel_cx_collector.incidents.record import (
    BEFORE_S,
    MAX_CHANGES,
    as_json,
    describe,
    from_json,
    recommended,
    report_json,
    to_json,
)
from otel_cx_collector.incidents.words import Account, Act, Change, ErrorShare, Facts, Happening, Incident, Status
from otel_cx_collector.measure.figures import Reach
from otel_cx_collector.measure.report import dump

GOLDEN = Path(__file__).with_name("incident.json")
FILE = inventory.parse(
    """
journeys:
  checkout:
    title: Checkout
    owner: payments-sre
    steps: [cart, payment, confirm]
    actions:
      - {do: call the acquirer}
      - {when: errors.gateway-timeout, do: switch the acquirer}
      - {when: changed.deploy, do: roll back, link: "https://runbooks.example/checkout#rollback"}
      - {when: changed.flag, do: switch the flag off}
      - {when: saturation.payments-db, do: scale read replicas}
      - {when: step.payment, do: look at the acquirer's status page}
      - {when: it rains, do: take an umbrella}
"""
)
TIMEOUT = ErrorShare("gateway-timeout", "payment", 1.0, 480, 412, recoverable=True, consequence="support ticket")
WHOLE = facts(
    segments={"enterprise": Reach(300, 700), "trial": Reach(112, 330)},
    regions={"eu": Reach(412, 600)},
    by_step={"cart": 0.1234567, "payment": 4.6765433},
    errors=(TIMEOUT,),
    accounts=(Account("a-9f", "Acme", 40, 38, "2026-02-01", "48000"),),
    saturated=("payments-db",),
    services=("billing", "checkout-api"),
    traces=("4bf92f3577b34da6a3ce929d0e0e4736",),
)


def described(incident: Incident, known: Facts, changes: Iterable[Change] = (), *, final: bool = False) -> Incident:
    return describe(incident, known, changes, FILE, final=final)


def holding(known: Facts, *changes: Change) -> set[str]:
    return {each.do for each in described(opened(), known, changes).advice if each.holds}


def test_the_whole_incident_as_json_is_the_golden_file() -> None:
    incident, _ = act(opened(episode_s=AT_S - 120), command(Act.ACKNOWLEDGE, "looking at the deploy", at_s=AT_S + 50))
    whole = replace(described(incident, WHOLE, [deploy()]), group="change:d-1")

    assert dump(as_json(whole, FILE)) == GOLDEN.read_text()


def test_the_replay_reports_object_has_exactly_its_names_and_is_a_part_of_the_whole() -> None:
    incident = described(opened(), WHOLE, [deploy()])
    part, whole = report_json(incident), as_json(incident, FILE)

    assert part == {
        "id": "checkout-20260105T091200Z",
        "journey": "checkout",
        "started_at": "2026-01-05T09:12:00Z",
        "opened_at": "2026-01-05T09:12:00Z",
        "closed_at": None,
        "severity": "P2",
        "score": 49.0,
        "harm_minutes": 4.8,
        "vector": "CXI:1.0/J:checkout/C:1/G:1/V:1/M:1/A:480/N:100/X:0/B:0/H50:5",
        "reach": {"affected": 412, "active": 1030, "low": 0.375, "high": 0.425},
        "segments": {"enterprise": {"affected": 300, "active": 700}, "trial": {"affected": 112, "active": 330}},
        "regions": {"eu": {"affected": 412, "active": 600}},
        "revenue": {"gross": None, "recaptured": None, "net": None, "confidence": "low"},
    }
    assert part.items() <= whole.items()


def test_without_an_inventory_there_is_no_title_and_a_journey_that_left_it_has_its_name() -> None:
    gone = replace(opened(), journey="gone")

    assert {"title", "owner"}.isdisjoint(as_json(gone))
    assert (as_json(gone, FILE)["title"], as_json(gone, FILE)["owner"]) == ("gone", None)
    assert described(gone, WHOLE).advice == ()


def test_what_is_not_described_yet_has_no_figures_rather_than_zeros() -> None:
    answer = as_json(opened())

    assert (answer["score"], answer["harm_minutes"], answer["vector"], answer["as_of"]) == (None, None, None, None)


def test_nobody_active_is_a_reach_without_bounds() -> None:
    quiet = described(opened(), facts(score=0.0, harm_minutes=0.0, reach=Reach()))

    assert report_json(quiet)["reach"] == {"affected": 0, "active": 0, "low": None, "high": None}
    assert report_json(quiet)["score"] == 0.0


@pytest.mark.parametrize(("at_s", "kept"), [
    (AT_S - BEFORE_S - 1, False), (AT_S - BEFORE_S, True), (AT_S + 60, True), (AT_S + 61, False),
])  # fmt: skip
def test_changes_are_kept_from_half_an_hour_before_the_start_until_now(at_s: int, kept: bool) -> None:
    change = deploy(at_s=at_s)

    assert described(opened(), facts(AT_S + 60), [change]).changes == ((change,) if kept else ())


def test_changes_after_the_end_and_other_facts_are_left_out() -> None:
    incident = of_status(Status.RESOLVED)
    maintenance, after = deploy("m-1", kind="maintenance"), deploy("d-9", AT_S + 901)

    assert described(incident, facts(AT_S + 900), [maintenance, after, deploy()]).changes == (deploy(),)


def test_of_too_many_changes_the_nearest_to_the_start_are_kept_in_order_of_time() -> None:
    many = [deploy(f"f-{ago:04}", AT_S - ago, "flag") for ago in range(MAX_CHANGES + 50)]

    kept = described(opened(), facts(), many).changes

    assert kept == tuple(reversed(many[:MAX_CHANGES]))


def test_a_change_that_came_twice_is_one() -> None:
    assert described(opened(), facts(), [deploy(what="billing 1.8"), deploy()]).changes == (deploy(),)


def test_the_first_action_whose_condition_holds_is_recommended_and_none_is_lost() -> None:
    plan = described(opened(), facts(), [deploy()]).advice

    assert [each.do for each in plan][:3] == ["roll back", "call the acquirer", "switch the acquirer"]
    assert (plan[0].when, plan[0].link) == ("changed.deploy", "https://runbooks.example/checkout#rollback")
    assert len(plan) == len(FILE.journeys["checkout"].actions)


@pytest.mark.parametrize(("known", "changes", "holds"), [
    (facts(), (), set()),
    (facts(), (deploy(),), {"roll back"}),
    (facts(), (deploy(kind="flag"),), {"switch the flag off"}),
    (facts(saturated=("payments-db",)), (), {"scale read replicas"}),
    (facts(saturated=("another",)), (), set()),
    (facts(errors=(TIMEOUT,)), (), {"switch the acquirer"}),
    (facts(errors=(replace(TIMEOUT, count=0),)), (), set()),
    (facts(by_step={"cart": 1.0, "payment": 1.5}), (), {"look at the acquirer's status page"}),
    (facts(by_step={"cart": 2.0, "payment": 1.5}), (), set()),
    (facts(by_step={"payment": 0.0}), (), set()),
])  # fmt: skip
def test_each_condition_holds_when_it_was_found(known: Facts, changes: tuple[Change, ...], holds: set[str]) -> None:
    assert holding(known, *changes) == holds


def test_a_deploy_after_the_incident_was_opened_recommends_nothing() -> None:
    incident = replace(opened(), started_s=AT_S - 300)

    before = described(incident, facts(), [deploy(at_s=AT_S - 200)])
    after = described(incident, facts(), [deploy(at_s=AT_S + 10)])

    assert recommended(before) == before.advice[0]
    assert recommended(after) is None
    assert len(after.changes) == 1


def test_while_it_is_open_its_figures_are_refreshed_and_nothing_new_gives_the_same_object() -> None:
    first = described(opened(), facts(), [deploy()])
    second = described(first, facts(AT_S + 120, score=60.0), [deploy()])

    assert second.facts == facts(AT_S + 120, score=60.0)
    assert described(second, facts(AT_S + 120, score=60.0), [deploy()]) is second
    assert second.history == first.history


def test_it_is_described_as_of_its_end_and_then_frozen() -> None:
    closed = replace(described(opened(), facts(AT_S + 840)), status=Status.RESOLVED, closed_s=AT_S + 900)

    at_end = described(closed, facts(AT_S + 900, score=50.0))

    assert at_end.facts == facts(AT_S + 900, score=50.0)
    assert described(at_end, facts(AT_S + 900, score=90.0), [deploy()]) is at_end
    assert described(at_end, facts(AT_S + 960, score=90.0), [deploy()]) is at_end
    assert described(closed, facts(AT_S + 960, score=90.0)) is closed


def test_figures_closed_again_with_late_data_say_so_in_the_history() -> None:
    closed = replace(described(opened(), facts(AT_S + 900)), status=Status.RESOLVED, closed_s=AT_S + 900)
    late = facts(AT_S + 9000, score=51.2, reach=Reach(430, 1051, 0.38, 0.43))

    again = described(closed, late, final=True)

    assert again.facts == late
    assert again.history[:-1] == closed.history
    entry = again.history[-1]
    assert (entry.what, entry.who, entry.at_s) == (Happening.ANNOTATED, SYSTEM, AT_S + 9000)
    assert entry.text == (
        "figures closed again with data that came late: score 51.2, 430 of 1,051 customers affected; "
        "before: score 49.0, 412 of 1,030 customers affected"
    )


def test_figures_closed_again_without_a_difference_change_nothing() -> None:
    closed = replace(described(opened(), facts(AT_S + 900)), status=Status.RESOLVED, closed_s=AT_S + 900)

    assert described(closed, facts(AT_S + 9000), final=True) is closed


def test_a_resolved_incident_without_figures_takes_final_ones() -> None:
    bare = replace(opened(), status=Status.RESOLVED, closed_s=AT_S + 900)

    assert described(bare, facts(AT_S + 9000)) is bare
    assert described(bare, facts(AT_S + 9000), final=True).facts == facts(AT_S + 9000)


texts = st.text(st.characters())


@settings(max_examples=50)
@given(st.builds(
    Incident,
    closed_s=st.none() | st.integers(), group=st.none() | texts, lower_s=st.tuples(*[st.integers(0)] * 3),
    changes=st.lists(st.builds(Change), max_size=2).map(tuple), facts=st.none() | st.builds(Facts),
))  # fmt: skip
def test_what_is_stored_comes_back_equal(incident: Incident) -> None:
    assert repr(from_json(to_json(incident))) == repr(incident)  # not ==, for which a NaN is not itself


def test_what_an_older_version_stored_has_defaults_and_what_a_newer_one_added_is_passed_over() -> None:
    stored: dict[str, Any] = json.loads(to_json(opened()))
    del stored["silenced"], stored["lower_s"]
    stored["colour"] = "red"

    assert from_json(json.dumps(stored)) == opened()
