"""What is said: one sentence a verdict, what is missing with a number, the tree for a terminal (measures.md 5.1)."""

from dataclasses import replace
from typing import Any

import pytest
from collector.decide.fake_evidence import START_S, USUAL, FakeEvidence, completions, rule
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.decide import bounds, laws, missing, text
from otel_cx_collector.decide.predicates import finding, node
from otel_cx_collector.decide.sustain import NEVER, Sustained
from otel_cx_collector.decide.text import condition, explain
from otel_cx_collector.decide.tree import RuleState, decide, tree
from otel_cx_collector.decide.words import Failures, Finding, Truth
from otel_cx_collector.inventory.decisions import Rule

LATENCY = {"latency": "p95", "step": "payment", "over": "5m", "above": "1.5s"}
DROP = {"completion": "drop", "by": "8%", "over": "15m"}
UNCHANGED = {"completion": "unchanged", "within": "2%", "over": "15m"}
AVAILABILITY = {"availability": "ok", "over": "15m"}
SATURATION = {"saturation": "payments-db", "above": "80%"}
IMPACT = {"impact": "score", "above": 4}


def of(when: dict[str, Any], evidence: FakeEvidence, state: Sustained = NEVER) -> Finding:
    found = node(rule(when).when, evidence, {"when": state}).finding
    assert found is not None
    return found


def sentence(written: Rule, evidence: FakeEvidence, held_s: int = 0) -> str:
    sustained = {f"when.{at}": Sustained(held_s // 10, evidence.at_s - 10) for at in range(3)} if held_s else {}
    _, _, (record,) = decide([written], {written.name: RuleState(sustained=sustained)}, evidence, "checkout")
    return record.sentence


@pytest.mark.parametrize(
    ("when", "words"),
    [
        (LATENCY | {"for": "5m"}, "p95 of payment over 5m above 1.5s for 5m"),
        ({"latency": "p99.9", "over": "90s", "above": "250ms"}, "p99.9 over 90s above 250ms"),
        (DROP, "completion down by 8% over 15m"),
        (UNCHANGED, "completion unchanged within 2% over 15m"),
        (AVAILABILITY | {"step": "payment"}, "availability of payment ok over 15m"),
        (SATURATION | {"for": "5m"}, "saturation of payments-db above 80% for 5m"),
        ({"impact": "score", "above": 4.5}, "impact score above 4.5"),
        (
            {"not": {"any": [IMPACT, {"all": [DROP, SATURATION]}]}},
            "not (impact score above 4 or (completion down by 8% over 15m and saturation of payments-db above 80%))",
        ),
    ],
)
def test_a_condition_is_named_as_it_is_written(when: dict[str, Any], words: str) -> None:
    assert condition(rule(when).when) == words


def test_a_latency_has_its_quantile_between_its_rank_bounds_in_seconds() -> None:
    found = of(LATENCY, FakeEvidence(seconds=[number / 50 for number in range(1, 101)]))
    # of 100: rank 95 between ranks 91 and 99, in fiftieths of a second
    assert (bounds.rank_bounds(100, 950), bounds.quantile_rank(100, 950)) == ((91, 99), 95)
    assert (found.value, found.low, found.high, found.evidence) == (1.9, 1.82, 1.98, 100)
    assert found.clause == "p95 of payment was 1.9 s (1.82 to 1.98 s) against 1.5 s"


def test_a_latency_without_an_upper_rank_says_that_the_interval_is_open() -> None:
    found = of(LATENCY, FakeEvidence(seconds=[0.25] * 58))
    assert (found.low, found.high) == (0.25, None)
    assert found.clause == (
        "p95 of payment was 250 ms (250 ms or more) against 1.5 s but is missing about 1 more execution, "
        "1 min at this rate"
    )


def test_a_latency_without_any_execution_says_how_many_it_takes() -> None:
    found = of(LATENCY, FakeEvidence())
    assert (found.value, found.evidence, found.missing) == (None, 0, "about 59 more executions")


def test_the_interval_of_a_drop_is_the_one_that_its_verdict_rests_on() -> None:
    for completed in range(100, 170, 3):
        found = of(DROP, FakeEvidence(completed=completions(completed, 250)))
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        assert found.value == pytest.approx(1 - completed / 150)
        assert found.low < found.value < found.high
        assert (found.verdict is Truth.TRUE, found.verdict is Truth.FALSE) == (found.low >= 0.08, found.high <= 0.08)


def test_a_drop_says_how_probable_it_is() -> None:
    fell = of(DROP, FakeEvidence(completed=completions(104, 250)))
    assert fell.clause == "completion fell by 30.7 % (at least 8 % with probability over 0.99)"
    rose = of(DROP, FakeEvidence(completed=completions(160, 250)))
    assert rose.clause == "completion rose by 6.67 % (down at least 8 % with probability under 0.01)"


def test_the_interval_of_unchanged_is_of_the_change() -> None:
    found = of(UNCHANGED, FakeEvidence(completed=completions(60_600, 100_000, 600_000, 1_000_000)))
    assert found.verdict is Truth.TRUE
    assert found.clause == "completion changed by 1 % (0.555 to 1.44 %) against 2 % allowed"


def test_completion_where_the_baseline_has_none_has_no_change() -> None:
    nothing = completions(25, 250, 0, 1000)
    assert of(DROP, FakeEvidence(completed=nothing)).value is None
    assert of(DROP, FakeEvidence(completed=nothing)).clause == "completion was 10 % where its baseline had none"
    assert of(UNCHANGED, FakeEvidence(completed=nothing)).clause == "completion was 10 % where its baseline had none"


def test_availability_is_said_as_an_error_rate() -> None:
    found = of(AVAILABILITY, FakeEvidence(failed=Failures(4, 1000, 0.999)))
    assert (found.value, found.evidence) == (0.004, 1000)
    assert found.clause == "error rate was 0.4 % (0.166 to 0.844 %) against 0.1 % allowed"


@pytest.mark.parametrize(
    ("when", "evidence", "missing_words", "clause"),
    [
        (LATENCY, {"share": 0.4}, "coverage 0.4 of 0.9", "p95 of payment has coverage 0.4 of 0.9"),
        (DROP, {"completed": replace(USUAL, base_minutes=4)}, "baseline: 4 of 10 clean minutes",
         "completion is missing its baseline: 4 of 10 clean minutes"),
        (DROP, {"completed": completions(5, 10, 6, 12)}, "baseline: 12 of 30 sessions",
         "completion is missing its baseline: 12 of 30 sessions"),
        (UNCHANGED, {"completed": replace(USUAL, baseline="none")}, "baseline: 0 of 10 clean minutes",
         "completion is missing its baseline: 0 of 10 clean minutes"),
        (AVAILABILITY, {"failed": None}, "an availability objective to compare with",
         "error rate is missing an availability objective to compare with"),
        (AVAILABILITY, {"failed": Failures(0, 0, 0.999)}, "any execution to count",
         "error rate is missing any execution to count"),
        (SATURATION, {}, "no point of payments-db in the last 60 s",
         "there is no point of payments-db in the last 60 s"),
        (IMPACT, {"share": 0.4}, "coverage 0.4 of 0.9", "impact score was 0 against 4 but has coverage 0.4 of 0.9"),
    ],
)  # fmt: skip
def test_unknown_says_what_is_missing(
    when: dict[str, Any], evidence: dict[str, Any], missing_words: str, clause: str
) -> None:
    found = of(when, FakeEvidence(**evidence))
    assert (found.verdict, found.missing, found.clause) == (Truth.UNKNOWN, missing_words, clause)


def test_what_is_known_misses_nothing() -> None:
    assert of(LATENCY, FakeEvidence(seconds=[2.0] * 100)).missing is None
    held = of(SATURATION | {"for": "1m"}, FakeEvidence(), Sustained(7, START_S - 10))
    assert (held.verdict, held.missing) == (Truth.TRUE, None)
    assert held.clause == "there is no point of payments-db in the last 60 s, true for 1 min until the gap"


@given(st.integers(1, 400), st.floats(0, 1))
def test_so_many_more_executions_as_are_missing_make_a_quantile_known(count: int, share: float) -> None:
    at_most = round(share * count)
    more = missing._needed(
        lambda n: laws.quantile_above(n, missing._scaled(at_most, count, n), 950) is not Truth.UNKNOWN, count
    )
    assert more is not None or abs(at_most / count - 0.95) < 0.001
    if more is not None and more < 5000:
        grown = missing._scaled(at_most, count, count + more)
        assert laws.quantile_above(count + more, grown, 950) is not Truth.UNKNOWN


def test_sessions_are_missing_at_the_rate_at_which_they_come() -> None:
    found = of(DROP, FakeEvidence(completed=replace(completions(26, 50), per_minute=60.0)))
    assert found.clause == (
        "completion fell by 13.3 % (at least 8 % with probability 0.67) but is missing about 540 more sessions, "
        "9 min at this rate"
    )


def test_with_no_session_at_all_the_usual_rate_says_how_many_it_takes() -> None:
    found = of(DROP, FakeEvidence(completed=replace(completions(0, 0), per_minute=0.0)))
    assert found.missing == "about 200 more sessions"


def test_more_than_the_most_is_not_looked_for() -> None:
    halves = [1.0] * 50 + [2.0] * 50
    found = of(LATENCY | {"latency": "p50"}, FakeEvidence(seconds=halves))
    assert found.missing == "over 1,000,000 more executions at this rate"
    border = of(DROP, FakeEvidence(completed=completions(138, 250)))
    assert border.missing == "over 1,000,000 more sessions at this rate, or a larger baseline than 1,000 sessions"
    assert missing.MOST_MISSING == 1_000_000


def test_the_articles_first_rule_says_who_is_told_what() -> None:
    written = rule({"all": [LATENCY | {"for": "5m"}, DROP]})
    evidence = FakeEvidence(seconds=[1.0] * 80 + [2.4] * 20, completed=completions(104, 250))
    assert sentence(written, evidence, held_s=290) == (
        "P1: checkout's p95 of payment was 2.4 s (2.4 to 2.4 s) against 1.5 s for 5 min and completion fell by 30.7 % "
        "(at least 8 % with probability over 0.99)"
    )


def test_a_false_verdict_names_what_is_not_so() -> None:
    written = rule({"all": [LATENCY | {"for": "5m"}, DROP, SATURATION]})
    evidence = FakeEvidence(seconds=[2.4] * 80, completed=completions(104, 250), shares={"payments-db": 0.5})
    assert sentence(written, evidence) == (
        "false: checkout's p95 of payment was 2.4 s (2.4 to 2.4 s) against 1.5 s, for 10 s of 300 s and "
        "payments-db was at 50 % of its limit against 80 %"
    )


def test_an_unknown_verdict_says_what_is_missing() -> None:
    written = rule({"all": [IMPACT, DROP]})
    few = replace(completions(26, 50), per_minute=60.0)
    assert sentence(written, FakeEvidence(live=20.0, completed=few)) == (
        "unknown: checkout's completion fell by 13.3 % (at least 8 % with probability 0.67) but is missing about "
        "540 more sessions, 9 min at this rate"
    )


@pytest.mark.parametrize(
    ("parts", "head"),
    [
        ({"on_unknown": {"severity": "P2"}}, "P2 in doubt: checkout's impact score was 20 against 4 and there is"),
        ({"on_unknown": {"monitor": "5m"}}, "watching for 5 min in doubt: checkout's impact score was 20 against 4"),
        ({"on_unknown": True}, "P1, unknown counts as true for checkout: there is no point of payments-db"),
        ({"on_unknown": False}, "unknown for checkout: there is no point of payments-db"),
    ],
)
def test_what_is_done_without_evidence_is_said(parts: dict[str, Any], head: str) -> None:
    assert sentence(rule({"all": [IMPACT, SATURATION]}, **parts), FakeEvidence(live=20.0)).startswith(head)


def test_what_is_held_and_what_is_still_watched_is_said() -> None:
    held, watched = rule(SATURATION, name="open"), rule(SATURATION, name="watch", then={"monitor": "1m"})
    full = FakeEvidence(shares={"payments-db": 0.9})
    _, states, _ = decide([held], {}, full, "checkout")
    decision, _, _ = decide([held], states, full.after(10, shares={}), "checkout")
    assert decision.sentence.startswith("P1 as before, unknown by now for checkout: there is no point of payments-db")
    first, states, _ = decide([watched], {}, full, "checkout")
    assert first.sentence == "watching for 1 min for checkout: payments-db was at 90 % of its limit against 80 %"
    decision, _, _ = decide([watched], states, full.after(10, shares={"payments-db": 0.5}), "checkout")
    assert decision.sentence == (
        "still watching, false for checkout: payments-db was at 50 % of its limit against 80 %"
    )


def test_three_reasons_are_kept_apart_by_semicolons() -> None:
    written = rule({"all": [IMPACT, SATURATION, AVAILABILITY]})
    assert sentence(written, FakeEvidence(live=20.0, shares={"payments-db": 0.9})) == (
        "P1: checkout's impact score was 20 against 4; payments-db was at 90 % of its limit against 80 %; "
        "error rate was 0 % (0 to 0.192 %) against 0.1 % allowed"
    )


def test_explain_prints_the_tree_with_values_intervals_and_what_is_missing() -> None:
    rules = [
        rule({"all": [LATENCY | {"for": "5m"}, {"not": SATURATION}]}, name="slow", on_unknown={"severity": "P2"}),
        rule(IMPACT, name="impact", journey="*", then={"severity": "by-score", "notify": ["a", "b", "c"]}),
        rule(IMPACT, name="look", then={"monitor": "15m"}, on_unknown=False),
    ]
    evidence = FakeEvidence(seconds=[1.0] * 80 + [2.4] * 20, live=20.0, band="P2")
    decision, states, _ = decide(rules, {}, evidence, "checkout")
    assert explain(tree(rules, states, evidence, "checkout"), decision).splitlines() == [
        "checkout at 2026-01-05T09:00:00Z: P2: checkout's impact score was 20 against 4",
        "",
        "1. slow: false",
        "  then P1, tell oncall; when unknown: P2, tell nobody, if at least one predicate is true",
        "  false    all of",
        "    false    p95 of payment over 5m above 1.5s for 5m [10 s of 300 s]",
        "             p95 of payment was 2.4 s (2.4 to 2.4 s) against 1.5 s, for 10 s of 300 s",
        "    unknown  not of",
        "      unknown  saturation of payments-db above 80%",
        "               there is no point of payments-db in the last 60 s",
        "",
        "2. impact: true  <- decides",
        "  then severity by score, tell a, b and c; when unknown: hold what it last was",
        "  true     impact score above 4",
        "           impact score was 20 against 4",
        "",
        "3. look: true",
        "  then watch for 15m, open nothing; when unknown: count as false",
        "  true     impact score above 4",
        "           impact score was 20 against 4",
    ]


@pytest.mark.parametrize(
    ("number", "words"), [(0.0, "0"), (31.25, "31.2"), (0.00001234, "0.0000123"), (123456.0, "123,000"), (100.0, "100")]
)
def test_numbers_have_three_digits_and_no_exponent(number: float, words: str) -> None:
    assert text.digits(number) == words


def test_times_are_rounded_down_when_they_have_passed_and_up_when_they_are_to_come() -> None:
    assert [text.lasting(seconds) for seconds in (50, 300, 359, 7200)] == ["50 s", "5 min", "5 min", "2 h"]
    assert [text.waiting(minutes) for minutes in (9, 120, 121, 2881)] == ["9 min", "120 min", "3 h", "3 d"]


def test_one_leaf_can_be_asked_for_alone() -> None:
    leaf = rule(IMPACT).when
    found = finding(leaf, FakeEvidence(live=20.0), {})  # type: ignore[arg-type]  # an impact is a leaf
    assert found == of(IMPACT, FakeEvidence(live=20.0))
