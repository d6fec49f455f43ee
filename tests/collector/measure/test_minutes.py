import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.measure.minutes import distinct


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 11))), st.integers(1, 5))
def test_distinct_attempts_of_a_window_are_those_of_a_set(seen: list[tuple[int, int]], width: int) -> None:
    attempt, minute = (np.array([pair[i] for pair in seen], dtype=np.int64) for i in (0, 1))
    expected = [len({a for a, m in seen if end - width < m <= end}) for end in range(12)]
    assert distinct(attempt, minute, width, 12).tolist() == expected
