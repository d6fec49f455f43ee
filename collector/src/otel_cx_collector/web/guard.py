"""The edge of the web server: who may ask (Host, Origin) and the headers every answer carries. Not a login."""

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """ASGI middleware. A request under a foreign Host is another site's name bound to our address (DNS rebinding)."""

    def __init__(self, app: ASGIApp, allowed: frozenset[str]) -> None:
        self.app = app
        self.allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 421 or 403, or pass on and add the headers."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await (self._refusal(Headers(scope=scope)) or self.app)(scope, receive, with_headers)

    def _refusal(self, headers: Headers) -> PlainTextResponse | None:
        host = headers.get("host", "")
        if host_of(f"//{host}") not in self.allowed:
            cure = "open it as http://localhost, or list the name under web.hosts in the collector's settings"
            return PlainTextResponse(f"This collector does not answer to the host {host[:80]!r}; {cure}.\n", 421)
        origin = headers.get("origin")
        if origin is not None and host_of(origin) not in self.allowed:
            return PlainTextResponse(f"Pages of {origin[:80]!r} may not ask this collector; use its own pages.\n", 403)
        return None


def host_of(url: str) -> str | None:
    """Host name of a URL or of ``//host:port``, lower case; None when it has none."""
    try:
        name = urlsplit(url).hostname
    except ValueError:
        return None
    return name.rstrip(".") if name else None
