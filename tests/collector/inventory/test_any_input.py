"""Whatever a file holds, reading it ends with an Inventory or an InventoryError, never with anything else."""

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from otel_cx_collector.errors import InventoryError
from otel_cx_collector.inventory import draft, explain, parse
from otel_cx_collector.inventory.drafting import _quoted
from otel_cx_collector.inventory.file import File
from otel_cx_collector.inventory.model import Inventory
from otel_cx_collector.inventory.shape import ErrorRule, Match, Objective, Step, WrittenJourney

HERE = Path(__file__).parent
FILES = [path.read_text() for path in sorted((HERE / "valid").glob("*.yaml"))]
MISTAKES: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(HERE / "mistakes.yaml")
FILES += [each["file"] for each in MISTAKES]

KEYS = sorted({key for shape in (File, WrittenJourney, Step, Objective, Match, ErrorRule) for key in shape.keys()})  # noqa: SIM118 - a class, not a dict
UNTOLD = "is not right here"
"""What a message says of an error that has no words of its own yet."""
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["1s", "99%", "availability", "latency", "P1", "GET /", "a", "*", "2026-01-05T02:00:00Z", "p95", 10**400]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "a", "when", "all"]), below, max_size=4)
    ),
    max_leaves=12,
)


def outcome(text: str) -> Inventory | None:
    """The inventory, or None when it was refused as it should be: problems in order, each with what and cure."""
    try:
        inventory = parse(text, "cx.yaml", pending=())
    except InventoryError as error:
        problems = error.problems
    else:
        assert explain(inventory)
        return inventory
    lines = [problem.line for problem in problems]
    assert lines == sorted(lines)
    assert lines
    assert all(problem.what and problem.cure for problem in problems)
    assert not any(UNTOLD in problem.what for problem in problems)
    return None


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    outcome(text)


@given(st.text(alphabet="abjourneysteps:-[]{}&*!|>'\"#%@`,? \n\t<", max_size=80))
@settings(max_examples=300)
def test_any_text_that_resembles_yaml_is_read_or_refused(text: str) -> None:
    outcome(text)


@given(st.sampled_from(FILES), st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_any_change_of_a_file_is_read_or_refused(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 20)))
    outcome(text[:start] + data.draw(st.text(max_size=5)) + text[stop:])


def written(value: Any) -> str:
    """Flow YAML of plain values; texts in quotes as JSON has them."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)}: {written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, float):
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(str(value), str(value))
    if isinstance(value, str):
        return _quoted(value)
    return "null" if value is None else str(value).lower()


@given(st.dictionaries(st.sampled_from(File.keys()), VALUES, max_size=5))
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_any_values_under_known_keys_are_read_or_refused(values: dict[str, Any]) -> None:
    outcome(written(values))


@given(st.dictionaries(st.sampled_from(WrittenJourney.keys()), VALUES, max_size=5))
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_any_values_in_a_journey_are_read_or_refused(values: dict[str, Any]) -> None:
    outcome(written({"journeys": {"a": {"steps": ["a"]} | values}}))


def test_a_draft_of_nothing_is_read() -> None:
    assert outcome(draft([])) is not None
