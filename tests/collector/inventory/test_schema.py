"""The JSON Schema for editors says what the reader says, as far as a schema can."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from otel_cx_collector.inventory import json_schema
from otel_cx_collector.inventory.file import File
from otel_cx_collector.inventory.tree import read

HERE = Path(__file__).parent
PUBLISHED = HERE.parents[2] / "docs" / "reference" / "cx.schema.json"
MISTAKES: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(HERE / "mistakes.yaml")
VALID = sorted((HERE / "valid").glob("*.yaml"))


def accepts(text: str) -> bool:
    root, problems = read(text, "cx.yaml")
    assert root is not None
    assert not problems
    return Draft7Validator(json_schema()).is_valid(root.data())


def test_the_schema_is_a_schema() -> None:
    Draft7Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", VALID, ids=[path.stem for path in VALID])
def test_the_schema_takes_every_valid_file(path: Path) -> None:
    assert accepts(path.read_text())


@pytest.mark.parametrize("mistake", MISTAKES, ids=[each["a"] for each in MISTAKES])
def test_the_schema_refuses_every_mistake_it_can_express(mistake: dict[str, Any]) -> None:
    assert accepts(mistake["file"]) is not mistake.get("schema", True)


def test_every_key_of_the_shapes_is_explained_to_editors() -> None:
    schema: Any = json_schema()
    shapes = [schema, *schema["definitions"].values()]

    bare = [key for shape in shapes for key, value in shape["properties"].items() if not _explained(value)]

    assert bare == []


def _explained(value: dict[str, Any]) -> bool:
    return "description" in value or "$ref" in value


def test_defaults_are_shown_as_they_are_written() -> None:
    schema: Any = json_schema()
    journey = schema["definitions"]["WrittenJourney"]["properties"]

    assert (journey["timeout"]["default"], journey["recovery"]["default"]) == ("30m", "5m")
    assert schema["definitions"]["Step"]["properties"]["slow_after"]["default"] == "2s"
    assert schema["definitions"]["Objective"]["properties"]["window"]["default"] == "30d"


def test_keys_stand_in_the_schema_by_the_names_of_the_file() -> None:
    schema: Any = json_schema()

    assert list(schema["properties"]) == File.keys()
    assert not [key for shape in schema["definitions"].values() for key in shape["properties"] if key.endswith("_ns")]


def test_the_published_schema_is_the_schema() -> None:
    assert json.loads(PUBLISHED.read_text()) == json_schema(), (
        "run: .venv/bin/otel-cx-collector validate --schema > docs/reference/cx.schema.json"
    )


def test_the_command_prints_the_published_schema() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "otel_cx_collector", "validate", "--schema"], check=True, capture_output=True, text=True
    ).stdout

    assert printed == PUBLISHED.read_text()
