"""Servers of the fake source on free ports, and a browser where there is one."""

from collections.abc import Iterator

import pytest
from browsing import Browser, Serve, why_not
from fakes_source import FakeSource

from otel_cx_collector.web import WebServer, WebSettings


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """Address of one server whose source nobody changes: for tests that only read."""
    server = WebServer(FakeSource(), WebSettings(port=0))
    yield f"http://localhost:{server.start()}"
    server.stop()


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


@pytest.fixture
def chromium(one_chromium: Browser) -> Browser:
    """The browser, as new: nothing that an earlier test chose, even one that failed, is left in it."""
    one_chromium.reset()
    return one_chromium


@pytest.fixture(scope="session")
def one_chromium() -> Iterator[Browser]:
    """One Chromium for all tests; where it is missing they are skipped, with the reason in the summary."""
    missing = why_not()
    if missing:
        pytest.skip(missing)
    browser = Browser()
    yield browser
    browser.quit()
