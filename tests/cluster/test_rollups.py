"""Minutes, hours and days closed on servers: the same figures as in one directory, and late rows close them again."""

import random
from typing import Any

import pytest
from step_rows import T0, step_row, table

from otel_cx_collector.events import MINUTE_S, NS, Grade, Outcome, StepRow
from otel_cx_collector.inventory import parse
from otel_cx_collector.rollup import Rollups
from otel_cx_collector.store import Store
from otel_cx_collector.store.rollups import DAY_S, HOUR_S

FILE = parse("""
dimensions: {segment: {enterprise: 1.0, trial: 0.4}}
journeys:
  checkout:
    timeout: 30m
    steps: [{name: cart, slow_after: 1s}, {name: payment, slow_after: 500ms}, confirm]
""")
LATER = T0 + 3 * DAY_S


def rows() -> list[StepRow]:
    """Attempts under strong and weak keys over two hours, with copies in two versions."""
    rng = random.Random(3)
    return [
        step_row(
            number,
            attempt=f"a{number % 90}",
            grade=rng.choice(list(Grade)),
            step=rng.choice(["cart", "payment", "confirm"]),
            outcome=rng.choice(list(Outcome)),
            end=(T0 + rng.randrange(0, 7200)) * NS,
            duration_ns=round(rng.lognormvariate(19.5, 1)),
            customer=f"k1.{number % 40}",
            segment=rng.choice(["enterprise", "trial"]),
        )
        for number in range(400)
    ]


def closed(store: Store) -> list[list[dict[str, Any]]]:
    """Every figure of every table."""
    day_s = T0 // DAY_S * DAY_S
    return [
        store.rollups("checkout", day_s, day_s + DAY_S, step_s, dimension).to_pylist()
        for step_s in (MINUTE_S, HOUR_S, DAY_S)
        for dimension in (None, "segment")
    ]


def filled(store: Store) -> list[list[list[dict[str, Any]]]]:
    """What is closed at first, and after rows that came late; each row is sent twice."""
    early, late = rows()[:300], rows()[300:]
    rollups, found = Rollups(store, FILE), []
    for part in (early, late):
        for _ in range(2):
            store.insert_steps(table(*part))
        rollups.close(LATER)
        found.append(closed(store))
    return found


@pytest.fixture(scope="module")
def expected() -> list[list[list[dict[str, Any]]]]:
    with Store.temporary() as store:
        return filled(store)


def test_closed_figures_are_those_of_one_directory(expected: list[list[list[dict[str, Any]]]], store: Store) -> None:
    found = filled(store)
    assert found == expected
    assert all(figures for part in found for figures in part)
    assert found[0] != found[1]
