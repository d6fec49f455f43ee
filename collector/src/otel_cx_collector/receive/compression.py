"""Compressed bodies, inflated within limits. Not the headers that name the compression."""

import zlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final

from otel_cx_collector.decode import BadRequest, TooLarge
from otel_cx_collector.receive.limits import ReceiveLimits

_STEP_IN: Final = 64 * 1024
_STEP_OUT: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_WINDOW: Final = 15


class Compression(StrEnum):
    """The content codings of RFC 9110 that OTLP clients use."""

    IDENTITY = "identity"
    GZIP = "gzip"
    DEFLATE = "deflate"


def sniff(wire: bytes) -> Compression:
    """Compression of a gRPC message, whose header grpcio does not show us.

    No OTLP request begins with these bytes: read as protobuf, 0x1f is a wire type that does not exist, and 0x78 a
    field number that OTLP's requests do not have.
    """
    if wire.startswith(_GZIP):
        return Compression.GZIP
    return Compression.DEFLATE if wire[:1] == b"\x78" and _is_zlib(wire) else Compression.IDENTITY


def inflate(wire: bytes, compression: Compression, limits: ReceiveLimits, grow: Callable[[int], None]) -> bytes:
    """``wire`` decompressed; ``grow`` is called with the size of each piece before the next is made.

    Raises:
        BadRequest: the stream is damaged, ends early, is followed by something else, or has too many members.
        TooLarge: it holds more than ``limits.body_bytes``; at most 1 MiB more than that was ever made.
    """
    if compression is Compression.IDENTITY:
        _check_size(len(wire), limits)
        return wire
    pieces = []
    size_bytes = 0
    for piece in _pieces(wire, compression, limits.gzip_members):
        size_bytes += len(piece)
        _check_size(size_bytes, limits)
        grow(len(piece))
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _check_size(size_bytes: int, limits: ReceiveLimits) -> None:
    if size_bytes > limits.body_bytes:
        raise TooLarge(
            f"the decompressed body is over {limits.body_bytes} bytes (body_bytes); send smaller batches or raise it"
        )


def _pieces(wire: bytes, compression: Compression, members_max: int) -> Iterator[bytes]:
    """Decompressed pieces of at most ``_STEP_OUT`` bytes.

    The input is fed in steps because zlib copies what it has not consumed at every call.
    """
    bits = _WINDOW | 16 if compression is Compression.GZIP else _WINDOW if _is_zlib(wire) else -_WINDOW
    stream = zlib.decompressobj(bits)
    members = 1
    whole = memoryview(wire)
    for at in range(0, len(whole), _STEP_IN):
        pending: bytes | memoryview = whole[at : at + _STEP_IN]
        while pending:
            if stream.eof:
                members += 1
                stream = _next_member(compression, members, members_max)
            yield from _drain(stream, pending, compression)
            pending = stream.unused_data
    if not stream.eof:
        raise BadRequest(f"the {compression} stream of {len(wire)} bytes ends before its end mark; send it whole")


def _drain(stream: "zlib._Decompress", pending: bytes | memoryview, compression: Compression) -> Iterator[bytes]:
    """Everything that ``pending`` gives; zlib may hold more output than one call returned."""
    full = True
    while full or (pending and not stream.eof):
        try:
            piece = stream.decompress(pending, _STEP_OUT)
        except zlib.error as error:
            raise BadRequest(f"the body is not a {compression} stream ({error}); check Content-Encoding") from error
        if piece:
            yield piece
        full = len(piece) == _STEP_OUT and not stream.eof
        pending = stream.unconsumed_tail


def _next_member(compression: Compression, members: int, members_max: int) -> "zlib._Decompress":
    """RFC 1952 2.2: a gzip file is a series of members. A zlib stream is one."""
    if compression is not Compression.GZIP:
        raise BadRequest("something follows the end of the deflate stream; send the stream alone")
    if members > members_max:
        raise BadRequest(f"the gzip stream has over {members_max} members (gzip_members); compress the batch as one")
    return zlib.decompressobj(_WINDOW | 16)


def _is_zlib(wire: bytes) -> bool:
    """RFC 1950 2.2: compression method 8, and both header bytes as a number divisible by 31."""
    return len(wire) > 1 and wire[0] & 0x0F == 8 and (wire[0] << 8 | wire[1]) % 31 == 0
