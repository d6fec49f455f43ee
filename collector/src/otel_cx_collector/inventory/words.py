"""What a validation error means in words: what is wrong, with the value, and the cure. Not where it stands."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from otel_cx_collector.inventory.decisions import PREDICATES
from otel_cx_collector.inventory.quantities import UnreadableError, shown
from otel_cx_collector.inventory.spelling import nearest

Words = tuple[str, str]
"""What is wrong, and the cure."""


def describe(error: Mapping[str, Any], place: str) -> Words:
    """Of one pydantic error at ``place``, which is how the message names it."""
    context = error.get("ctx", {})
    if isinstance(context.get("error"), UnreadableError):
        unreadable: UnreadableError = context["error"]
        return f"{place}: {unreadable.what}", unreadable.cure
    told = _TOLD.get(error["type"])
    if told is None:
        return f"{place}: {shown(error['input'])} is not right here ({error['type']})", "see the reference"
    return told(place, error["input"], str(error["loc"][-1]), context)


def _unknown_key(place: str, _: Any, key: str, context: Mapping[str, Any]) -> Words:
    return f"{place}: unknown key {shown(key)}", nearest(key, context["known"])


def _missing(place: str, _: Any, key: str, __: Mapping[str, Any]) -> Words:
    return f"{place}: {key} is missing", f"add {key}: with its value, or remove the entry"


def _wants(what: str) -> Callable[[str, Any, str, Mapping[str, Any]], Words]:
    def told(place: str, value: Any, _: str, __: Mapping[str, Any]) -> Words:
        return f"{place} is {_kind(value)}", f"write {what}"

    return told


def _text(place: str, value: Any, _: str, __: Mapping[str, Any]) -> Words:
    if isinstance(value, dict | list):
        return f"{place} is {_kind(value)}", "write a text"
    return f"{place} is {_kind(value)}", f'write it in quotes, "{shown(value)}"'


def _kind(value: Any) -> str:
    """The value with its kind, so that ``1`` and ``"1"`` are told apart."""
    if isinstance(value, bool):
        return f"the truth value {shown(value)}"
    if isinstance(value, int | float):
        return f"the number {shown(value)}"
    return f"the text {shown(value)}" if isinstance(value, str) else shown(value)


def _bound(word: str, key: str) -> Callable[[str, Any, str, Mapping[str, Any]], Words]:
    def told(place: str, value: Any, _: str, context: Mapping[str, Any]) -> Words:
        bound = f"{context[key]:g}"
        return f"{place}: {shown(value)} is out of range", f"write a number {word} {bound}"

    return told


def _too_long(place: str, value: Any, _: str, context: Mapping[str, Any]) -> Words:
    return f"{place}: {shown(value)} holds more than {context['max_length']} entries", "remove some, or split the file"


def _too_short(place: str, value: Any, _: str, __: Mapping[str, Any]) -> Words:
    return f"{place}: {shown(value)} is empty", "write at least one entry"


def _literal(place: str, value: Any, _: str, context: Mapping[str, Any]) -> Words:
    return f"{place}: {shown(value)} is not known here", f"write {str(context['expected']).replace(chr(39), '')}"


def _values(place: str, value: Any, key: str, context: Mapping[str, Any]) -> Words:
    if isinstance(value, dict):
        cure = "list its values here; where services carry them elsewhere, name the attribute under identify"
        return f"{place}: one of the six dimensions has no attribute of its own, {shown(value['attribute'])}", cure
    return _wants("a list of values, or a mapping of value: weight")(place, value, key, context)


def _consequence(place: str, value: Any, key: str, context: Mapping[str, Any]) -> Words:
    if isinstance(value, dict) and value:
        word = next(iter(value))
        return f"{place}: unknown key {shown(word)}", nearest(word, ("severity", "notify", "monitor"))
    hold = "hold, true, false, " if context["kind"] == "on_unknown" else ""
    return _wants(f"{hold}severity: P2, with notify: [...], or monitor: 15m")(place, value, key, context)


def _predicate(place: str, value: Any, _: str, __: Mapping[str, Any]) -> Words:
    if not isinstance(value, dict) or not value:
        return f"{place}: {shown(value)} is no condition", "write a mapping with one of " + ", ".join(PREDICATES)
    if "completion" in value:
        return f"{place}: completion: {shown(value['completion'])} is not known here", "write drop or unchanged"
    key = next(iter(value))
    return f"{place}: {shown(key)} begins no condition", nearest(key, PREDICATES)


_TOLD: Final[Mapping[str, Callable[[str, Any, str, Mapping[str, Any]], Words]]] = {
    "extra_forbidden": _unknown_key,
    "missing": _missing,
    "string_type": _text,
    "string_too_short": lambda place, *_: (f"{place} is an empty text", "write something, or remove the key"),
    "string_too_long": lambda place, value, _, context: (
        f"{place}: {shown(value)} is longer than {context['max_length']} characters",
        "shorten it",
    ),
    "string_pattern_mismatch": lambda place, value, *_: (
        f"{place}: {shown(value)} holds a space, where an attribute's name is due",
        "write one name, such as enduser.id",
    ),
    "float_type": _wants("a number"),
    "int_type": _wants("a whole number"),
    "finite_number": lambda place, value, *_: (f"{place}: {shown(value)} is not finite", "write a number"),
    "bool_type": _wants("true or false"),
    "tuple_type": _wants("a list"),
    "dict_type": _wants("a mapping"),
    "model_type": _wants("a mapping"),
    "model_attributes_type": _wants("a mapping"),
    "union_tag_not_found": _values,
    "consequence": _consequence,
    "on_unknown": _consequence,
    "predicate": _predicate,
    "greater_than": _bound("above", "gt"),
    "greater_than_equal": _bound("from", "ge"),
    "less_than": _bound("below", "lt"),
    "less_than_equal": _bound("up to", "le"),
    "too_long": _too_long,
    "too_short": _too_short,
    "literal_error": _literal,
}
