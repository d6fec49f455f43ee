"""The endpoint: where spans would go by the environment, what listens there, and whether it takes an empty export.

Sends no span. What it looks at it sees as an exporter would, so that each mistake has its own sentence.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from otel_cx._doctor.findings import Finding, ok, problem
from otel_cx.exceptions import ConfigurationError

TIMEOUT_S: Final = 5.0
"""For each attempt: as long as a person waits, and longer than a collector takes that is well."""
GRPC: Final = "grpc"
HTTP: Final = "http/protobuf"
PORTS: Final = {GRPC: 4317, HTTP: 4318}
EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""What an HTTP/2 client says first: the preface and empty SETTINGS (RFC 9113, 3.4)."""
_SETTINGS_FRAME: Final = 4
_UNWELCOME: Final = (401, 403)


@dataclass(frozen=True, slots=True)
class Target:
    """Where an exporter would send."""

    protocol: str
    host: str
    port: int
    tls: bool
    path: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    authority: str | None = None
    """Path of the certificates of whom is believed; None: those of the system."""
    certificate: str | None = None
    """Path of the client's own, with its key, where the server asks for one."""
    key: str | None = None

    @property
    def shown(self) -> str:
        """The address, without what may be secret in it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port} ({self.protocol})"

    def context(self) -> ssl.SSLContext:
        """Returns the TLS context of an exporter."""
        context = ssl.create_default_context(cafile=self.authority)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        if self.protocol == GRPC:
            context.set_alpn_protocols(["h2"])
        return context


def target_of(env: Mapping[str, str], endpoint: str | None = None, protocol: str | None = None) -> Target:
    """Returns where spans go by the variables of the OTLP exporters; `endpoint` and `protocol` go before them.

    Raises:
        ConfigurationError: an address or a protocol that no exporter takes.
    """
    chosen = protocol or _of(env, "PROTOCOL") or GRPC
    if chosen not in PORTS:
        raise ConfigurationError(f"The protocol {chosen!r} is not looked at here. Use one of: {', '.join(PORTS)}.")
    own = None if endpoint else env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    text = endpoint or own or env.get("OTEL_EXPORTER_OTLP_ENDPOINT") or f"http://localhost:{PORTS[chosen]}"
    if "://" not in text:
        insecure = (_of(env, "INSECURE") or "").lower() == "true"
        text = f"{'http' if insecure else 'https'}://{text}"
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise ConfigurationError(f"The endpoint cannot be used: {error}. Write 'http://host:4317'.") from error
    if url.scheme not in {"http", "https"} or not host:
        raise ConfigurationError(f"The endpoint has the scheme {url.scheme!r}. Write 'http://host:4317'.")
    tls = url.scheme == "https"
    return Target(
        protocol=chosen,
        host=host,
        port=port or (PORTS[GRPC] if chosen == GRPC else 443 if tls else 80),
        tls=tls,
        path=url.path or "/" if own else _traces(url.path),
        headers=_headers(_of(env, "HEADERS") or ""),
        authority=_of(env, "CERTIFICATE"),
        certificate=_of(env, "CLIENT_CERTIFICATE"),
        key=_of(env, "CLIENT_KEY"),
    )


def _of(env: Mapping[str, str], name: str) -> str | None:
    return env.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or env.get(f"OTEL_EXPORTER_OTLP_{name}") or None


def _traces(path: str) -> str:
    return path if path.endswith("/v1/traces") else f"{path.rstrip('/')}/v1/traces"


def _headers(text: str) -> dict[str, str]:
    """Reads `name=value,name=value`, values percent-encoded, as the exporters do."""
    pairs = (item.partition("=") for item in text.split(","))
    return {unquote(name).strip().lower(): unquote(value).strip() for name, equals, value in pairs if equals}


def examine(target: Target) -> Iterator[Finding]:
    """Yields what is found at the endpoint; the first obstacle is the last that can be told."""
    found = _connection(target) or _transport(target) or _export(target)
    if found is None:
        yield ok("endpoint", "The endpoint takes OTLP: an empty export was accepted.", target.shown)
    else:
        yield found


def _connection(target: Target) -> Finding | None:
    usual = f"usually {PORTS[target.protocol]} for {target.protocol}"
    cure = f"Start the collector, or correct OTEL_EXPORTER_OTLP_ENDPOINT: its log names the port, {usual}."
    try:
        _connect(target).close()
    except socket.gaierror as error:
        what = f"The name {target.host!r} is not known here."
        return problem("endpoint-unknown-host", what, f"{target.shown}: {error.strerror}", cure)
    except ConnectionRefusedError:
        return problem("endpoint-refused", "Nothing listens at the endpoint.", target.shown, cure)
    except TimeoutError:
        cure = "Look for a firewall or network policy between here and there."
        return problem("endpoint-timeout", f"No connection within {TIMEOUT_S:g} s.", target.shown, cure)
    except OSError as error:
        return problem("endpoint-unreachable", "The endpoint cannot be reached.", f"{target.shown}: {error}", cure)
    return None


def _connect(target: Target) -> socket.socket:
    return socket.create_connection((target.host, target.port), timeout=TIMEOUT_S)


def _transport(target: Target) -> Finding | None:
    """Looks at what an exporter could not tell apart: TLS or none, gRPC's HTTP/2 or HTTP/1.1."""
    if target.tls:
        return _handshake(target)
    spoken = _spoken(target)
    if spoken == "TLS":
        cure = "Write https:// in the endpoint, and OTEL_EXPORTER_OTLP_CERTIFICATE if its authority is yours."
        return problem("endpoint-wants-tls", "The endpoint speaks TLS, and http:// does not.", target.shown, cure)
    if spoken == "HTTP/1.1" and target.protocol == GRPC:
        cure = f"Use the gRPC port (often {PORTS[GRPC]}), or OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf."
        what = "The endpoint is an HTTP port, and the exporter speaks gRPC."
        return problem("endpoint-wrong-port", what, f"{target.shown}: it answers in HTTP/1.1", cure)
    if spoken == "HTTP/2" and target.protocol == HTTP and not _takes_http1(target):
        cure = f"Use the HTTP port (often {PORTS[HTTP]}), or OTEL_EXPORTER_OTLP_PROTOCOL=grpc."
        what = "The endpoint is a gRPC port, and the exporter speaks HTTP."
        return problem("endpoint-wrong-port", what, f"{target.shown}: it answers in HTTP/2 alone", cure)
    return None


def _handshake(target: Target) -> Finding | None:
    try:
        context = target.context()
    except (OSError, ssl.SSLError) as error:
        cure = "Correct OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE and _CLIENT_KEY: readable PEM files."
        return problem("endpoint-certificate-file", "A certificate cannot be read.", str(error), cure)
    try:
        with _connect(target) as plain, context.wrap_socket(plain, server_hostname=target.host):
            return None
    except ssl.SSLCertVerificationError as error:
        cure = "Set OTEL_EXPORTER_OTLP_CERTIFICATE to its authority's certificate, and use a name that stands in it."
        said = f"{target.shown}: {error.verify_message}"
        return problem("endpoint-certificate", "The endpoint's certificate is not believed.", said, cure)
    except (OSError, ssl.SSLError) as error:
        cure = "Write http:// in the endpoint, if it is meant to speak without TLS."
        return problem("endpoint-not-tls", "The endpoint does not speak TLS.", f"{target.shown}: {error}", cure)


def _spoken(target: Target) -> str:
    """Returns what the server speaks: TLS, HTTP/2, HTTP/1.1, or nothing that is known."""
    answer = b""
    try:
        with _connect(target) as connection:
            connection.sendall(_PREFACE)
            answer = connection.recv(64)
    except OSError:
        answer = b""
    if len(answer) > _SETTINGS_FRAME and answer[3] == _SETTINGS_FRAME:
        return "HTTP/2"
    if _speaks_tls(target):
        return "TLS"
    return "HTTP/1.1" if answer.startswith(b"HTTP/") or _takes_http1(target) else "unknown"


def _speaks_tls(target: Target) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is only asked whether it speaks at all; nothing is sent
    try:
        with _connect(target) as plain, context.wrap_socket(plain):
            return True
    except OSError:
        return False


def _takes_http1(target: Target) -> bool:
    try:
        with closing(http.client.HTTPConnection(target.host, target.port, timeout=TIMEOUT_S)) as connection:
            connection.request("GET", "/")
            connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    return True


def _export(target: Target) -> Finding | None:
    return _export_grpc(target) if target.protocol == GRPC else _export_http(target)


def _export_http(target: Target) -> Finding | None:
    connection = (
        http.client.HTTPSConnection(target.host, target.port, timeout=TIMEOUT_S, context=target.context())
        if target.tls
        else http.client.HTTPConnection(target.host, target.port, timeout=TIMEOUT_S)
    )
    # An empty ExportTraceServiceRequest has no bytes.
    headers = {**target.headers, "content-type": "application/x-protobuf", "content-length": "0"}
    try:
        with closing(connection):
            connection.request("POST", target.path, b"", headers)
            answer = connection.getresponse()
            said = answer.read(300).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return _failed(target, f"{type(error).__name__}: {error}")
    if answer.status == http.client.OK:
        return None
    if answer.status in _UNWELCOME:
        return _unauthenticated(target, f"HTTP {answer.status}")
    if answer.status == http.client.NOT_FOUND:
        cure = "Write the base in OTEL_EXPORTER_OTLP_ENDPOINT, to which /v1/traces is added; _TRACES_ENDPOINT is whole."
        return problem("endpoint-path", f"There is no OTLP at {target.path}.", f"{target.shown}: HTTP 404", cure)
    return _failed(target, f"HTTP {answer.status}: {said}")


def _export_grpc(target: Target) -> Finding | None:
    try:
        import grpc
    except ImportError:
        cure = "Install it with: pip install 'otel-cx[sdk]'"
        return problem("no-grpc", "grpcio is not installed, so nothing can be exported.", target.shown, cure)
    address = f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"
    channel = grpc.secure_channel(address, _credentials(target)) if target.tls else grpc.insecure_channel(address)
    with channel:
        export: Any = channel.unary_unary(EXPORT)
        try:
            export(b"", timeout=TIMEOUT_S, metadata=tuple(target.headers.items()))
        except grpc.RpcError as error:
            return _refused(target, error)
    return None


def _credentials(target: Target) -> Any:
    import grpc

    authority, certificate, key = map(_content, (target.authority, target.certificate, target.key))
    return grpc.ssl_channel_credentials(authority, key, certificate)


def _content(path: str | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:  # noqa: PTH123 - as in _settings
        return file.read()


def _refused(target: Target, error: Any) -> Finding:
    code = error.code().name
    if code in {"UNAUTHENTICATED", "PERMISSION_DENIED"}:
        return _unauthenticated(target, f"gRPC {code}")
    if code == "UNIMPLEMENTED":
        cure = "Give the address of an OTLP receiver for traces."
        return problem("endpoint-no-otlp", "It speaks gRPC, but takes no traces.", f"{target.shown}: {code}", cure)
    return _failed(target, f"gRPC {code}: {error.details()}")


def _unauthenticated(target: Target, said: str) -> Finding:
    sent = f"headers sent: {', '.join(sorted(target.headers)) or 'none'}"
    cure = "Set OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer%20<token>' to a token the collector accepts."
    what = "The endpoint does not let this sender in."
    return problem("endpoint-unauthenticated", what, f"{target.shown}: {said}; {sent}", cure)


def _failed(target: Target, said: str) -> Finding:
    cure = "Look into the log of what listens there."
    return problem("endpoint-failed", "The empty export was not accepted.", f"{target.shown}: {said}", cure)
