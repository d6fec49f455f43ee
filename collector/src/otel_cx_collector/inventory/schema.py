"""The JSON Schema of cx.yaml for editors, from the same shapes that read it. Not the relations that checks.py knows."""

from typing import Any, Final

from otel_cx_collector.inventory.file import File
from otel_cx_collector.inventory.quantities import format_duration
from otel_cx_collector.inventory.vocabulary import DURATION_PATTERN

_HOLD_SCHEMAS: Final = ("properties", "definitions", "patternProperties")
"""Keys under which names stand, not keywords."""


def json_schema() -> dict[str, object]:
    """Draft 7, the newest that editors read in full. What it cannot say (references, relations) ``validate`` says."""
    schema = File.model_json_schema(ref_template="#/definitions/{model}")
    schema["definitions"] = schema.pop("$defs")
    title = {"title": "otel-cx inventory", "description": "cx.yaml: the journeys, and everything they are judged by."}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **_for_editors(schema), **title}


def _for_editors(schema: Any) -> Any:
    """Without titles made from names, without nulls (they are refused), durations as written, keys closed."""
    if isinstance(schema, list):
        return [_for_editors(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain: dict[str, Any] = {
        key: {name: _for_editors(each) for name, each in value.items()} if key in _HOLD_SCHEMAS else _for_editors(value)
        for key, value in schema.items()
        if key != "title" and not (key == "default" and value is None)
    }
    choices = [each for each in plain.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) == 1:
        del plain["anyOf"]
        plain = choices[0] | plain
    default: Any = plain.get("default")
    if isinstance(default, int) and plain.get("pattern") == DURATION_PATTERN:
        plain["default"] = format_duration(default)
    if "patternProperties" in plain:
        plain.setdefault("additionalProperties", False)
    return plain
