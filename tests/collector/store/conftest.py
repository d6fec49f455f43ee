"""A store of its own for each test: an engine that has just closed one path opens another in a tenth of a second."""

from collections.abc import Iterator

import pytest

from otel_cx_collector.store import Store


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.temporary() as store:
        yield store
