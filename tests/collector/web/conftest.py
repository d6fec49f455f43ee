"""Servers of the fake source on free ports, and a browser where there is one."""

from collections.abc import Callable, Iterator

import pytest
from browsing import Browser, why_not
from fakes_source import FakeSource
from otel_cx_collector.web import WebServer, WebSettings

Serve = Callable[..., str]


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
def serve(source: FakeSource) -> Iterator[Serve]:
    """Starts a server of the source with settings; answers its address. All are stopped at the end."""
    servers: list[WebServer] = []

    def start(**settings: object) -> str:
        server = WebServer(source, WebSettings(port=0, **settings))  # type: ignore[arg-type] # named by the test
        port = server.start()
        servers.append(server)
        return f"http://localhost:{port}"

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One Chromium for all tests; tests that need it are skipped, with the reason in the summary, where it is missing."""
    missing = why_not()
    if missing:
        pytest.skip(missing)
    browser = Browser()
    yield browser
    browser.quit()
