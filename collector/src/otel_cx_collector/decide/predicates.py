"""Conditions in Kleene's three values, with ``for``: the cheap truth, and the tree of findings when it is asked for."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from otel_cx_collector.decide import findings as figures
from otel_cx_collector.decide import laws, sustain
from otel_cx_collector.decide.sustain import NEVER, Sustained
from otel_cx_collector.decide.words import Evidence, Finding, Node, Truth
from otel_cx_collector.events import NS, SLICE_S
from otel_cx_collector.inventory.decisions import AllOf, AnyOf, Leaf, Not, Predicate, leaves

States = Mapping[str, Sustained]
"""By place in the condition; a place that was not true lately is absent."""

ROOT: Final = "when"
SLICE_NS: Final = SLICE_S * NS
OPPOSITE: Final = {Truth.TRUE: Truth.FALSE, Truth.FALSE: Truth.TRUE, Truth.UNKNOWN: Truth.UNKNOWN}


def both(one: Truth, other: Truth) -> Truth:
    """Kleene's and: false wins, then unknown."""
    if one is Truth.FALSE or other is Truth.FALSE:
        return Truth.FALSE
    return Truth.TRUE if one is Truth.TRUE and other is Truth.TRUE else Truth.UNKNOWN


def either(one: Truth, other: Truth) -> Truth:
    """Kleene's or: true wins, then unknown."""
    if one is Truth.TRUE or other is Truth.TRUE:
        return Truth.TRUE
    return Truth.FALSE if one is Truth.FALSE and other is Truth.FALSE else Truth.UNKNOWN


def truth(predicate: Predicate, evidence: Evidence, sustained: States) -> Truth:
    """What a condition is at T. ``sustained``: after the boundary before T, or after T itself: the answer is one."""
    return advance(predicate, evidence, sustained)[0]


def advance(predicate: Predicate, evidence: Evidence, sustained: States) -> tuple[Truth, dict[str, Sustained]]:
    """The truth at T, and what its ``for`` predicates remember from then on.

    Parts that cannot change the answer are not looked at, unless they count time.
    """
    after: dict[str, Sustained] = {}
    return _value(predicate, ROOT, evidence, sustained, after), after


def _value(
    predicate: Predicate, path: str, evidence: Evidence, sustained: States, after: dict[str, Sustained]
) -> Truth:
    return _VALUES[type(predicate)](predicate, path, evidence, sustained, after)


def _all(asked: AllOf, path: str, evidence: Evidence, sustained: States, after: dict[str, Sustained]) -> Truth:
    found = Truth.TRUE
    for index, part in enumerate(asked.parts):
        if found is not Truth.FALSE or _counts_time(part):
            found = both(found, _value(part, f"{path}.{index}", evidence, sustained, after))
    return found


def _any(asked: AnyOf, path: str, evidence: Evidence, sustained: States, after: dict[str, Sustained]) -> Truth:
    found = Truth.FALSE
    for index, part in enumerate(asked.parts):
        if found is not Truth.TRUE or _counts_time(part):
            found = either(found, _value(part, f"{path}.{index}", evidence, sustained, after))
    return found


def _not(asked: Not, path: str, evidence: Evidence, sustained: States, after: dict[str, Sustained]) -> Truth:
    return OPPOSITE[_value(asked.part, f"{path}.not", evidence, sustained, after)]


def _single(leaf: Leaf, path: str, evidence: Evidence, sustained: States, after: dict[str, Sustained]) -> Truth:
    return _leaf(leaf, path, evidence, sustained, after)[0]


_VALUES: Final[dict[type, Callable[[Any, str, Evidence, States, dict[str, Sustained]], Truth]]] = {
    AllOf: _all,
    AnyOf: _any,
    Not: _not,
    **dict.fromkeys(laws.LAWS, _single),
}
"""By class: ``isinstance`` of a model costs as much as a whole predicate, and this runs for every boundary."""


def _counts_time(predicate: Predicate) -> bool:
    counted: int | None = getattr(predicate, "for_ns", None)
    return any(leaf.for_ns for _, leaf in leaves(predicate, ROOT)) if counted is None else counted > 0


def _leaf(
    leaf: Leaf, path: str, evidence: Evidence, sustained: States, after: dict[str, Sustained]
) -> tuple[Truth, Truth]:
    """With its ``for``, and without."""
    inner = laws.at(leaf, evidence)
    if not leaf.for_ns:
        return inner, inner
    state = sustained.get(path, NEVER)
    if inner is Truth.FALSE and not state.slices:
        return inner, inner
    measured = inner is not Truth.UNKNOWN and evidence.covered(SLICE_NS)
    state = sustain.advanced(state, inner if measured else Truth.UNKNOWN, evidence.at_s, leaf.for_ns)
    if state.slices:
        after[path] = state
    return sustain.verdict(state, inner, leaf.for_ns), inner


def node(predicate: Predicate, evidence: Evidence, sustained: States, path: str = ROOT) -> Node:
    """The condition with every place's verdict, and a finding for every leaf; ``sustained`` as ``truth`` takes it."""
    if isinstance(predicate, Not):
        part = node(predicate.part, evidence, sustained, f"{path}.not")
        return Node("not", OPPOSITE[part.verdict], parts=(part,))
    if isinstance(predicate, AllOf | AnyOf):
        parts = tuple(node(part, evidence, sustained, f"{path}.{index}") for index, part in enumerate(predicate.parts))
        op, join = ("all", both) if isinstance(predicate, AllOf) else ("any", either)
        found = parts[0].verdict
        for part in parts[1:]:
            found = join(found, part.verdict)
        return Node(op, found, parts=parts)
    found, inner, state = _with_state(predicate, path, evidence, sustained)
    progress = f"{state.held_s} s of {predicate.for_ns // NS} s" if predicate.for_ns else None
    return Node("leaf", found, figures.of(predicate, evidence, found, inner, state.held_s), progress)


def finding(leaf: Leaf, evidence: Evidence, sustained: States, path: str = ROOT) -> Finding:
    """A leaf's value, interval, evidence and what is missing, in numbers and in words."""
    found, inner, state = _with_state(leaf, path, evidence, sustained)
    return figures.of(leaf, evidence, found, inner, state.held_s)


def _with_state(leaf: Leaf, path: str, evidence: Evidence, sustained: States) -> tuple[Truth, Truth, Sustained]:
    after: dict[str, Sustained] = {}
    found, inner = _leaf(leaf, path, evidence, sustained, after)
    return found, inner, after.get(path, NEVER)


def findings(tree: Node) -> tuple[Finding, ...]:
    """Of the leaves, in file order."""
    own = () if tree.finding is None else (tree.finding,)
    return own + tuple(finding for part in tree.parts for finding in findings(part))


def any_true(predicate: Predicate, evidence: Evidence, sustained: States) -> bool:
    """Whether at least one leaf is true (5.7)."""
    return any(_leaf(leaf, path, evidence, sustained, {})[0] is Truth.TRUE for path, leaf in leaves(predicate, ROOT))


def reasons(predicate: Predicate, tree: Node) -> list[tuple[Leaf, Finding]]:
    """The leaves that make a condition what it is: of an ``all`` that is false the false parts, and so on."""
    if isinstance(predicate, Not):
        return reasons(predicate.part, tree.parts[0])
    if isinstance(predicate, AllOf | AnyOf):
        pairs = zip(predicate.parts, tree.parts, strict=True)
        return [leaf for part, each in pairs if each.verdict is tree.verdict for leaf in reasons(part, each)]
    return [(predicate, tree.finding)] if tree.finding else []


def true_leaves(predicate: Predicate, tree: Node) -> list[tuple[Leaf, Finding]]:
    """What is known to be true in a condition that as a whole is not known."""
    pairs = zip(leaves(predicate, ROOT), findings(tree), strict=True)
    return [(leaf, found) for (_, leaf), found in pairs if found.verdict is Truth.TRUE]
