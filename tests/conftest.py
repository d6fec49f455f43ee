"""The order of test files: two processes run them, and the end-to-end tests, which mostly wait, must not meet.

Each of those brings a whole platform; two at once make it slow, and slow is harm. So one begins, and one ends.
"""

import os

import pytest

os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
"""After `make bench` logfire is here too, and would import itself and the SDK into every process that has pydantic."""

FIRST = ("tests/e2e/test_incident.py", "tests/hosting/", "tests/collector/test_running.py")
LAST = "tests/e2e/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    found = next((rank for rank, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST))
    return found + 1 if found == len(FIRST) and item.nodeid.startswith(LAST) else found
