"""How a child process serves on a socket it was handed, and says that it is ready.

Not the supervisor: that is `run`. Handing sockets down lets a new release take over from the old one without a
single refused connection.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn
from werkzeug.serving import WSGIRequestHandler, make_server

from examples.hosting import lifeline

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from starlette.types import ASGIApp

READY: Final = "HOSTING_READY"
"""File a child makes when it serves."""
SOCKET: Final = "HOSTING_SOCKET"
"""Descriptor of the listening socket a child was handed."""
DRAIN_S: Final = 3
"""How long a stopping service finishes open requests."""


def ready() -> None:
    """Tell the supervisor that this process serves."""
    Path(os.environ[READY]).touch()


def handed_socket() -> socket.socket:
    """The listening socket the supervisor opened for this process."""
    return socket.socket(fileno=int(os.environ[SOCKET]))


def serve_asgi(app: "ASGIApp") -> None:
    """Serve an ASGI application until SIGTERM, then drain."""
    lifeline.end_with_parent()
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=DRAIN_S
    )
    ready()
    uvicorn.Server(config).run(sockets=[handed_socket()])


class _Handler(WSGIRequestHandler):
    """Keeps connections open between requests, and is quiet about requests that went well."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: the spans tell it."""


def serve_wsgi(app: "WSGIApplication") -> None:
    """Serve a WSGI application, a thread per connection, until SIGTERM."""
    lifeline.end_with_parent()
    listening = handed_socket()
    host, port = listening.getsockname()[:2]
    server = make_server(host, port, app, threaded=True, request_handler=_Handler, fd=listening.fileno())
    on_terminate(server.shutdown)
    ready()
    server.serve_forever()


def on_terminate(stop: Callable[[], None]) -> None:
    """Call ``stop`` on SIGTERM, in a thread of its own because it may wait for the main thread."""

    def handle(_signal: int, _frame: object) -> None:
        threading.Thread(target=stop, name="stop", daemon=True).start()

    signal.signal(signal.SIGTERM, handle)
