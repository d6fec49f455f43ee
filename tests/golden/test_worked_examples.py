"""The worked examples of the score: recordings replayed by the real pipeline, figures as the definition prints them."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from recordings import Step, minute, write

from otel_cx_collector import inventory, replay
from otel_cx_collector.measure import impact
from otel_cx_collector.measure.figures import Factors

CLEAN = 60
"""Minutes of ordinary traffic before the harm, 100 attempts each."""


def ordinary(start: int = 0, count: int = CLEAN, **how: str) -> list[Step]:
    return [step for number in range(start, start + count) for step in minute(number, 100, 100, "ok", **how)]


def journey_of(tmp_path: Path, name: str, settings: str, steps: Iterable[Step]) -> dict[str, Any]:
    recording = write(tmp_path / "recording.jsonl", steps)
    report: dict[str, Any] = replay.run([str(recording)], inventory.parse(f"journeys: {{{name}: {{{settings}}}}}"))
    found: dict[str, Any] = report["journeys"][name]
    return found


def only_episode(journey: dict[str, Any]) -> dict[str, Any]:
    episode: dict[str, Any]
    (episode,) = journey["episodes"]
    return episode


def factors(episode: dict[str, Any]) -> Factors:
    return impact.parse_vector(episode["vector"])


def test_a_checkout_outage_for_forty_percent_over_twelve_minutes_is_4_8_minutes_and_49(tmp_path: Path) -> None:
    outage = [step for m in range(CLEAN, CLEAN + 12) for step in minute(m, 100, 40, outcome="failed")]
    episode = only_episode(journey_of(tmp_path, "checkout", "steps: [payment]", [*ordinary(), *outage]))
    assert episode["vector"] == "CXI:1.0/J:checkout/C:1/G:1/V:1/M:1/A:480/N:100/X:0/B:0/H50:5"
    assert episode["harm_minutes"] == pytest.approx(4.80)
    assert round(episode["score"], 1) == 49.0


def test_a_background_job_failing_for_everybody_indirectly_is_0_036_minutes_and_0_7(tmp_path: Path) -> None:
    settings = "criticality: 0.3, impact: {per_second: 0.1, max_slow: 0.5}, steps: [{name: payment, stage: 0.1}]"
    slow = [step for m in range(CLEAN, CLEAN + 12) for step in minute(m, 100, 100, duration_s=3.0)]
    episode = only_episode(journey_of(tmp_path, "checkout", settings, [*ordinary(), *slow]))
    assert episode["vector"] == "CXI:1.0/J:checkout/C:0.3/G:0.1/V:1/M:0.1/A:1200/N:100/X:0/B:0/H50:5"
    assert episode["harm_minutes"] == pytest.approx(0.036)
    assert round(episode["score"], 1) == 0.7


def test_a_login_failing_for_eight_percent_over_25_minutes_is_1_44_minutes_and_22_4(tmp_path: Path) -> None:
    settings = "criticality: 0.9, steps: [{name: password, stage: 0.8}]"
    login = {"journey": "login", "step": "password"}
    failing = [
        Step(**(vars(step) | login)) for m in range(CLEAN, CLEAN + 25) for step in minute(m, 100, 8, outcome="failed")
    ]
    episode = only_episode(
        journey_of(tmp_path, "login", settings, [*ordinary(journey="login", step="password"), *failing])
    )
    assert episode["vector"] == "CXI:1.0/J:login/C:0.9/G:0.8/V:1/M:1/A:200/N:100/X:0/B:0/H50:5"
    assert episode["harm_minutes"] == pytest.approx(1.44)
    assert round(episode["score"], 1) == 22.4


def evening() -> list[int]:
    """Attempts of each minute of a day that grows quiet slowly: 100 a minute on average, 5 at its end."""
    quieter = [max(5, round(150 * 0.95**m)) for m in range(90)]
    day = sum(quieter) - 100 * len(quieter)
    busy = math.ceil(-day / 50) if day < 0 else 0
    found = [150] * busy + quieter
    found[0] -= sum(found) - 100 * len(found)
    return found


def test_everybody_failing_for_twenty_minutes_at_five_a_minute_is_one_minute_and_16_7(tmp_path: Path) -> None:
    day = evening()
    assert sum(day) == 100 * len(day)
    clean = [step for number, count in enumerate(day) for step in minute(number, count, count, "ok")]
    night = [step for m in range(len(day), len(day) + 20) for step in minute(m, 5, 5, outcome="failed")]
    after = minute(len(day) + 20, 5, 5, "ok")
    episode = only_episode(journey_of(tmp_path, "checkout", "steps: [payment]", [*clean, *night, *after]))
    assert (factors(episode).a, factors(episode).n) == (100, 100)
    assert episode["harm_minutes"] == pytest.approx(1.00)
    assert round(episode["score"], 1) == 16.7


def test_thirty_paper_cuts_add_up_to_1_8_minutes_and_26_5(tmp_path: Path) -> None:
    steps, number = ordinary(), CLEAN
    for _ in range(30):
        steps += [step for m in range(number, number + 4) for step in minute(m, 100, 3, duration_s=30.0)]
        steps += ordinary(number + 4, 16)
        number += 20
    journey = journey_of(tmp_path, "checkout", "impact: {max_slow: 0.5}, steps: [payment]", steps)
    assert len(journey["episodes"]) == 30
    assert {factors(episode).a for episode in journey["episodes"]} == {12}
    assert {factors(episode).m for episode in journey["episodes"]} == {0.5}
    assert journey["harm_minutes"] == pytest.approx(1.80)
    assert round(impact.score(journey["harm_minutes"]), 1) == 26.5


@pytest.mark.parametrize("tries", [1, 20], ids=["failing once", "retrying every minute"])
def test_the_same_hundred_customers_are_one_minute_however_often_they_retry(tmp_path: Path, tries: int) -> None:
    failing = [
        Step(at_s=(CLEAN + m) * 60 + i * 0.6, attempt=f"customer-{i}", outcome="failed")
        for m in range(tries)
        for i in range(100)
    ]
    steps = [*ordinary(count=CLEAN + 21), *failing]
    episode = only_episode(journey_of(tmp_path, "checkout", "steps: [payment]", steps))
    assert (factors(episode).a, factors(episode).m) == (100, 1)
    assert episode["harm_minutes"] == pytest.approx(1.00)
    assert round(episode["score"], 1) == 16.7


def test_equivalent_minutes_are_the_share_of_the_error_budget_spent(tmp_path: Path) -> None:
    """c = g = v = 1, one step, one execution an attempt, binary harm, no baseline, N the window's mean (4.6)."""
    steps = [step for m in range(30) for step in minute(m, 100, 40 if m < 12 else 0, outcome="failed")]
    settings = "steps: [payment], objectives: [{sli: availability, target: 99%, window: 30d}]"
    journey = journey_of(tmp_path, "checkout", settings, steps)
    assert factors(only_episode(journey)).b == 0
    (sli,) = journey["slis"]
    assert sli["budget_spent"] == pytest.approx(journey["harm_minutes"] / (0.01 * 30))
