import gzip
import zlib
from collections.abc import Callable, Iterator

import orjson
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # its stubs come without py.typed
from otlp import JSON, METHODS, PROTOBUF, FakeSink, Reply, ServedHttp, Taken, http_server, post

from otel_cx_collector.decode import BadRequest, TooLarge
from otel_cx_collector.errors import Unavailable, UserError
from otel_cx_collector.receive import Access, Answer, Encoding, HttpReceiver, ReceiveLimits, Signal
from otel_cx_collector.receive.counts import Reason, Transport

MIB = 1 << 20
TOKEN = "0123456789abcdef"  # noqa: S105 - opens nothing but the servers of these tests
ORIGIN = "https://shop.example"


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink()


@pytest.fixture
def server(sink: FakeSink) -> Iterator[ServedHttp]:
    limits = ReceiveLimits(wire_bytes=MIB, body_bytes=2 * MIB)
    with http_server(sink, limits) as served:
        yield served


def said(reply: Reply) -> str:
    """The message of the google.rpc.Status in the encoding the headers name."""
    if reply.headers["content-type"] == JSON:
        message: str = orjson.loads(reply.body)["message"]
        return message
    assert reply.headers["content-type"] == PROTOBUF
    read: str = Status.FromString(reply.body).message
    return read


@pytest.mark.parametrize("signal", METHODS)
@pytest.mark.parametrize(("content_type", "encoding"), [(PROTOBUF, Encoding.PROTOBUF), (JSON, Encoding.JSON)])
def test_both_encodings_are_taken_on_the_path_of_each_signal(
    server: ServedHttp, sink: FakeSink, signal: Signal, content_type: str, encoding: Encoding
) -> None:
    reply = post(server.port, b"body", f"/v1/{signal}", content_type=content_type)

    assert sink.taken == [Taken(signal, encoding, b"body")]
    assert reply.status == 200
    assert reply.headers["content-type"] == content_type
    assert reply.body == (b"{}" if encoding is Encoding.JSON else b"")


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
def test_an_empty_request_succeeds(server: ServedHttp, content_type: str) -> None:
    assert post(server.port, b"", content_type=content_type).status == 200


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON", " application/json "],
)
def test_the_content_type_may_carry_parameters_in_any_case(server: ServedHttp, content_type: str) -> None:
    reply = post(server.port, b"{}", content_type=content_type)

    assert (reply.status, reply.headers["content-type"]) == (200, JSON)


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/protobuf", "application/grpc", "application/jsonp", "\xff"]
)
def test_any_other_content_type_is_415_and_says_which_are_taken(server: ServedHttp, content_type: str | None) -> None:
    reply = post(server.port, b"body", content_type=content_type)

    assert reply.status == 415
    assert reply.headers["accept"] == f"{PROTOBUF}, {JSON}"
    assert "send application/x-protobuf or application/json" in said(reply)


def identity(body: bytes) -> bytes:
    return body


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", identity),
        ("", identity),
    ],
)
def test_content_codings_are_undone(
    server: ServedHttp, sink: FakeSink, coding: str, compress: Callable[[bytes], bytes]
) -> None:
    reply = post(server.port, compress(b"body"), headers={"Content-Encoding": coding})

    assert reply.status == 200
    assert sink.taken[0].body == b"body"


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip;q=1", "none"])
@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
def test_an_unknown_content_coding_is_415_and_says_which_are_taken(
    server: ServedHttp, coding: str, content_type: str
) -> None:
    reply = post(server.port, b"body", content_type=content_type, headers={"Content-Encoding": coding})

    assert reply.status == 415
    assert reply.headers["accept-encoding"] == "gzip, deflate"
    assert "send gzip, deflate or none" in said(reply)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_any_method_but_post_is_405_with_allow(server: ServedHttp, method: str) -> None:
    reply = post(server.port, b"", method=method)

    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert said(reply) == f"{method} is not taken here; send POST"


def test_head_is_405_without_a_body(server: ServedHttp) -> None:
    reply = post(server.port, b"", method="HEAD")

    assert (reply.status, reply.body) == (405, b"")


@pytest.mark.parametrize("path", ["/", "/v1/trace", "/v1/traces/", "/V1/traces", "/v1/%74races", "/v1/profiles", "*"])
def test_any_other_path_is_404_and_says_which_there_are(server: ServedHttp, path: str) -> None:
    reply = post(server.port, b"", path, content_type=JSON)

    assert reply.status == 404
    assert said(reply) == "no such path; send to one of /v1/traces, /v1/metrics, /v1/logs, /v1/facts"


@pytest.mark.parametrize("path", ["/v1/traces?a=b", "/v1/traces#x", "http://collector.example/v1/traces"])
def test_the_path_counts_whatever_the_form_of_the_target(server: ServedHttp, path: str) -> None:
    assert post(server.port, b"", path).status == 200


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
def test_every_refusal_is_a_status_in_the_encoding_of_the_request(
    server: ServedHttp, sink: FakeSink, content_type: str
) -> None:
    sink.script = {b"bad": BadRequest("byte 7: no field 0"), b"big": TooLarge("20,001 spans; send 20,000")}

    bad, big = (
        post(server.port, b"bad", content_type=content_type),
        post(server.port, b"big", content_type=content_type),
    )

    assert (bad.status, said(bad)) == (400, "byte 7: no field 0")
    assert (big.status, said(big)) == (413, "20,001 spans; send 20,000")
    assert "retry-after" not in bad.headers | big.headers


@pytest.mark.parametrize("error", [Unavailable("log full", 9), ValueError("a defect")])
def test_what_is_no_fault_of_the_client_is_503_with_a_short_retry_after(
    server: ServedHttp, sink: FakeSink, error: Exception
) -> None:
    sink.script = {b"body": error}

    reply = post(server.port, b"body")

    assert reply.status == 503
    assert int(reply.headers["retry-after"]) in {1, 2, 3}


@pytest.mark.parametrize("signal", METHODS)
def test_rejected_items_are_a_partial_success(server: ServedHttp, sink: FakeSink, signal: Signal) -> None:
    sink.script = {b"{}": Answer(2, "too late")}
    field = {"traces": "rejectedSpans", "metrics": "rejectedDataPoints", "logs": "rejectedLogRecords"}[signal]

    reply = post(server.port, b"{}", f"/v1/{signal}", content_type=JSON)

    assert reply.status == 200
    assert orjson.loads(reply.body) == {"partialSuccess": {field: "2", "errorMessage": "too late"}}


def test_a_body_of_the_wire_limit_passes_and_one_byte_more_is_413(server: ServedHttp, sink: FakeSink) -> None:
    assert post(server.port, bytes(MIB)).status == 200

    reply = post(server.port, bytes(MIB + 1))

    assert (reply.status, len(sink.taken)) == (413, 1)
    assert "wire_bytes" in said(reply)


def test_a_chunked_body_is_held_to_the_same_limit(server: ServedHttp, sink: FakeSink) -> None:
    chunk = b"%x\r\n%s\r\n" % (MIB // 2, bytes(MIB // 2))
    headers = {"Transfer-Encoding": "chunked"}

    fits = post(server.port, chunk * 2 + b"0\r\n\r\n", headers=headers)
    passes = post(server.port, chunk * 3 + b"0\r\n\r\n", headers=headers)

    assert (fits.status, passes.status, [len(taken.body) for taken in sink.taken]) == (200, 413, [MIB])


def test_a_gzip_bomb_is_413_and_named_as_what_it_is(server: ServedHttp, sink: FakeSink) -> None:
    reply = post(server.port, gzip.compress(bytes(64 * MIB)), headers={"Content-Encoding": "gzip"})

    assert (reply.status, sink.taken) == (413, [])
    assert "body_bytes" in said(reply)


@pytest.mark.parametrize(
    "wire", [b"", b"junk", gzip.compress(b"body", mtime=0)[:-1], gzip.compress(b"body", mtime=0) + b"junk"]
)
def test_a_damaged_gzip_stream_is_400(server: ServedHttp, wire: bytes) -> None:
    assert post(server.port, wire, headers={"Content-Encoding": "gzip"}).status == 400


def test_no_answer_echoes_control_characters_or_without_bound(server: ServedHttp, sink: FakeSink) -> None:
    sink.script = {b"body": BadRequest("value '\x1b[2J\r\n" + "x" * 100_000)}

    reply = post(server.port, b"body", content_type=JSON)

    message = said(reply)
    assert message.isprintable()
    assert len(message) <= 1_000
    assert len(said(post(server.port, b"", content_type="x" * 20_000))) < 300


def test_refusals_are_counted_by_reason(server: ServedHttp) -> None:
    post(server.port, b"", "/nowhere")
    post(server.port, b"", method="GET")
    post(server.port, b"", content_type="text/plain")

    refused = server.receiver.counts.refused()

    assert refused == {
        (Transport.HTTP, reason): 1 for reason in (Reason.UNKNOWN_PATH, Reason.WRONG_METHOD, Reason.WRONG_CONTENT_TYPE)
    }


# Bearer tokens


@pytest.fixture
def guarded(sink: FakeSink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    file = tmp_path_factory.mktemp("secrets") / "tokens"
    file.write_text(TOKEN)
    with http_server(sink, access=Access(token_file=file, cors_origins=(ORIGIN,))) as served:
        yield served.port


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}])
def test_without_the_token_every_path_is_401(
    guarded: int, sink: FakeSink, signal: Signal, content_type: str, header: dict[str, str]
) -> None:
    reply = post(guarded, b"body", f"/v1/{signal}", content_type=content_type, headers=header)

    assert (reply.status, reply.headers["www-authenticate"], sink.taken) == (401, "Bearer", [])
    assert "Authorization: Bearer" in said(reply)


def test_the_token_opens_and_its_header_is_found_in_any_case(guarded: int) -> None:
    for name in ("Authorization", "authorization", "AUTHORIZATION"):
        assert post(guarded, b"", headers={name: f"Bearer {TOKEN}"}).status == 200


# Browsers


def preflight(port: int, origin: str) -> Reply:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return post(port, b"", method="OPTIONS", content_type=None, headers=headers)


def test_by_default_no_page_may_send(server: ServedHttp) -> None:
    asked = preflight(server.port, ORIGIN)
    sent = post(server.port, b"", headers={"Origin": ORIGIN})

    assert asked.status == 405
    assert not any(name.startswith("access-control") for name in asked.headers | sent.headers)


def test_a_listed_origin_may_send_and_read_and_its_preflight_needs_no_token(guarded: int) -> None:
    asked = preflight(guarded, ORIGIN)
    sent = post(guarded, b"", headers={"Origin": ORIGIN, "Authorization": f"Bearer {TOKEN}"})

    assert (asked.status, asked.body) == (204, b"")
    assert asked.headers["access-control-allow-methods"] == "POST"
    assert asked.headers["access-control-allow-headers"] == "authorization, content-encoding, content-type"
    assert asked.headers["access-control-allow-origin"] == sent.headers["access-control-allow-origin"] == ORIGIN
    assert sent.headers["vary"] == "origin"


@pytest.mark.parametrize("origin", ["https://evil.example", "https://shop.example.evil.example", "null", ""])
def test_another_origin_may_not(guarded: int, origin: str) -> None:
    asked = preflight(guarded, origin)

    assert asked.status == 405
    assert "access-control-allow-origin" not in asked.headers


def test_a_star_lets_every_page_send(sink: FakeSink) -> None:
    with http_server(sink, access=Access(cors_origins=("*",))) as served:
        assert preflight(served.port, ORIGIN).headers["access-control-allow-origin"] == "*"


# Starting


def test_a_taken_port_is_an_error_that_names_it_and_the_cure(server: ServedHttp, sink: FakeSink) -> None:
    with pytest.raises(
        UserError, match=rf"127.0.0.1:{server.port}: Address already in use; stop the program .*ss -ltnp"
    ):
        HttpReceiver(f"127.0.0.1:{server.port}", sink).start()


def test_an_address_this_machine_does_not_have_is_an_error(sink: FakeSink) -> None:
    with pytest.raises(UserError, match=r"192\.0\.2\.1:4318: Cannot assign requested address; set an address"):
        HttpReceiver("192.0.2.1:4318", sink, access=Access(allow_unauthenticated=True)).start()


def test_ipv6_loopback_works(sink: FakeSink) -> None:
    receiver = HttpReceiver("[::1]:0", sink)
    try:
        assert receiver.start() > 0
    finally:
        receiver.stop(1)
