"""Counters of several nodes as one: the order changes nothing, and a node without any changes nothing."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.receive.counts import Kind, Reason, Total, Transport
from otel_cx_collector.receive.sink import Encoding, Signal
from otel_cx_collector.totals import Tally

NUMBERS = st.integers(0, 1000)
KINDS = st.builds(
    Kind,
    st.sampled_from(Transport),
    st.sampled_from([*Signal, None]),
    st.sampled_from([*Encoding, None]),
    st.sampled_from([200, 503]),
)
TALLIES = st.builds(
    Tally,
    requests=st.dictionaries(KINDS, st.builds(Total, NUMBERS, NUMBERS, NUMBERS), max_size=4),
    refused=st.dictionaries(st.tuples(st.sampled_from(Transport), st.sampled_from(Reason)), NUMBERS, max_size=4),
    abandoned=st.dictionaries(st.sampled_from(Transport), NUMBERS),
    in_flight_bytes=NUMBERS,
    log_waiting=NUMBERS,
    durable_lag_s=st.floats(0, 9),
    flush_lag_s=st.floats(0, 9),
    store_up=st.booleans(),
    store_rows=NUMBERS,
    store_errors=NUMBERS,
)


@given(TALLIES, TALLIES, TALLIES)
def test_the_order_in_which_nodes_are_added_changes_nothing(one: Tally, two: Tally, three: Tally) -> None:
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)
    assert one + Tally() == one


def test_lags_are_the_longest_and_one_store_that_is_down_is_down() -> None:
    both = Tally(flush_lag_s=3, durable_lag_s=0.5) + Tally(flush_lag_s=1, durable_lag_s=2, store_up=False)
    assert (both.flush_lag_s, both.durable_lag_s, both.store_up) == (3, 2, False)


@given(TALLIES)
def test_of_a_process_that_is_gone_only_what_it_counted_stays(tally: Tally) -> None:
    stood = {"in_flight_bytes": 0, "log_waiting": 0, "durable_lag_s": 0.0, "flush_lag_s": 0.0, "store_up": True}
    assert tally.outlived() == replace(tally, **stood)  # type: ignore[arg-type]  # values of several types
