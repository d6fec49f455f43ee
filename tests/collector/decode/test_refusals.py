"""Why a step is refused: each reason, its neighbours kept, and only steps."""

from typing import Any

import pytest
from spans import BOUNDS, NOW, SECOND, both, refusals, request, span, step

HOUR = 3600 * SECOND


@pytest.mark.parametrize(
    "fields",
    [
        {"trace_id": b""},
        {"trace_id": bytes(15)},
        {"trace_id": b"x" * 17},
        {"trace_id": bytes(16)},
        {"span_id": b""},
        {"span_id": b"x" * 7},
        {"span_id": b"x" * 9},
        {"span_id": bytes(8)},
    ],
)
def test_ids_of_wrong_length_or_all_zero_are_bad_ids(fields: dict[str, Any]) -> None:
    assert refusals(step(**fields)) == {"bad_id": 1}


@pytest.mark.parametrize(
    "fields",
    [
        {"end_time_unix_nano": 0},
        {"start_time_unix_nano": NOW + 1},
        {"start_time_unix_nano": 0},
        {"end_time_unix_nano": 1 << 63},
        {"end_time_unix_nano": (1 << 64) - 1, "start_time_unix_nano": (1 << 64) - 2},
        {"start_time_unix_nano": (1 << 64) - 1},
    ],
)
def test_missing_reversed_and_impossible_times_are_bad_times(fields: dict[str, Any]) -> None:
    assert refusals(step(**fields)) == {"bad_time": 1}


def test_a_step_that_takes_no_time_is_a_row() -> None:
    assert both(request(step(start_time_unix_nano=NOW))).rows[0].duration_ns == 0


@pytest.mark.parametrize(
    ("end", "refused"),
    [
        (BOUNDS.earliest_ns, {}),
        (BOUNDS.earliest_ns - 1, {"too_late": 1}),
        (BOUNDS.latest_ns, {}),
        (BOUNDS.latest_ns + 1, {"in_future": 1}),
        ((1 << 63) - 1, {"in_future": 1}),
        (1, {"too_late": 1}),
    ],
)
def test_the_bounds_of_event_time_are_inclusive(end: int, refused: dict[str, int]) -> None:
    assert refusals(step(end_time_unix_nano=end)) == refused


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"otelcx.journey.step": "payment"}, "no_journey"),
        ({"otelcx.journey.step": "payment", "otelcx.journey.name": ""}, "no_journey"),
        ({"otelcx.journey.step": "payment", "otelcx.journey.name": "chekout"}, "unknown_journey"),
        ({"otelcx.journey.step": "payment", "otelcx.journey.name": "Checkout"}, "unknown_journey"),
        ({"otelcx.journey.step": "payment", "otelcx.journey.name": 7}, "unknown_journey"),
        ({"otelcx.journey.step": "payment", "otelcx.journey.name": ["checkout"]}, "unknown_journey"),
        ({"otelcx.journey.step": "pay", "otelcx.journey.name": "checkout"}, "unknown_step"),
        ({"otelcx.journey.step": "password", "otelcx.journey.name": "checkout"}, "unknown_step"),
        ({"otelcx.journey.step": ["payment"], "otelcx.journey.name": "checkout"}, "unknown_step"),
        ({"otelcx.journey.step": True, "otelcx.journey.name": "checkout"}, "unknown_step"),
        ({"otelcx.journey.step": "other", "otelcx.journey.name": "checkout"}, "unknown_step"),
    ],
)
def test_journeys_and_steps_that_are_not_in_the_inventory(attributes: dict[str, object], reason: str) -> None:
    assert refusals(span(attributes)) == {reason: 1}


def test_the_first_reason_in_the_fixed_order_is_the_one_that_counts() -> None:
    many = {f"a{n}": n for n in range(200)}
    everything = {"otelcx.journey.step": "x"}
    assert refusals(span(everything | many, span_id=b"", end_time_unix_nano=0)) == {"too_many_attributes": 1}
    assert refusals(span(everything, span_id=b"", end_time_unix_nano=0)) == {"bad_id": 1}
    assert refusals(span(everything, end_time_unix_nano=0)) == {"bad_time": 1}
    assert refusals(span(everything, end_time_unix_nano=NOW - 48 * HOUR)) == {"no_journey": 1}
    assert refusals(step({"otelcx.journey.step": "x"}, end_time_unix_nano=NOW - 48 * HOUR)) == {"unknown_step": 1}
    assert refusals(step({"user_agent.synthetic.type": "bot"}, end_time_unix_nano=NOW - 48 * HOUR)) == {"too_late": 1}


def test_spans_that_are_no_steps_are_not_checked() -> None:
    odd = [
        span(span_id=b"x"),
        span(trace_id=b""),
        span(end_time_unix_nano=0),
        span({"otelcx.journey.name": "nowhere"}),
        span(dict.fromkeys(map(str, range(500)), 1)),
    ]
    decoded = both(request(*odd))
    assert (decoded.spans, decoded.rejected, decoded.detail) == (5, {}, "")


def test_bad_steps_cost_their_neighbours_nothing() -> None:
    decoded = both(request(step(span_id=b"x"), step(), step(end_time_unix_nano=0), step(span_id=b"neighbor")))
    assert [row.span_id for row in decoded.rows] == [bytes(range(1, 9)), b"neighbor"]
    assert sum(decoded.rejected.values()) == 2


def test_the_first_refusals_are_told_in_words_with_value_and_cure() -> None:
    decoded = both(request(*[step({"otelcx.journey.name": "chekout"}, span_id=bytes([n] * 8)) for n in range(1, 20)]))
    assert decoded.detail.startswith("unknown_journey: span 0101010101010101 of shop names 'chekout'; add it")
    assert decoded.detail.count("unknown_journey") == 5
    assert sum(decoded.rejected.values()) == 19


def test_an_id_of_a_megabyte_is_not_told_in_full() -> None:
    assert len(both(request(step(span_id=b"x" * 1_000_000, trace_id=b"y" * 1_000_000))).detail) < 200


def test_the_words_stay_short_and_printable_whatever_is_sent() -> None:
    name = "\x00\n\x1b[31m" + "x" * 100_000
    message = request(
        *[step({"otelcx.journey.name": name, "otelcx.journey.step": name}) for _ in range(9)],
        *[span({"otelcx.journey.step": name}) for _ in range(9)],
        resource={"service.name": name},
    )
    assert len(both(message).detail) < 2_000
    assert both(message).detail.isprintable()
