import gzip
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from otel_cx_collector.decode import BadRequest, TooLarge
from otel_cx_collector.receive.compression import Compression, inflate, sniff
from otel_cx_collector.receive.limits import InFlightFull, ReceiveLimits

LIMITS = ReceiveLimits(body_bytes=1 << 20, gzip_members=20)
MIB = 1 << 20


def ignore(size_bytes: int) -> None:
    del size_bytes


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=20))
def test_gzip_members_one_after_another_are_one_body(members: list[bytes]) -> None:
    wire = b"".join(gzip.compress(member) for member in members)

    assert inflate(wire, Compression.GZIP, LIMITS, ignore) == b"".join(members)


@given(st.binary(), st.sampled_from([zlib.compress, raw_deflate]))
def test_deflate_is_read_with_and_without_its_zlib_wrapper(body: bytes, compress: Callable[[bytes], bytes]) -> None:
    assert inflate(compress(body), Compression.DEFLATE, LIMITS, ignore) == body


@given(st.integers(0, 3 * 64 * 1024), st.binary(min_size=1, max_size=8))
def test_bodies_of_any_size_come_back_whole(size: int, pattern: bytes) -> None:
    body = (pattern * size)[:size]

    assert inflate(gzip.compress(body), Compression.GZIP, LIMITS, ignore) == body


@given(st.binary())
def test_an_uncompressed_body_is_itself(body: bytes) -> None:
    assert inflate(body, Compression.IDENTITY, LIMITS, ignore) is body


@given(st.binary(), st.sampled_from([Compression.GZIP, Compression.DEFLATE]))
def test_arbitrary_bytes_inflate_or_are_a_bad_request(wire: bytes, compression: Compression) -> None:
    with suppress(BadRequest, TooLarge):
        inflate(wire, compression, LIMITS, ignore)


@given(st.binary(min_size=1), st.data())
def test_a_stream_cut_anywhere_is_a_bad_request(body: bytes, data: st.DataObject) -> None:
    wire = gzip.compress(body)
    cut = wire[: data.draw(st.integers(0, len(wire) - 1))]

    with pytest.raises(BadRequest):
        inflate(cut, Compression.GZIP, LIMITS, ignore)


def test_a_body_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    assert len(inflate(gzip.compress(bytes(MIB)), Compression.GZIP, LIMITS, ignore)) == MIB
    with pytest.raises(TooLarge, match="body_bytes"):
        inflate(gzip.compress(bytes(MIB + 1)), Compression.GZIP, LIMITS, ignore)


def test_an_uncompressed_body_is_held_to_the_limit_too() -> None:
    with pytest.raises(TooLarge, match="body_bytes"):
        inflate(bytes(MIB + 1), Compression.IDENTITY, LIMITS, ignore)


@pytest.mark.parametrize("members", [1, 3])
def test_a_bomb_is_inflated_no_further_than_the_limit(members: int) -> None:
    bomb = gzip.compress(bytes(256 * MIB)) * members
    charged: list[int] = []

    with pytest.raises(TooLarge):
        inflate(bomb, Compression.GZIP, LIMITS, charged.append)

    assert sum(charged) <= LIMITS.body_bytes


def test_inflating_stops_when_its_bytes_find_no_room() -> None:
    def full(size_bytes: int) -> None:
        raise InFlightFull(str(size_bytes))

    with pytest.raises(InFlightFull):
        inflate(gzip.compress(bytes(MIB)), Compression.GZIP, LIMITS, full)


def test_more_gzip_members_than_the_limit_are_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="gzip_members"):
        inflate(gzip.compress(b"") * (LIMITS.gzip_members + 1), Compression.GZIP, LIMITS, ignore)


@pytest.mark.parametrize("tail", [b"junk", bytes(16), b"\x1f\x8b"])
def test_something_else_after_the_gzip_stream_is_a_bad_request(tail: bytes) -> None:
    with pytest.raises(BadRequest):
        inflate(gzip.compress(b"body") + tail, Compression.GZIP, LIMITS, ignore)


def test_something_after_the_deflate_stream_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="follows"):
        inflate(zlib.compress(b"body") + b"junk", Compression.DEFLATE, LIMITS, ignore)


def test_a_damaged_checksum_is_a_bad_request() -> None:
    wire = bytearray(gzip.compress(b"body"))
    wire[-6] ^= 1

    with pytest.raises(BadRequest, match="gzip"):
        inflate(bytes(wire), Compression.GZIP, LIMITS, ignore)


@given(st.binary(), st.integers(0, 9))
def test_a_compressed_grpc_message_is_known_by_its_first_bytes(body: bytes, level: int) -> None:
    assert sniff(gzip.compress(body, level)) is Compression.GZIP
    assert sniff(zlib.compress(body, level)) is Compression.DEFLATE


@given(st.lists(st.text(max_size=200), max_size=3))
def test_no_otlp_request_looks_compressed(schemas: list[str]) -> None:
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(schema_url=schema) for schema in schemas])

    assert sniff(request.SerializeToString()) is Compression.IDENTITY
