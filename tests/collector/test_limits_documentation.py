"""docs/explanation/limits.md has every limit with the default that the code has, and names tests that there are."""

import dataclasses
import importlib
import re
from pathlib import Path

import pytest
from collector_limits import PACKAGE, TABLES, shown

from otel_cx_collector.config import READERS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "limits.md").read_text()
ROW = re.compile(r"\| `([\w.]+)` \| ([^|]+?) \| (-|`[\w.]+`) \| [^|]+ \|")
SECTIONS = {"RequestLimits": "limits", "LogLimits": "log", "StoreLimits": "chdb"}


def section(title: str) -> str:
    return PAGE.partition(f"### {title}\n")[2].partition("\n### ")[0]


def in_code(entries: list[str]) -> dict[str, str]:
    """Name and default of every limit."""
    found = {}
    for entry in entries:
        module, _, name = entry.partition(":")
        value = getattr(importlib.import_module(module), name)
        if dataclasses.is_dataclass(value):
            assert isinstance(value, type)
            limits = value()
            for each in dataclasses.fields(value):
                found[f"{name}.{each.name}"] = shown(each.name, getattr(limits, each.name))
        else:
            found[f"{module.removeprefix(PACKAGE + '.')}.{name}"] = shown(name, value)
    return found


@pytest.mark.parametrize("title", TABLES)
def test_every_limit_is_listed_with_its_default_and_no_other_is(title: str) -> None:
    assert {name: default for name, default, _ in ROW.findall(section(title))} == in_code(TABLES[title])


def test_the_settings_named_are_read_into_the_limits_they_stand_at() -> None:
    readers = {field: ".".join(path) for path, (field, _) in READERS.items()}
    rows = ROW.findall(PAGE)
    assert rows
    for name, _, setting in rows:
        owner, _, field = name.partition(".")
        expected = readers.get(f"{SECTIONS[owner]}.{field}") if owner in SECTIONS else None
        assert setting.strip("`") == (expected or "-"), name


def test_the_tests_that_hold_the_promises_are_there() -> None:
    named = re.findall(r"`(tests/[\w/.]+)`", PAGE)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []
