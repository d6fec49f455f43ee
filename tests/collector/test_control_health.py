"""What control tells people about the collector itself, round by round: what lasts, and that it is over."""

from control_scene import Scene

from otel_cx_collector import inventory
from otel_cx_collector.errors import Unavailable
from otel_cx_collector.store import StoreError
from otel_cx_collector.views.source import Intake

FILE = inventory.parse(
    """
journeys: {checkout: {steps: [payment]}}
notify: {oncall: {slack: {webhook_url_file: /run/secrets/slack}}}
"""
)


def turns(scene: Scene, first_s: int, last_s: int, error: Exception | None = None) -> list[str]:
    """What is told by rounds every ten seconds, which fail with ``error``; first things first."""

    def flushed() -> None:
        if error is not None:
            raise error

    scene.flushed = flushed
    before = len(scene.answers.deliveries(None))
    for at_s in range(first_s, last_s + 1, 10):
        scene.now_s = at_s
        scene.control.turn()
    told = [each.what for each in scene.answers.deliveries(None)]
    return told[: len(told) - before][::-1]


def test_one_round_that_the_store_failed_is_not_told() -> None:
    scene = Scene(inventory=FILE)
    assert turns(scene, 100, 100) == []
    assert turns(scene, 110, 130, StoreError("the store is away")) == []
    assert turns(scene, 140, 300) == []


def test_a_store_that_stays_away_is_told_before_what_comes_of_it_and_so_is_its_end() -> None:
    scene = Scene(inventory=FILE)
    assert turns(scene, 100, 100) == []
    assert turns(scene, 110, 140, StoreError("the store is away")) == ["store-down"]
    assert turns(scene, 150, 300, StoreError("the store is away")) == ["control-late"]
    assert turns(scene, 310, 310) == ["recovered", "recovered"]


def test_failures_of_the_store_with_a_success_between_them_are_none_that_lasts() -> None:
    scene = Scene(inventory=FILE)
    for at_s in range(100, 500, 20):
        assert turns(scene, at_s, at_s) == []
        assert turns(scene, at_s + 10, at_s + 10, StoreError("the store is away")) == []


def test_inserts_that_fail_are_the_store_s_failure_also_while_rounds_succeed() -> None:
    scene = Scene(inventory=FILE)
    assert turns(scene, 100, 100) == []
    scene.control.counters = lambda: Intake(store_ok=False, store_error="disk full")
    assert turns(scene, 110, 130) == []
    assert turns(scene, 140, 140) == ["store-down"]
    scene.control.counters = Intake
    assert turns(scene, 150, 150) == ["recovered"]


def test_rounds_that_fail_for_another_reason_are_not_called_the_store_s_failure() -> None:
    scene = Scene(inventory=FILE)
    assert turns(scene, 100, 100) == []
    assert turns(scene, 110, 200, Unavailable("the working state is busy")) == ["control-late"]
