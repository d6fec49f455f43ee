"""The one loader of the store's SQL files. Nothing else in the product holds SQL."""

from functools import cache
from importlib.resources import files
from typing import Final

_HERE: Final = files("otel_cx_collector.store")


@cache
def query(name: str) -> str:
    """Text of ``queries/<name>.sql``; parameters are bound by the server, never pasted."""
    return _HERE.joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")


@cache
def migrations() -> dict[int, tuple[str, ...]]:
    """Schema version -> the statements that lead to it, in order, from ``schema/<version>_<what>.sql``."""
    found = sorted(it.name for it in _HERE.joinpath("schema").iterdir() if it.name.endswith(".sql"))
    return {int(name.partition("_")[0]): _statements(name) for name in found}


def _statements(name: str) -> tuple[str, ...]:
    lines = _HERE.joinpath("schema", name).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--"))
    return tuple(statement.strip() for statement in text.split(";") if statement.strip())
