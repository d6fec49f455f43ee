"""How old the oldest is that the store does not have, under a clock that the test turns."""

from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.store.lag import SAMPLES, Lag

SECOND = 1_000_000_000


class Scene:
    def __init__(self, stored: int = 0, last: int = 0) -> None:
        self.stored, self.last, self.now_s = stored, last, 0.0
        self.appended_s: dict[int, float] = {}
        self.lag = Lag(lambda: self.last, lambda: self.stored, lambda: round(self.now_s * SECOND))

    def second(self, more: int = 0, stored: int | None = None) -> None:
        """One second goes by, in which batches come and the store takes some."""
        self.now_s += 1
        for _ in range(more):
            self.last += 1
            self.appended_s[self.last] = self.now_s
        if stored is not None:
            self.stored = stored
        self.lag.look()

    @property
    def truth_s(self) -> float:
        return self.now_s - self.appended_s[self.stored + 1] if self.stored < self.last else 0.0


def test_without_anything_on_its_way_there_is_no_lag() -> None:
    scene = Scene(5, 5)
    for _ in range(10):
        scene.second()
    assert scene.lag.seconds() == 0


def test_a_batch_that_waits_ages_and_one_that_comes_after_a_rest_is_new() -> None:
    scene = Scene()
    for _ in range(100):
        scene.second()
    scene.second(more=1)
    assert scene.lag.seconds() <= 1
    for _ in range(9):
        scene.second()
    assert scene.lag.seconds() == 10
    scene.second(stored=1)
    assert scene.lag.seconds() == 0


def test_what_a_restart_finds_in_the_log_ages_from_the_start() -> None:
    scene = Scene(stored=3, last=9)
    for _ in range(7):
        scene.second()
    assert scene.lag.seconds() == 7


def test_a_store_that_is_away_for_hours_costs_a_bounded_memory_and_half_a_percent_of_the_lag() -> None:
    scene = Scene()
    for _ in range(10 * SAMPLES):
        scene.second(more=1)
    assert len(scene.lag._seen) <= SAMPLES + 1
    assert scene.lag.seconds() == 10 * SAMPLES
    for position in range(100, 10 * SAMPLES, 100):
        scene.second(stored=position)
        assert 0 <= scene.lag.seconds() - scene.truth_s <= 32


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=60))
def test_the_lag_is_never_less_than_it_is_and_at_most_a_second_more(seconds: list[tuple[int, int]]) -> None:
    scene = Scene()
    for more, took in seconds:
        scene.second(more, min(scene.last, scene.stored + took))
        assert scene.truth_s <= scene.lag.seconds() <= scene.truth_s + 1
