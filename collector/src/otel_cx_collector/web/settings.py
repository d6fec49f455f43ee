"""What an operator may set of the web server, checked when it is made. Not how it serves."""

from dataclasses import dataclass
from typing import Final

from otel_cx_collector.errors import UserError

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
EVERY: Final = ("", "0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Raises UserError with the cure for a value that cannot be."""

    host: str = "127.0.0.1"
    """Address to listen on; loopback until told otherwise, since there is no login yet."""
    port: int = 8080
    """0 takes a free one; ``WebServer.start`` says which."""
    hosts: tuple[str, ...] = ()
    """Names beside the loopback ones under which browsers reach the page: no other site can bind its name to us."""
    live_clients: int = 64
    """Pages that may listen to /events at once; the next is told to come back."""
    connections: int = 256
    """Connections at once, live ones included; the next is answered 503."""
    heartbeat_s: float = 15.0
    """Silence after which a live page is sent a sign of life, and a gone one is noticed."""
    threads: int = 8
    """Questions asked of the store at once; each thread keeps a client of its own."""
    grace_s: float = 3.0
    """How long stopping waits for answers under way."""
    otlp: tuple[str, ...] = ("127.0.0.1:4317 (gRPC)", "http://127.0.0.1:4318 (HTTP)")
    """Where to send spans, as the page says while nothing has arrived."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not 0 <= self.port <= 65535:
            raise UserError(f"web.endpoint has the port {self.port}; use 0 to 65535")
        for name in ("live_clients", "connections", "heartbeat_s", "threads"):
            if getattr(self, name) <= 0:
                raise UserError(f"web.{name} is {getattr(self, name)}; use a number above 0")
        if self.live_clients >= self.connections:
            raise UserError(
                f"web.live_clients is {self.live_clients} and web.connections {self.connections}: live pages could take"
                " every connection; make live_clients the smaller"
            )
        for name in self.hosts:
            if not name or any(mark in name for mark in "/:*?# "):
                raise UserError(
                    f"web.hosts lists {name!r}, which is not a host name; write it like cx.example.org,"
                    " without scheme or port"
                )

    @property
    def allowed(self) -> frozenset[str]:
        """Host names under which requests are answered: the address listened on too, unless it stands for all."""
        own = () if self.host in EVERY else (self.host,)
        return frozenset(name.lower().rstrip(".") for name in (*LOOPBACK, *own, *self.hosts))
