"""Conditions in Kleene's three values, and ``for`` in event time (measures.md 5.1, 5.6)."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from collector.decide.fake_evidence import START_S, FakeEvidence, rule
from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.decide.predicates import advance, both, either, findings, node, reasons, truth
from otel_cx_collector.decide.sustain import NEVER, Sustained, advanced, verdict
from otel_cx_collector.decide.words import Truth
from otel_cx_collector.events import NS
from otel_cx_collector.inventory.decisions import leaves

T, F, U = Truth.TRUE, Truth.FALSE, Truth.UNKNOWN
SHARES = {T: 0.9, F: 0.1}
MINUTE_NS = 60 * NS


def leaf(name: str, **parts: Any) -> dict[str, Any]:
    return {"saturation": name, "above": "80%", **parts}


def evidence(*values: Truth, **fields: Any) -> FakeEvidence:
    """Resources a, b, c: above, below, or not heard of."""
    shares = {name: SHARES[value] for name, value in zip("abc", values, strict=False) if value is not U}
    return FakeEvidence(shares=shares, **fields)


@pytest.mark.parametrize(
    ("op", "table"),
    [
        ("all", {T: {T: T, U: U, F: F}, U: {T: U, U: U, F: F}, F: {T: F, U: F, F: F}}),
        ("any", {T: {T: T, U: T, F: T}, U: {T: T, U: U, F: U}, F: {T: T, U: U, F: F}}),
    ],
)
def test_all_and_any_are_kleenes(op: str, table: dict[Truth, dict[Truth, Truth]]) -> None:
    when = rule({op: [leaf("a"), leaf("b")]}).when
    for one, other in product(Truth, Truth):
        assert truth(when, evidence(one, other), {}) is table[one][other]
        assert node(when, evidence(one, other), {}).verdict is table[one][other]


def test_not_turns_true_and_false_and_leaves_unknown() -> None:
    when = rule({"not": leaf("a")}).when
    assert [truth(when, evidence(value), {}) for value in (T, F, U)] == [F, T, U]


@pytest.mark.parametrize("values", list(product(Truth, Truth, Truth)))
def test_the_laws_of_de_morgan_distribution_and_association_hold(values: tuple[Truth, Truth, Truth]) -> None:
    a, b, c = values
    turned = {T: F, F: T, U: U}
    assert turned[both(a, b)] is either(turned[a], turned[b])
    assert both(a, either(b, c)) is either(both(a, b), both(a, c))
    assert both(a, both(b, c)) is both(both(a, b), c)
    when = rule({"all": [leaf("a"), {"not": {"any": [leaf("b"), leaf("c")]}}]}).when
    assert truth(when, evidence(*values), {}) is both(a, both(turned[b], turned[c]))


def test_a_part_that_cannot_change_the_answer_is_not_looked_at_unless_it_counts_time() -> None:
    seen = evidence(F, T, T)
    when = rule({"all": [leaf("a"), leaf("b"), {"not": {"any": [leaf("c", **{"for": "1m"})]}}]}).when
    found, after = advance(when, seen, {})
    assert (found, seen.asked, list(after)) == (F, [("saturation", "a"), ("saturation", "c")], ["when.2.not.0"])


def run(for_s: int, inner: Sequence[Truth | None]) -> list[Truth]:
    """Verdicts of consecutive slices; None is a slice that was not measured, on which the predicate looks true."""
    when = rule(leaf("a", **{"for": f"{for_s}s"})).when
    states: dict[str, Sustained] = {}
    found = []
    for at, value in enumerate(inner):
        here = evidence(value or T, at_s=START_S + 10 * at, measured=value is not None)
        verdict, after = advance(when, here, states)
        assert truth(when, here, states) is truth(when, here, after) is verdict
        states = after
        found.append(verdict)
    return found


def test_for_is_true_from_the_slice_that_completes_it() -> None:
    assert run(30, [T, T, T, T, F, T]) == [F, F, T, T, F, F]


def test_without_for_the_predicate_is_what_it_is() -> None:
    assert run(0, [T, F, U, T]) == [T, F, U, T]


def test_for_neither_advances_nor_begins_afresh_over_unknown() -> None:
    assert run(30, [T, T, U, U, T]) == [F, F, U, U, T]


def test_for_neither_advances_nor_begins_afresh_over_a_slice_that_was_not_measured() -> None:
    assert run(30, [T, T, None, None, T, None]) == [F, F, F, F, T, T]


def test_for_is_held_through_a_gap_until_twice_its_length_has_passed() -> None:
    assert run(30, [T, T, T, *[U] * 7]) == [F, F, *[T] * 7, U]


def test_for_begins_afresh_after_its_state_expired() -> None:
    assert run(30, [T, T, T, *[U] * 5, T, F])[-2:] == [T, F]
    assert run(30, [T, T, *[U] * 7, T, T, T])[-3:] == [F, F, T]


def test_a_false_slice_ends_it_at_once_and_one_that_was_not_measured_does_not() -> None:
    when = rule(leaf("a", **{"for": "30s"})).when
    held = {"when": Sustained(3, START_S - 10)}
    assert truth(when, evidence(F), held) is F
    assert truth(when, evidence(F, measured=False), held) is T
    assert truth(when, evidence(F, measured=False), {"when": Sustained(2, START_S - 10)}) is F
    assert truth(when, evidence(F, measured=False), {}) is F


@given(st.lists(st.sampled_from(Truth), max_size=40), st.integers(1, 6))
def test_for_is_what_counting_back_says(inner: list[Truth], slices: int) -> None:
    state, at_s = NEVER, START_S
    count, last = 0, 0
    for value in inner:
        at_s += 10
        state = advanced(state, value, at_s, slices * 10 * NS)
        if value is F or (count and at_s - last > 20 * slices):
            count = 0
        if value is T:
            count, last = count + 1, at_s
        assert state.slices == count
        assert advanced(state, value, at_s, slices * 10 * NS) == state
        expected = T if count >= slices else U if value is U else F
        assert verdict(state, value, slices * 10 * NS) is expected


def test_two_places_with_the_same_predicate_count_apart() -> None:
    when = rule({"any": [leaf("a", **{"for": "1m"}), {"not": leaf("a", **{"for": "2m"})}]}).when
    _, after = advance(when, evidence(T), {"when.0": Sustained(4, START_S - 10)})
    assert after == {"when.0": Sustained(5, START_S), "when.1.not": Sustained(1, START_S)}
    assert [path for path, _ in leaves(when, "when")] == ["when.0", "when.1.not"]


def test_findings_are_those_of_the_leaves_in_file_order() -> None:
    when = rule({"all": [leaf("b"), {"not": {"any": [leaf("c"), leaf("a")]}}]}).when
    found = findings(node(when, evidence(T, F, U), {}))
    assert [(each.predicate[14:15], each.verdict) for each in found] == [("b", F), ("c", U), ("a", T)]


@pytest.mark.parametrize("values", list(product(Truth, Truth, Truth)))
@pytest.mark.parametrize(
    "when",
    [
        {"all": [leaf("a"), leaf("b"), leaf("c")]},
        {"any": [leaf("a"), {"all": [leaf("b"), leaf("c")]}]},
        {"not": {"any": [leaf("a"), {"not": leaf("b")}, leaf("c")]}},
    ],
)
def test_the_reasons_alone_make_the_condition_what_it_is(when: dict[str, Any], values: tuple[Truth, ...]) -> None:
    condition = rule(when).when
    tree = node(condition, evidence(*values), {})
    named = {found.predicate[14:15] for _, found in reasons(condition, tree)}
    assert named
    for others in product(Truth, repeat=3):
        mixed = [mine if name in named else other for name, mine, other in zip("abc", values, others, strict=True)]
        if tree.verdict is not U:
            assert truth(condition, evidence(*mixed), {}) is tree.verdict
