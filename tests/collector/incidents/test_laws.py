"""Laws of the machine over any sequence of what stands, against an oracle that counts from the beginning each time."""

import operator
from collections.abc import Iterator
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from incident_builders import AT_S, standing

from otel_cx_collector.incidents.machine import HOLD_S, act, possible, step
from otel_cx_collector.incidents.record import from_json, to_json
from otel_cx_collector.incidents.words import Act, Command, Incident, Standing, Status, Tell

SLICE_S = 200
"""Three definite slices hold: short sequences reach every move."""
HOLD = HOLD_S // SLICE_S

verdicts = st.sampled_from(["P1", "P2", "P3", "P4", "calm", "calm", "calm", "gap"])
stretches = st.lists(st.tuples(verdicts, st.integers(1, 5), st.sampled_from([None, 0, 1])), max_size=20)
acts = st.sampled_from([None, None, None, *Act])


@st.composite
def standings(draw: st.DrawFn) -> list[Standing]:
    """Runs of one verdict, in no episode or one of two."""
    flat = [(what, episode) for what, length, episode in draw(stretches) for _ in range(length)]
    return [
        standing(what, AT_S + SLICE_S * index, None if episode is None else AT_S + episode)
        for index, (what, episode) in enumerate(flat)
    ]


@dataclass
class Step:
    """What one slice did."""

    at: Standing
    before: Incident | None
    after: Incident | None
    tells: tuple[Tell, ...]


def running(sequence: list[Standing], incident: Incident | None = None) -> Iterator[Step]:
    for each in sequence:
        before = incident
        incident, tells = step(before, each, SLICE_S)
        yield Step(each, before, incident, tells)


@given(standings(), st.data())
def test_no_two_incidents_are_ever_open_and_history_only_grows(sequence: list[Standing], data: st.DataObject) -> None:
    known: dict[str, Incident] = {}
    latest: Incident | None = None
    for each in sequence:
        latest, _ = step(latest, each, SLICE_S)
        asked = data.draw(acts)
        if latest and asked in possible(latest.status):
            latest, _ = act(latest, Command(asked, "Ana", "a note", each.at_s))
        if latest:
            old = known.get(latest.id)
            assert old is None or latest.history[: len(old.history)] == old.history
            known[latest.id] = latest
        assert sum(incident.status is not Status.RESOLVED for incident in known.values()) <= 1
        assert all((each.status is Status.RESOLVED) == (each.closed_s is not None) for each in known.values())


@given(standings())
def test_severity_is_the_highest_that_was_asked_for_while_it_was_open(sequence: list[Standing]) -> None:
    seen: dict[str, set[str]] = {}
    for each in running(sequence):
        if each.after and each.after.status is not Status.RESOLVED and each.at.trigger:
            seen.setdefault(each.after.id, set()).add(each.at.trigger.severity)
        if each.after:
            assert each.after.severity == min(seen[each.after.id])
            assert each.after.current >= each.after.severity


@given(standings())
def test_it_is_lowered_and_closed_exactly_when_the_count_from_the_beginning_says(sequence: list[Standing]) -> None:
    ranks: list[int] = []
    current = 0
    for each in running(sequence):
        if each.before is None or each.before.status is Status.RESOLVED:
            if each.after is each.before:
                continue
            ranks = []
        if each.at.verdict == "unknown":
            assert each.tells == ()
            continue
        rank = int(each.at.trigger.severity[1]) if each.at.trigger else 5
        if not ranks or rank < current:
            current = rank
        ranks.append(rank)
        held = [level for level in range(current + 1, 6) if min(ranks[-HOLD:]) >= level and len(ranks) >= HOLD]
        current = max(held, default=current)
        assert each.after is not None
        assert (each.after.status is Status.RESOLVED) == (current == 5)
        assert current == 5 or each.after.current == f"P{current}"
        assert current < 5 or each.after.closed_s == each.at.at_s


@given(standings(), st.lists(st.integers(0, 100)), st.integers(1, 30))
def test_slices_without_a_verdict_change_no_move(sequence: list[Standing], places: list[int], length: int) -> None:
    gaps = [standing("gap", 0)] * length
    with_gaps = list(sequence)
    for place in places[:3]:
        with_gaps[place:place] = gaps

    plain = [each.after for each in running(sequence) if each.at.verdict != "unknown"]
    gapped = [each.after for each in running(with_gaps) if each.at.verdict != "unknown"]

    assert gapped == plain


@given(standings(), st.integers(0, 100))
def test_going_on_from_what_was_stored_equals_running_through(sequence: list[Standing], at: int) -> None:
    steps = list(running(sequence))
    if not steps:
        return
    middle = steps[min(at, len(steps) - 1)].after
    stored = middle and from_json(to_json(middle))
    rest = sequence[at + 1 :]

    assert stored == middle
    went_on = list(running(rest, stored))
    assert [(each.after, each.tells) for each in went_on] == [
        (each.after, each.tells) for each in steps[len(steps) - len(rest) :]
    ]


@given(standings())
def test_nothing_is_made_when_nothing_changes(sequence: list[Standing]) -> None:
    for each in running(sequence):
        assert each.after is each.before or each.after != each.before


@given(standings())
def test_every_channel_hears_a_story_without_holes(sequence: list[Standing]) -> None:
    """Whoever was told of an incident is told everything after it, numbered one by one."""
    told: dict[str, list[Tell]] = {}
    for each in running(sequence):
        for tell in each.tells:
            told.setdefault(tell.incident.id, []).append(tell)
    for tells in told.values():
        assert [tell.sequence for tell in tells] == list(range(1, len(tells) + 1))
        channels = [set(tell.channels) for tell in tells]
        assert all(map(operator.le, channels, channels[1:]))
