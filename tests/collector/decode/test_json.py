"""The rules of OTLP/JSON, and what a body that breaks them is answered."""

import json
from typing import Any

import pytest
from spans import BOUNDS, LIMITS, NOW, TAGGER, json_body, otlp_json, request, step

from otel_cx_collector.decode import BadRequest
from otel_cx_collector.tag import Decoded, decode_traces_dict, decode_traces_json, median_end_ns


def decode(body: bytes) -> Decoded:
    return decode_traces_json(body, TAGGER, BOUNDS, LIMITS)


def changed(**fields: Any) -> Decoded:
    """What becomes of a step with these JSON fields in place of its own; None removes one."""
    return decode_traces_dict(document(**fields), TAGGER, BOUNDS, LIMITS)


def document(**fields: Any) -> dict[str, Any]:
    made = otlp_json(request(step()))
    span = made["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    for name, value in fields.items():
        if value is None:
            del span[name]
        else:
            span[name] = value
    return made


def attribute(value: Any) -> Decoded:
    """What becomes of a step with this AnyValue as its attempt."""
    made = otlp_json(request(step({"otelcx.journey.attempt": "x"})))
    made["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"][-1]["value"] = value
    return decode_traces_dict(made, TAGGER, BOUNDS, LIMITS)


def test_ids_are_hexadecimal_in_either_case() -> None:
    (row,) = changed(traceId="ABCDEFabcdef0123ABCDEFabcdef0123", spanId="00FFaaBB00000000").rows
    assert (row.trace_id.hex(), row.span_id.hex()) == ("abcdefabcdef0123abcdefabcdef0123", "00ffaabb00000000")


@pytest.mark.parametrize(
    "span_id",
    [
        "",
        "0102",
        "zz02030405060708",
        "01 02 03 04 05 06 07 08",
        "AQIDBAUGBwg=",
        "0" * 16,
        5,
        ["0102030405060708"],
        None,
    ],
)
def test_an_id_that_is_none_is_a_bad_id_of_that_span_alone(span_id: object) -> None:
    assert {str(reason) for reason in changed(spanId=span_id).rejected} == {"bad_id"}


@pytest.mark.parametrize("end", [NOW, str(NOW)])
def test_64_bit_integers_are_strings_or_numbers(end: object) -> None:
    assert changed(endTimeUnixNano=end).rows[0].end == NOW
    assert attribute({"intValue": "42"}).rows[0].attempt == attribute({"intValue": 42}).rows[0].attempt == "42"


@pytest.mark.parametrize(
    "end", ["soon", "", "-1", -1, 1.5e18, str(1 << 64), "9" * 30, True, [], {}, "0x10", "１２３", None, 0, "0"]
)
def test_a_time_that_is_none_is_a_bad_time_of_that_span_alone(end: object) -> None:
    assert {str(reason) for reason in changed(endTimeUnixNano=end).rejected} == {"bad_time"}


@pytest.mark.parametrize(
    "fields", [{"kind": "SPAN_KIND_SERVER"}, {"status": {"code": "STATUS_CODE_ERROR"}}, {"kind": 2.0}]
)
def test_enums_are_integers_only(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=r"is not an integer .*send OTLP/JSON"):
        changed(**fields)


def test_an_enum_that_is_unknown_is_kept_as_what_it_is() -> None:
    assert changed(kind=99, status={"code": 77}).rows[0].outcome == "ok"
    assert changed(status={"code": 2}).rows[0].outcome == "failed"


def test_snake_case_is_an_unknown_field_and_unknown_fields_are_ignored() -> None:
    body = json_body(request(step()))
    snake = body.replace(b"resourceSpans", b"resource_spans")
    assert decode(snake).spans == 0
    assert len(decode(body.replace(b'"traceId"', b'"new": {"a": [1, null]}, "traceId"')).rows) == 1
    assert {str(reason) for reason in decode(body.replace(b"traceId", b"trace_id")).rejected} == {"bad_id"}


def test_null_is_absent() -> None:
    for field in ("attributes", "events", "links", "status", "kind", "traceState"):
        made = document()
        made["resourceSpans"][0]["scopeSpans"][0]["spans"][0][field] = None
        assert decode_traces_dict(made, TAGGER, BOUNDS, LIMITS).spans == 1
    for body in (b"null", b'{"resourceSpans":null}', b'{"resourceSpans":[{"resource":null,"scopeSpans":null}]}'):
        assert decode(body).spans == 0


def test_escapes_in_keys_and_values_are_read_as_what_they_stand_for() -> None:
    body = json_body(request(step())).replace(b"otelcx.journey.step", b"otelcx.journey.st\\u0065p")
    assert len(decode(body).rows) == 1


@pytest.mark.parametrize(
    ("value", "attempt"),
    [
        ({"stringValue": "x"}, "x"),
        ({"boolValue": True}, "true"),
        ({"boolValue": False}, "false"),
        ({"intValue": "-7"}, "-7"),
        ({"doubleValue": 1.5}, "1.5"),
        ({"doubleValue": 5}, "5.0"),
        ({"doubleValue": "1.5"}, "1.5"),
        ({"doubleValue": "NaN"}, "nan"),
        ({"doubleValue": "-Infinity"}, "-inf"),
        ({"stringValue": None, "intValue": "7"}, "7"),
    ],
)
def test_every_kind_of_scalar_is_read(value: dict[str, Any], attempt: str) -> None:
    assert attribute(value).rows[0].attempt == attempt


@pytest.mark.parametrize("value", [{}, None, {"stringValue": ""}, {"stringValue": None}, {"unknownValue": 5}])
def test_an_empty_value_is_absent(value: object) -> None:
    assert attribute(value).rows[0].grade == "trace"


@pytest.mark.parametrize(
    "value",
    [
        {"stringValue": 5},
        {"intValue": "five"},
        {"intValue": 1.5},
        {"intValue": str(1 << 63)},
        {"intValue": True},
        {"boolValue": "yes"},
        {"doubleValue": "1_0"},
        {"doubleValue": True},
        {"doubleValue": []},
        {"arrayValue": {"values": []}},
        {"kvlistValue": {}},
        {"bytesValue": "AAAA"},
    ],
)
def test_a_value_of_the_wrong_kind_costs_its_span_nothing(value: dict[str, Any]) -> None:
    (row,) = attribute(value).rows
    assert (row.grade, len(row.attempt)) == ("explicit", 32)


@pytest.mark.parametrize(
    "fields",
    [
        {"attributes": {}},
        {"attributes": [5]},
        {"attributes": "x"},
        {"attributes": [{"key": "otelcx.journey.step", "value": "payment"}]},
        {"events": {}},
        {"events": [[]]},
        {"links": 5},
        {"status": 2},
    ],
)
def test_a_list_or_object_that_is_none_is_a_bad_request(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="send OTLP/JSON"):
        changed(**fields)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"5",
        b'"x"',
        b'{"resourceSpans":{}}',
        b'{"resourceSpans":[5]}',
        b'{"resourceSpans":[{"resource":5}]}',
        b'{"resourceSpans":[{"resource":{"attributes":{}}}]}',
        b'{"resourceSpans":[{"scopeSpans":[null]}]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[1]}]}]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":"x"}]}]}]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":{}}]}]}]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[5]}]}]}]}',
    ],
)
def test_a_body_of_the_wrong_shape_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest, match="send OTLP/JSON"):
        decode(body)
    if not any(part in body for part in (b'"kind"', b'"resource"', b'"attributes"')):
        with pytest.raises(BadRequest):
            median_end_ns(json.loads(body))


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"{", b"\xff", b"\x0a\x05hello", b'{"a":1}{"b":2}', b"\xef\xbb\xbf{}", b'{"a":NaN}', b'"\\ud800"'],
)
def test_what_is_no_json_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest, match=r"body is not JSON: .*send one OTLP"):
        decode(body)


def test_a_hostile_key_is_passed_over() -> None:
    made = document()
    made["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"] += [
        {"key": {"a": 1}, "value": {"stringValue": "x"}},
        {"key": ["x"]},
        {"value": {"stringValue": "x"}},
        {},
    ]
    assert len(decode_traces_dict(made, TAGGER, BOUNDS, LIMITS).rows) == 1


def test_the_median_is_of_all_spans_that_have_an_end() -> None:
    made = document()
    spans = made["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans[:] = [{"endTimeUnixNano": each} for each in ("5", 3, "x", 0, None, "9", "7")]
    assert median_end_ns(made) == 5
