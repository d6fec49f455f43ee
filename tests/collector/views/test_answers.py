"""What the overview and a journey's answer hold."""

import pytest
from fakes_source import FakeSource

from otel_cx_collector.errors import Unavailable
from otel_cx_collector.views import journey, windows
from otel_cx_collector.views.overview import overview
from otel_cx_collector.views.source import BadQuestion, NotFound, Source
from otel_cx_collector.views.state import State
from otel_cx_collector.views.status import status


def answer(source: Source, name: str) -> journey.Answer:
    return journey.answer(source, name, windows.window(source, None))


def test_the_most_hurt_journey_comes_first_and_the_healthy_last() -> None:
    source = FakeSource()
    rows = overview(source, windows.window(source, None)).rows
    assert [row.answer.journey.name for row in rows] == [
        "checkout", "login", "deployment", "support", "dns-change", "signup",
    ]  # fmt: skip
    assert [row.answer.state for row in rows[2:4]] == [State.UNMEASURED, State.IDLE]


def test_an_unmeasured_journey_has_no_score_but_a_reason() -> None:
    found = answer(FakeSource(), "deployment")
    assert found.score is None
    assert "down or refusing" in found.reason


def test_success_is_a_ratio_of_sums_over_all_steps() -> None:
    found = answer(FakeSource(), "checkout")
    steps = found.figures.steps.values()
    assert found.success == sum(s.ok for s in steps) / sum(s.ok + s.failed for s in steps)
    assert answer(FakeSource(), "support").success is None


def test_the_budget_shown_is_that_of_the_objective_with_the_least_left() -> None:
    budget = answer(FakeSource(), "checkout").budget
    assert budget is not None
    assert budget.sli == "availability"
    assert budget.remaining == pytest.approx(-0.34)
    assert answer(FakeSource(), "support").budget is None


def test_reach_is_that_of_the_open_episode_and_else_of_the_window() -> None:
    hurt, healed = answer(FakeSource(), "checkout"), answer(FakeSource(outage=0), "checkout")
    assert hurt.episode is not None
    assert hurt.reach == hurt.episode.reach
    assert healed.reach == healed.figures.customers


def test_an_unknown_journey_is_answered_with_the_nearest_names() -> None:
    source = FakeSource()
    with pytest.raises(NotFound, match="there is no journey 'chekout'; did you mean checkout"):
        answer(source, "chekout")


def test_the_store_being_down_is_not_hidden() -> None:
    source = FakeSource(down="the store does not answer")
    with pytest.raises(Unavailable):
        overview(source, windows.window(source, None))


def test_the_matrix_lists_values_in_the_order_of_the_inventory_then_what_was_not_listed() -> None:
    source = FakeSource()
    detail = journey.detail(source, "checkout", windows.window(source, None))
    assert detail.rows == ("enterprise", "developer", "trial", "other")
    assert detail.columns == ("eu", "us", "apac", "other")


def test_a_matrix_of_other_dimensions_is_asked_for_by_name() -> None:
    assert journey.dimensions(FakeSource(), "plan,market") == ("plan", "market")
    with pytest.raises(BadQuestion, match="no dimension 'colour'; use two of segment"):
        journey.dimensions(FakeSource(), "segment,colour")


def test_the_episode_taken_apart_is_the_picked_one_else_the_open_one_else_the_worst() -> None:
    source = FakeSource()
    window = windows.window(source, None)
    small, current = source.figures("checkout", window.from_s, window.to_s).episodes
    assert journey.detail(source, "checkout", window).explained == current
    assert journey.detail(source, "checkout", window, episode_s=small.start_s).explained == small
    source.outage = 0
    assert journey.detail(source, "checkout", window).explained == small


def test_the_inventory_page_lists_journeys_in_the_order_of_the_file() -> None:
    source = FakeSource()
    found = status(source, windows.window(source, None))
    assert [each.journey.name for each in found.answers] == list(source.inventory.journeys)
    assert found.intake.refused["unknown_step"] == 340
