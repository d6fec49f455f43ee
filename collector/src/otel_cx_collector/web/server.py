"""uvicorn in a thread of its own: started, its port known, stopped. Not what it serves."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Final

import uvicorn

from otel_cx_collector.errors import CollectorError, UserError
from otel_cx_collector.web.app import create_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_cx_collector.views.source import Source
    from otel_cx_collector.web.live import Live
    from otel_cx_collector.web.settings import WebSettings

START_S: Final = 20.0
"""Longest time to come up; it takes a tenth of a second."""


class WebServer:
    """The web server of one source. ``start`` and ``stop`` may be called from any thread, once each."""

    def __init__(self, source: Source, settings: WebSettings) -> None:
        self._settings = settings
        self._app = create_app(source, settings)
        self._up = threading.Event()
        self._server = _Server(
            uvicorn.Config(
                self._app,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                limit_concurrency=settings.connections,
                timeout_graceful_shutdown=max(1, round(settings.grace_s)),
            ),
            up=self._up.set,
            down=self._end_streams,
        )
        self._thread = threading.Thread(target=self._run, name="otel-cx-web", daemon=True)
        self._socket: socket.socket

    def start(self) -> int:
        """Listen and serve; returns the port. Raises UserError when the address cannot be had."""
        family = socket.AF_INET6 if ":" in self._settings.host else socket.AF_INET
        try:
            self._socket = socket.create_server((self._settings.host, self._settings.port), family=family, backlog=128)
        except OSError as error:
            raise UserError(
                f"web.endpoint {self._settings.host}:{self._settings.port} cannot be listened on ({error.strerror});"
                " stop what uses it, or set another port"
            ) from error
        self._thread.start()
        if not self._up.wait(START_S) or not self._server.started:
            raise CollectorError("the web server did not start; the log says why")
        port: int = self._socket.getsockname()[1]
        return port

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._up.set()

    def _end_streams(self) -> None:
        live: Live | None = getattr(self._app.state, "live", None)
        if live is not None:
            live.close()

    def stop(self) -> None:
        """End live pages, let answers under way finish, stop listening."""
        self._server.should_exit = True
        self._thread.join(self._settings.grace_s + 5)
        self._socket.close()


class _Server(uvicorn.Server):
    """uvicorn's server, telling when it is up, and closing live streams before it waits for connections to end."""

    def __init__(self, config: uvicorn.Config, up: Callable[[], None], down: Callable[[], None]) -> None:
        super().__init__(config)
        self._up, self._down = up, down

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, then tell."""
        await super().startup(sockets)
        self._up()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Streams would else hold their connections until the grace is over."""
        self._down()
        await super().shutdown(sockets)
