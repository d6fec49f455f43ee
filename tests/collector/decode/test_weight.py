"""Sampling weights from tracestate, and which of several copies of an execution survives."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spans import BOUNDS, LIMITS, NOW, SECOND, TAGGER, both, json_body, request, row_of, step

from otel_cx_collector.events import WEIGHT_ONE, StepRow
from otel_cx_collector.tag import decode_traces_json, row_version
from otel_cx_collector.tag.weight import MAX_WEIGHT, sampling_weight


@pytest.mark.parametrize(
    ("trace_state", "weight"),
    [
        ("", 1),
        ("ot=th:0", 1),
        ("ot=th:8", 2),
        ("ot=th:c", 4),
        ("ot=th:fd70a3d70a3d71", 100),
        ("ot=th:028f5c28f5c29", 1 / 0.99),
        ("ot=th:28f5c28f5c29", 1 / 0.84),
        ("ot=rv:0123456789abcd;th:8", 2),
        ("ot=th:8;rv:0123456789abcd", 2),
        ("vendor=th:c,ot=th:8", 2),
        ("vendor=1, ot=th:8 ,other=2", 2),
        ("vendor=ot=th:c,ot=th:8", 2),
        ("foot=th:8", 1),
        ("ot@tenant=th:8", 1),
        ("ot=p:8", 1),
        ("ot=xth:8", 1),
        ("ot=th:", 1),
        ("ot=th:8g", 1),
        ("ot=th:C", 1),
        ("ot=th:0x8", 1),
        ("ot=th: 8", 1),
        ("ot=th:123456789abcdef", 1),
        ("ot=th:8;th:c", 2),
        ("ot=th:-1", 1),
        ("OT=th:8", 1),
        ("ot=" + "x" * 300 + ";th:8", 1),
    ],
)
def test_the_weight_is_read_from_the_opentelemetry_member_of_tracestate(trace_state: str, weight: float) -> None:
    assert row_of(step(trace_state=trace_state)).weight == pytest.approx(weight * WEIGHT_ONE, rel=1e-6)


def test_the_threshold_is_padded_on_the_right_so_leading_zeros_count() -> None:
    assert sampling_weight("ot=th:8") == sampling_weight("ot=th:80000000000000") == 2 * WEIGHT_ONE
    assert sampling_weight("ot=th:08") < 2 * WEIGHT_ONE


@settings(deadline=None)
@given(st.integers(0, (1 << 56) - 1))
def test_the_weight_is_the_nearest_whole_number_of_units(threshold: int) -> None:
    weight = sampling_weight(f"ot=th:{threshold:014x}")
    kept = (1 << 56) - threshold
    assert WEIGHT_ONE <= weight <= MAX_WEIGHT
    if weight < MAX_WEIGHT:
        assert abs(weight * kept - (WEIGHT_ONE << 56)) * 2 <= kept


def test_the_rarest_sampling_is_capped_so_that_sums_stay_within_64_bits() -> None:
    assert sampling_weight("ot=th:ffffffffffffff") == MAX_WEIGHT


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_tracestate_has_a_weight(trace_state: str) -> None:
    for each in (trace_state, f"ot={trace_state}", f"ot=th:{trace_state}"):
        assert WEIGHT_ONE <= sampling_weight(each) <= MAX_WEIGHT


def test_an_exact_copy_weighs_one_whatever_its_tracestate_says() -> None:
    row = row_of(step({"otelcx.exact": True}, trace_state="ot=th:c"))
    assert (row.exact, row.weight) == (True, WEIGHT_ONE)
    assert row_of(step({"otelcx.exact": False}, trace_state="ot=th:c")).weight == 4 * WEIGHT_ONE
    assert row_of(step({"otelcx.exact": "true"})).exact is True


def test_weights_of_neighbours_are_their_own() -> None:
    rows = both(request(step(trace_state="ot=th:8"), step(), step(trace_state="ot=th:c"))).rows
    assert [row.weight // WEIGHT_ONE for row in rows] == [2, 1, 4]


def test_the_exact_copy_wins_even_when_it_ends_later() -> None:
    sampled = row_of(step())
    exact = row_of(step({"otelcx.exact": True}, end_time_unix_nano=NOW + 59 * SECOND))
    assert exact.version > sampled.version


def test_of_equal_copies_the_earliest_end_wins_to_the_nanosecond() -> None:
    ends = [NOW, NOW + 1, NOW + 2, NOW + SECOND, NOW + 60 * SECOND - 1]
    versions = [row_of(step(end_time_unix_nano=end)).version for end in ends]
    assert versions == sorted(versions, reverse=True)
    assert len(set(versions)) == len(ends)


def test_copies_that_differ_in_content_alone_have_a_fixed_winner() -> None:
    copies = [row_of(step({"otelcx.segment": each})) for each in ("enterprise", "trial", "x")]
    winners = {max(order, key=lambda row: row.version).segment for order in permutations(copies)}
    assert len(winners) == 1
    assert len({row.version for row in copies}) == 3


@pytest.mark.parametrize(
    "name", [name for name in StepRow._fields if name not in {"version", "environment", "journey"}]
)
def test_every_field_in_which_copies_may_differ_takes_part_in_the_tie(name: str) -> None:
    row = row_of(step())
    other = {"own": {"a": "b"}, "flags": {"a": "b"}, "trace_id": b"x" * 16, "recoverable": True, "exact": True}
    changed = row._replace(**{name: other.get(name, 7 if isinstance(getattr(row, name), int) else "changed")})
    key = {"minute", "attempt", "span_id"}
    assert (row_version(changed) == row_version(row)) == (name in key)


def test_a_version_is_an_unsigned_64_bit_number_and_never_zero() -> None:
    for exact in (False, True):
        for end in (NOW, NOW + 60 * SECOND - 1):
            assert 0 < row_of(step({"otelcx.exact": exact}, end_time_unix_nano=end)).version < 1 << 64


def test_both_encodings_give_a_row_the_same_version() -> None:
    message = request(step({"otelcx.revenue.amount": 1.5, "feature_flag.key": "f", "feature_flag.variant": "v"}))
    (row,) = decode_traces_json(json_body(message), TAGGER, BOUNDS, LIMITS).rows
    assert row.version == both(message).rows[0].version == row_version(row)
