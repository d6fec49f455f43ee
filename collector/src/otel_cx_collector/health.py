"""Liveness and readiness on a port of their own: ``GET /`` says 200 when ready, 503 with the reason when not."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from otel_cx_collector.errors import UserError

TIMEOUT_S: Final = 5
"""A client that says nothing for this long is let go."""


class Health:
    """The server of one process. ``start`` and ``stop`` once each.

    Args:
        endpoint: ``host:port``; port 0 takes a free one.
        problem: Why the process is not ready, or "" when it is.
    """

    def __init__(self, endpoint: str, problem: Callable[[], str]) -> None:
        host, _, port = endpoint.rpartition(":")
        self._endpoint = endpoint
        self._address = (host.strip("[]"), int(port))
        self._problem = problem
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> int:
        """Listen and answer; returns the port.

        Raises:
            UserError: The address cannot be had.
        """
        problem = self._problem

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            timeout = TIMEOUT_S
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                """Answer whatever the path: probes are configured in many ways."""
                reason = problem()
                body = json.dumps({"status": "unavailable", "reason": reason} if reason else {"status": "ok"}).encode()
                self.send_response(503 if reason else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Probes are not worth a line each."""

        try:
            self._server = ThreadingHTTPServer(self._address, Handler)
        except OSError as error:
            raise UserError(
                f"health.endpoint {self._endpoint} cannot be listened on ({error.strerror}); stop what uses it, or set "
                "another port"
            ) from error
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()
        port: int = self._server.server_address[1]
        return port

    def stop(self) -> None:
        """Answer no more."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
