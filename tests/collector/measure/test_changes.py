"""What facts say about changes, renewals and maintenance."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector import inventory
from otel_cx_collector.events import NS, Fact, FactKind
from otel_cx_collector.measure.changes import Known, with_maintenance

T0 = 1_767_603_600
"""2026-01-05T09:00:00Z."""
FILE = inventory.parse(
    "journeys: {checkout: {steps: [payment]}, login: {steps: [form]}}\n"
    "maintenance: [{journey: login, from: 2026-01-05T02:00:00Z, to: 2026-01-05T03:00:00Z}]"
)
DEPLOY = Fact("d", T0 * NS, FactKind.DEPLOY, service="shop", version="1")
FLAG = Fact("f", (T0 + 5) * NS, FactKind.FLAG, key="new", variant="on")
WINDOW = Fact("m", T0 * NS, FactKind.MAINTENANCE, journey="checkout", until_ns=(T0 + 60) * NS)
RENEWAL = Fact("r", T0 * NS, FactKind.RENEWAL, account="k.a", due="2026-02-01", name="Acme")


def test_deploys_and_flags_are_found_in_a_window_with_its_start_and_without_its_end() -> None:
    known = Known([FLAG, WINDOW, RENEWAL, DEPLOY])
    assert known.deploys_and_flags(T0, T0 + 6) == (DEPLOY, FLAG)
    assert known.deploys_and_flags(T0, T0 + 5) == (DEPLOY,)
    assert known.deploys_and_flags(T0 + 1, T0 + 5) == ()


def test_of_facts_with_one_id_the_last_given_counts() -> None:
    assert Known([DEPLOY, replace(DEPLOY, version="2")]).facts == (replace(DEPLOY, version="2"),)


def test_an_account_has_its_latest_renewal() -> None:
    later = replace(RENEWAL, id="r-2", at_ns=RENEWAL.at_ns + 1, due="2027-02-01")
    assert Known([later, RENEWAL, DEPLOY]).renewals == {"k.a": later}


@pytest.mark.parametrize(
    ("due", "days", "within"),
    [
        ("2026-02-04", 30, True),
        ("2026-02-05", 30, False),
        ("2026-01-05", 30, True),
        ("2026-01-04", 30, False),
        ("2026-01-05", 0, True),
    ],
)
def test_a_renewal_is_due_within_days_counted_from_the_day_of_the_moment(due: str, days: int, within: bool) -> None:
    known = Known([replace(RENEWAL, due=due)])
    assert known.due_within("k.a", T0, days) is within
    assert not known.due_within("k.b", T0, days)


def test_a_renewal_is_known_from_its_time_on_and_the_one_before_until_then() -> None:
    renewed = replace(RENEWAL, id="r-2", at_ns=(T0 + 100) * NS, due="2027-02-01")
    known = Known([RENEWAL, renewed])
    assert not known.due_within("k.a", T0 - 1, 30)
    assert known.due_within("k.a", T0, 30)
    assert known.due_within("k.a", T0 + 99, 30)
    assert not known.due_within("k.a", T0 + 100, 30)


def test_maintenance_is_told_by_journey_and_added_to_that_of_the_inventory() -> None:
    earlier = replace(WINDOW, id="m-2", at_ns=WINDOW.at_ns - NS)
    known = Known([WINDOW, earlier, DEPLOY])
    assert known.maintenance("checkout") == ((earlier.at_ns, WINDOW.until_ns), (WINDOW.at_ns, WINDOW.until_ns))
    assert known.maintenance("login") == ()
    listed = with_maintenance(FILE, known.facts).maintenance
    assert listed[:1] == FILE.maintenance
    assert [(each.journey, each.from_ns, each.to_ns) for each in listed[1:]] == [
        ("checkout", *window) for window in known.maintenance("checkout")
    ]


def test_maintenance_of_a_journey_that_is_gone_changes_nothing() -> None:
    assert with_maintenance(FILE, [replace(WINDOW, journey="gone"), DEPLOY]) is FILE


@given(st.permutations([DEPLOY, FLAG, WINDOW, RENEWAL, replace(RENEWAL, id="r-2", due="2027-01-01")]))
def test_the_order_of_facts_does_not_matter(facts: list[Fact]) -> None:
    known = Known(facts)
    assert known.facts == (DEPLOY, WINDOW, RENEWAL, replace(RENEWAL, id="r-2", due="2027-01-01"), FLAG)
    assert known.renewals["k.a"].id == "r-2"
