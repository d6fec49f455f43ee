"""What the platform remembers of the past it has already filled."""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from examples.hosting.covered import Covered

STRETCH = st.tuples(st.integers(0, 100), st.integers(1, 30)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(STRETCH, max_size=8))
def test_every_second_is_either_covered_or_in_a_gap(stretches: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        covered = Covered(Path(folder) / "covered.json")
        for begin, end in stretches:
            covered.add(begin, end)
        gaps = covered.gaps(20, 90)
    for second in range(20, 90):
        known = any(begin <= second < end for begin, end in stretches)
        missing = sum(begin <= second < end for begin, end in gaps)
        assert missing == (0 if known else 1)


def test_after_filling_the_gaps_there_are_none(tmp_path: Path) -> None:
    covered = Covered(tmp_path / "covered.json")
    covered.add(10, 20)
    for begin, end in covered.gaps(0, 100):
        covered.add(begin, end)
    assert covered.gaps(0, 100) == []
