"""What the process says of itself: failures without a flood, one form of line, nothing of what clients sent."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from otel_cx_collector import logbook
from otel_cx_collector.logbook import PLACES, Repeated

SECOND = 1_000_000_000
MINUTE = 60 * SECOND


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def error(self, event: str, **fields: Any) -> None:
        self.told.append((event, fields))

    info = error


def caught(error: Exception, cause: Exception | None = None) -> Exception:
    """The error after it was raised."""
    with pytest.raises(type(error)) as found:
        raise error from cause
    return found.value


class Scene:
    """A failure that repeats, under a clock that the test turns."""

    def __init__(self, *, message: bool = True) -> None:
        self.now_ns = 0
        self.lines = Lines()
        self.repeated = Repeated(self.lines, "round.failed", lambda: self.now_ns, message=message)

    def fail(self, error: Exception | None = None, **fields: Any) -> None:
        self.repeated.failed(caught(error or ValueError("the store is away")), **fields)

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.lines.told]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_first_failure_is_said_with_where_it_came_from(scene: Scene) -> None:
    scene.fail(journey="checkout")

    ((event, fields),) = scene.lines.told
    assert event == "round.failed"
    assert fields["error"] == "ValueError: the store is away"
    assert fields["journey"] == "checkout"
    assert "in caught" in fields["traceback"]


def test_a_failure_every_ten_seconds_is_a_line_a_minute_with_the_number_since(scene: Scene) -> None:
    for second in range(0, 301, 10):
        scene.now_ns = second * SECOND
        scene.fail()

    assert [fields["failures"] for _, fields in scene.lines.told] == [1, 6, 6, 6, 6, 6]
    assert ["traceback" in fields for _, fields in scene.lines.told] == [True] + [False] * 5


def test_another_error_in_between_is_said_at_once_with_its_own_place(scene: Scene) -> None:
    scene.fail()
    scene.now_ns = SECOND
    scene.fail(KeyError("x"))
    scene.fail(KeyError("x"))

    assert [fields["error"] for _, fields in scene.lines.told] == ["ValueError: the store is away", "KeyError: 'x'"]
    assert all("traceback" in fields for _, fields in scene.lines.told)


def test_an_hour_later_the_traceback_is_written_again(scene: Scene) -> None:
    scene.fail()
    scene.now_ns = 60 * MINUTE
    scene.fail()

    assert ["traceback" in fields for _, fields in scene.lines.told] == [True, True]


def test_more_places_than_are_told_apart_are_counted_only(scene: Scene) -> None:
    for number in range(PLACES + 5):
        scene.fail(type(f"Error{number}", (Exception,), {})())
    scene.now_ns = MINUTE
    scene.fail()

    assert len(scene.lines.told) == PLACES + 1
    assert scene.lines.told[-1][1]["failures"] == 6


def test_the_end_of_failures_is_said_once(scene: Scene) -> None:
    scene.repeated.worked()
    scene.fail()
    scene.repeated.worked()
    scene.repeated.worked()

    assert scene.events == ["round.failed", "round.recovered"]


def test_what_fails_every_other_time_does_not_flood_either(scene: Scene) -> None:
    for second in range(0, 121, 5):
        scene.now_ns = second * SECOND
        scene.fail()
        scene.repeated.worked()

    assert scene.events == ["round.failed", "round.recovered"] * 3


def test_an_error_whose_words_may_show_what_clients_sent_is_written_without_them() -> None:
    scene = Scene(message=False)
    who = "ada@example.org"
    scene.repeated.failed(caught(ValueError(f"customer {who}"), caught(KeyError(who))))

    ((_, fields),) = scene.lines.told
    assert fields["error"] == "ValueError"
    assert fields["traceback"].count("test_logbook.py") == 2
    assert who not in json.dumps(fields)


def test_a_long_message_is_cut(scene: Scene) -> None:
    scene.fail(ValueError("x" * 10_000))

    assert len(scene.lines.told[0][1]["error"]) == logbook.MESSAGE_CHARACTERS


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    logbook.configure(written)
    yield written
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_our_lines_and_those_of_libraries_have_one_form(stream: io.StringIO) -> None:
    structlog.get_logger().warning("store.failing", position=3)
    logging.getLogger("somebody.else").warning("gave up after %d tries", 5)
    logging.getLogger("somebody.else").error("broken", exc_info=caught(ValueError("why")))

    ours, theirs, broken = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (ours["event"], ours["level"], ours["position"]) == ("store.failing", "warning", 3)
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("gave up after 5 tries", "warning", "somebody.else")
    assert "ValueError: why" in broken["exception"]
    assert all(line["timestamp"].endswith("Z") for line in (ours, theirs, broken))


def test_libraries_chatter_is_not_written(stream: io.StringIO) -> None:
    logging.getLogger("somebody.else").info("still here")

    assert stream.getvalue() == ""
    assert sys.stderr is not stream
