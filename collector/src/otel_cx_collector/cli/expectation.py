"""A report compared with what is expected of it: differences as lines, entries of lists matched by what they are."""

from collections.abc import Iterator
from typing import Any, Final

IDENTITY: Final[dict[str, tuple[str, ...]]] = {
    "alerts": ("journey", "sli", "step", "policy", "fired_at"),
    "because": ("predicate",),
    "decisions": ("journey", "rule", "at"),
    "episodes": ("started_at",),
    "incidents": ("journey", "opened_at"),
    "reports": ("at",),
    "slis": ("sli", "step"),
}
"""By the key of a list: which keys say what an entry is. An entry that has another last one, the time, is still the
same when nothing is nearer: then the time is what differs."""


def differences(expected: object, found: object, path: str = "$") -> Iterator[str]:
    """Where ``found`` differs from ``expected``; keys that ``expected`` does not name are not compared."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            if key in found:
                yield from differences(value, found[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: expected {value!r}, the report has no such key"
    elif isinstance(expected, list) and isinstance(found, list):
        yield from _entries(expected, found, path)
    elif expected != found:
        yield f"{path}: expected {expected!r}, found {found!r}"


def _entries(expected: list[Any], found: list[Any], path: str) -> Iterator[str]:
    names = IDENTITY.get(path.rpartition(".")[2], ())
    pairs = _matched(expected, found, names)
    for at, entry in enumerate(expected):
        if at in pairs:
            yield from differences(entry, found[pairs[at]], f"{path}[{_label(entry, names) or at}]")
        else:
            yield f"{path}: expected {_label(entry, names) or repr(entry)}, the report has none"
    for at, entry in enumerate(found):
        if at not in pairs.values():
            yield f"{path}: found {_label(entry, names) or repr(entry)}, which is not expected"


def _matched(expected: list[Any], found: list[Any], names: tuple[str, ...]) -> dict[int, int]:
    """Places of what belongs together: the same in every name, else in all but the last; without names by place."""
    pairs: dict[int, int] = {}
    for keys in dict.fromkeys((names, names[:-1])):
        for at, entry in enumerate(expected):
            free = (place for place in range(len(found)) if place not in pairs.values())
            place = next((place for place in free if _same(entry, found[place], keys)), None)
            if at not in pairs and place is not None:
                pairs[at] = place
    return pairs


def _same(expected: Any, found: Any, keys: tuple[str, ...]) -> bool:
    """Whether an entry is what is expected, as far as that is said."""
    if not isinstance(expected, dict) or not isinstance(found, dict):
        return not keys
    return all(expected[key] == found.get(key) for key in keys if key in expected)


def _label(entry: Any, names: tuple[str, ...]) -> str:
    if not isinstance(entry, dict):
        return ""
    return ", ".join(str(entry[name]) for name in names if entry.get(name) is not None)
