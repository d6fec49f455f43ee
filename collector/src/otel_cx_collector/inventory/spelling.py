"""The cure for a misspelt word: the nearest known one. Not a judgement on whether it is one."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from otel_cx_collector.inventory.quantities import printable

CUTOFF: Final = 0.5
"""Similarity from which a word is taken for another misspelt, by difflib's ratio."""
MAX_LISTED: Final = 30
"""More known words than a reader would look through are left out of a message."""


def resembles(word: str, known: str) -> bool:
    """Whether ``word`` may be ``known``, misspelt."""
    return bool(get_close_matches(word.lower()[:100], [known.lower()], cutoff=CUTOFF))


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean `steps`? Known here: ...``, for the end of a message."""
    words = list(dict.fromkeys(map(printable, known)))
    if not words:
        return "nothing is known here; remove it"
    lower = {each.lower(): each for each in words}
    found = [lower[each] for each in get_close_matches(word.lower()[:100], lower, n=1, cutoff=CUTOFF)]
    more = f", and {len(words) - MAX_LISTED} more" if len(words) > MAX_LISTED else ""
    listed = f"nown here: {', '.join(words[:MAX_LISTED])}{more}"
    return f"did you mean {found[0]}? K{listed}" if found else f"k{listed}"
