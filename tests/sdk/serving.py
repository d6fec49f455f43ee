"""Real HTTP servers of the SDK's tests, on a free port of 127.0.0.1, and the step one request was. Not assertions."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from werkzeug.serving import make_server

from otel_cx import semconv
from otel_cx.testing import Journeys, RecordedStep


@contextmanager
def asgi_server(app: Any) -> Iterator[str]:
    """Serves an ASGI application; yields its URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    socket = server.config.bind_socket()
    socket.listen()  # so that a request waits for the server's start instead of being refused
    thread = threading.Thread(target=server.run, args=([socket],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        socket.close()


@contextmanager
def wsgi_server(app: Any) -> Iterator[str]:
    """Serves a WSGI application, a thread for each request; yields its URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})  # it ends as fast
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Service:
    """Keeps the `baggage` header of each request, also of those it is sent as a proxy; sends /there on elsewhere."""

    def __init__(self, elsewhere: str = "") -> None:
        self.baggage: list[str | None] = []
        self.elsewhere = elsewhere

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.baggage.append(environ.get("HTTP_BAGGAGE"))
        if environ["PATH_INFO"] == "/there":
            start_response("302 Found", [("location", self.elsewhere), ("content-length", "0")])
        else:
            start_response("200 OK", [("content-length", "0")])
        return [b""]

    @property
    def told(self) -> list[bool]:
        """Of each request, whether it carried anything of ours."""
        return [semconv.PREFIX in (line or "") for line in self.baggage]


def one_step(journeys: Journeys) -> RecordedStep:
    """The step of the one request: the server span ends a moment after the client has its answer."""
    deadline = time.monotonic() + 20
    while not journeys.steps() and time.monotonic() < deadline:
        time.sleep(0.005)
    [step] = journeys.steps()
    return step
