"""Conditions, figures and verdicts in plain words: one sentence each, and the tree for a terminal. Not their values."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from otel_cx_collector.decide.words import Branch, Decision, Finding, Node
from otel_cx_collector.events import NS
from otel_cx_collector.inventory.decisions import (
    BY_SCORE,
    AllOf,
    AnyOf,
    AvailabilityOk,
    CompletionDrop,
    CompletionUnchanged,
    Escalate,
    LatencyAbove,
    Leaf,
    Monitor,
    Not,
    Predicate,
    Rule,
    SaturationAbove,
)
from otel_cx_collector.inventory.quantities import format_duration, format_share, format_time

INDENT: Final = "  "
MEASURED: Final = 3
WRITTEN: Final = 9
"""Significant digits of what was measured, and of a threshold, which is shown as it was written."""


def condition(predicate: Predicate) -> str:
    """A condition as a finding names it: ``p95 of payment over 5m above 1.5s for 5m``."""
    if isinstance(predicate, Not):
        return f"not ({condition(predicate.part)})"
    if isinstance(predicate, AllOf | AnyOf):
        joined = " and " if isinstance(predicate, AllOf) else " or "
        return joined.join(
            f"({condition(part)})" if isinstance(part, AllOf | AnyOf) else condition(part) for part in predicate.parts
        )
    lasting = f" for {format_duration(predicate.for_ns)}" if predicate.for_ns else ""
    return f"{_leaf(predicate)}{lasting}"


def _leaf(leaf: Leaf) -> str:
    if isinstance(leaf, LatencyAbove):
        of = f" of {leaf.step}" if leaf.step else ""
        return f"{leaf.latency}{of} over {format_duration(leaf.over_ns)} above {format_duration(leaf.above_ns)}"
    if isinstance(leaf, CompletionDrop):
        return f"completion down by {format_share(leaf.by)} over {format_duration(leaf.over_ns)}"
    if isinstance(leaf, CompletionUnchanged):
        return f"completion unchanged within {format_share(leaf.within)} over {format_duration(leaf.over_ns)}"
    if isinstance(leaf, AvailabilityOk):
        of = f" of {leaf.step}" if leaf.step else ""
        return f"availability{of} ok over {format_duration(leaf.over_ns)}"
    if isinstance(leaf, SaturationAbove):
        return f"saturation of {leaf.saturation} above {format_share(leaf.above)}"
    return f"impact score above {leaf.above:g}"


def digits(number: float, significant: int = MEASURED) -> str:
    """So many significant digits, never an exponent."""
    text = f"{Decimal(f'{number:.{significant}g}'):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seconds(value: float, significant: int = MEASURED) -> str:
    """``250 ms``, ``2.4 s``."""
    return f"{digits(1000 * value, significant)} ms" if abs(value) < 1 else f"{digits(value, significant)} s"


def percent(share: float, significant: int = MEASURED) -> str:
    """``31.2 %``."""
    return f"{digits(100 * share, significant)} %"


def probability(chance: float) -> str:
    """Two decimals, and never a certainty."""
    return "over 0.99" if chance > 0.99 else "under 0.01" if chance < 0.01 else f"{chance:.2f}"


def lasting(held_s: int) -> str:
    """How long something has held, rounded down: ``50 s``, ``5 min``, ``3 h``."""
    if held_s < 60:
        return f"{held_s} s"
    return f"{held_s // 60} min" if held_s < 7200 else f"{held_s // 3600} h"


def waiting(minutes: int) -> str:
    """How long to wait, rounded up: ``9 min``, ``3 h``, ``2 d``."""
    if minutes <= 120:
        return f"{minutes} min"
    return f"{-(-minutes // 60)} h" if minutes <= 2880 else f"{-(-minutes // 1440)} d"


def counted(number: int, noun: str) -> str:
    """``1 session``, ``1,240 sessions``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def rounded(number: int) -> int:
    """To two significant digits: more would be false precision."""
    return int(float(f"{number:.2g}"))


def consequence(decided: Escalate | Monitor) -> str:
    """What a rule does: ``P1, tell oncall and business``, ``watch for 15m, open nothing``."""
    if isinstance(decided, Monitor):
        return f"watch for {format_duration(decided.monitor_ns)}, open nothing"
    severity = "severity by score" if decided.severity == BY_SCORE else decided.severity
    return f"{severity}, tell {_listed(decided.notify)}" if decided.notify else f"{severity}, tell nobody"


def without_evidence(rule: Rule) -> str:
    """What a rule does without evidence."""
    if isinstance(rule.on_unknown, Escalate | Monitor):
        return f"{consequence(rule.on_unknown)}, if at least one predicate is true"
    return {"hold": "hold what it last was", "true": "count as true", "false": "count as false"}[rule.on_unknown]


def sentence(journey: str, head: str, reasons: Sequence[tuple[Leaf, Finding]]) -> str:
    """``P1: checkout's p95 of payment was 2.4 s (2.1 to 2.8 s) against 1.5 s for 5 min and completion fell by 31 %``.

    Args:
        journey: Whose figures they are; a resource's are its own.
        head: What comes of it, or the verdict.
        reasons: What made it so.
    """
    clauses = [finding.clause for _, finding in reasons]
    own = next((at for at, (leaf, _) in enumerate(reasons) if not isinstance(leaf, SaturationAbove)), None)
    if own is None:
        head = f"{head} for {journey}"
    else:
        clauses[own] = f"{journey}'s {clauses[own]}"
    return f"{head}: {' and '.join(clauses) if len(clauses) < 3 else '; '.join(clauses)}"


def explain(branches: Sequence[Branch], decision: Decision) -> str:
    """The tree as text for a terminal, ended by a newline: verdicts, values, intervals, and what is missing."""
    lines = [f"{decision.journey} at {format_time(decision.at_s * NS)}: {decision.sentence}"]
    for number, branch in enumerate(branches, 1):
        mark = "  <- decides" if branch.decides else ""
        lines += ["", f"{number}. {branch.rule}: {branch.verdict}{mark}"]
        lines.append(f"{INDENT}then {branch.then}; when unknown: {branch.on_unknown}")
        lines += _lines(branch.node, 1)
    return "\n".join(lines) + "\n"


def _lines(node: Node, depth: int) -> list[str]:
    indent = INDENT * depth
    if node.finding is None:
        inner = [line for part in node.parts for line in _lines(part, depth + 1)]
        return [f"{indent}{node.verdict:<7}  {node.op} of", *inner]
    progress = f" [{node.progress}]" if node.progress else ""
    return [
        f"{indent}{node.verdict:<7}  {node.finding.predicate}{progress}",
        f"{indent}{INDENT}{'':<7}{node.finding.clause}",
    ]


def _listed(names: Sequence[str]) -> str:
    """``a, b and c``; at least one."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
