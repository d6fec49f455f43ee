"""The decision tree of a journey: which rule decides at T, what is recorded, what the page shows. Opens nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from otel_cx_collector.decide import predicates, text
from otel_cx_collector.decide.sustain import Sustained
from otel_cx_collector.decide.words import Branch, Decision, Evidence, Finding, Node, Record, Severity, Truth
from otel_cx_collector.events import NS
from otel_cx_collector.inventory.decisions import BY_SCORE, EVERY_JOURNEY, Escalate, Monitor, Rule
from otel_cx_collector.inventory.model import Inventory

__all__ = ["Branch", "Node", "RuleState", "answer", "decide", "fitting", "rules_for", "tree"]

IMPLIED_ABOVE: Final = 4
"""Without any rule of the operator's, whatever scores above P4's band opens an incident (5.8)."""
MONITOR: Final = "monitor"


@dataclass(frozen=True, slots=True)
class RuleState:
    """What one rule remembers from one boundary to the next. Written as JSON and read back it goes on the same."""

    rule: str = ""
    """What the rule says, so that a rule that was changed meanwhile begins afresh."""
    raw: Truth | None = None
    """The verdict last recorded; None before the first."""
    definite: Truth = Truth.FALSE
    """What it last was when it was not unknown: what ``hold`` holds."""
    monitor_until_s: int | None = None
    sustained: dict[str, Sustained] = field(default_factory=dict)
    said: str | None = None
    """What came of it at the last boundary: a severity or ``monitor`` when it decided, else None."""
    because: tuple[Finding, ...] = ()
    """As of the last change of what it says: verdict, deciding or severity; likewise the sentence."""
    sentence: str = ""


FRESH: Final = RuleState()


class _Effect(NamedTuple):
    """Why a rule counts as true, and what it does."""

    does: Escalate | Monitor
    why: str
    """``true``, ``held``, ``assumed``, ``doubt`` (an action of ``on_unknown``) or ``after`` (still watching)."""


class _Step(NamedTuple):
    """One rule at one boundary, before anything is put in words."""

    rule: Rule
    before: RuleState
    raw: Truth
    after: RuleState
    effect: _Effect | None


def rules_for(inventory: Inventory, journey: str) -> tuple[Rule, ...]:
    """The rules that judge a journey, in file order; without any in the file, the implied one."""
    rules = inventory.escalation or (_implied(inventory),)
    return tuple(rule for rule in rules if rule.journey in (journey, EVERY_JOURNEY))


def _implied(inventory: Inventory) -> Rule:
    told = tuple(name for name, channel in inventory.notify.items() if channel.every_ns is None)
    when, then = {"impact": "score", "above": IMPLIED_ABOVE}, {"severity": BY_SCORE, "notify": told}
    return Rule.model_validate({"name": "impact", "journey": EVERY_JOURNEY, "when": when, "then": then})


def fitting(rules: Sequence[Rule], states: dict[str, RuleState]) -> dict[str, RuleState]:
    """The states that belong to these rules as they are written now: for a start, and for a new inventory."""
    written = {rule.name: _written(rule) for rule in rules}
    return {name: state for name, state in states.items() if written.get(name) == state.rule}


def _written(rule: Rule) -> str:
    return f"when {text.condition(rule.when)} then {text.consequence(rule.then)} else {text.without_evidence(rule)}"


def decide(
    rules: Sequence[Rule], states: dict[str, RuleState], evidence: Evidence, journey: str
) -> tuple[Decision, dict[str, RuleState], tuple[Record, ...]]:
    """The decision at T. To be called for every T in order.

    Args:
        rules: As ``rules_for`` gives them.
        states: What the call for the boundary before returned; empty at first. Not changed.
        evidence: The journey at T.
        journey: Its name.

    Returns:
        The decision, whose findings are as of the last change of what its rule says (``answer`` has live ones); the
        states for the next boundary, the same object when nothing changed; the verdicts that are new.
    """
    steps, deciding = _judged(rules, states, evidence)
    records: list[Record] = []
    after: dict[str, RuleState] = {}
    changed = len(states) != len(steps)
    for step in steps:
        state = _told(step, evidence, journey, records, decides=step is deciding)
        after[step.rule.name] = state
        changed = changed or state is not step.before
    kept = after if changed else states
    return _decision(steps, deciding, kept, evidence, journey), kept, tuple(records)


def answer(rules: Sequence[Rule], states: dict[str, RuleState], evidence: Evidence, journey: str) -> Decision:
    """The decision at T with the findings of T: for a question. ``states`` as before or after ``decide`` at T."""
    steps, deciding = _judged(rules, states, evidence)
    live = {step.rule.name: _worded(step, evidence, journey) for step in steps}
    return _decision(steps, deciding, live, evidence, journey)


def tree(
    rules: Sequence[Rule],
    states: dict[str, RuleState],
    evidence: Evidence,
    journey: str,  # noqa: ARG001 - decide, answer and tree are asked alike
) -> list[Branch]:
    """Every rule with its live values at T, in order; ``states`` as before or after ``decide`` at T."""
    steps, deciding = _judged(rules, states, evidence)
    return [
        Branch(
            rule=step.rule.name,
            then=text.consequence(step.rule.then),
            on_unknown=text.without_evidence(step.rule),
            verdict=step.raw,
            decides=step is deciding,
            node=predicates.node(step.rule.when, evidence, step.before.sustained),
        )
        for step in steps
    ]


def _judged(
    rules: Sequence[Rule], states: dict[str, RuleState], evidence: Evidence
) -> tuple[list[_Step], _Step | None]:
    """Every rule at T, and the first that counts as true."""
    steps = [_step(rule, states.get(rule.name, FRESH), evidence) for rule in rules]
    return steps, next((step for step in steps if step.effect), None)


def _step(rule: Rule, state: RuleState, evidence: Evidence) -> _Step:
    raw, sustained = predicates.advance(rule.when, evidence, state.sustained)
    definite = state.definite if raw is Truth.UNKNOWN else raw
    effect = _effect(rule, raw, definite, evidence, state)
    until = _until(effect, state, evidence.at_s)
    after = state
    if (sustained, definite, until) != (state.sustained, state.definite, state.monitor_until_s):
        after = replace(state, definite=definite, monitor_until_s=until, sustained=sustained)
    return _Step(rule, state, raw, after, effect)


def _effect(rule: Rule, raw: Truth, definite: Truth, evidence: Evidence, state: RuleState) -> _Effect | None:
    """Whether the rule counts as true, and why (5.7)."""
    if raw is Truth.TRUE:
        return _Effect(rule.then, "true")
    if raw is Truth.UNKNOWN:
        if isinstance(rule.on_unknown, Escalate | Monitor):
            if predicates.any_true(rule.when, evidence, state.sustained):
                return _Effect(rule.on_unknown, "doubt")
        elif rule.on_unknown == "hold" and definite is Truth.TRUE:
            return _Effect(rule.then, "held")
        elif rule.on_unknown == "true":
            return _Effect(rule.then, "assumed")
    if state.monitor_until_s is not None and evidence.at_s < state.monitor_until_s:
        return next(
            (_Effect(each, "after") for each in (rule.then, rule.on_unknown) if isinstance(each, Monitor)), None
        )
    return None


def _until(effect: _Effect | None, state: RuleState, at_s: int) -> int | None:
    if effect is None:
        return None
    if effect.why == "after":
        return state.monitor_until_s
    return at_s + effect.does.monitor_ns // NS if isinstance(effect.does, Monitor) else None


def _told(step: _Step, evidence: Evidence, journey: str, records: list[Record], *, decides: bool) -> RuleState:
    """The state after T, put in words where what the rule says has changed; a new verdict is recorded."""
    said = _says(step.effect, evidence) if decides else None
    new = step.raw is not step.before.raw
    if not new and said == step.before.said:
        return step.after
    state = step.after
    if new or said is not None:
        state = _worded(step, evidence, journey)
    if new:
        records.append(_record(step, state, evidence, journey))
    return replace(state, raw=step.raw, said=said, rule=state.rule or _written(step.rule))


def _says(effect: _Effect | None, evidence: Evidence) -> str | None:
    if effect is None:
        return None
    return MONITOR if isinstance(effect.does, Monitor) else _severity(effect.does, evidence)


def _severity(does: Escalate, evidence: Evidence) -> Severity:
    return evidence.severity() if does.severity == BY_SCORE else does.severity


def _record(step: _Step, state: RuleState, evidence: Evidence, journey: str) -> Record:
    acts = step.effect if step.effect and step.effect.why in ("true", "doubt") else None
    says = _says(acts, evidence)
    return Record(
        rule=step.rule.name,
        journey=journey,
        at_s=evidence.at_s,
        verdict=step.raw,
        severity=None if says == MONITOR else says,
        action=MONITOR if says == MONITOR else None,
        because=state.because,
        sentence=state.sentence,
    )


def _worded(step: _Step, evidence: Evidence, journey: str) -> RuleState:
    """The state after T with the findings of T and their sentence."""
    found = predicates.node(step.rule.when, evidence, step.before.sustained)
    reasons = predicates.reasons(step.rule.when, found)
    if step.effect and step.effect.why == "doubt":
        reasons = predicates.true_leaves(step.rule.when, found) + reasons
    sentence = text.sentence(journey, _head(step, evidence), reasons)
    return replace(step.after, because=predicates.findings(found), sentence=sentence)


def _head(step: _Step, evidence: Evidence) -> str:
    if step.effect is None:
        return step.raw.value
    does, why = step.effect
    if why == "after":
        return f"still watching, {step.raw}"
    if isinstance(does, Monitor):
        what = f"watching for {text.lasting(does.monitor_ns // NS)}"
    else:
        what = _severity(does, evidence)
    tails = {"held": " as before, unknown by now", "assumed": ", unknown counts as true", "doubt": " in doubt"}
    return f"{what}{tails.get(why, '')}"


def _decision(
    steps: Sequence[_Step], deciding: _Step | None, states: dict[str, RuleState], evidence: Evidence, journey: str
) -> Decision:
    if deciding is None or deciding.effect is None:
        open_question = next((step for step in steps if not _surely_false(step)), None)
        if open_question is None:
            return _no(evidence.at_s, journey)
        state = states[open_question.rule.name]
        return Decision(evidence.at_s, journey, None, Truth.UNKNOWN, None, (), None, state.because, state.sentence)
    state, does = states[deciding.rule.name], deciding.effect.does
    severity, told = (_severity(does, evidence), does.notify) if isinstance(does, Escalate) else (None, ())
    until, name = state.monitor_until_s, deciding.rule.name
    return Decision(evidence.at_s, journey, name, Truth.TRUE, severity, told, until, state.because, state.sentence)


def _no(at_s: int, journey: str) -> Decision:
    return Decision(at_s, journey, None, Truth.FALSE, None, (), None, (), f"false: no rule of {journey} is true")


def _surely_false(step: _Step) -> bool:
    """It cannot be what opens an incident at T: it is false, counts as false by the operator's word, or opens none."""
    if step.raw is Truth.FALSE or step.rule.on_unknown == "false":
        return True
    return not isinstance(step.rule.then, Escalate) and not isinstance(step.rule.on_unknown, Escalate)
