"""JSON bytes to a document that is safe to walk, and the pieces of one. Not which fields OTLP has.

OTLP/JSON is proto3 JSON with lowerCamelCase keys only, hexadecimal ids and enums as integers only. Unknown fields are
ignored, null is absent, 64-bit integers may be strings or numbers.
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from otel_cx_collector.decode.errors import BadRequest, TooLarge
from otel_cx_collector.decode.limits import DecodeLimits

_OBJECT_BYTES: Final = 180
_LIST_BYTES: Final = 80
_VALUE_BYTES: Final = 40
"""What an object, a list and any other value take once built, sizes of CPython 3.11 rounded up."""


def parse(body: bytes, limits: DecodeLimits) -> Any:
    """The document in ``body``. Raises BadRequest, or TooLarge when it would take too much memory once built.

    orjson refuses more than 1,024 levels of nesting, so that no depth can exhaust a stack, here or while walking.
    """
    built = body.count(b"{") * _OBJECT_BYTES + body.count(b"[") * _LIST_BYTES + body.count(b",") * _VALUE_BYTES
    if built > limits.json_built_bytes:
        raise TooLarge(
            f"JSON body would take about {built >> 20} MiB once built, more than {limits.json_built_bytes >> 20};"
            " send smaller batches, or protobuf"
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"body is not JSON: {error}; send one OTLP Export...ServiceRequest as OTLP/JSON") from None


def mapping(value: Any, name: str) -> dict[str, Any]:
    """``value`` as an object; absent and null are empty. Raises BadRequest."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    return value


def objects(parent: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    """The objects of a list in ``parent``; absent and null are empty. Raises BadRequest."""
    value = parent.get(key)
    if value is None:
        return
    if not isinstance(value, list):
        raise _wrong(key, "a list", value)
    for item in value:
        if not isinstance(item, dict):
            raise _wrong(f"an item of {key}", "an object", item)
        yield item


def enum(parent: dict[str, Any], key: str) -> int:
    """An enum in ``parent``; absent and null are 0. Raises BadRequest for names: OTLP allows integers only."""
    value = parent.get(key)
    if value is None:
        return 0
    if type(value) is not int:
        raise _wrong(key, "an integer (OTLP/JSON has no enum names)", value)
    return value


def uint64(parent: dict[str, Any], key: str) -> int:
    """An unsigned integer in ``parent``, given as string or number; absent is 0, -1 when it is none."""
    value = parent.get(key)
    if value is None:
        return 0
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        value = int(value)
    return value if type(value) is int and 0 <= value < 1 << 64 else -1


def _wrong(name: str, expected: str, value: Any) -> BadRequest:
    return BadRequest(f"{name} is not {expected}: {shown(value)}; send OTLP/JSON as the OTLP specification has it")


def shown(value: Any) -> str:
    """``value`` for a message, cut short."""
    text = repr(value) if not isinstance(value, (dict, list)) else type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."
