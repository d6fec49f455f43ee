"""Which tests run beside which. With several processes a file is one process's; what mostly waits begins first.

The end-to-end tests, which need the machine nearly to themselves, are one process's together.
"""

import pytest

TOGETHER = "tests/e2e/"
FIRST = (TOGETHER, "tests/hosting/", "tests/collector/test_running.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)
    for item in items:
        file = item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(TOGETHER if file.startswith(TOGETHER) else file))


def _rank(item: pytest.Item) -> int:
    return next((rank for rank, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST))
