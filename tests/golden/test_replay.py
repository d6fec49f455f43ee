"""Replay: one answer for the same spans, every refusal counted, every key of the report (inventory.md)."""

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from recordings import START_S, Step, lines, minute, write

from otel_cx_collector import inventory, replay
from otel_cx_collector.measure.report import dump

INVENTORY = """
dimensions: {segment: {enterprise: 1.0, trial: 0.4}, region: [eu, us]}
journeys:
  checkout:
    timeout: 10m
    steps: [cart, payment, confirm]
    objectives:
      - {sli: availability, target: 99%, window: 30d}
      - {sli: latency, step: payment, threshold: 1.5s, target: 95%, window: 30d}
      - {sli: completion, target: 60%, window: 30d}
  login: {steps: [password]}
"""


def an_hour() -> list[Step]:
    """Three steps an attempt, some failing, slow, rejected, given up, in two segments and regions."""
    rng = random.Random(7)
    steps = []
    for number in range(1200):
        begin, attempt = number * 3, f"a{number}"
        dims = {"otelcx.segment": rng.choice(["enterprise", "trial"]), "otelcx.region": rng.choice(["eu", "us"])}
        for offset, step in ((0, "cart"), (20, "payment"), (40, "confirm")):
            outcome = rng.choices([None, "failed", "rejected", "cancelled"], [94, 3, 2, 1])[0]
            steps.append(
                Step(
                    begin + offset,
                    attempt,
                    step=step,
                    outcome=outcome,
                    duration_s=rng.lognormvariate(-1, 1),
                    customer=f"k.{number % 400:022d}",
                    attributes=dims,
                )
            )
            if rng.random() < 0.1:
                break
    return sorted(steps, key=lambda one: one.at_s)


def judged(*paths: Path, text: str = INVENTORY, at_s: list[int] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = replay.run([str(path) for path in paths], inventory.parse(text), at_s)
    return found


def test_the_same_lines_in_any_order_plain_or_packed_give_the_same_bytes(tmp_path: Path) -> None:
    rows = lines(an_hour())
    shuffled = random.Random(1).sample(rows, len(rows))
    first, second, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / "c.jsonl.gz"
    first.write_text("\n".join(rows))
    second.write_text("\n".join(shuffled) + "\n\n")
    packed.write_bytes(gzip.compress("\n".join(rows).encode()))
    reports = {dump(judged(path)) for path in (first, first, second, packed)}
    assert len(reports) == 1


def test_an_export_that_was_sent_twice_changes_nothing_but_the_count_of_duplicates(tmp_path: Path) -> None:
    once, twice = write(tmp_path / "a.jsonl", an_hour()), tmp_path / "b.jsonl"
    twice.write_text(once.read_text() * 2)
    first, second = judged(once), judged(twice)
    assert second["spans"]["duplicates"] == first["spans"]["steps"] == second["spans"]["steps"]
    assert second["journeys"] == first["journeys"]


def test_the_report_has_every_key_and_its_counts_add_up(tmp_path: Path) -> None:
    report = judged(write(tmp_path / "a.jsonl", an_hour()))
    assert set(report) == {"version", "from", "to", "spans", "journeys", "alerts", "decisions", "incidents"}
    assert set(report["spans"]) == {"received", "steps", "synthetic", "duplicates", "rejected"}
    checkout = report["journeys"]["checkout"]
    assert set(checkout) == {
        "grade", "attempts", "customers", "slis", "steps", "by", "harm_minutes", "episodes",
    }  # fmt: skip
    counts = checkout["attempts"]
    states = ("completed", "failed", "rejected", "abandoned", "pending")
    assert counts["started"] == sum(counts[state] for state in states) == 1200
    executions = sum(
        step[key] for step in checkout["steps"].values() for key in ("ok", "failed", "rejected", "cancelled")
    )
    assert executions == report["spans"]["steps"] == report["spans"]["received"]
    by_segment = checkout["by"]["segment"].values()
    assert sum(one["ok"] for one in by_segment) == sum(step["ok"] for step in checkout["steps"].values())
    assert report["journeys"]["login"]["attempts"]["started"] == 0


def test_slis_are_sums_over_sums_against_their_targets(tmp_path: Path) -> None:
    report = judged(write(tmp_path / "a.jsonl", an_hour()))["journeys"]["checkout"]
    availability, latency, completion = report["slis"]
    ok = sum(step["ok"] for step in report["steps"].values())
    failed = sum(step["failed"] for step in report["steps"].values())
    assert (availability["good"], availability["total"]) == (ok, ok + failed)
    assert availability["budget_spent"] == pytest.approx((failed / (ok + failed)) / 0.01, abs=1e-6)
    assert latency["total"] == report["steps"]["payment"]["ok"]
    assert completion["total"] < report["attempts"]["started"], "attempts younger than the timeout are in no number"


def test_moments_asked_for_are_reported_as_of_then(tmp_path: Path) -> None:
    recording = write(tmp_path / "a.jsonl", an_hour())
    (early,) = judged(recording, at_s=[START_S + 1805])["reports"]
    assert early["at"] == "2026-01-05T09:30:00Z"
    assert early["journeys"]["checkout"]["attempts"]["started"] == 600


def test_every_refusal_is_counted_by_its_reason_and_costs_no_neighbour(tmp_path: Path) -> None:
    good = lines([Step(0, "good")])[0]
    document = json.loads(good)
    span = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]

    def but(**changes: object) -> dict[str, object]:
        return {**span, **changes}

    def tagged(**names: str) -> list[dict[str, object]]:
        return [{"key": f"otelcx.journey.{key}", "value": {"stringValue": value}} for key, value in names.items()]

    document["resourceSpans"][0]["scopeSpans"][0]["spans"] = [
        span,
        but(spanId="00"),
        but(traceId="0" * 32),
        but(endTimeUnixNano="0"),
        but(spanId="0000000000000001", attributes=tagged(name="nope", step="payment")),
        but(spanId="0000000000000002", attributes=tagged(name="checkout", step="nope")),
        but(spanId="0000000000000003", attributes=tagged(step="payment")),
        but(spanId="0000000000000004", startTimeUnixNano=str((START_S - 200_000) * 10**9),
            endTimeUnixNano=str((START_S - 100_000) * 10**9)),
        but(spanId="0000000000000005", endTimeUnixNano=str((START_S + 900) * 10**9)),
    ]  # fmt: skip
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([json.dumps(document), "{broken", "[]", '"text"', good]))
    spans = judged(path)["spans"]
    assert spans["rejected"] == {
        "bad_id": 2, "bad_time": 1, "unknown_journey": 1, "unknown_step": 1, "no_journey": 1, "too_late": 1,
        "in_future": 1, "bad_line": 3, "too_many_attributes": 0,
    }  # fmt: skip
    assert (spans["received"], spans["steps"], spans["duplicates"]) == (10, 1, 1)


def test_other_environments_are_stored_and_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines([Step(0, "a")]) + lines([Step(1, "b")], environment="staging")))
    report = judged(path)
    assert (report["spans"]["steps"], report["journeys"]["checkout"]["attempts"]["started"]) == (2, 1)


def test_an_empty_recording_is_an_empty_report(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("")
    report = judged(path)
    assert report["journeys"]["checkout"]["attempts"]["started"] == 0
    assert report["journeys"]["checkout"]["slis"][0]["budget_spent"] is None


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("otel-cx-collector")
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=False)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "cx.yaml").write_text(INVENTORY)
    return tmp_path / "cx.yaml", write(tmp_path / "a.jsonl", minute(0, 10, 3, outcome="failed"))


def test_the_command_prints_the_report_as_json_and_as_text(files: tuple[Path, Path]) -> None:
    file, recording = files
    done = command("replay", "--inventory", file, recording)
    assert json.loads(done.stdout)["journeys"]["checkout"]["steps"]["payment"]["failed"] == 3
    text = command("replay", "--inventory", file, "--format", "text", recording).stdout
    assert "checkout" in text
    assert "10 steps" in text


def test_a_report_that_differs_from_what_is_expected_exits_1_and_names_where(files: tuple[Path, Path]) -> None:
    file, recording = files
    expected = file.with_name("expected.json")
    expected.write_text(command("replay", "--inventory", file, recording).stdout)
    assert command("replay", "--inventory", file, "--expect", expected, recording).returncode == 0
    expected.write_text(json.dumps({"journeys": {"checkout": {"steps": {"payment": {"failed": 4}}}}}))
    done = command("replay", "--inventory", file, "--expect", expected, recording)
    assert done.returncode == 1
    assert "$.journeys.checkout.steps.payment.failed: expected 4, found 3" in done.stdout


def test_a_mistake_in_the_inventory_exits_2_with_nothing_on_stdout(files: tuple[Path, Path]) -> None:
    file, recording = files
    file.write_text("journeys:\n  checkout:\n    steps: [cart]\n    ower: payments\n")
    done = command("replay", "--inventory", file, recording)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{file}:4: " in done.stderr
    assert "owner" in done.stderr


def test_a_recording_that_is_not_there_and_facts_are_refused_with_the_cure(files: tuple[Path, Path]) -> None:
    file, recording = files
    missing = command("replay", "--inventory", file, recording.with_name("nope.jsonl"))
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "nope.jsonl" in missing.stderr
    recording.write_text('{"id": "o-1", "at": "2026-01-05T09:00:00Z", "kind": "order"}\n')
    facts = command("replay", "--inventory", file, recording)
    assert facts.returncode == 2
    assert '"order" is not evaluated by this version; leave such facts out' in facts.stderr


def test_an_inventory_is_drafted_from_a_recording_and_can_be_replayed(files: tuple[Path, Path]) -> None:
    file, recording = files
    drafted = file.with_name("drafted.yaml")
    assert command("init", "--from-traffic", "--output", drafted, recording).returncode == 0
    done = command("replay", "--inventory", drafted, recording)
    assert json.loads(done.stdout)["journeys"]["checkout"]["attempts"]["started"] == 10
    again = command("init", "--from-traffic", "--output", drafted, recording)
    assert again.returncode == 2
    assert "exists" in again.stderr
