"""The sentence a page begins with, and those that stand for charts."""

from fakes_source import FakeSource

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
        "2 journeys are hurt, Checkout most: 412 of 1,030 customers affected in 12 min,"
        " mostly at payment, hardest in eu."
    )


def test_calm_is_not_claimed_for_what_is_not_measured() -> None:
    assert first(FakeSource(outage=0)) == (
        "No journey is known to be hurt: 4 healthy, 1 unmeasured and 1 without traffic."
    )


def test_calm_is_said_plainly_when_everything_is_measured() -> None:
    assert first(FakeSource(outage=0, unmeasured="", idle="")) == "All 6 journeys are healthy."


def test_before_the_first_span_there_is_no_traffic_yet() -> None:
    lone = parse("journeys:\n  support:\n    steps: [open, send]\n")
    assert first(FakeSource(inventory=lone)) == "No traffic yet."


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
