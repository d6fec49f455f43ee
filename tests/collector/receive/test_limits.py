from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.errors import Unavailable, UserError
from otel_cx_collector.receive import InFlight, ReceiveLimits


@given(st.lists(st.integers(0, 60), max_size=20))
def test_what_is_held_never_passes_the_limit_and_all_of_it_comes_back(sizes: list[int]) -> None:
    in_flight = InFlight(100)
    holds = [in_flight.hold() for _ in sizes]
    for hold, size in zip(holds, sizes, strict=True):
        before = in_flight.used_bytes
        try:
            hold.grow(size)
        except Unavailable:
            assert before + size > 100
            assert in_flight.used_bytes == before
        assert in_flight.used_bytes == sum(each.held_bytes for each in holds) <= 100

    for hold in holds:
        hold.release()
        hold.release()

    assert in_flight.used_bytes == 0


def test_a_refusal_of_room_says_what_is_held_and_which_setting_to_raise() -> None:
    in_flight = InFlight(100)
    in_flight.hold().grow(90)

    with pytest.raises(Unavailable, match=r"90 bytes .* limit is 100; .* in_flight_bytes"):
        in_flight.hold().grow(11)


def test_a_hold_used_as_a_context_gives_everything_back_at_its_end() -> None:
    in_flight = InFlight(100)
    with in_flight.hold() as hold:
        hold.grow(40)
        assert in_flight.used_bytes == 40

    assert in_flight.used_bytes == 0


@pytest.mark.parametrize("name", [field.name for field in fields(ReceiveLimits)])
def test_every_limit_must_be_positive(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} is 0; set it to 1 or more"):
        ReceiveLimits(**{name: 0})


def test_limits_under_which_the_largest_request_never_fits_are_refused() -> None:
    with pytest.raises(UserError, match="in_flight_bytes is 100"):
        ReceiveLimits(wire_bytes=60, body_bytes=60, in_flight_bytes=100)
