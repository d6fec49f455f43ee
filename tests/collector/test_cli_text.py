"""What commands say of an inventory, and of a report, in words."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from commands import PROGRAM, command
from recordings import minute, write

from otel_cx_collector import inventory, replay
from otel_cx_collector.cli.options import remarks
from otel_cx_collector.cli.rules_text import rules_and_channels
from otel_cx_collector.report_text import as_text

NEVER = """
journeys:
  checkout:
    steps: [payment]
    objectives: [{sli: availability, target: 90%}]
"""
LEFT_OUT = "journey checkout: 1h/5m of availability at 90% over 30d is left out: it can never fire"
EAGER = NEVER.replace("target: 90%", "target: 99%, window: 1d, alerts: [1h/5m]")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cx.yaml").write_text(NEVER)
    write(tmp_path / "a.jsonl", minute(0, 3))
    return tmp_path


@pytest.mark.parametrize("words", [("validate",), ("replay", "a.jsonl")])
def test_default_pairs_that_can_never_fire_are_told_on_stderr(folder: Path, words: tuple[str, ...]) -> None:
    done = command(*words, cwd=folder)
    assert done.returncode == 0
    assert done.stderr.startswith(f"cx.yaml: {LEFT_OUT}")
    assert "never fire" not in done.stdout


def test_a_pair_that_pages_within_the_budget_is_told_too() -> None:
    (told,) = remarks(inventory.parse(EAGER))
    assert "below the pace of 1 that the target allows" in told


def test_run_logs_what_is_left_out_before_it_is_ready(folder: Path) -> None:
    (folder / "collector.yaml").write_text(
        "receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}}\n"
        f"web: {{endpoint: '127.0.0.1:0'}}\nhealth: {{endpoint: '127.0.0.1:0'}}\ndata: {folder / 'data'}\n"
    )
    words = [str(PROGRAM), "run", "--config", "collector.yaml"]
    with subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told: list[dict[str, Any]] = []
        for line in process.stderr:
            told.append(json.loads(line))
            if told[-1]["event"] == "ready":
                process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    warnings = [one for one in told if one["level"] == "warning"]
    assert warnings[0]["event"].startswith(LEFT_OUT)
    assert warnings[0]["inventory"] == "cx.yaml"
    assert [one["event"] for one in told][-1] == "stopping"


RULES = """
journeys: {checkout: {steps: [payment]}}
escalation:
  - name: slow
    journey: checkout
    when: {all: [{latency: p95, over: 5m, above: 1.5s, for: 5m}, {not: {availability: ok, over: 15m}}]}
    then: {severity: P1, notify: [oncall, mail]}
    on_unknown: {severity: P2, notify: [mail]}
  - {name: full, journey: "*", when: {impact: score, above: 4}, then: {monitor: 15m}, on_unknown: true}
notify:
  oncall: {pagerduty: {routing_key_file: /k}}
  mail:
    email: {host: 127.0.0.1, port: 25, from: a@example.com, to: [b@example.com], tls: none}
    min_severity: P3
    quiet_hours: {from: "22:00", to: "07:30", zone: Europe/Berlin, except: P2}
  watchdog: {webhook: {url: "https://deadman.example/ping"}, every: 60s}
"""


def test_rules_and_channels_are_told_as_they_are_read() -> None:
    assert (
        rules_and_channels(inventory.parse(RULES))
        == """
first rule that is true decides:
  1. slow, for checkout
      when p95 over 5m above 1.5s for 5m and not (availability ok over 15m)
      then P1, tell oncall and mail; when unknown: P2, tell mail, if at least one predicate is true
  2. full, for every journey
      when impact score above 4
      then watch for 15m, open nothing; when unknown: count as true
channels:
  oncall    pagerduty takes P1, P2 (default)
  mail      email takes P1, P2, P3; incidents of one cause within 30s in one message; waits from 22:00 to 07:30 \
Europe/Berlin, but not with P1, P2
  watchdog  webhook, a heartbeat every 1m as long as the collector works
"""
    )


def test_without_rules_and_channels_what_holds_instead_is_told() -> None:
    assert (
        rules_and_channels(inventory.parse("journeys: {checkout: {steps: [payment]}}"))
        == """
no escalation, so this rule is implied:
  1. impact, for every journey
      when impact score above 4
      then severity by score, tell nobody; when unknown: hold what it last was
no channels: incidents are on the page and in the API, nobody is told
"""
    )


def test_a_report_in_words_has_its_alerts_decisions_and_incidents(tmp_path: Path) -> None:
    steps = [step for m in range(12) for step in minute(m, 20)]
    steps += [step for m in range(12, 16) for step in minute(m, 20, 10, outcome="failed")]
    file = inventory.parse(NEVER.replace("target: 90%", "target: 99%, alerts: [6h/30m]"))
    report: dict[str, Any] = replay.run([str(write(tmp_path / "a.jsonl", steps))], file, [1_767_604_440])
    lines = as_text(report).splitlines()
    (alert,) = report["alerts"]
    (incident,) = report["incidents"]
    assert f"  checkout: availability 6h/30m fired {alert['fired_at']}, still firing" in lines
    assert f"  P1 checkout: since {incident['opened_at']}, still open" in lines
    assert any("hurt since 2026-01-05T09:12:00Z, 40 of 80 customers affected" in line for line in lines)
    assert "  2026-01-05T09:00:10Z checkout, impact: false" in lines
    assert "    true     impact score above 4: 40.66" in lines
    assert "as of 2026-01-05T09:14:00Z" in lines
    assert lines.count("incidents") == 2


def test_a_finding_tells_its_interval_or_what_is_missing() -> None:
    because = [
        {"predicate": "a", "verdict": "true", "value": 2.4, "low": 2.1, "high": 2.8, "missing": None},
        {"predicate": "b", "verdict": "unknown", "value": 3.0, "low": 1.0, "high": None, "missing": "10 more"},
        {"predicate": "c", "verdict": "unknown", "value": None, "low": None, "high": None, "missing": "baseline"},
    ]
    decision = {"rule": "r", "journey": "j", "at": "T", "verdict": "unknown", "severity": None, "action": "monitor"}
    report: dict[str, Any] = {
        "from": "A", "to": "B", "journeys": {}, "alerts": [], "incidents": [],
        "spans": {"received": 0, "steps": 0, "synthetic": 0, "duplicates": 0, "rejected": {"bad_id": 2}},
        "decisions": [decision | {"because": because}],
    }  # fmt: skip
    text = as_text(report)
    assert "refused: 2 bad_id\n" in text
    assert text.endswith(
        "\ndecisions\n  T j, r: unknown, monitor\n"
        "    true     a: 2.4 (2.1 to 2.8)\n"
        "    unknown  b: 3 (1 or more), missing 10 more\n"
        "    unknown  c: no value, missing baseline\n"
    )
