"""The JSON Schema of cx.yaml for editors, from the same shapes that read it. Not the relations checks.py knows."""

from typing import Any

from otel_cx_collector.inventory.file import File


def json_schema() -> dict[str, Any]:
    """Draft 2020-12. What a schema cannot say (references, relations) ``validate`` says."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **File.model_json_schema()}
