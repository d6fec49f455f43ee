"""Every mistake is answered with file, line, the value and the cure."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from otel_cx_collector.errors import InventoryError, Problem
from otel_cx_collector.inventory import parse
from otel_cx_collector.inventory.pending import PENDING, Pending

HERE = Path(__file__).parent
MISTAKES: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(HERE / "mistakes.yaml")


def problems(text: str, pending: tuple[Pending, ...] = ()) -> list[Problem]:
    with pytest.raises(InventoryError) as caught:
        parse(text, "cx.yaml", pending=pending)
    return caught.value.problems


@pytest.mark.parametrize("mistake", MISTAKES, ids=[each["a"] for each in MISTAKES])
def test_a_mistake_is_told_once_with_its_line_and_its_cure(mistake: dict[str, Any]) -> None:
    (problem,) = problems(mistake["file"])

    assert (problem.file, problem.line) == ("cx.yaml", mistake["at"])
    assert mistake["says"] in problem.what
    assert mistake["cure"] in problem.cure
    assert str(problem) == f"cx.yaml:{mistake['at']}: {problem.what}; {problem.cure}"


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
version: 2
dimensions:
  segment: {enterprise: 3}
journeys:
  checkout:
    steps: [cart, {name: pay, stagee: 1}]
    objectives:
      - {sli: latency, step: pey, threshold: 1s, target: 99%}
      - {sli: availability, target: 100%}
    match:
      - {step: nowhere, service: shop}
    strict: true
maintenance:
  - {journey: check, from: 2026-01-05T03:00:00Z, to: 2026-01-05T02:00:00Z}
notify: {}
"""
    found = problems(text, PENDING)

    assert [problem.line for problem in found] == [1, 3, 6, 8, 9, 11, 12, 14, 14]


def test_a_reference_to_something_with_a_mistake_in_it_is_no_second_mistake() -> None:
    text = """\
journeys:
  checkout:
    steps: [{name: Cart!}, {name: pay, stage: 7}, {name: confirm, trminal: true}]
    objectives: [{sli: latency, step: Cart!, threshold: 1s, target: 99%}]
    match: [{step: pay, service: shop}, {step: confirm, route: GET /c}]
maintenance: [{journey: search, from: 2026-01-05T02:00:00Z, to: 2026-01-05T03:00:00Z}]
"""
    text += "  # a journey whose own shape is wrong is known all the same\n"
    text = text.replace("maintenance", "  search: []\nmaintenance")

    assert [(problem.line, problem.what.partition(":")[0]) for problem in problems(text)] == [
        (3, "journeys.checkout.steps[Cart!].name"),
        (3, "journeys.checkout.steps[pay].stage"),
        (3, "journeys.checkout.steps[confirm]"),
        (4, "journeys.checkout.objectives[#1].step"),
        (6, "journeys.search is a list"),
    ]


def test_what_is_right_beside_mistakes_in_a_list_is_judged_all_the_same() -> None:
    text = "journeys: {a: {steps: [Bad!, Worse!, ok], objectives: [{sli: availability, target: 1}]}}"

    assert [problem.what.partition(":")[0] for problem in problems(text)] == [
        "journeys.a.steps[Bad!]",
        "journeys.a.steps[Worse!]",
        "journeys.a.objectives[#1].target",
    ]


def test_a_file_of_nothing_but_mistakes_is_cut_short_and_says_so() -> None:
    text = "journeys:\n  a:\n    steps: [b]\n" + "".join(f"    key{number}: 1\n" for number in range(500))

    found = problems(text)

    assert len(found) == 201
    assert "and 300 more problems" in found[-1].what


def test_hostile_text_is_shown_cut_short_and_printable() -> None:
    text = 'currency: "\\e[31mred\\u202e' + "x" * 500 + '"\njourneys: {a: {steps: [b]}}\n'

    (problem,) = problems(text)

    assert problem.what.isprintable()
    assert len(problem.what) < 120


def test_hostile_names_are_shown_cut_short_and_printable() -> None:
    name = '"\\e[31m' + "x" * 500 + '"'
    text = f"journeys: {{a: {{steps: [{name}], {name}: 1, match: [{{step: b, service: s}}]}}}}\n"

    for problem in problems(text):
        assert str(problem).isprintable()
        assert len(str(problem)) < 400
