"""The edge of the web server: who may ask, who may write, and the headers every answer carries. Not a login."""

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""

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

        await (self._refusal(scope["method"], Headers(scope=scope)) or self.app)(scope, receive, with_headers)

    def _refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        host = headers.get("host", "")
        if host_of(f"//{host}") not in self.allowed:
            cure = "open it as http://localhost, or list the name under web.hosts in the collector's settings"
            return PlainTextResponse(f"This collector does not answer to the host {host[:80]!r}; {cure}.\n", 421)
        origin = headers.get("origin")
        if origin is not None and host_of(origin) not in self.allowed:
            return PlainTextResponse(f"Pages of {origin[:80]!r} may not ask this collector; use its own pages.\n", 403)
        if method not in SAFE and not is_own(origin, host, headers.get("sec-fetch-site")):
            said = f"Pages of {(origin or 'another site')[:80]!r} may not write here; use the collector's own pages"
            return PlainTextResponse(f"{said}, or a client that sends no Origin.\n", 403)
        return None


def is_own(origin: str | None, host: str, site: str | None) -> bool:
    """Whether a write comes from a page of this very address, or from no page at all (``curl``, the command line).

    ``origin``: scheme, host and port have to be this server's, another port of this machine is another program.
    ``site``: ``Sec-Fetch-Site``, which a page cannot forge; ``none`` is a person's own doing.
    """
    if site not in {None, "same-origin", "none"}:
        return False
    return origin is None or origin.lower() in {f"http://{host.lower()}", f"https://{host.lower()}"}


def host_of(url: str) -> str | None:
    """Host name of a URL or of ``//host:port``, lower case; None when it has none."""
    try:
        name = urlsplit(url).hostname
    except ValueError:
        return None
    return name.rstrip(".") if name else None
