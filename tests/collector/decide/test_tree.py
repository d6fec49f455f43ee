"""Which rule decides, what is recorded, and what a rule remembers (measures.md 5.7, 5.8)."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from collector.decide.fake_evidence import START_S, FakeEvidence, completions, rule
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from otel_cx_collector import inventory
from otel_cx_collector.decide.tree import RuleState, answer, decide, fitting, rules_for, tree
from otel_cx_collector.decide.words import Decision, Failures, Record, Truth
from otel_cx_collector.inventory.decisions import Channel, Rule

T, F, U = Truth.TRUE, Truth.FALSE, Truth.UNKNOWN
STATES = TypeAdapter(dict[str, RuleState])
INVENTORY = inventory.parse("journeys: {checkout: {steps: [cart, payment]}, login: {steps: [enter]}}")
SHARES = {T: 0.9, F: 0.1}


def watching(name: str, resource: str, **parts: Any) -> Rule:
    return rule({"saturation": resource, "above": "80%"}, name=name, **parts)


def monitor(name: str, resource: str, **parts: Any) -> Rule:
    return watching(name, resource, then={"monitor": "1m"}, **parts)


class Run:
    """A journey judged slice by slice."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules
        self.states: dict[str, RuleState] = {}
        self.records: list[Record] = []
        self.at_s = START_S - 10

    def slice(self, *values: Truth, **fields: Any) -> Decision:
        """The next one; resources a, b, c are above, below, or not heard of."""
        self.at_s += 10
        shares = {name: SHARES[value] for name, value in zip("abc", values, strict=False) if value is not U}
        evidence = FakeEvidence(at_s=self.at_s, shares=shares, **fields)
        decision, self.states, records = decide(self.rules, self.states, evidence, "checkout")
        self.records += records
        return decision

    def verdicts(self, *values: Truth) -> list[str | None]:
        return [self.slice(value).rule for value in values]


def test_the_first_rule_that_is_true_decides() -> None:
    run = Run(watching("one", "a"), watching("two", "b", then={"severity": "P2", "notify": ["business"]}))
    assert run.slice(F, F).rule is None
    second = run.slice(F, T)
    assert (second.rule, second.verdict, second.severity, second.notify) == ("two", T, "P2", ("business",))
    first = run.slice(T, T)
    assert (first.rule, first.severity, first.notify) == ("one", "P1", ("oncall",))


def test_rules_behind_the_one_that_decides_are_judged_recorded_and_go_on_counting() -> None:
    run = Run(watching("one", "a"), rule({"saturation": "b", "above": "80%", "for": "30s"}, name="two"))
    for _ in range(3):
        assert run.slice(T, T).rule == "one"
    assert [(each.rule, each.verdict, each.at_s - START_S) for each in run.records] == [
        ("one", T, 0),
        ("two", F, 0),
        ("two", T, 20),
    ]
    assert run.slice(F, T).rule == "two"


def test_each_rule_has_a_first_record_and_then_one_for_each_change_of_verdict() -> None:
    run = Run(watching("one", "a"))
    run.verdicts(F, F, T, T, U, U, T, F)
    assert [(each.verdict, each.at_s - START_S) for each in run.records] == [(F, 0), (T, 20), (U, 40), (T, 60), (F, 70)]
    assert [each.severity for each in run.records] == [None, "P1", None, "P1", None]
    assert all(each.because[0].verdict is each.verdict for each in run.records)


def test_the_verdict_is_false_only_when_every_rule_that_opens_incidents_is_false() -> None:
    run = Run(watching("one", "a"), watching("two", "b"), monitor("three", "c"))
    assert run.slice(F, F, F).verdict is F
    assert run.slice(F, U, F).verdict is U
    assert run.slice(F, F, U).verdict is F
    assert run.slice(U, F, F).verdict is U


def test_without_a_true_rule_the_first_open_question_is_the_reason() -> None:
    run = Run(monitor("one", "a"), watching("two", "b"), watching("three", "c"))
    decision = run.slice(U, U, U)
    assert (decision.rule, decision.severity, decision.notify) == (None, None, ())
    assert [each.predicate for each in decision.because] == ["saturation of b above 80%"]
    assert decision.sentence == "unknown for checkout: there is no point of b in the last 60 s"
    assert run.slice(F, F, F).because == ()


def test_a_journey_without_a_rule_is_quiet() -> None:
    decision, states, records = decide((), {}, FakeEvidence(), "checkout")
    assert (decision.verdict, states, records) == (F, {}, ())


def test_hold_keeps_what_the_rule_last_was_and_false_at_first() -> None:
    run = Run(watching("one", "a"))
    assert run.verdicts(U, T, U, U, F, U) == [None, "one", "one", "one", None, None]
    assert run.slice(U).verdict is U


@pytest.mark.parametrize(
    ("on_unknown", "rules", "verdict"), [(True, ["one", "one"], T), (False, [None, None], F), ("true", ["one"] * 2, T)]
)
def test_unknown_may_count_as_true_or_as_false(on_unknown: object, rules: list[str | None], verdict: Truth) -> None:
    run = Run(watching("one", "a", on_unknown=on_unknown))
    assert run.verdicts(U, U) == rules
    assert run.slice(U).verdict is verdict
    assert run.verdicts(F, T) == [None, "one"]


ACTING = {"on_unknown": {"severity": "P2", "notify": ["business"]}}
BOTH = {"all": [{"saturation": "a", "above": "80%"}, {"not": {"saturation": "b", "above": "80%"}}]}


def test_an_action_on_unknown_is_taken_only_if_a_predicate_is_true() -> None:
    run = Run(rule(BOTH, **ACTING))
    nothing = run.slice(U, U)
    assert (nothing.rule, nothing.verdict) == (None, U)
    acting = run.slice(T, U)
    assert (acting.rule, acting.verdict, acting.severity, acting.notify) == ("a rule", T, "P2", ("business",))
    inside_not = run.slice(U, T)
    assert (inside_not.rule, inside_not.verdict) == (None, F)
    assert run.slice(T, F).severity == "P1"
    assert run.slice(U, F).rule is None


def test_an_action_on_unknown_stands_in_the_record_of_the_unknown_verdict() -> None:
    run = Run(rule(BOTH, **ACTING))
    run.slice(T, U)
    assert [(each.verdict, each.severity, each.action) for each in run.records] == [(U, "P2", None)]
    watch = Run(rule(BOTH, on_unknown={"monitor": "1m"}))
    decision = watch.slice(T, U)
    assert (decision.severity, decision.monitor_until_s) == (None, START_S + 60)
    assert [(each.verdict, each.severity, each.action) for each in watch.records] == [(U, None, "monitor")]


def test_a_predicate_that_is_true_but_not_for_long_enough_is_no_reason_to_act() -> None:
    sustained = {"all": [{"saturation": "a", "above": "80%", "for": "20s"}, {"saturation": "b", "above": "80%"}]}
    run = Run(rule({"any": [sustained, {"saturation": "c", "above": "80%"}]}, **ACTING))
    assert [run.slice(T, U, U).rule for _ in range(2)] == [None, "a rule"]


def test_monitor_opens_nothing_and_keeps_later_rules_from_deciding_while_it_lasts() -> None:
    run = Run(monitor("watch", "a"), watching("open", "b"))
    first = run.slice(T, T)
    assert (first.rule, first.verdict, first.severity, first.notify) == ("watch", T, None, ())
    assert first.monitor_until_s == START_S + 60
    assert [run.slice(F, T).rule for _ in range(6)] == [*["watch"] * 5, "open"]
    assert [(each.action, each.severity) for each in run.records if each.rule == "watch"] == [
        ("monitor", None),
        (None, None),
    ]


def test_monitor_goes_on_while_it_is_true() -> None:
    run = Run(monitor("watch", "a"), watching("open", "b"))
    until = [run.slice(T, T).monitor_until_s for _ in range(10)]
    assert until == [START_S + 10 * at + 60 for at in range(10)]


def test_a_rule_before_a_monitor_decides_over_it() -> None:
    run = Run(watching("open", "b"), monitor("watch", "a"))
    assert run.slice(T, F).rule == "watch"
    assert run.slice(T, T).rule == "open"
    assert run.slice(F, F).rule == "watch"


def test_severity_by_score_is_the_band_at_the_time_and_its_change_is_no_new_record() -> None:
    run = Run(*rules_for(INVENTORY, "checkout"))
    assert run.slice(live=3.0).rule is None
    assert run.slice(live=20.0, band="P2").severity == "P2"
    worse = run.slice(live=60.0, band="P1")
    assert (worse.severity, worse.because[0].value) == ("P1", 60.0)
    assert worse.sentence == "P1: checkout's impact score was 60 against 4"
    assert [(each.verdict, each.severity) for each in run.records] == [(F, None), (T, "P2")]


def test_findings_are_of_the_last_change_and_an_answer_has_those_of_the_time() -> None:
    run = Run(*rules_for(INVENTORY, "checkout"))
    run.slice(live=20.0, band="P2")
    assert run.slice(live=30.0, band="P2").because[0].value == 20.0
    now = FakeEvidence(at_s=run.at_s, live=30.0, band="P2")
    live = answer(run.rules, run.states, now, "checkout")
    assert (live.because[0].value, live.sentence) == (30.0, "P2: checkout's impact score was 30 against 4")


def test_a_rule_that_comes_to_decide_says_what_is_true_by_then() -> None:
    run = Run(monitor("watch", "a"), rule({"impact": "score", "above": 4}, name="open"))
    run.slice(T, live=20.0)
    for _ in range(5):
        assert run.slice(F, live=30.0).rule == "watch"
    opened = run.slice(F, live=30.0)
    assert (opened.rule, opened.because[0].value) == ("open", 30.0)


def test_an_explicit_severity_is_taken_as_it_is() -> None:
    run = Run(rule({"impact": "score", "above": 4}))
    assert run.slice(live=20.0, band="P3").severity == "P1"


def test_nothing_new_costs_no_new_state_and_asks_for_no_figures() -> None:
    run = Run(watching("one", "a"), rule({"latency": "p95", "over": "5m", "above": "1.5s"}, name="two"))
    quiet = {"a": 0.1}
    evidence = FakeEvidence(shares=quiet, seconds=[1.0] * 100)
    _, states, records = decide(run.rules, {}, evidence, "checkout")
    assert len(records) == 2
    again = evidence.after(10, asked=[])
    _, same, none = decide(run.rules, states, again, "checkout")
    assert (same is states, none) == (True, ())
    assert [question[0] for question in again.asked] == ["saturation", "durations"]  # the fake counts ranks from them


def test_rules_of_a_journey_are_its_own_and_those_of_every_journey_in_file_order() -> None:
    written = (
        watching("one", "a"),
        watching("two", "a", journey="login"),
        watching("three", "a", journey="*"),
    )
    named = replace(INVENTORY, escalation=written)
    assert [each.name for each in rules_for(named, "checkout")] == ["one", "three"]
    assert [each.name for each in rules_for(named, "login")] == ["two", "three"]


def test_without_escalation_a_score_above_4_opens_by_score_and_tells_all_but_heartbeats() -> None:
    channels = {
        "oncall": Channel.model_validate({"pagerduty": {"routing_key_file": "/run/secrets/pd"}}),
        "dead-man": Channel.model_validate({"webhook": {"url": "https://deadman.example/ping"}, "every": "60s"}),
        "business": Channel.model_validate({"slack": {"webhook_url_file": "/run/secrets/slack"}}),
    }
    (implied,) = rules_for(replace(INVENTORY, notify=channels), "checkout")
    written = {"name": "impact", "journey": "*", "when": {"impact": "score", "above": 4}}
    then = {"severity": "by-score", "notify": ["oncall", "business"]}
    assert implied == Rule.model_validate({**written, "then": then})


def test_a_rule_that_was_rewritten_begins_afresh_and_one_that_was_not_goes_on() -> None:
    one, two = watching("one", "a"), watching("two", "b")
    run = Run(one, two)
    run.slice(T, T)
    assert fitting((one, two), run.states) == run.states
    assert list(fitting((one, watching("two", "c")), run.states)) == ["one"]
    assert list(fitting((two,), run.states)) == ["two"]


def test_states_of_rules_that_are_gone_are_dropped() -> None:
    run = Run(watching("one", "a"), watching("two", "b"))
    run.slice(T, T)
    run.rules = run.rules[:1]
    run.slice(T, T)
    assert list(run.states) == ["one"]


ARTICLE = (
    rule(
        {
            "all": [
                {"latency": "p95", "step": "payment", "over": "5m", "above": "1.5s", "for": "30s"},
                {"completion": "drop", "by": "8%", "over": "15m"},
            ]
        },
        name="slow and down",
        then={"severity": "P1", "notify": ["oncall", "business"]},
        on_unknown={"severity": "P2", "notify": ["oncall"]},
    ),
    rule(
        {
            "all": [
                {"saturation": "payments-db", "above": "80%", "for": "30s"},
                {"completion": "unchanged", "within": "2%", "over": "15m"},
                {"availability": "ok", "over": "15m"},
            ]
        },
        name="saturated",
        then={"monitor": "1m"},
    ),
    rule({"impact": "score", "above": 4}, name="impact", then={"severity": "by-score"}),
)

SLICES: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    measured=st.booleans(),
    share=st.sampled_from([1.0, 1.0, 0.5]),
    seconds=st.sampled_from([(), (0.1,) * 70, (2.0,) * 70, (0.1,) * 60 + (2.0,) * 5]),
    completed=st.sampled_from(
        [completions(150, 250), completions(60, 250), completions(60_000, 100_000, 600_000, 10**6)]
    ),
    failed=st.sampled_from([None, Failures(0, 100, 0.999), Failures(50, 100, 0.999)]),
    shares=st.sampled_from([{}, {"payments-db": 0.9}, {"payments-db": 0.2}]),
    live=st.sampled_from([0.0, 3.0, 20.0]),
    band=st.sampled_from(["P2", "P3"]),
)


def through(written: Sequence[dict[str, Any]], *, by_json: bool) -> list[object]:
    states: dict[str, RuleState] = {}
    said: list[object] = []
    for at, fields in enumerate(written):
        if by_json:
            states = fitting(ARTICLE, STATES.validate_json(json.dumps(json.loads(STATES.dump_json(states)))))
        evidence = FakeEvidence(at_s=START_S + 10 * at, **fields)
        before = states
        decision, states, records = decide(ARTICLE, states, evidence, "checkout")
        said += [decision, *records]
        assert answer(ARTICLE, before, evidence, "checkout") == answer(ARTICLE, states, evidence, "checkout")
        assert tree(ARTICLE, before, evidence, "checkout") == tree(ARTICLE, states, evidence, "checkout")
        again, same, none = decide(ARTICLE, states, evidence, "checkout")
        assert (again, same == states, none) == (decision, True, ())
    return said


@settings(deadline=None, max_examples=50)
@given(st.lists(SLICES, max_size=14))
def test_going_on_from_json_at_any_boundary_says_the_same_and_a_boundary_judged_twice_changes_nothing(
    written: list[dict[str, Any]],
) -> None:
    assert through(written, by_json=True) == through(written, by_json=False)


@settings(deadline=None)
@given(st.lists(SLICES, min_size=1, max_size=8))
def test_the_tree_the_answer_and_the_decision_never_contradict_each_other(written: list[dict[str, Any]]) -> None:
    states: dict[str, RuleState] = {}
    for at, fields in enumerate(written):
        evidence = FakeEvidence(at_s=START_S + 10 * at, **fields)
        decision, states, _ = decide(ARTICLE, states, evidence, "checkout")
        live = answer(ARTICLE, states, evidence, "checkout")
        assert replace(live, because=(), sentence="") == replace(decision, because=(), sentence="")
        branches = tree(ARTICLE, states, evidence, "checkout")
        assert [branch.rule for branch in branches if branch.decides] == ([decision.rule] if decision.rule else [])
        assert [branch.verdict for branch in branches] == [states[each.name].raw for each in ARTICLE]
        assert [branch.node.verdict for branch in branches] == [branch.verdict for branch in branches]
