"""The sentence a page begins with, and those that stand for charts."""

from dataclasses import replace

import pytest
from fakes_source import NOW_S, FakeSource

from otel_cx_collector.incidents.words import Act, Change, Command
from otel_cx_collector.inventory import parse
from otel_cx_collector.views import journey, sentences, windows, words
from otel_cx_collector.views.overview import overview


def first(source: FakeSource) -> str:
    window = windows.window(source, None)
    return sentences.of_overview(overview(source, window), window.to_s).replace(words.NBSP, " ")


def of(source: FakeSource, name: str) -> str:
    window = windows.window(source, None)
    return sentences.of_journey(journey.answer(source, name, window), window.to_s).replace(words.NBSP, " ")


def test_the_overview_names_the_worst_journey_its_customers_how_long_and_where() -> None:
    assert first(FakeSource()) == (
        "2 incidents, the worst: P1 Checkout for 12 min, 412 customers; deploy billing 1.8.2 went out 3 min before."
    )


def test_without_an_incident_the_overview_names_the_worst_journey_its_customers_how_long_and_where() -> None:
    source = FakeSource()
    for incident in source.incidents(open_only=True):
        source.act(incident.id, Command(Act.RESOLVE, "Ana", "", NOW_S))
    assert first(source) == (
        "2 journeys are hurt, Checkout most: 412 of 1,030 customers affected in 12 min,"
        " mostly at payment, hardest in eu."
    )


def test_journeys_hurt_beside_an_incident_are_counted_too() -> None:
    source = FakeSource()
    login = source.incidents(open_only=True)[-1]
    source.act(login.id, Command(Act.RESOLVE, "Ana", "", NOW_S))
    assert first(source).startswith("1 incident: P1 Checkout for 12 min")
    assert first(source).endswith("; 1 other journey is hurt.")


@pytest.mark.parametrize(
    ("apart_s", "said"),
    [(-180, "3 min before"), (-1, "1 s before"), (0, "as it began"), (59, "as it began"), (60, "1 min after it began")],
)
def test_a_change_is_told_by_how_far_it_was_from_the_start_which_is_known_to_the_minute(
    apart_s: int, said: str
) -> None:
    deploy = Change("d", 1000 + apart_s, "deploy", "billing 1.8.2")
    assert sentences.of_change(deploy, 1000).replace(words.NBSP, " ") == f"deploy billing 1.8.2 went out {said}"


@pytest.mark.parametrize(
    ("remaining", "exhausted_in_s", "said"),
    [(None, None, "nothing counted yet"), (-0.3, 0.0, "it is spent"), (0.4, None, "not at this pace"),
     (0.4, 7200.0, "in 2 h")],
)  # fmt: skip
def test_a_budget_says_when_it_runs_out(remaining: float | None, exhausted_in_s: float | None, said: str) -> None:
    budget = replace(FakeSource().budgets("checkout")[0], remaining=remaining, exhausted_in_s=exhausted_in_s)
    assert sentences.of_budget(budget).replace(words.NBSP, " ") == said


def test_calm_is_not_claimed_for_what_is_not_measured() -> None:
    assert first(FakeSource(outage=0)) == (
        "No journey is known to be hurt: 4 healthy, 1 unmeasured and 1 without traffic."
    )


def test_calm_is_said_plainly_when_everything_is_measured() -> None:
    assert first(FakeSource(outage=0, unmeasured="", idle="")) == "All 6 journeys are healthy."


def test_before_the_first_span_there_is_no_traffic_yet() -> None:
    lone = parse("journeys:\n  support:\n    steps: [open, send]\n")
    assert first(FakeSource(inventory=lone, outage=0)) == "No traffic yet."


def test_a_journey_says_its_state_and_why() -> None:
    assert of(FakeSource(), "checkout").startswith("Severely hurt: 412 of 1,030 customers affected in 12 min")
    assert of(FakeSource(), "signup") == "Healthy: no customer is hurt beyond what is usual."
    assert of(FakeSource(), "deployment") == (
        "Unmeasured: the collector was down or refusing for 200 s of this window."
    )
    assert of(FakeSource(), "support") == "No traffic yet: no execution of any of its steps has been received."


def test_a_region_is_named_only_when_it_stands_out() -> None:
    source = FakeSource()
    episode = source.live("checkout").episode
    assert episode is not None
    assert sentences.where(episode) == "mostly at payment, hardest in eu"
    even = dict.fromkeys(episode.regions, episode.regions["us"])
    assert sentences._standing_out(even, episode.regions["us"]) == ""


def test_charts_have_a_sentence_with_their_numbers() -> None:
    source = FakeSource()
    window = windows.window(source, None)
    label = sentences.of_slices(journey.series(source, "checkout", window)).replace(words.NBSP, " ")
    assert label.startswith("Success in steps of 30 s: lowest ")
    assert "attempts active in a step were harmed." in label
    gaps = sentences.of_slices(journey.series(source, "deployment", window))
    assert gaps.endswith("steps not measured.")
    episode = source.live("checkout").episode
    assert episode is not None
    assert sentences.of_waterfall(episode.factors, episode.harm_minutes, episode.score).replace(words.NBSP, " ") == (
        "480 harmed attempts at 100 a normal minute, weighed to 3.41 min of full outage, a score of 41."
    )
    assert sentences.of_slices(journey.series(source, "support", window)) == "No execution in this range."
