"""Liveness, readiness and the collector's own metrics, on a port of their own. Decides nothing of what it says.

``GET /`` and ``/ready`` say 200 when ready, 503 with the reason when not; ``/live`` says 200; ``/metrics`` is the page.
Any other path answers like ``/``: probes are configured in many ways.
"""

import json
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import structlog

from otel_cx_collector import clock
from otel_cx_collector.errors import UserError
from otel_cx_collector.events import NS
from otel_cx_collector.logbook import Repeated

TIMEOUT_S: Final = 5
"""A client that says nothing for this long is let go;"""
LONGEST_S: Final = 30
"""and whoever is not done after this, however busily it talks."""
CONNECTIONS: Final = 32
"""At once, a thread each; one more is closed unheard."""

Page = Callable[[str], tuple[bytes, str]]
"""An Accept header to a body and its Content-Type."""


class Health:
    """The server of one process. ``start`` and ``stop`` once each.

    Args:
        endpoint: ``host:port``; port 0 takes a free one.
        problem: Why the process is not ready, or "" when it is.
        metrics: The page of metrics; None: there is none.
    """

    def __init__(self, endpoint: str, problem: Callable[[], str], metrics: Page | None = None) -> None:
        host, _, port = endpoint.rpartition(":")
        self._endpoint = endpoint
        self._address = (host.strip("[]"), int(port))
        self._problem = problem
        self._metrics = metrics
        self._server: _Server | None = None

    def start(self) -> int:
        """Listen and answer; returns the port.

        Raises:
            UserError: The address cannot be had.
        """
        try:
            self._server = _Server(self._address, self._problem, self._metrics)
        except OSError as error:
            raise UserError(
                f"health.endpoint {self._endpoint} cannot be listened on ({error.strerror}); stop what uses it, or set "
                "another port"
            ) from error
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()
        port: int = self._server.server_address[1]
        return port

    def stop(self) -> None:
        """Answer no more."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    """A thread for each connection, up to a number of them and for a time."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], problem: Callable[[], str], metrics: Page | None) -> None:
        self.problem = problem
        self.metrics = metrics
        self.longest_s: float = LONGEST_S
        self._defects = Repeated(structlog.get_logger(__name__), "health.failed", clock.now_ns)
        self._opened: dict[socket.socket, int] = {}
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread."""
        if len(self._opened) >= CONNECTIONS:
            self.shutdown_request(request)
            return
        self._opened[request] = clock.now_ns()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """It is over, in its thread."""
        self._opened.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called twice a second: end what has lasted too long."""
        end_ns = clock.now_ns() - round(self.longest_s * NS)
        for request, opened_ns in list(self._opened.items()):
            if opened_ns < end_ns:
                self._end(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class calls it so
        """A client that went away is not worth a line; a defect of ours is."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self._defects.failed(error)

    def _end(self, request: socket.socket) -> None:
        try:
            request.shutdown(socket.SHUT_RDWR)
        except OSError:
            self._opened.pop(request, None)


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    timeout = TIMEOUT_S
    protocol_version = "HTTP/1.0"
    server: _Server

    def do_GET(self) -> None:
        """Answer with a body."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._page()
        else:
            self._state("" if path == "/live" else self.server.problem())

    def do_HEAD(self) -> None:
        """Answer without one."""
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Probes are not worth a line each."""

    def version_string(self) -> str:
        """Not which Python this is."""
        return "otel-cx-collector"

    def _state(self, reason: str) -> None:
        said = {"status": "unavailable", "reason": reason} if reason else {"status": "ok"}
        self._answer(503 if reason else 200, json.dumps(said).encode(), "application/json")

    def _page(self) -> None:
        if self.server.metrics is None:
            self._answer(404, b'{"status": "no metrics are served here"}', "application/json")
            return
        body, content_type = self.server.metrics(", ".join(self.headers.get_all("accept", [])))
        self._answer(200, body, content_type)

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
