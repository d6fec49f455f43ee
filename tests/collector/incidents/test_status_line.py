"""The line for stakeholders: whole sentences without metric names."""

from dataclasses import replace
from typing import Final

from incident_builders import AT_S, command, deploy, facts, of_status, opened, run

from otel_cx_collector import inventory
from otel_cx_collector.incidents.machine import act
from otel_cx_collector.incidents.record import describe
from otel_cx_collector.incidents.status_line import status_line
from otel_cx_collector.incidents.words import Act, Change, Facts, Incident, Status
from otel_cx_collector.measure.figures import Reach

FILE: Final = inventory.parse(
    """
journeys:
  checkout:
    title: Checkout
    owner: payments-sre
    steps: [cart, payment]
    actions: [{when: changed.deploy, do: roll back.}]
"""
)
HIT: Final = facts(
    segments={"trial": Reach(112, 330), "enterprise": Reach(300, 700), "unset": Reach(9, 9), "free": Reach(0, 50)},
    regions={"eu": Reach(412, 600)},
)


def said(incident: Incident, known: Facts = HIT, *changes: Change) -> str:
    return status_line(describe(incident, known, changes, FILE), FILE)


def test_an_open_incident_says_who_since_when_what_changed_and_what_to_do() -> None:
    assert said(opened(episode_s=AT_S - 120), HIT, deploy()) == (
        "P2 Checkout: 412 of 1,030 customers affected (40 %) since 5 January 2026 09:10 UTC, most in enterprise (300), "
        "trial (112) and eu (412). Changed shortly before: deploy billing 1.8.2 (09:09 UTC). payments-sre was alerted. "
        "Recommended: roll back."
    )


def test_it_says_what_people_do_about_it() -> None:
    acknowledged, _ = act(opened(), command(Act.ACKNOWLEDGE, "looking at the deploy."))
    mitigated, _ = act(acknowledged, command(Act.MITIGATE, "rolled back", who="Bo"))
    resolved, _ = act(mitigated, command(Act.RESOLVE, at_s=AT_S + 1980))

    assert said(acknowledged).endswith(" Ana is working on it: looking at the deploy.")
    assert said(mitigated).endswith(" Bo eased it and is watching: rolled back.")
    assert said(resolved).endswith(" Resolved by Ana.")
    assert " from 5 January 2026 09:12 to 09:45 UTC" in said(resolved)


def test_what_closed_by_itself_is_as_usual_again() -> None:
    closed, _ = run(opened(), ["calm"] * 60, AT_S + 86_400)

    assert closed is not None
    assert " to 6 January 09:21 UTC" in said(closed, facts(AT_S))
    assert said(closed).endswith(" Resolved: as usual again for 10 minutes.")


def test_advice_is_for_who_still_has_something_to_do() -> None:
    assert "Recommended" not in said(replace(of_status(Status.MITIGATED)), HIT, deploy())


def test_without_customers_figures_or_channels_it_does_not_pretend() -> None:
    assert status_line(opened(), FILE) == (
        "P2 Checkout: no customer is known to be affected since 5 January 2026 09:12 UTC. payments-sre was alerted."
    )
    assert "no customer is known to be affected" in said(opened(), facts(reach=Reach(0, 50)))
    assert status_line(replace(opened(), told=()), FILE).endswith("payments-sre has not taken it on yet.")
    assert "gone: no" in status_line(replace(opened(), journey="gone"), FILE)


def test_an_incident_that_eased_says_what_it_was_and_what_it_is() -> None:
    assert said(replace(opened("P1"), current="P3")).startswith("P1 (now P3) Checkout: ")


def test_many_changes_are_three_and_a_number() -> None:
    flags = [deploy(f"f-{n}", AT_S - 60 * n, "flag", f"flag-{n} = on") for n in range(1, 6)]

    assert (
        "Changed shortly before: flag flag-1 = on (09:11 UTC), flag flag-2 = on (09:10 UTC) and flag flag-3 = on "
        "(09:09 UTC), and 2 more." in said(opened(), HIT, *flags)
    )


def test_small_shares_keep_a_digit() -> None:
    assert "3 of 1,000 customers affected (0.3 %)" in said(opened(), facts(reach=Reach(3, 1000)))
