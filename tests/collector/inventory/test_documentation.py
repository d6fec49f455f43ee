"""The reference of cx.yaml is true: its examples are read, and it knows every key."""

import re
from pathlib import Path
from typing import Any

import pytest

from otel_cx_collector.errors import InventoryError
from otel_cx_collector.inventory import json_schema, parse
from otel_cx_collector.inventory.decisions import CHANNELS, PREDICATES
from otel_cx_collector.inventory.file import MAX_ENVIRONMENTS, MAX_JOURNEYS, MAX_OWN_DIMENSIONS
from otel_cx_collector.inventory.pending import PENDING
from otel_cx_collector.inventory.reading import MAX_PROBLEMS
from otel_cx_collector.inventory.shape import MAX_STEPS
from otel_cx_collector.inventory.tree import MAX_BYTES, MAX_DEPTH, MAX_NODES
from otel_cx_collector.inventory.vocabulary import MAX_VALUES

DOCS = Path(__file__).parents[3] / "docs"
REFERENCE = (DOCS / "reference" / "inventory.md").read_text()
HOW_TO = (DOCS / "how-to" / "edit-the-inventory.md").read_text()


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", [*blocks(REFERENCE, "yaml"), *blocks(HOW_TO, "yaml")])
def test_every_example_is_read(example: str) -> None:
    assert parse(example).journeys


def test_the_example_of_what_is_pending_asks_for_all_of_it_and_nothing_else_is_wrong() -> None:
    (example,) = blocks(REFERENCE, "yaml pending")

    parse(example, pending=())
    with pytest.raises(InventoryError) as caught:
        parse(example)
    assert len(caught.value.problems) == len(PENDING)


def test_the_reference_names_every_key() -> None:
    schema: Any = json_schema()
    keys = {key for shape in (schema, *schema["definitions"].values()) for key in shape["properties"]}

    assert sorted(key for key in keys | {*PREDICATES, *CHANNELS} if not re.search(rf"\b{key}\b", REFERENCE)) == []


def test_the_reference_names_everything_that_is_pending() -> None:
    table = REFERENCE.partition("## Understood, but not evaluated")[2]

    assert [each.path[-1] for each in PENDING if f"`{each.path[-1]}" not in table] == []


def test_the_reference_names_the_limits() -> None:
    text = " ".join(REFERENCE.split())

    assert MAX_BYTES == 1 << 20
    assert (
        f"Limits: 1 MiB, {MAX_NODES:,} keys and values after aliases are expanded, {MAX_DEPTH} levels, "
        f"{MAX_JOURNEYS} journeys, {MAX_STEPS} steps a journey"
    ) in text
    assert f"Own dimensions, at most {MAX_OWN_DIMENSIONS}" in text
    assert f"At most {MAX_VALUES} values each" in text
    assert f"At most {MAX_ENVIRONMENTS} |" in text
    assert f"more than {MAX_PROBLEMS} mistakes" in text


def test_the_answer_to_mistakes_is_the_one_shown() -> None:
    text = (
        "journeys:\n  checkout:\n    steps:\n      - cart\n      - name: payment\n        slow_afer: 2s\n"
        "    objectives:\n      - {sli: latency, step: paymnt, threshold: 1s, target: 99%}\n"
    )

    with pytest.raises(InventoryError) as caught:
        parse(text)

    assert f"\n{caught.value}\n" in REFERENCE
