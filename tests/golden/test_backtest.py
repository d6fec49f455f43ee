"""Backtest: who would have been told otherwise under another inventory, by the same recording."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import command
from hypothesis import given
from hypothesis import strategies as st
from recordings import START_S, Step, minute, request, write

from otel_cx_collector import backtest, inventory
from otel_cx_collector.backtest import About, Call, Kind, What, compare
from otel_cx_collector.cli import cli
from otel_cx_collector.errors import InventoryError
from otel_cx_collector.report_text import compared

CLEAN, OUTAGE = 12, 5
CHANNELS = """
notify:
  oncall: {pagerduty: {routing_key_file: /run/secrets/pd}}
  team: {slack: {webhook_url_file: /run/secrets/slack}}
"""


def rules(above: int = 4, lasting: str = "0s", told: str = "oncall, team", severity: str = "by-score") -> str:
    return f"""
journeys:
  checkout:
    steps: [payment]
    objectives: [{{sli: availability, target: 99%, alerts: []}}]
{CHANNELS}
escalation:
  - name: hurt
    journey: checkout
    when: {{impact: score, above: {above}, for: {lasting}}}
    then: {{severity: {severity}, notify: [{told}]}}
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve ordinary minutes, five in which half of all fail, fifteen ordinary ones."""
    steps = [step for m in range(CLEAN) for step in minute(m, 20)]
    steps += [step for m in range(CLEAN, CLEAN + OUTAGE) for step in minute(m, 20, 10, outcome="failed")]
    steps += [step for m in range(CLEAN + OUTAGE, CLEAN + OUTAGE + 20) for step in minute(m, 20)]
    return write(tmp_path_factory.mktemp("recording") / "outage.jsonl", steps)


def found(recording: Path, before: str, after: str) -> backtest.Backtest:
    return backtest.run([str(recording)], inventory.parse(before), inventory.parse(after))


def said(answer: backtest.Backtest) -> list[str]:
    return [line for line in compared(answer, "cx.yaml", "new.yaml").splitlines() if " about " in line]


def test_an_inventory_against_itself_differs_in_nothing(recording: Path) -> None:
    answer = found(recording, rules(), rules())
    assert answer.differences == ()
    assert backtest.totals(answer, What.PAGE)["before"] == 1
    assert "\nno difference\n" in compared(answer, "cx.yaml", "new.yaml")


def test_a_rule_that_waits_longer_pages_later_in_every_channel(recording: Path) -> None:
    when = "P1 at 2026-01-05T09:14:50Z instead of 2026-01-05T09:13:00Z, 110s later"
    assert said(found(recording, rules(), rules(lasting="2m"))) == [
        f"later     notice to oncall about checkout: {when}",
        f"later     notice to team about checkout: {when}",
        f"later     page about checkout: {when}",
    ]


def test_the_other_way_round_it_is_earlier(recording: Path) -> None:
    differences = found(recording, rules(lasting="2m"), rules()).differences
    assert [each.kind for each in differences] == [Kind.EARLIER] * 3


def test_a_rule_that_asks_for_more_removes_the_page_and_its_notices(recording: Path) -> None:
    answer = found(recording, rules(), rules(above=90))
    assert [each.kind for each in answer.differences] == [Kind.REMOVED] * 3
    assert said(answer)[-1] == "removed   page about checkout: P1 at 2026-01-05T09:13:00Z, by hurt"
    assert answer.after.messages == {"oncall": 0, "team": 0}
    assert answer.before.messages == {"oncall": 2, "team": 4}, "opened and resolved; the team also hears it lowered"


def test_a_severity_that_never_pages_removes_the_page_and_lets_the_team_know_of_a_lesser_one(recording: Path) -> None:
    assert said(found(recording, rules(), rules(severity="P3"))) == [
        "removed   notice to oncall about checkout: P1 at 2026-01-05T09:13:00Z, by hurt",
        "severity  notice to team about checkout: P3 instead of P1, at 2026-01-05T09:13:00Z",
        "removed   page about checkout: P1 at 2026-01-05T09:13:00Z, by hurt",
    ]


def test_a_channel_that_is_told_as_well_is_an_added_notice_and_no_page(recording: Path) -> None:
    assert said(found(recording, rules(told="oncall"), rules())) == [
        "added     notice to team about checkout: P1 at 2026-01-05T09:13:00Z, by hurt"
    ]


def test_quiet_hours_make_a_notice_later_as_delivery_would(recording: Path) -> None:
    quiet = "quiet_hours: {from: '08:00', to: '11:00', zone: UTC, except: P1}"
    before = rules(severity="P2")
    after = before.replace("/run/secrets/slack}", f"/run/secrets/slack}}, {quiet}")
    when = "P2 at 2026-01-05T11:00:00Z instead of 2026-01-05T09:13:00Z, 107m later"
    assert said(found(recording, before, after)) == [f"later     notice to team about checkout: {when}"]


def test_burn_alerts_are_compared_by_objective_and_policy(recording: Path) -> None:
    answer = found(recording, rules(), rules().replace("alerts: []", "alerts: [6h/30m, 1d/2h]"))
    alerts = [each for each in answer.differences if each.call.about.what is What.ALERT]
    assert [(each.kind, each.call.about.name, each.call.severity) for each in alerts] == [
        (Kind.ADDED, "availability 1d/2h", "ticket"),
        (Kind.ADDED, "availability 6h/30m", "page"),
    ]


def test_spans_are_matched_by_the_rules_of_each_inventory(tmp_path: Path) -> None:
    """What one inventory does not take for a step is one in the other; both are judged for the same time."""
    path = tmp_path / "untagged.jsonl"
    steps = [step for m in range(CLEAN) for step in minute(m, 20)]
    steps += [step for m in range(CLEAN, CLEAN + OUTAGE) for step in minute(m, 20, 20, outcome="failed")]
    path.write_text("\n".join(_untagged(number, step) for number, step in enumerate(steps)))
    matching = rules().replace("    steps:", '    match: [{step: payment, route: "POST /pay"}]\n    steps:')
    answer = found(path, rules(), matching)
    assert (answer.before.calls, answer.from_s) == ((), START_S)
    assert {each.kind for each in answer.differences} == {Kind.ADDED}
    assert any(each.call.about.what is What.PAGE for each in answer.differences)
    mirrored = found(path, matching, rules())
    assert (mirrored.from_s, mirrored.to_s) == (answer.from_s, answer.to_s)


def _untagged(number: int, step: Step) -> str:
    span = step.span(number)
    named = {"http.request.method": "POST", "http.route": "/pay"}
    span["attributes"] = [{"key": key, "value": {"stringValue": value}} for key, value in named.items()]
    return request([span | {"kind": 2, "status": {"code": 2 if step.outcome else 1}}])


def test_a_recording_without_steps_is_compared_at_once(tmp_path: Path) -> None:
    answer = found(write(tmp_path / "empty.jsonl", []), rules(), rules(above=90))
    assert (answer.from_s, answer.to_s, answer.differences) == (0, 0, ())


ABOUT = About(What.PAGE, "checkout", "")


@st.composite
def calls(draw: st.DrawFn) -> list[Call]:
    """One journey's pages: one at a time, in order, the last maybe still open."""
    edges: list[int | None] = [*sorted(draw(st.sets(st.integers(0, 60), max_size=12)))]
    if draw(st.booleans()):
        edges.append(None)
    severities = st.sampled_from(["P1", "P2"])
    spans = zip(edges[::2], edges[1::2], strict=False)
    return [Call(ABOUT, begin, draw(severities), begin, end, "r") for begin, end in spans if begin is not None]


@given(calls())
def test_what_is_compared_with_itself_is_the_same(one: list[Call]) -> None:
    assert compare(one, one) == []


def test_calls_that_have_no_moment_in_common_are_two_things() -> None:
    early, late = Call(ABOUT, 0, "P1", 0, 10, "r"), Call(ABOUT, 20, "P1", 20, None, "r")
    assert [each.kind for each in compare([early], [late])] == [Kind.REMOVED, Kind.ADDED]


def test_calls_about_other_journeys_or_channels_are_two_things() -> None:
    call = Call(ABOUT, 0, "P1", 0, None, "r")
    for about in (ABOUT._replace(journey="login"), ABOUT._replace(what=What.NOTICE), ABOUT._replace(name="oncall")):
        assert {each.kind for each in compare([call], [replace(call, about=about)])} == {Kind.REMOVED, Kind.ADDED}


MIRROR = {Kind.ADDED: Kind.REMOVED, Kind.REMOVED: Kind.ADDED, Kind.EARLIER: Kind.LATER, Kind.LATER: Kind.EARLIER}


@given(calls(), calls())
def test_the_other_way_round_every_difference_is_its_opposite(one: list[Call], other: list[Call]) -> None:
    there = {(each.kind, each.before, each.after) for each in compare(one, other)}
    back = {(MIRROR.get(each.kind, each.kind), each.after, each.before) for each in compare(other, one)}
    assert there == back


@given(calls(), calls())
def test_every_call_is_the_same_changed_added_or_removed_once(one: list[Call], other: list[Call]) -> None:
    differences = compare(one, other)
    added = [each.after for each in differences if each.kind is Kind.ADDED]
    removed = [each.before for each in differences if each.kind is Kind.REMOVED]
    assert len(one) - len(removed) == len(other) - len(added)
    assert len(set(map(id, added))) == len(added)


@pytest.fixture
def files(recording: Path, tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "cx.yaml").write_text(rules())
    (tmp_path / "new.yaml").write_text(rules(above=90))
    return tmp_path, recording


def test_the_command_prints_lines_or_json_and_ends_with_0_whatever_else_differs(files: tuple[Path, Path]) -> None:
    folder, recording = files
    text = command("backtest", "--against", "new.yaml", "--fail-on", "added", recording, cwd=folder)
    assert (text.returncode, text.stderr) == (0, "")
    assert text.stdout.startswith("2026-01-05T09:00:00Z to 2026-01-05T09:37:00Z, new.yaml instead of cx.yaml\n")
    assert "pages: 1 before, 0 after; 0 added, 1 removed, 0 earlier, 0 later, 0 of another severity\n" in text.stdout
    stdin = recording.read_text()
    packed = command("backtest", "--against", "new.yaml", "--format", "json", "-", cwd=folder, stdin=stdin)
    answer: dict[str, Any] = json.loads(packed.stdout)
    assert set(answer) == {"version", "from", "to", "differences", "totals", "messages"}
    assert answer["messages"] == {"oncall": {"before": 2, "after": 0}, "team": {"before": 4, "after": 0}}
    assert answer["totals"]["page"] == {
        "before": 1, "after": 0, "added": 0, "removed": 1, "earlier": 0, "later": 0, "severity": 0,
    }  # fmt: skip
    assert answer["differences"][-1] == {
        "change": "removed", "what": "page", "journey": "checkout", "name": None, "after": None,
        "before": {"at": "2026-01-05T09:13:00Z", "severity": "P1", "from": "2026-01-05T09:13:00Z",
                   "until": "2026-01-05T09:31:50Z", "why": "hurt"},
    }  # fmt: skip


def test_a_difference_that_is_not_to_be_ends_with_1_and_is_still_printed(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, recording = files
    words = ["backtest", "-i", folder / "cx.yaml", "--against", folder / "new.yaml", recording]
    kinds = ["--fail-on", "later", "--fail-on", "removed"]
    assert cli([*map(str, words), *kinds], standalone_mode=False) == 1
    assert "removed   page about checkout" in capsys.readouterr().out


def test_a_mistake_in_the_new_inventory_is_refused_with_its_place(files: tuple[Path, Path]) -> None:
    folder, recording = files
    (folder / "new.yaml").write_text("journeys: {checkout: {stepz: [payment]}}\n")
    words = ["backtest", "-i", folder / "cx.yaml", "--against", folder / "new.yaml", recording]
    with pytest.raises(InventoryError, match=r"new\.yaml:1: "):
        cli([*map(str, words)], standalone_mode=False)
