"""Checks of names and values against the wire vocabulary. Static ones raise, run-time ones become `other` and count."""

import functools

from otel_cx import semconv
from otel_cx._diagnostics import Reason, count
from otel_cx.exceptions import InvalidName

_NAME_RULE = "1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit"


_MAX_LENGTH = 64
"""Of names and values, as in the vocabulary; what is longer is neither matched nor remembered."""


@functools.lru_cache(maxsize=1024)
def _matches(name: str) -> bool:
    return semconv.NAME.fullmatch(name) is not None


def is_name(name: object) -> bool:
    """Tells whether `name` keeps the rule for names; remembered, because the same few names come again and again."""
    return isinstance(name, str) and len(name) <= _MAX_LENGTH and _matches(name)


def static_name(kind: str, name: object) -> str:
    """Returns `name`, or raises `InvalidName` with the rule; for names that stand in the code."""
    if is_name(name):
        return str(name)
    raise InvalidName(f"The {kind} name {name!r} cannot be used. Use {_NAME_RULE}, as it is in the inventory.")


def static_value(attribute: str, value: object) -> str:
    """Returns `value` as text, or raises `InvalidName` with the rule; for values that stand in the code."""
    text = value if isinstance(value, str) else str(value)
    if semconv.VALUE.fullmatch(text):
        return text
    raise InvalidName(f"The value {value!r} of {attribute} cannot be used. Use 1 to 64 of A-Z a-z 0-9 . _ : -.")


def runtime_name(name: object) -> str:
    """Returns `name`, or `other`, counted, when it breaks the rule for names."""
    if is_name(name):
        return str(name)
    count(Reason.INVALID_NAME)
    return semconv.OTHER


def runtime_value(value: object) -> str:
    """Returns `value` as text, or `other`, counted, when it breaks the rule for values."""
    text = value if isinstance(value, str) else str(value)
    if semconv.VALUE.fullmatch(text):
        return text
    count(Reason.INVALID_VALUE)
    return semconv.OTHER
