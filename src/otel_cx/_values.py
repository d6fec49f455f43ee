"""Checks of names and values against the wire vocabulary. Static ones raise, run-time ones become `other` and count."""

import functools

from otel_cx import semconv
from otel_cx._diagnostics import Reason, count
from otel_cx.exceptions import InvalidName

_NAME_RULE = "1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit"


@functools.lru_cache(maxsize=1024)
def is_name(name: str) -> bool:
    """Tells whether `name` keeps the rule for names; remembered, because the same few names come again and again."""
    return semconv.NAME.fullmatch(name) is not None


def static_name(kind: str, name: object) -> str:
    """Returns `name`, or raises `InvalidName` with the rule; for names that stand in the code."""
    if isinstance(name, str) and is_name(name):
        return name
    raise InvalidName(f"The {kind} name {name!r} cannot be used. Use {_NAME_RULE}, as it is in the inventory.")


def static_value(attribute: str, value: object) -> str:
    """Returns `value` as text, or raises `InvalidName` with the rule; for values that stand in the code."""
    text = value if isinstance(value, str) else str(value)
    if semconv.VALUE.fullmatch(text):
        return text
    raise InvalidName(f"The value {value!r} of {attribute} cannot be used. Use 1 to 64 of A-Z a-z 0-9 . _ : -.")


def runtime_name(name: object) -> str:
    """Returns `name`, or `other`, counted, when it breaks the rule for names."""
    if isinstance(name, str) and is_name(name):
        return name
    count(Reason.INVALID_NAME)
    return semconv.OTHER


def runtime_value(value: object) -> str:
    """Returns `value` as text, or `other`, counted, when it breaks the rule for values."""
    text = value if isinstance(value, str) else str(value)
    if semconv.VALUE.fullmatch(text):
        return text
    count(Reason.INVALID_VALUE)
    return semconv.OTHER
