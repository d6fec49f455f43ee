"""Durations, shares and times: what is written is what is meant, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.events import NS
from otel_cx_collector.inventory.quantities import (
    MAX_DURATION,
    UnreadableError,
    format_duration,
    format_share,
    format_time,
    parse_duration,
    parse_share,
    parse_time,
    shown,
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("30s", 30 * NS),
        ("5m", 300 * NS),
        ("30d", 30 * 86_400 * NS),
        ("1.5s", 3 * NS // 2),
        ("250ms", NS // 4),
        ("0.1ms", 100_000),
        ("2h", 7200 * NS),
        ("2w", 14 * 86_400 * NS),
        ("0s", 0),
        ("0.000000001s", 1),
    ],
)
def test_a_duration_is_one_number_and_one_unit(written: str, meant: int) -> None:
    assert parse_duration(written) == meant


@pytest.mark.parametrize(
    "written", ["", "s", "5", "5 m", "5min", "-5m", "1h30m", "1,5s", "1e3s", "٣s", "5M", None, True, [], {}, "400.1d"]
)
def test_what_is_no_duration_is_refused_with_a_cure(written: object) -> None:
    with pytest.raises(UnreadableError, match=";"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("duration_ns", "written"),
    [
        (0, "0s"),
        (3 * NS // 2, "1.5s"),
        (90 * NS, "90s"),
        (5400 * NS, "90m"),
        (7 * 86_400 * NS, "7d"),
        (NS // 4, "250ms"),
    ],
)
def test_a_duration_is_shown_as_people_write_it(duration_ns: int, written: str) -> None:
    assert format_duration(duration_ns) == written


@given(st.integers(0, MAX_DURATION))
def test_a_duration_that_was_written_reads_as_the_same(duration_ns: int) -> None:
    assert parse_duration(format_duration(duration_ns)) == duration_ns


@pytest.mark.parametrize(
    ("written", "meant"),
    [("99.9%", 0.999), (0.999, 0.999), ("0%", 0), ("100%", 1), (1, 1), ("99.99%", 0.9999), ("8%", 0.08)],
)
def test_a_share_is_a_percentage_or_a_number(written: object, meant: float) -> None:
    assert parse_share(written) == meant


@pytest.mark.parametrize(
    "written", ["", "%", "0.999", "-1%", "1e2%", 1.0001, -0.1, float("nan"), float("inf"), 10**400, True, []]
)
def test_what_is_no_share_is_refused_with_a_cure(written: object) -> None:
    with pytest.raises(UnreadableError, match=";"):
        parse_share(written)


@given(st.floats(0, 1, allow_subnormal=False).filter(lambda share: share == 0 or share > 1e-12))
def test_a_share_that_was_written_reads_as_the_same(share: float) -> None:
    assert parse_share(format_share(share)) == share


@given(st.integers(10**18, 7 * 10**18).map(lambda at_ns: at_ns // 1000 * 1000))
def test_a_time_that_was_written_reads_as_the_same(at_ns: int) -> None:
    assert parse_time(format_time(at_ns)) == at_ns


@pytest.mark.parametrize("written", ["", "2026-01-05", "2026-13-05T00:00:00Z", "1999-01-05T00:00:00Z", 5, None])
def test_what_is_no_time_is_refused_with_a_cure(written: object) -> None:
    with pytest.raises(UnreadableError, match="2026-01-05T02:00:00Z"):
        parse_time(written)


@given(st.text() | st.integers() | st.floats() | st.booleans() | st.none() | st.lists(st.text()))
def test_any_value_is_shown_in_one_short_printable_line(value: object) -> None:
    assert len(shown(value)) <= 62
    assert shown(value).isprintable()
