"""Charts as plain JSON: series, marks, tokens, deltas."""

import json
from typing import Any

import pytest
from fakes_source import FakeSource
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.measure.figures import Factors
from otel_cx_collector.views import charts, journey, windows


def option(source: FakeSource, name: str = "checkout") -> dict[str, Any]:
    window = windows.window(source, None)
    found = source.figures(name, window.from_s, window.to_s)
    return charts.slices(journey.series(source, name, window), found.episodes, 0.999)


def series(chart: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in chart["series"] if each["id"] == name)


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in strings(each)]
    if isinstance(value, list):
        return [text for each in value for text in strings(each)]
    return [value] if isinstance(value, str) else []


def test_an_option_is_plain_json_with_rich_text_tooltips_in_utc() -> None:
    chart = option(FakeSource())
    assert json.loads(json.dumps(chart)) == chart
    assert chart["tooltip"]["renderMode"] == "richText"
    assert chart["useUTC"] is True


def test_colours_are_tokens_of_the_theme_never_values() -> None:
    texts = [text for chart in (option(FakeSource()), waterfall()) for text in strings(chart)]
    assert not [text for text in texts if text.startswith(("#", "rgb"))]
    assert "--harm" in texts


def test_the_chart_holds_every_step_of_the_series_in_order() -> None:
    source = FakeSource()
    found = journey.series(source, "checkout", windows.window(source, None))
    chart = option(source)
    times = [at for at, _ in series(chart, "success")["data"]]
    assert times == [(found.start_s + index * found.step_s) * 1000 for index in range(len(found.active))]
    assert [value for _, value in series(chart, "success")["data"]] == [
        None if share is None else round(share * 100, 3) for share in found.success
    ]


def test_steps_newer_than_the_watermark_are_hatched() -> None:
    bars = series(option(FakeSource()), "harmed")["data"]
    hatched = [isinstance(bar, dict) and "decal" in bar["itemStyle"] for bar in bars]
    assert hatched[-1]
    assert hatched.index(True) >= len(hatched) - 2


def test_what_is_not_measured_is_a_gap_and_a_grey_area_with_the_word() -> None:
    chart = option(FakeSource(), "deployment")
    success = series(chart, "success")
    assert None in [value for _, value in success["data"]]
    assert ("unmeasured", "--unmeasured") in [
        (left["name"], left["itemStyle"]["color"]) for left, _ in success["markArea"]["data"]
    ]


def test_episodes_are_tinted_and_the_target_is_a_line() -> None:
    success = series(option(FakeSource()), "success")
    assert [left["itemStyle"]["color"] for left, _ in success["markArea"]["data"]].count("--harm-tint") == 2
    assert success["markLine"]["data"] == [{"yAxis": 99.9}]


@pytest.mark.parametrize(("least", "floor"), [(99.95, 99.0), (99.2, 99.0), (97, 95.0), (55, 50.0), (51, 0.0), (0, 0.0)])
def test_the_success_axis_begins_at_a_round_number_below_the_data(least: float, floor: float) -> None:
    assert charts.floor_of(least, 0.999) == floor
    assert charts.floor_of(least, None) <= least


def worst() -> tuple[Factors, float]:
    episode = FakeSource().live("checkout").episode
    assert episode is not None
    return episode.factors, episode.harm_minutes


def waterfall() -> dict[str, Any]:
    return charts.waterfall(*worst())


def test_the_waterfall_goes_from_harmed_attempts_to_the_harm() -> None:
    factors, harm = worst()
    rows = charts.factor_rows(factors)
    assert rows[0][2] == factors.a / factors.n
    assert rows[-1][3] == pytest.approx(harm)
    bars = series(waterfall(), "minutes")["data"]
    assert bars[-1]["value"] == pytest.approx(harm)
    assert bars[-1]["label"]["formatter"].startswith("3.41")


shares = st.floats(0.01, 1)


@given(
    shares, shares, shares, shares, st.integers(0, 10**6), st.floats(0.01, 10**4), st.floats(0, 50), st.floats(0, 50)
)
def test_every_change_of_the_waterfall_adds_up_to_the_formula(
    c: float, g: float, v: float, m: float, a: int, n: float, x: float, b: float
) -> None:
    rows = charts.factor_rows(Factors("j", c, g, v, m, a, n, x, b))
    assert rows[-1][3] == pytest.approx(c * g * v * m * a / n + x - b, abs=1e-6)
    assert sum(change for _, _, change, _ in rows) == pytest.approx(rows[-1][3], abs=1e-5)


@given(st.lists(st.booleans(), max_size=50), st.booleans())
def test_runs_cover_exactly_the_wanted_flags(flags: list[bool], wanted: bool) -> None:
    covered = [index for start, end in charts.runs(flags, wanted=wanted) for index in range(start, end)]
    assert covered == [index for index, flag in enumerate(flags) if flag is wanted]


def test_a_sparkline_breaks_where_nothing_was_measured() -> None:
    assert charts.sparkline([0.0, 1.0, None, 0.5], 30, 12, 1.0) == ["0.0,11.0 10.0,1.0", "30.0,6.0"]
    assert charts.sparkline([], 30, 12, 1.0) == []


def test_a_delta_holds_only_what_changed_and_merges_to_the_new_option() -> None:
    source = FakeSource()
    old = option(source)
    assert charts.delta(old, option(source)) == {}
    source.outage = 0.5
    new = option(source)
    change = charts.delta(old, new)
    assert {each["id"] for each in change["series"]} == {"success", "harmed", "others"}
    assert "tooltip" not in change
    assert charts.delta({}, new) == new
    assert {**old, **change} == new
