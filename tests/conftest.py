"""The order of the tests: files that mostly wait come first, so that the others run beside them."""

import pytest

WAITING = ("tests/e2e/", "tests/hosting/", "tests/collector/test_running.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    return next((rank for rank, start in enumerate(WAITING) if item.nodeid.startswith(start)), len(WAITING))
