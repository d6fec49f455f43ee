"""The reference of facts is true: its commands are run by a shell against a real server, and it names every limit."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from otlp import http_server

from otel_cx_collector import inventory
from otel_cx_collector.config import LogLimits, Settings
from otel_cx_collector.decode import DecodeLimits, FactLimits
from otel_cx_collector.decode.facts import FactRules, decode_facts
from otel_cx_collector.events import FactKind, facts_of
from otel_cx_collector.ingest import KEY_FILE, Ingest
from otel_cx_collector.inventory.quantities import format_duration, parse_time
from otel_cx_collector.log import Log
from otel_cx_collector.measure.saturation import CARRIED_S
from otel_cx_collector.receive.answers import REFUSED_LISTED

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference" / "facts.md").read_text()
NOW_NS = parse_time("2026-01-05T09:05:00Z")
EXAMPLES = re.findall(r"^```sh\n(.*?)^```\n```json\n(.*?)^```", REFERENCE, re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_reference_are_answered_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("k1:0123456789abcdef\n")
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "key"))
    file = inventory.parse("journeys: {checkout: {steps: [payment]}}")
    with Log(tmp_path / "log", LogLimits(min_free_bytes=0)) as log:
        with http_server(Ingest(file, Settings(), log, lambda: NOW_NS)) as served:
            for command, answer in EXAMPLES:
                shell = command.replace("127.0.0.1:4318", f"127.0.0.1:{served.port}")
                done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
                assert json.loads(done.stdout) == json.loads(answer)
        facts = [fact for _, batch in log.read(0) for fact in facts_of(batch)]
    assert [fact.id for fact in facts] == ["d-1", "f-1", "m-1", "r-1", "d-3", "run-8"]
    assert facts[3].account.startswith("k1.")
    assert len(EXAMPLES) == 3


def table(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    rows = re.findall(r"^\|(.*)\|$", REFERENCE.partition(f"## {heading}")[2].partition("\n## ")[0], re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows[2:]]


@pytest.mark.parametrize("row", table("Kinds"))
def test_each_kind_needs_and_may_have_what_the_reference_says(row: list[str]) -> None:
    values = {"until": "2026-01-05T10:00:00Z", "due": "2026-02-01", "arr": "1", "link": "https://x", "journey": "j"}
    kind, *names = [re.findall(r"`(\w+)`", cell) for cell in row[:3]]
    needed, optional = names
    whole: dict[str, Any] = {"id": "x", "at": "2026-01-05T09:00:00Z", "kind": kind[0]}
    whole |= {name: values.get(name, "v") for name in needed + optional}
    rules = FactRules(frozenset({"j"}), lambda raw: raw)

    def taken(document: dict[str, Any]) -> bool:
        return bool(decode_facts(json.dumps(document).encode(), rules, NOW_NS)[0])

    assert taken(whole)
    for name in whole:
        assert taken({key: value for key, value in whole.items() if key != name}) == (name in optional)


def test_the_reference_names_every_kind_and_limit() -> None:
    text = " ".join(REFERENCE.split())
    limits, levels = FactLimits(), DecodeLimits()
    assert [row[0] for row in table("Kinds")] == [f"`{kind}`" for kind in FactKind]
    assert format_duration(limits.age_ns) == format_duration(limits.planned_ns) == "400d"
    assert format_duration(limits.future_ns) == "5m"
    for sentence in (
        f"| lines a request, blank ones too | {limits.lines:,}, over it 413 |",
        f"| bytes of a line | {limits.line_bytes:,} |",
        f"| characters of a field; of `link` | {limits.chars}; {limits.link_chars:,} |",
        "| age of `at` | 400 days",
        "| 5 minutes; 400 days for a maintenance and its `until` |",
        f"lines in `refused`, at most {REFUSED_LISTED};",
        f"At most {levels.signal_points:,} points a request are read, with at most {levels.attributes} attributes each",
        f"the six slices ({CARRIED_S} s) after the one that holds it",
    ):
        assert sentence in text
