"""`otel-cx doctor` at an endpoint: the collector's real receivers, real TLS, and each mistake with its own sentence."""

import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from otlp import FakeSink, grpc_server, http_server

from otel_cx import ConfigurationError
from otel_cx._doctor.endpoint import GRPC, HTTP, examine, target_of
from otel_cx._doctor.findings import Finding
from otel_cx_collector.receive import Access

TOKEN = "a-token-of-the-tests-0123456789"  # noqa: S105 - of the tests
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"


def found(port: Any, protocol: str, scheme: str = "http", **environ: str) -> Finding:
    """What is found at a port of this machine, which is one thing."""
    port = getattr(port, "port", port)
    [finding] = examine(target_of({ENDPOINT: f"{scheme}://127.0.0.1:{port}", **environ}, protocol=protocol))
    assert TOKEN not in repr(finding)
    return finding


def test_an_endpoint_that_takes_an_empty_export_is_well_and_receives_no_span() -> None:
    sink = FakeSink()
    with grpc_server(sink) as port:
        assert found(port, GRPC).code == "endpoint"
    with http_server(sink) as port:
        assert found(port, HTTP).code == "endpoint"
    assert [taken.body for taken in sink.taken] == [b"", b""]


@pytest.mark.parametrize(("protocol", "server"), [(GRPC, http_server), (HTTP, grpc_server)])
def test_the_other_protocols_port_is_told_with_the_right_one(protocol: str, server: Any) -> None:
    with server(FakeSink()) as port:
        finding = found(port, protocol)
    assert finding.code == "endpoint-wrong-port"
    assert ("4317" if protocol == GRPC else "4318") in finding.cure


@pytest.mark.parametrize(("protocol", "server"), [(GRPC, grpc_server), (HTTP, http_server)])
def test_a_token_that_is_missing_or_wrong_is_told_and_never_shown(protocol: str, server: Any, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(TOKEN)
    with server(FakeSink(), access=Access(token_file=tmp_path / "tokens")) as port:
        assert found(port, protocol).code == "endpoint-unauthenticated"
        wrong = found(port, protocol, OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20wrong,x-team=shop")
        assert wrong.code == "endpoint-unauthenticated"
        assert "headers sent: authorization, x-team" in wrong.evidence
        assert found(port, protocol, OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer%20{TOKEN}").code == "endpoint"


@pytest.mark.parametrize("protocol", [GRPC, HTTP])
def test_a_port_on_which_nothing_listens_is_refused(protocol: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    finding = found(port, protocol)
    assert finding.code == "endpoint-refused"
    assert f"http://127.0.0.1:{port} ({protocol})" in finding.evidence


def test_a_name_that_nobody_knows_is_told() -> None:
    [finding] = examine(target_of({}, "http://collector.invalid:4317"))
    assert (finding.code, finding.what) == ("endpoint-unknown-host", "The name 'collector.invalid' is not known here.")


# TLS


@contextmanager
def tls_http_server(certificate: trustme.LeafCert) -> Iterator[int]:
    """An HTTPS server that answers every POST with 200."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients that go away are the test
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextmanager
def tls_grpc_server(certificate: trustme.LeafCert) -> Iterator[int]:
    """A gRPC server with TLS that takes OTLP."""
    handler = grpc.method_handlers_generic_handler(
        "opentelemetry.proto.collector.trace.v1.TraceService",
        {"Export": grpc.unary_unary_rpc_method_handler(lambda _body, _context: b"")},
    )
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((handler,))
    pair = [(certificate.private_key_pem.bytes(), chain)]
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(pair))
    server.start()
    yield port
    server.stop(0).wait()


@pytest.mark.parametrize(("protocol", "server"), [(GRPC, tls_grpc_server), (HTTP, tls_http_server)])
def test_tls_where_it_is_believed_where_not_and_where_it_is_not_asked_for(
    protocol: str, server: Any, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    believing = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem")}
    with server(authority.issue_cert("127.0.0.1")) as port:
        assert found(port, protocol, "https", **believing).code == "endpoint"
        stranger = found(port, protocol, "https")
        assert stranger.code == "endpoint-certificate"
        assert "unable to get local issuer certificate" in stranger.evidence
        assert found(port, protocol, "http").code == "endpoint-wants-tls"
    with server(authority.issue_cert("shop.example")) as port:
        other = found(port, protocol, "https", **believing)
        assert other.code == "endpoint-certificate"
        assert "127.0.0.1" in other.evidence


@pytest.mark.parametrize(("protocol", "server"), [(GRPC, grpc_server), (HTTP, http_server)])
def test_https_to_a_server_without_tls_is_told(protocol: str, server: Any) -> None:
    with server(FakeSink()) as port:
        assert found(port, protocol, "https").code == "endpoint-not-tls"


def test_a_certificate_that_cannot_be_read_is_told() -> None:
    with http_server(FakeSink()) as port:
        finding = found(port, HTTP, "https", OTEL_EXPORTER_OTLP_CERTIFICATE="/nowhere/ca.pem")
    assert finding.code == "endpoint-certificate-file"


# What answers otherwise


def test_a_grpc_server_without_otlp_and_a_path_without_it_are_told() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    assert found(port, GRPC).code == "endpoint-no-otlp"
    server.stop(0).wait()
    with http_server(FakeSink()) as served:
        environ = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{served.port}/elsewhere"}
        [finding] = examine(target_of(environ, protocol=HTTP))
    assert (finding.code, finding.what) == ("endpoint-path", "There is no OTLP at /elsewhere.")


def test_what_is_no_server_of_either_kind_is_told_by_what_it_does() -> None:
    """It takes connections, and closes them without a word."""

    def close_all(listening: socket.socket) -> None:
        try:
            while True:
                listening.accept()[0].close()
        except OSError:
            return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=close_all, args=(listening,))
        thread.start()
        for protocol in (GRPC, HTTP):
            assert found(listening.getsockname()[1], protocol).code == "endpoint-failed"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


# Which endpoint it is


@pytest.mark.parametrize(
    ("environ", "shown", "path"),
    [
        ({}, "http://localhost:4317 (grpc)", None),
        ({PROTOCOL: HTTP}, "http://localhost:4318 (http/protobuf)", "/v1/traces"),
        (
            {ENDPOINT: "https://c:9/x", "OTEL_EXPORTER_OTLP_PROTOCOL": HTTP},
            "https://c:9 (http/protobuf)",
            "/x/v1/traces",
        ),
        ({ENDPOINT: "http://a:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b:2"}, "http://b:2 (grpc)", None),
        ({ENDPOINT: "c:4317"}, "https://c:4317 (grpc)", None),
        ({ENDPOINT: "c:4317", "OTEL_EXPORTER_OTLP_INSECURE": "true"}, "http://c:4317 (grpc)", None),
        ({ENDPOINT: "http://user:secret@[::1]:7"}, "http://[::1]:7 (grpc)", None),
    ],
)
def test_the_endpoint_is_the_exporters_own(environ: dict[str, str], shown: str, path: str | None) -> None:
    target = target_of(environ)
    assert target.shown == shown
    assert path in {None, target.path}


@pytest.mark.parametrize(
    ("endpoint", "protocol", "message"),
    [
        ("ftp://c:1", GRPC, "scheme 'ftp'"),
        ("http://c:port", GRPC, "cannot be used"),
        ("http://c:1", "http/json", "'http/json' is not looked at here"),
    ],
)
def test_an_endpoint_that_no_exporter_takes_is_refused(endpoint: str, protocol: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        target_of({}, endpoint, protocol)
