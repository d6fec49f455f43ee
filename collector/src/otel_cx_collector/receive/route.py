"""The head of an HTTP request judged before its body is read. Not the connection it came on."""

from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from otel_cx_collector.receive.answers import Refused
from otel_cx_collector.receive.auth import Access, Tokens
from otel_cx_collector.receive.compression import Compression
from otel_cx_collector.receive.counts import Reason
from otel_cx_collector.receive.limits import ReceiveLimits
from otel_cx_collector.receive.sink import Encoding, Signal

CONTENT_TYPES: Final = {Encoding.PROTOBUF: "application/x-protobuf", Encoding.JSON: "application/json"}
READ_HEADERS: Final = frozenset(
    {"authorization", "content-encoding", "content-length", "content-type", "expect", "origin", "transfer-encoding"}
    | {"access-control-request-method"}
)
"""Headers that change what is done; the others are not kept."""
_SIGNALS: Final = {f"/v1/{signal}".encode(): signal for signal in Signal}
_OTLP: Final = {name: encoding for encoding, name in CONTENT_TYPES.items()}
_LINES: Final = dict.fromkeys(("application/x-ndjson", "application/jsonl", "application/json"), Encoding.JSON)
"""JSON lines have two names that nobody registered; a request of one line is JSON."""
_COMPRESSIONS: Final = {
    "": Compression.IDENTITY,
    "identity": Compression.IDENTITY,
    "gzip": Compression.GZIP,
    "x-gzip": Compression.GZIP,  # RFC 9110 8.4.1.3
    "deflate": Compression.DEFLATE,
}
_SHOWN_CHARACTERS: Final = 100


class Head(NamedTuple):
    """Request line and headers; names in lower case, repeated ones joined as RFC 9110 5.3 says."""

    method: str
    target: bytes
    headers: dict[str, str]


class Route(NamedTuple):
    """Where a request's body goes, as far as its head tells."""

    signal: Signal | None
    encoding: Encoding | None
    compression: Compression


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be done with a request."""

    route: Route
    refused: Refused | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Headers of the answer, beyond those of every answer."""
    preflight: bool = False
    """A browser asks whether its page may send: answer 204."""
    token: int = 0
    """Number of the token shown, 0 where none is needed or none was right."""


class Router:
    """Judges heads by the settings. Immutable."""

    def __init__(self, limits: ReceiveLimits, access: Access, tokens: Tokens) -> None:
        self._limits = limits
        self._access = access
        self._tokens = tokens

    def judge(self, head: Head) -> Judgement:
        """Where the body goes, or why it goes nowhere."""
        signal = _SIGNALS.get(head.target) or _SIGNALS.get(_path(head.target))
        content_type = head.headers.get("content-type", "")
        names = _content_types(signal)
        encoding = names.get(content_type) or names.get(content_type.partition(";")[0].strip().lower())
        coding = head.headers.get("content-encoding", "")
        compression = _COMPRESSIONS.get(coding.strip().lower())
        route = Route(signal, encoding, compression or Compression.IDENTITY)
        cors = self._cors(head)
        if signal and cors and head.method == "OPTIONS" and "access-control-request-method" in head.headers:
            return Judgement(route, headers=(*cors, *self._preflight()), preflight=True)
        token = self._tokens.number(head.headers.get("authorization"))
        refused, headers = self._refusal(head, route, compression, token)
        return Judgement(route, refused, (*cors, *headers), token=token or 0)

    def _refusal(
        self, head: Head, route: Route, compression: Compression | None, token: int | None
    ) -> tuple[Refused | None, tuple[tuple[str, str], ...]]:
        if route.signal is None:
            paths = ", ".join(path.decode() for path in _SIGNALS)
            return Refused(Reason.UNKNOWN_PATH, f"no such path; send to one of {paths}"), ()
        if head.method != "POST":
            return Refused(Reason.WRONG_METHOD, f"{head.method} is not taken here; send POST"), (("allow", "POST"),)
        if token is None:
            message = "no known token; send the header 'Authorization: Bearer <token>'"
            return Refused(Reason.UNAUTHENTICATED, message), (("www-authenticate", "Bearer"),)
        if route.encoding is None:
            shown = head.headers.get("content-type", "")[:_SHOWN_CHARACTERS]
            names = _content_types(route.signal)
            message = f"Content-Type {shown!r} is not taken; send {' or '.join(names)}"
            return Refused(Reason.WRONG_CONTENT_TYPE, message), (("accept", ", ".join(names)),)
        if compression is None:
            shown = head.headers["content-encoding"][:_SHOWN_CHARACTERS]
            message = f"Content-Encoding {shown!r} is not taken; send gzip, deflate or none"
            return Refused(Reason.WRONG_CONTENT_ENCODING, message), (("accept-encoding", "gzip, deflate"),)
        return self.oversize(int(head.headers.get("content-length", "0"))), ()

    def oversize(self, wire_bytes: int) -> Refused | None:
        """The refusal of a body that is over the limit as it travels."""
        if wire_bytes <= self._limits.wire_bytes:
            return None
        limit = self._limits.wire_bytes
        return Refused(
            Reason.TOO_LARGE, f"the body is over {limit} bytes (wire_bytes); send smaller batches or raise it"
        )

    def _cors(self, head: Head) -> tuple[tuple[str, str], ...]:
        """Fetch standard, CORS: what lets a page read the answer."""
        origin = head.headers.get("origin")
        origins = self._access.cors_origins
        if origin is None or not origins:
            return ()
        if "*" in origins:
            return (("access-control-allow-origin", "*"), ("access-control-expose-headers", "retry-after"))
        if origin not in origins:
            return ()
        return (
            ("access-control-allow-origin", origin),
            ("access-control-expose-headers", "retry-after"),
            ("vary", "origin"),
        )

    def _preflight(self) -> tuple[tuple[str, str], ...]:
        return (
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", ", ".join(self._access.cors_headers)),
            ("access-control-max-age", str(self._access.cors_max_age_s)),
        )


def _content_types(signal: Signal | None) -> dict[str, Encoding]:
    """What a body may be called."""
    return _LINES if signal is Signal.FACTS else _OTLP


def _path(target: bytes) -> bytes:
    """The path of a target in origin or absolute form, RFC 9112 3.2; of anything else ``b""``."""
    try:
        return urlsplit(target).path
    except ValueError:
        return b""
