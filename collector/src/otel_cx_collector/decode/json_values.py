"""AnyValue in OTLP/JSON to a scalar: what values.py is for protobuf. Lists, maps and bytes are recognised, not read."""

import re
from collections.abc import Callable
from typing import Any, Final

from otel_cx_collector.decode.document import mapping, objects
from otel_cx_collector.decode.limits import DecodeLimits
from otel_cx_collector.decode.nested import too_deep
from otel_cx_collector.decode.span import UNREADABLE, Scalar

_INT64: Final = range(-(1 << 63), 1 << 63)
_DIGITS: Final = re.compile(r"-?[0-9]{1,19}")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,400}(\.[0-9]{0,400})?([eE][+-]?[0-9]{1,4})?")
_DOUBLES: Final = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def read_json_value(value: dict[str, Any], limits: DecodeLimits) -> Scalar | None:
    """The scalar of one AnyValue; None when it is empty, UNREADABLE when it is none or breaks the rules of its kind."""
    for kind, read in _KINDS.items():
        given = value.get(kind)
        if given is not None:
            scalar = read(given)
            return (scalar[: limits.value_chars] or None) if isinstance(scalar, str) else scalar
    return None


def read_json_int(value: Any) -> Scalar:
    """A 64-bit integer, given as number or string; UNREADABLE when it is none."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    return value if type(value) is int and value in _INT64 else UNREADABLE


def read_json_double(value: Any) -> Scalar:
    """A double, given as number, string or one of the names that JSON has no numbers for; UNREADABLE otherwise."""
    if isinstance(value, str):
        return _DOUBLES.get(value, UNREADABLE) if not _DECIMAL.fullmatch(value) else float(value)
    return float(value) if type(value) in (int, float) else UNREADABLE


_KINDS: Final[dict[str, Callable[[Any], Scalar]]] = {
    "stringValue": lambda value: value if isinstance(value, str) else UNREADABLE,
    "intValue": read_json_int,
    "boolValue": lambda value: value if isinstance(value, bool) else UNREADABLE,
    "doubleValue": read_json_double,
    "arrayValue": lambda _: UNREADABLE,
    "kvlistValue": lambda _: UNREADABLE,
    "bytesValue": lambda _: UNREADABLE,
}


def check_json_nesting(value: dict[str, Any], nesting: int) -> None:
    """Raise BadRequest when values nest deeper than ``nesting``; with a stack of its own."""
    stack = [(value, 1)]
    while stack:
        value, depth = stack.pop()
        if depth > nesting:
            raise too_deep(nesting)
        inner = [*objects(mapping(value.get("arrayValue"), "arrayValue"), "values")]
        inner += [
            mapping(pair.get("value"), "value")
            for pair in objects(mapping(value.get("kvlistValue"), "kvlistValue"), "values")
        ]
        stack += [(item, depth + 1) for item in inner]
