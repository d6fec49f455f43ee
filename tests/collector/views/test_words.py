"""Numbers as people say them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.views import words


def plain(text: str) -> str:
    return text.replace(words.NBSP, " ")


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (1240, "1,240"), (9999.4, "9,999"), (12_400, "12.4 k"), (3_140_000, "3.14 M"), (None, "–"), (2.0, "2")],
)
def test_a_count_is_said_in_full_until_it_is_large(value: float | None, said: str) -> None:
    assert plain(words.count(value)) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (1.0, "100 %"),
        (0.999999, "99.99 %"),
        (0.9995, "99.95 %"),
        (0.973, "97.3 %"),
        (0.0, "0 %"),
        (0.000001, "< 0.01 %"),
        (-0.34, "−34.0 %"),
        (None, "–"),
    ],
)
def test_a_success_rate_has_its_digits_near_100_and_is_100_only_when_nothing_failed(
    share: float | None, said: str
) -> None:
    assert plain(words.percent(share)) == said


@given(st.floats(0, 1, exclude_max=True))
def test_no_share_below_one_is_ever_said_to_be_100_per_cent(share: float) -> None:
    assert not words.percent(share).startswith("100")


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.34, "34 %"),
        (0.071, "7.1 %"),
        (-13.4, "−1,340 %"),
        (-0.0001, "< 0.1 %"),
        (0.0, "0 %"),
        (0.0001, "< 0.1 %"),
        (None, "–"),
    ],
)
def test_shares_of_people_and_budgets_are_said_in_whole_per_cents(share: float | None, said: str) -> None:
    assert plain(words.rough(share)) == said


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [
        (0.4, "0 ms"),
        (240, "240 ms"),
        (999.6, "1 s"),
        (1240, "1.24 s"),
        (59_994, "60 s"),
        (150_000, "2.5 min"),
        (None, "–"),
    ],
)
def test_a_latency_changes_its_unit_as_it_grows(milliseconds: float | None, said: str) -> None:
    assert plain(words.milliseconds(milliseconds)) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (40, "40 s"),
        (720, "12 min"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (187_200, "2 d 4 h"),
        (-5, "0 s"),
    ],
)
def test_a_span_of_time_has_at_most_two_units(seconds: float, said: str) -> None:
    assert plain(words.span(seconds)) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(4.8, "4.8"), (0.0361, "0.0361"), (1240.4, "1,240"), (-0.432, "−0.432"), (0, "0"), (1e-9, "< 0.000001")],
)
def test_significant_digits_are_never_written_with_an_exponent(value: float, said: str) -> None:
    assert plain(words.significant(value)) == said


@pytest.mark.parametrize(
    ("score", "said"), [(49.03, "49"), (9.94, "9.9"), (9.96, "10"), (0, "0"), (0.01, "0.1"), (None, "–")]
)
def test_a_score_above_zero_is_never_said_to_be_zero(score: float | None, said: str) -> None:
    assert words.score(score) == said


def test_an_interval_is_as_wide_as_it_is_known() -> None:
    assert plain(words.interval(0.382, 0.418)) == "38–42 %"
    assert plain(words.interval(0.4011, 0.4032)) == "40.1–40.3 %"
    assert words.interval(None, None) == ""


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [("48000", "EUR", "EUR 48,000"), ("12500.50", None, "12,500"), ("<b>", "EUR", "EUR <b>"), (None, "EUR", "–"),
     ("NaN", None, "NaN")],
)  # fmt: skip
def test_an_amount_is_said_with_its_currency_and_what_is_none_as_it_stands(
    amount: str | None, currency: str | None, said: str
) -> None:
    assert plain(words.money(amount, currency)) == said


def test_a_pace_is_a_multiple() -> None:
    assert [plain(words.times(pace)) for pace in (14.23, 0.0, None)] == ["14 ×", "0 ×", "–"]


def test_lists_and_plurals_read_as_sentences() -> None:
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed(["a"]) == "a"
    assert words.plural(1, "journey") == "1 journey"
    assert words.plural(3, "journey") == "3 journeys"


def test_bytes_are_said_in_binary_units() -> None:
    assert [plain(words.data_size(size)) for size in (0, 1023, 34_000_000, 1 << 30)] == [
        "0 B",
        "1,023 B",
        "32.4 MiB",
        "1 GiB",
    ]
