"""What is not evaluated yet is refused with a message that says so, never ignored."""

from pathlib import Path

import pytest

from otel_cx_collector.errors import InventoryError
from otel_cx_collector.inventory import load, parse
from otel_cx_collector.inventory.pending import PENDING, Pending

WHOLE = Path(__file__).parent / "valid" / "whole.yaml"

ASKED: dict[tuple[str, ...], str] = {
    ("journeys", "*", "strict"): "journeys: {a: {steps: [b], strict: true}}",
    ("journeys", "*", "value"): "currency: EUR\njourneys: {a: {steps: [b], value: 5}}",
}


@pytest.mark.parametrize("pending", PENDING, ids=[".".join(each.path) for each in PENDING])
def test_what_is_pending_is_refused_once_and_read_once_its_line_is_gone(pending: Pending) -> None:
    text = ASKED[pending.path]

    with pytest.raises(InventoryError) as caught:
        parse(text, pending=(pending,))

    (problem,) = caught.value.problems
    assert problem.what.endswith(" is understood but not evaluated by this version")
    assert problem.cure.startswith("remove it")
    parse(text, pending=())


def test_all_that_is_pending_is_told_at_its_line() -> None:
    with pytest.raises(InventoryError) as caught:
        load(WHOLE)

    assert [(problem.line, problem.what.partition(" is ")[0]) for problem in caught.value.problems] == [
        (6, "journeys.checkout.value"),
        (7, "journeys.checkout.strict"),
    ]


def test_mistakes_within_what_is_pending_are_found_all_the_same() -> None:
    text = "currency: EUR\njourneys: {a: {steps: [b], value: -5}}"

    with pytest.raises(InventoryError) as caught:
        parse(text)

    assert [problem.what.partition(":")[0] for problem in caught.value.problems] == [
        "journeys.a.value is understood but not evaluated by this version",
        "journeys.a.value",
    ]


def test_asking_for_nothing_is_no_mistake() -> None:
    parse(
        "saturation: {}\nescalation: []\nnotify: {}\n"
        "journeys: {a: {strict: false, steps: [{name: b, depends_on: []}], "
        "objectives: [{sli: availability, target: 99%, alerts: []}]}}"
    )
