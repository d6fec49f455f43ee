"""Explain: the tree with its values at one slice boundary, by recordings and by a running collector."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import command
from fakes_source import NOW_S, FakeSource
from recordings import START_S, minute, write

from otel_cx_collector import inventory
from otel_cx_collector.cli import explaining
from otel_cx_collector.cli.asking import Collector
from otel_cx_collector.cli.options import moment
from otel_cx_collector.decide import text
from otel_cx_collector.errors import UserError
from otel_cx_collector.measure.report import timestamp
from otel_cx_collector.web import WebServer, WebSettings

RULES = """
journeys:
  checkout: {steps: [payment], objectives: [{sli: availability, target: 99%, alerts: []}]}
  login: {steps: [password]}
escalation:
  - name: slow and fewer complete
    journey: checkout
    when:
      all:
        - {latency: p95, step: payment, over: 5m, above: 1.5s}
        - {completion: drop, by: 8%, over: 5m}
    then: {severity: P1}
  - {name: hurt, journey: checkout, when: {impact: score, above: 4, for: 2m}, then: {severity: by-score}}
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten quick minutes, five slow ones in which half of all fail, at four a minute."""
    steps = [step for m in range(10) for step in minute(m, 4)]
    steps += [step for m in range(10, 15) for step in minute(m, 4, 4, duration_s=3.0)]
    steps += [step for m in range(10, 15) for step in minute(m, 8, 8, "broken", outcome="failed")]
    return write(tmp_path_factory.mktemp("recording") / "slow.jsonl", sorted(steps, key=lambda step: step.at_s))


def explained(recording: Path, at_s: int | None) -> explaining.Answer:
    return explaining.by_recordings([str(recording)], inventory.parse(RULES), "checkout", at_s)


def test_every_predicate_tells_its_value_its_interval_and_what_is_missing(recording: Path) -> None:
    lines = explained(recording, START_S + 840).text().splitlines()
    assert lines[0].startswith("checkout at 2026-01-05T09:14:00Z: ")
    assert "1. slow and fewer complete: unknown" in lines
    assert "  then P1, tell nobody; when unknown: hold what it last was" in lines
    assert "  unknown  all of" in lines
    assert "             p95 of payment was 3 s (3 s or more) against 1.5 s" in lines
    assert "             completion is missing its baseline: 9 of 10 clean minutes" in lines
    assert "2. hurt: true  <- decides" in lines


def test_with_little_traffic_a_latency_says_how_many_more_executions_it_needs(recording: Path) -> None:
    lines = explained(recording, START_S + 600).text()
    assert (
        "p95 of payment was 100 ms (100 ms or more) against 1.5 s but is missing about 39 more executions, "
        "10 min at this rate"
    ) in lines


def test_how_long_a_condition_has_held_is_told(recording: Path) -> None:
    lines = explained(recording, START_S + 720).text()
    assert "impact score above 4 for 2m [70 s of 120 s]" in lines


def test_later_data_does_not_change_what_is_told_of_a_time(recording: Path, tmp_path: Path) -> None:
    """At T only what ended before T is known: a recording that ends there says the same."""
    short = [step for m in range(10) for step in minute(m, 4)]
    path = write(tmp_path / "short.jsonl", short)
    assert explained(path, START_S + 590).text() == explained(recording, START_S + 590).text()


def test_without_a_time_the_end_of_the_recording_is_explained(recording: Path) -> None:
    assert explained(recording, None).json() == explained(recording, START_S + 900).json()


def test_json_has_the_tree_as_the_api_answers_it(recording: Path) -> None:
    answer: Any = explained(recording, START_S + 840).json()
    assert set(answer) == {
        "at", "journey", "rule", "verdict", "severity", "notify", "monitor_until", "because", "sentence", "tree",
    }  # fmt: skip
    assert [(branch["rule"], branch["verdict"], branch["decides"]) for branch in answer["tree"]] == [
        ("slow and fewer complete", "unknown", False),
        ("hurt", "true", True),
    ]
    leaves = answer["tree"][0]["node"]["parts"]
    assert [leaf["finding"]["missing"] for leaf in leaves] == [None, "baseline: 9 of 10 clean minutes"]


@pytest.fixture
def files(recording: Path, tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "cx.yaml").write_text(RULES)
    return tmp_path, recording


def test_the_command_takes_a_time_down_to_its_slice_with_a_zone_or_without(files: tuple[Path, Path]) -> None:
    folder, recording = files
    done = command("explain", "--at", "2026-01-05T10:14:07+01:00", "checkout", recording, cwd=folder)
    assert done.returncode == 0
    assert done.stdout.startswith("checkout at 2026-01-05T09:14:00Z: ")
    assert done.stdout == explained(recording, START_S + 840).text()
    assert moment("2026-01-05T09:14:07") == moment("2026-01-05T09:14:09.9Z") == START_S + 840


@pytest.mark.parametrize(
    "at_s",
    [START_S, START_S + 910],
)
def test_a_time_outside_the_recordings_is_refused_with_theirs(recording: Path, at_s: int) -> None:
    with pytest.raises(UserError, match="name a time from 2026-01-05T09:00:10Z to 2026-01-05T09:15:00Z"):
        explained(recording, at_s)


@pytest.mark.parametrize("written", ["noon", "2026-13-01", ""])
def test_what_is_no_time_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(UserError, match="is not a time; write it like 2026-01-05T09:30:00Z"):
        moment(written)


def test_a_journey_that_is_not_there_ends_with_2_and_the_known_ones(files: tuple[Path, Path]) -> None:
    folder, recording = files
    done = command("explain", "nope", recording, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no journey 'nope' in the inventory; it has checkout, login" in done.stderr


def test_recordings_without_steps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="hold no step of any journey"):
        explained(write(tmp_path / "empty.jsonl", []), None)


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
def url(source: FakeSource) -> Iterator[str]:
    server = WebServer(source, WebSettings(port=0))
    yield f"http://127.0.0.1:{server.start()}"
    server.stop()


def test_a_running_collector_is_asked_for_the_tree_of_now(source: FakeSource, url: str) -> None:
    done = command("explain", "--collector", url, "checkout")
    assert done.stdout == text.explain(source.tree("checkout"), source.decision("checkout"))
    packed: Any = explaining.by_collector(Collector(url), "checkout", NOW_S).json()
    assert packed == Collector(url).get("/journeys/checkout/decision")


def test_of_an_earlier_time_the_recorded_changes_of_verdict_are_told(source: FakeSource, url: str) -> None:
    at_s = NOW_S - 1800
    earlier = [record for record in source.records("checkout", 200) if record.at_s <= at_s]
    answer = explaining.by_collector(Collector(url), "checkout", at_s)
    lines = answer.text().splitlines()
    assert lines[0] == (
        f"checkout at {timestamp(at_s)}: the collector has the values of {timestamp(NOW_S)} alone; "
        "give recordings for those of another time"
    )
    assert lines[2:] == [f"{timestamp(one.at_s)}  {one.rule}: {one.sentence}" for one in earlier]
    packed: Any = answer.json()
    assert set(packed) == {"journey", "at", "judged_until", "records"}
    assert [one["at"] for one in packed["records"]] == [timestamp(one.at_s) for one in earlier]


def test_a_time_before_any_record_is_told_as_such(url: str) -> None:
    answer = explaining.by_collector(Collector(url), "checkout", START_S)
    assert answer.text().endswith("\nno change of verdict was recorded up to then\n")


def test_records_that_are_all_later_are_not_taken_for_none() -> None:
    answer = explaining.Recorded("checkout", START_S, NOW_S, [], cut=True)
    assert "the newest 200 changes" in answer.text()


def test_a_running_collector_refuses_a_journey_it_has_not_and_a_time_to_come(url: str) -> None:
    done = command("explain", "--collector", url, "nope")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the collector judges checkout, " in done.stderr
    with pytest.raises(UserError, match="is not judged yet; ask for 2026-11-24T10:00:00Z or earlier, or now"):
        explaining.by_collector(Collector(url), "checkout", NOW_S + 10)
