"""S_live recomputed by hand, severities and floors at their borders (measures.md 4.5, 4.9), and the times of 4.11."""

from dataclasses import replace

import numpy as np
import pytest
from crowds import crowd
from rows import START_S
from scipy.stats import beta

from otel_cx_collector import inventory
from otel_cx_collector.events import NS
from otel_cx_collector.measure.budgets import hurt_accounts
from otel_cx_collector.measure.evaluation import of_track
from otel_cx_collector.measure.figures import Factors
from otel_cx_collector.measure.live import Pulse, band, pulse, severity
from otel_cx_collector.measure.track import Track

FIRST = START_S // 60
FILE = inventory.parse(
    """
journeys:
  checkout:
    criticality: 0.9
    steps: [{name: payment, stage: 0.8}]
    objectives: [{sli: availability, target: 99%, window: 30d}]
"""
)
PLAIN = inventory.parse("journeys: {checkout: {steps: [payment]}}")
PARTS = Factors(journey="checkout", c=0.9, g=1, v=1, m=0.9, a=10, n=100, x=0, b=0)
CALM = Pulse(
    minute=FIRST + 59, score=0.0, h60=0.0, rho=0.0, harmed=True, young=False, missing=0.0, factors=None, reach_low=0.0
)


def track(a_minute: list[int], failed: list[int], file: inventory.Inventory = FILE, account: str = "") -> Track:
    """Attempts of each minute, evenly over it, of which the first fail; walked to the end."""
    counts = np.array(a_minute)
    minute = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(minute)) - np.repeat(np.cumsum(counts) - counts, counts)
    end_ns = (START_S + minute * 60) * NS + nth * (60 * NS // np.maximum(counts, 1)[minute])
    found = Track(file.journeys["checkout"], file)
    hurt = nth < np.array(failed)[minute]
    found.add(crowd(end_ns, outcome=np.where(hurt, "failed", "ok"), account=account))
    found.close(START_S + len(counts) * 60)
    return found


def test_the_live_score_by_hand() -> None:
    """60 minutes of 50 attempts with 1 in 50 failing, then 3 minutes with 20, 30 and 25 of 50.

    Everyday: 60 of 3000 is 2 %, capped at 1 % by the target: beta = 0.01 * 0.8. N = 50, the clean minutes' mean.
    """
    found = track([50] * 63, [1] * 60 + [20, 30, 25])
    now = pulse(found, FIRST + 62)
    c, g, everyday, n_k = 0.9, 0.8, 0.01 * 0.8, 50
    h60 = c * (75 * g / n_k - everyday * 150 / n_k)
    rates = []
    for width, harmed in ((1, 25), (2, 55), (5, 77)):
        active = 50 * width
        p_low = float(beta.ppf(0.001, harmed + 0.5, active - harmed + 0.5))
        rates.append((p_low * active / harmed * c * harmed * g / n_k - c * everyday * active / n_k) / width)
    assert now.h60 == pytest.approx(h60)
    assert now.rho == pytest.approx(max(rates))
    hour = h60 + 15 * max(rates)
    assert now.score == pytest.approx(100 * hour / (hour + 5))


def test_the_hour_counts_only_the_last_sixty_minutes_of_a_long_episode() -> None:
    found = track([50] * 150, [0] * 60 + [10] * 90)
    now = pulse(found, FIRST + 149)
    assert now.factors is not None
    assert now.factors.a == 600


def test_while_the_last_closed_minute_is_not_harmed_the_hour_counts_nothing() -> None:
    found = track([50] * 65, [0] * 60 + [10] * 4 + [0])
    now = pulse(found, FIRST + 64)
    assert found.walk.open is not None
    assert (now.harmed, now.h60, now.factors) == (False, 0, None)
    assert now.rho > 0


@pytest.mark.parametrize(
    ("score", "found"), [(40, "P1"), (39.99, "P2"), (15, "P2"), (14.99, "P3"), (4, "P3"), (3.99, "P4"), (0, "P4")]
)
def test_bands(score: float, found: str) -> None:
    assert band(score) == found


@pytest.mark.parametrize(
    ("parts", "reach", "found"),
    [
        ({}, 0.05, "P2"),
        ({"c": 0.89}, 0.05, "P4"),
        ({"m": 0.89}, 0.05, "P4"),
        ({"a": 9}, 0.05, "P4"),
        ({}, 0.0499, "P4"),
    ],
)
def test_a_critical_journey_that_fails_outright_for_some_is_p2(
    parts: dict[str, float], reach: float, found: str
) -> None:
    hurt = track([50] * 60, [0] * 50 + [1] * 10)
    now = replace(CALM, factors=replace(PARTS, **parts), reach_low=reach)  # type: ignore[arg-type]
    assert severity(hurt, now, None) == found


@pytest.mark.parametrize(("harmed", "found"), [(8, "P1"), (7, "P3")])
def test_p1_and_p2_need_eight_harmed_attempts_in_the_last_hour(harmed: int, found: str) -> None:
    hurt = track([50] * 60, [0] * (60 - harmed) + [1] * harmed)
    assert severity(hurt, replace(CALM, score=50.0), None) == found
    assert severity(hurt, replace(CALM, score=50.0, missing=1.0), None) == "P1"


def test_harm_of_more_than_an_hour_ago_does_not_make_eight() -> None:
    late = replace(CALM, minute=FIRST + 67, score=50.0)
    assert severity(track([50] * 68, [0] * 7 + [8] + [0] * 60), late, None) == "P3"
    assert severity(track([50] * 68, [0] * 8 + [8] + [0] * 59), late, None) == "P1"


def test_a_young_journey_is_p3_at_most() -> None:
    hurt = track([50] * 60, [0] * 50 + [1] * 10)
    assert severity(hurt, replace(CALM, score=50.0, young=True), None) == "P3"
    assert severity(hurt, replace(CALM, score=5.0, young=True), "P2") == "P3"
    assert severity(hurt, replace(CALM, score=1.0, young=True), None) == "P4"


def test_a_new_journey_that_fails_as_it_always_will_pages_nobody_before_there_is_a_baseline() -> None:
    """9 % without an objective: below twice the 5 % that are allowed, so no episode; the rate alone would be P2."""
    for minutes in range(1, 16):
        found = track([400] * minutes, [36] * minutes, PLAIN)
        now = pulse(found, FIRST + minutes - 1)
        assert found.walk.open is None
        assert severity(found, now, None) >= "P3"
        assert now.young is (minutes < 13)


@pytest.mark.parametrize(("floor", "found"), [("P3", "P3"), ("P2", "P2"), (None, "P4")])
def test_an_account_that_is_hurt_badly_is_a_floor(floor: str | None, found: str) -> None:
    hurt = track([50] * 60, [0] * 50 + [1] * 10)
    assert severity(hurt, CALM, floor) == found


@pytest.mark.parametrize(("attempts", "failed", "hurt"), [(5, 5, True), (4, 4, False), (10, 9, True), (11, 9, False)])
def test_an_account_is_hurt_when_nine_in_ten_of_at_least_five_attempts_of_fifteen_minutes_failed(
    attempts: int, failed: int, hurt: bool
) -> None:
    for start, seen in ((46, True), (44, False)):
        a_minute = [0] * 60
        a_minute[start] = attempts
        known = track(a_minute, [failed] * 60, account="k1.key")
        known.close(START_S + 3600)
        found = hurt_accounts(of_track(known, (START_S + 3600) * NS, (START_S + 2700) * NS))
        assert bool(found) is (hurt and seen)


# ------------------------------------------------------------------------- 4.11


def reached(a_minute: int, failed: int, worst: str) -> int | None:
    """After how many minutes of an outage the severity is ``worst``; an hour of calm before."""
    for minutes in range(1, 11):
        found = track([a_minute] * (60 + minutes), [0] * 60 + [failed] * minutes, PLAIN)
        if severity(found, pulse(found, FIRST + 59 + minutes), None) <= worst:
            return minutes
    return None


@pytest.mark.parametrize(
    ("a_minute", "failed", "worst", "minutes"),
    [(20, 8, "P2", 1), (20, 8, "P1", 2), (200, 80, "P1", 1), (2, 2, "P1", 4)],
)
def test_how_fast_an_outage_is_seen(a_minute: int, failed: int, worst: str, minutes: int) -> None:
    """Of 4.11, for exactly so many in every minute: one minute earlier than it says where 40 % of 20 are P1."""
    assert reached(a_minute, failed, worst) == minutes
