"""Heartbeats: only for slices that ended, that were taken whole, and that are stored (measures.md 1.4)."""

from dataclasses import dataclass, field

import pytest

from otel_cx_collector.beat import LONGEST_S, Beater
from otel_cx_collector.errors import Unavailable
from otel_cx_collector.events import NS


@dataclass
class Scene:
    now_s: float = 1000
    stored: bool = True
    took_all: bool = True
    told: list[int] = field(default_factory=list)
    beater: Beater = field(init=False)

    def __post_init__(self) -> None:
        self.beater = Beater("one", self, lambda: round(self.now_s * NS), self.flushed, lambda: self.took_all)

    def heartbeat(self, node: str, slices_s: list[int]) -> None:
        assert node == "one"
        self.told += slices_s

    def flushed(self) -> None:
        if not self.stored:
            raise Unavailable("the store is away")

    def beat(self, at_s: float) -> None:
        self.now_s = at_s
        self.beater.beat()


def test_a_slice_is_told_once_when_it_has_ended() -> None:
    scene = Scene()
    for at_s in (1005, 1010, 1015, 1031):
        scene.beat(at_s)
    assert scene.told == [1000, 1010, 1020]


def test_a_slice_with_a_refusal_is_never_told() -> None:
    scene = Scene()
    scene.took_all = False
    scene.beat(1005)
    scene.took_all = True
    scene.beat(1010)
    scene.beat(1020)
    assert scene.told == [1010]


def test_what_is_not_stored_yet_is_told_once_it_is() -> None:
    scene = Scene()
    scene.stored = False
    with pytest.raises(Unavailable):
        scene.beat(1025)
    scene.stored = True
    scene.beat(1041)
    assert scene.told == [1000, 1010, 1020, 1030]


def test_a_refusal_while_the_store_was_away_is_not_forgotten() -> None:
    scene = Scene()
    scene.stored, scene.took_all = False, False
    with pytest.raises(Unavailable):
        scene.beat(1025)
    scene.stored, scene.took_all = True, True
    scene.beat(1041)
    scene.beat(1051)
    assert scene.told == [1040]


def test_after_a_long_absence_no_more_than_the_last_hour_is_told() -> None:
    scene = Scene()
    scene.beat(1000 + 2 * LONGEST_S)
    assert (scene.told[0], len(scene.told)) == (1000 + LONGEST_S, LONGEST_S // 10)
