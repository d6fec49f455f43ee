"""Every limit, hit; and the bodies no decoder should be given, answered."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from spans import BOUNDS, LIMITS, TAGGER, block, both, json_body, request, row_of, span, step

from otel_cx_collector.decode import BadRequest, DecodeLimits, TooLarge
from otel_cx_collector.tag import Decoded, decode_traces, decode_traces_json

MIB = 1 << 20
DEEP = 100_000


def protobuf(body: bytes, limits: DecodeLimits = LIMITS) -> Decoded:
    return decode_traces(body, TAGGER, BOUNDS, limits)


def as_json(body: bytes, limits: DecodeLimits = LIMITS) -> Decoded:
    return decode_traces_json(body, TAGGER, BOUNDS, limits)


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def wrapped(spans: bytes) -> bytes:
    """A request of one block that holds these encoded span fields."""
    return field(1, field(2, spans))


def nested_arrays(levels: int) -> bytes:
    """An AnyValue with values in values, built from the inside: quadratic unless the lengths are counted first."""
    sizes = [2]
    for _ in range(levels):
        inner = 1 + len(varint(sizes[-1])) + sizes[-1]
        sizes.append(1 + len(varint(inner)) + inner)
    heads = []
    for size in reversed(sizes[:-1]):
        inner = 1 + len(varint(size)) + size
        heads.append(b"\x2a" + varint(inner) + b"\x0a" + varint(size))
    return b"".join(heads) + b"\x18\x01"


def test_spans_over_the_limit_refuse_the_request_and_at_the_limit_do_not() -> None:
    limits = replace(LIMITS, spans=10)
    assert both(request(*[span()] * 10), limits=limits).spans == 10
    for each in (request(*[span()] * 11), request(*[block(span())] * 11)):
        with pytest.raises(TooLarge, match="more than 10 spans; send smaller batches"):
            protobuf(each.SerializeToString(), limits)
        with pytest.raises(TooLarge, match="more than 10 spans; send smaller batches"):
            as_json(json_body(each), limits)


def test_blocks_over_the_limit_refuse_the_request() -> None:
    limits = replace(LIMITS, blocks=10)
    for each in (
        ExportTraceServiceRequest(resource_spans=[ResourceSpans()] * 11),
        ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans()] * 11)]),
    ):
        with pytest.raises(TooLarge, match="more than 10 ResourceSpans"):
            protobuf(each.SerializeToString(), limits)
    with pytest.raises(TooLarge):
        protobuf(field(1, field(2, field(3, b"") * 11)), limits)


@pytest.mark.parametrize(
    ("count", "refused"), [(128, {}), (129, {"too_many_attributes": 1}), (3_000, {"too_many_attributes": 1})]
)
def test_a_step_with_too_many_attributes_is_refused_and_its_neighbours_kept(
    count: int, refused: dict[str, int]
) -> None:
    many = step({f"a{n}": n for n in range(count - 2)})
    decoded = both(request(step(), many, step()))
    assert {str(reason): number for reason, number in decoded.rejected.items()} == refused
    assert len(decoded.rows) == 3 - len(refused)


def test_a_matched_span_with_too_many_attributes_is_refused_too() -> None:
    pay = {"http.request.method": "POST", "http.route": "/pay"}
    decoded = both(request(span(pay | {f"a{n}": n for n in range(200)}), step()))
    assert (sum(decoded.rejected.values()), len(decoded.rows)) == (1, 1)


def test_a_span_that_is_no_step_may_have_any_number_of_attributes() -> None:
    decoded = both(request(span({f"a{n}": n for n in range(5_000)}), step()))
    assert (decoded.spans, len(decoded.rows), decoded.rejected) == (2, 1, {})


def test_a_resource_with_too_many_attributes_costs_its_own_steps_alone() -> None:
    heavy = block(step(), resource={f"a{n}": n for n in range(129)})
    decoded = both(request(heavy, block(step())))
    assert (sum(decoded.rejected.values()), len(decoded.rows)) == (1, 1)


def test_a_step_with_too_many_events_is_refused() -> None:
    limits = replace(LIMITS, fields=20)
    assert len(both(request(step(events=[{"a": 1}] * 18)), limits=limits).rows) == 1
    assert sum(both(request(step(events=[{"a": 1}] * 19)), limits=limits).rejected.values()) == 1


def test_more_attributes_of_steps_than_one_request_may_hold_refuse_it() -> None:
    limits = replace(LIMITS, work=100)
    with pytest.raises(TooLarge, match="more than 100 fields"):
        protobuf(request(*[step()] * 60).SerializeToString(), limits)
    assert len(protobuf(request(*[step()] * 50).SerializeToString(), limits).rows) == 50


def test_long_values_are_cut() -> None:
    limits = replace(LIMITS, value_chars=200)
    first = both(request(step({"otelcx.journey.attempt": "é" * 200 + "x"})), limits=limits).rows[0]
    second = both(request(step({"otelcx.journey.attempt": "é" * 200 + "y"})), limits=limits).rows[0]
    assert first.attempt == second.attempt


@pytest.mark.parametrize("levels", [63, 64, 200, 900, DEEP])
@pytest.mark.parametrize("key", ["otelcx.segment", "unread"])
def test_values_nested_too_deep_in_a_step_are_a_bad_request_in_protobuf(levels: int, key: str) -> None:
    pair = field(9, field(1, key.encode()) + field(2, nested_arrays(levels)))
    body = wrapped(field(2, step().SerializeToString() + pair))
    if levels < 64:
        assert len(protobuf(body).rows) == 1
    else:
        with pytest.raises(BadRequest, match="nested more than 64 deep"):
            protobuf(body)


@pytest.mark.parametrize("where", [9, 11, 13])
def test_a_hundred_thousand_levels_in_any_span_are_a_bad_request_in_protobuf(where: int) -> None:
    pair = field(1, b"k") + field(2, nested_arrays(DEEP))
    inside = {9: pair, 11: field(3, pair), 13: field(4, pair)}[where]
    with pytest.raises(BadRequest, match="nested more than 64 deep"):
        protobuf(wrapped(field(2, span().SerializeToString() + field(where, inside))))


def test_the_search_for_nested_values_ends_with_its_budget_and_the_span_is_kept() -> None:
    deep = field(9, field(1, b"k") + field(2, nested_arrays(900)))
    body = wrapped(field(2, step().SerializeToString() + deep) * 3)
    assert len(protobuf(body, replace(LIMITS, work=10)).rows) == 3
    with pytest.raises(BadRequest):
        protobuf(body)


def test_a_resource_nested_too_deep_is_a_bad_request() -> None:
    pair = field(1, field(1, b"k") + field(2, nested_arrays(DEEP)))
    with pytest.raises(BadRequest, match="nested more than 64 deep"):
        protobuf(field(1, field(1, pair) + field(2, field(2, step().SerializeToString()))))


@pytest.mark.parametrize("shape", ['{"arrayValue":{"values":[', '{"kvlistValue":{"values":[{"key":"k","value":'])
@pytest.mark.parametrize("levels", [63, 64, 150])
def test_values_nested_too_deep_in_a_step_are_a_bad_request_in_json(shape: str, levels: int) -> None:
    closing = "]}}" if "array" in shape else "}]}}"
    deep = shape * levels + '{"intValue":"1"}' + closing * levels
    body = json_body(request(step({"deep": "HERE"}))).replace(b'{"stringValue": "HERE"}', deep.encode())
    if levels < 64:
        assert len(as_json(body).rows) == 1
    else:
        with pytest.raises(BadRequest, match="nested more than 64 deep"):
            as_json(body)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"resourceSpans":[', b"[[{}],"])
def test_a_hundred_thousand_levels_of_json_are_a_bad_request(opening: bytes) -> None:
    with pytest.raises(BadRequest, match="not JSON"):
        as_json(opening * DEEP)


MEASURED = """
import resource, sys
from spans import BOUNDS, LIMITS, TAGGER, step
from otel_cx_collector.decode import BadRequest, TooLarge
from otel_cx_collector.tag import decode_traces, decode_traces_json
body = open(sys.argv[1], "rb").read()
decode = decode_traces_json if body.startswith(b"{") else decode_traces
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decoded = decode(body, TAGGER, BOUNDS, LIMITS)
    answer = str(decoded.rejected or decoded.spans)
except (BadRequest, TooLarge) as error:
    answer = type(error).__name__
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, answer)
"""
"""Decodes a file in a process of its own; prints the KiB this added to its peak, and the answer."""


EMPTY_SPANS = wrapped(b"\x12\x00" * (2 * MIB))
EMPTY_ATTRIBUTES = wrapped(field(2, step().SerializeToString() + b"\x4a\x00" * (2 * MIB)))
EMPTY_EVENTS = wrapped(field(2, step().SerializeToString() + b"\x5a\x00" * (2 * MIB)))
EMPTY_EVENT_ATTRIBUTES = wrapped(field(2, step().SerializeToString() + field(11, b"\x1a\x00" * (2 * MIB))))
EMPTY_RESOURCE_ATTRIBUTES = field(1, field(1, b"\x0a\x00" * (2 * MIB)) + field(2, field(2, step().SerializeToString())))
EMPTY_BLOCKS = b"\x0a\x00" * (2 * MIB)
EMPTY_SCOPES = field(1, b"\x12\x00" * (2 * MIB))
SMALL_STEPS_FULL_OF_ATTRIBUTES = wrapped(field(2, step().SerializeToString() + b"\x4a\x00" * 1_900) * 1_000)
JSON_SPANS = b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b",".join([b"{}"] * (MIB * 4 // 3)) + b"]}]}]}"
JSON_ATTRIBUTES = (
    b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[' + b",".join([b"{}"] * (MIB * 4 // 3)) + b"]}]}]}]}"
)
JSON_UNKNOWN = b'{"x":[' + b",".join([b'{"a":0}'] * (MIB // 2)) + b"]}"


@pytest.mark.parametrize(
    ("body", "answer", "most_mib"),
    [
        (EMPTY_SPANS, "TooLarge", 4),
        (EMPTY_ATTRIBUTES, "too_many_attributes", 12),
        (EMPTY_EVENTS, "too_many_attributes", 12),
        (EMPTY_EVENT_ATTRIBUTES, "1", 16),
        (EMPTY_RESOURCE_ATTRIBUTES, "too_many_attributes", 12),
        (EMPTY_BLOCKS, "TooLarge", 4),
        (EMPTY_SCOPES, "TooLarge", 4),
        (SMALL_STEPS_FULL_OF_ATTRIBUTES, "TooLarge", 16),
        (JSON_SPANS, "TooLarge", 4),
        (JSON_ATTRIBUTES, "TooLarge", 4),
        (JSON_UNKNOWN, "0", 160),
    ],
    ids=lambda value: value if isinstance(value, str) else "" if isinstance(value, bytes) else f"{value}MiB",
)
def test_four_mib_of_empty_things_are_answered_within_bounded_memory(
    tmp_path: Path, body: bytes, answer: str, most_mib: int
) -> None:
    file = tmp_path / "body"
    file.write_bytes(body)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, file],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    added_kib, answered = done.stdout.split(maxsplit=1)
    assert answer in answered
    assert int(added_kib) >> 10 <= most_mib


def test_a_json_body_that_would_take_too_much_memory_is_refused_before_it_is_built() -> None:
    body = json_body(request(*[step()] * 50))
    assert len(as_json(body).rows) == 50
    with pytest.raises(TooLarge, match="smaller batches, or protobuf"):
        as_json(body, replace(LIMITS, json_built_bytes=50_000))


MALFORMED = {
    "garbage": b"\xde\xad\xbe\xef",
    "text": b"hello, world",
    "json": b'{"resourceSpans":[]}',
    "cut": request(step()).SerializeToString()[:-3],
    "cut before content": b"\x0a\x05",
    "cut before length": b"\x0a",
    "length of a terabyte": b"\x0a\xff\xff\xff\xff\xff\x1f",
    "length of 2^64": b"\x0a" + b"\xff" * 9 + b"\x01",
    "endless varint": b"\x0a" + b"\xff" * 20,
    "blocks as numbers": b"\x08\x01",
    "scopes as numbers": field(1, b"\x10\x01"),
    "spans as numbers": wrapped(b"\x10\x01"),
    "group": b"\x0b\x0c",
    "wire type 7": b"\x0f",
    "field zero": b"\x02\x00",
    "padded tag": b"\x8a\x00\x00",
    "inner longer than outer": field(1, b"\x12\x7f"),
    "span longer than scope": wrapped(b"\x12\x7f"),
    "cut attribute of a step": wrapped(field(2, step().SerializeToString() + b"\x4a\x7f")),
    "malformed value of a step": wrapped(
        field(2, step().SerializeToString() + field(9, b"\x0a\x0eotelcx.segment\x12\x02\x0a\x7f"))
    ),
    "value of a wrong wire type": wrapped(
        field(2, step().SerializeToString() + field(9, b"\x0a\x0eotelcx.segment\x12\x02\x08\x01"))
    ),
    "malformed resource": field(1, field(1, b"\x0a\x7f") + field(2, field(2, step().SerializeToString()))),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_malformed_protobuf_is_a_bad_request_that_says_so(body: bytes) -> None:
    with pytest.raises(BadRequest, match=r"malformed protobuf: .*; send one OTLP"):
        protobuf(body)


def test_a_malformed_span_in_a_block_that_is_passed_over_is_seen_where_a_hop_sees_it() -> None:
    quiet = span().SerializeToString()
    assert protobuf(wrapped(field(2, quiet) * 3)).spans == 3
    with pytest.raises(BadRequest):
        protobuf(wrapped(field(2, quiet) * 3 + b"\x12\x30" + quiet[:20]))


def test_unknown_fields_are_ignored_wherever_they_stand() -> None:
    unknown = b"\xd2\x7d\x03abc" + b"\xc8\x7d\x05" + b"\xc1\x7d" + bytes(8) + b"\xc5\x7d" + bytes(4)
    inner = field(2, unknown + field(2, unknown + step().SerializeToString() + unknown) + unknown)
    decoded = protobuf(unknown + field(1, unknown + inner + unknown))
    assert len(decoded.rows) == 1


def test_text_that_is_not_utf_8_spoils_its_value_alone() -> None:
    bad = field(9, field(1, b"otelcx.segment") + field(2, field(1, b"\xff\xfe")))
    body = wrapped(field(2, step().SerializeToString() + bad) + field(2, step().SerializeToString()))
    first, second = protobuf(body).rows
    assert (first.segment, second.segment) == ("other", "unset")


def test_the_bodies_the_specification_calls_empty_are_a_success() -> None:
    assert protobuf(b"").spans == 0
    assert as_json(b"{}").spans == 0
    assert as_json(b'{"resourceSpans":[]}').spans == 0


def test_a_step_of_many_kilobytes_is_a_row() -> None:
    assert row_of(step({"stack": "x" * 100_000}, events=[{"exception.stacktrace": "y" * 100_000}])).step == "payment"
