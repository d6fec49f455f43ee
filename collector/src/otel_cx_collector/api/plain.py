"""JSON as the API writes it: sorted keys, at most 6 decimals, milliseconds 3. Not what the numbers are."""

from typing import Any

import orjson
from starlette.responses import JSONResponse

PROBLEM = "application/problem+json"


def rounded(value: Any, key: str = "") -> Any:
    """``value`` with floats rounded by the rule of the key they stand under, whole ones as integers; texts as UTF-8."""
    if isinstance(value, float):
        short = round(value, 3 if key.endswith("_ms") else 6)
        return int(short) if short.is_integer() else short
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()  # half a surrogate pair, out of a JSON escape, has no UTF-8
    if isinstance(value, dict):
        return {rounded(name): rounded(item, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, key) for item in value]
    return value


def to_json(value: Any) -> bytes:
    """Canonical bytes: the same value gives the same bytes."""
    return orjson.dumps(rounded(value), option=orjson.OPT_SORT_KEYS)


class Json(JSONResponse):
    """An answer of the API."""

    def render(self, content: Any) -> bytes:
        """Canonical bytes of ``content``."""
        return to_json(content)
