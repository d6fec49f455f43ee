"""Incidents that share a cause, and the laws of linking them."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from incident_builders import AT_S, deploy, facts, opened

from otel_cx_collector.incidents.groups import RECENT_S, assign
from otel_cx_collector.incidents.words import Change, Incident, Status


def hurt(
    journey: str, *changes: Change, at_s: int = AT_S, saturated: tuple[str, ...] = (), services: tuple[str, ...] = ()
) -> Incident:
    return replace(
        opened(journey=journey, at_s=at_s, episode_s=at_s),
        changes=changes,
        facts=facts(saturated=saturated, services=services),
    )


def groups(*incidents: Incident, at_s: int | None = None) -> list[str | None]:
    return [each.group for each in assign(incidents, at_s)]


def test_the_same_change_before_both_starts_links() -> None:
    assert groups(hurt("checkout", deploy()), hurt("login", deploy(), at_s=AT_S + 600), hurt("signup")) == [
        "change:d-1",
        "change:d-1",
        None,
    ]


def test_a_change_after_one_of_the_starts_does_not_link() -> None:
    late = deploy(at_s=AT_S + 300)

    assert groups(hurt("checkout", late), hurt("login", late, at_s=AT_S + 600)) == [None, None]


def test_the_minute_of_the_start_counts_because_a_start_is_known_to_the_minute() -> None:
    assert groups(*[hurt(name, deploy(at_s=AT_S + 59)) for name in "ab"]) == ["change:d-1"] * 2
    assert groups(*[hurt(name, deploy(at_s=AT_S + 60)) for name in "ab"]) == [None] * 2


def test_a_change_goes_before_a_resource_and_a_resource_before_a_service() -> None:
    both: dict[str, Any] = {"saturated": ("db",), "services": ("billing",)}

    assert groups(hurt("a", deploy(), **both), hurt("b", deploy(), **both)) == ["change:d-1"] * 2
    assert groups(hurt("a", deploy("d-1"), **both), hurt("b", deploy("d-2"), **both)) == ["dependency:db"] * 2
    assert (
        groups(hurt("a", services=("billing", "api")), hurt("b", services=("billing",))) == ["dependency:billing"] * 2
    )


def test_a_service_links_only_where_it_is_most_of_the_harm_in_both() -> None:
    assert groups(hurt("a", services=("billing", "api")), hurt("b", services=("api",))) == [None, None]


def test_of_several_changes_the_latest_is_tried_first() -> None:
    early, late = deploy("d-1", AT_S - 900), deploy("d-2", AT_S - 60)

    assert groups(*[hurt(name, early, late) for name in "ab"]) == ["change:d-2"] * 2


def test_a_later_incident_joins() -> None:
    first = assign([hurt("a", deploy()), hurt("b", deploy())])

    assert groups(*first, hurt("c", deploy(), at_s=AT_S + 60)) == ["change:d-1"] * 3


@pytest.mark.parametrize(("ago_s", "group"), [(RECENT_S, "change:d-1"), (RECENT_S + 1, None)])
def test_what_closed_is_linked_for_half_an_hour(ago_s: int, group: str | None) -> None:
    closed = replace(hurt("a", deploy()), status=Status.RESOLVED, closed_s=AT_S + 900)

    assert groups(closed, hurt("b", deploy()), at_s=AT_S + 900 + ago_s) == [group, group]


def test_an_old_group_stays_as_it_is() -> None:
    old = replace(hurt("a", deploy()), group="dependency:db", closed_s=AT_S)

    assert groups(old, hurt("b"), at_s=AT_S + 10 * RECENT_S) == ["dependency:db", None]


names = st.sampled_from(["db", "billing", "api"])
changes = st.builds(deploy, st.sampled_from(["d-1", "d-2", "d-3"]), st.integers(AT_S - 1800, AT_S + 90))


@st.composite
def many(draw: st.DrawFn) -> list[Incident]:
    return [
        hurt(
            f"journey-{index}",
            *draw(st.lists(changes, max_size=3, unique_by=lambda change: change.id)),
            saturated=tuple(draw(st.lists(names, max_size=2))),
            services=tuple(draw(st.lists(names, max_size=2))),
        )
        for index in range(draw(st.integers(0, 6)))
    ]


@given(many(), st.randoms(use_true_random=False))
def test_the_order_does_not_matter(incidents: list[Incident], random: Random) -> None:
    shuffled = list(incidents)
    random.shuffle(shuffled)

    assert sorted(assign(shuffled), key=lambda each: each.id) == sorted(assign(incidents), key=lambda each: each.id)


@given(many())
def test_doing_it_again_changes_nothing_not_even_an_object(incidents: list[Incident]) -> None:
    once = assign(incidents)

    assert all(a is b for a, b in zip(assign(once), once, strict=True))


@given(many(), many())
def test_a_group_never_changes_and_has_at_least_two(first: list[Incident], more: list[Incident]) -> None:
    once = assign(first)
    renamed = [replace(each, id=f"later-{each.id}") for each in more]

    after = assign([*once, *renamed])

    assert all(b.group == a.group for a, b in zip(once, after, strict=False) if a.group)
    ids = [each.group for each in after if each.group]
    assert all(ids.count(each) > 1 for each in ids)
