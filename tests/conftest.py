"""The order of the tests: files that mostly wait come first, so that the others run beside them."""

import pytest

WAITING = ("tests/e2e/", "tests/hosting/", "tests/collector/test_running.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(WAITING))
