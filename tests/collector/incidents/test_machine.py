"""The table of status and signal: every pair, what it tells whom, and what the status does not allow."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from incident_builders import AT_S, command, of_status, opened, run, standing, trigger

from otel_cx_collector.errors import CollectorError
from otel_cx_collector.incidents.machine import (
    HOLD_S,
    MAX_HISTORY,
    MAX_TEXT,
    MAX_WHO,
    SYSTEM,
    TABLE,
    ActRefused,
    Signal,
    act,
    diagram,
    possible,
    step,
)
from otel_cx_collector.incidents.words import Act, Happening, Incident, Status, Tell

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "incidents.md"
OPEN, ACKNOWLEDGED, MITIGATED, RESOLVED = Status
LIVE = (OPEN, ACKNOWLEDGED, MITIGATED)


def given(status: Status, signal: Signal | Act) -> tuple[Incident | None, tuple[Tell, ...]]:
    """An incident of that status gets that signal, in the way the world sends it."""
    if isinstance(signal, Act):
        return act(of_status(status), command(signal, "a note"))
    almost = HOLD_S - 10
    incident = of_status(status, quiet_s=almost) if signal is Signal.CALM else of_status(status)
    if signal is Signal.LOWER:
        incident = replace(incident, lower_s=(0, almost, 0))
    what = {Signal.RAISE: "P1", Signal.LOWER: "P3", Signal.CALM: "calm"}.get(signal, "P2")
    return step(incident, standing(what, AT_S + 1200, AT_S if signal is Signal.AGAIN else AT_S + 1140))


EXPECTED = {
    (OPEN, Signal.RAISE): (OPEN, Happening.RAISED),
    (OPEN, Signal.LOWER): (OPEN, Happening.LOWERED),
    (OPEN, Signal.CALM): (RESOLVED, Happening.RESOLVED),
    (OPEN, Act.ACKNOWLEDGE): (ACKNOWLEDGED, Happening.ACKNOWLEDGED),
    (OPEN, Act.MITIGATE): (MITIGATED, Happening.MITIGATED),
    (OPEN, Act.RESOLVE): (RESOLVED, Happening.RESOLVED),
    (OPEN, Act.ANNOTATE): (OPEN, None),
    (ACKNOWLEDGED, Signal.RAISE): (OPEN, Happening.RAISED),
    (ACKNOWLEDGED, Signal.LOWER): (ACKNOWLEDGED, Happening.LOWERED),
    (ACKNOWLEDGED, Signal.CALM): (RESOLVED, Happening.RESOLVED),
    (ACKNOWLEDGED, Act.MITIGATE): (MITIGATED, Happening.MITIGATED),
    (ACKNOWLEDGED, Act.RESOLVE): (RESOLVED, Happening.RESOLVED),
    (ACKNOWLEDGED, Act.ANNOTATE): (ACKNOWLEDGED, None),
    (MITIGATED, Signal.RAISE): (OPEN, Happening.RAISED),
    (MITIGATED, Signal.LOWER): (MITIGATED, Happening.LOWERED),
    (MITIGATED, Signal.CALM): (RESOLVED, Happening.RESOLVED),
    (MITIGATED, Act.RESOLVE): (RESOLVED, Happening.RESOLVED),
    (MITIGATED, Act.REOPEN): (OPEN, Happening.REOPENED),
    (MITIGATED, Act.ANNOTATE): (MITIGATED, None),
    (RESOLVED, Signal.TRIGGER): (OPEN, Happening.OPENED),
    (RESOLVED, Signal.AGAIN): (OPEN, Happening.REOPENED),
    (RESOLVED, Act.REOPEN): (OPEN, Happening.REOPENED),
    (RESOLVED, Act.ANNOTATE): (RESOLVED, None),
}

NO_SEVERITY = dict.fromkeys([(RESOLVED, Signal.RAISE), (RESOLVED, Signal.LOWER)], EXPECTED[RESOLVED, Signal.TRIGGER])
"""What is over has no severity to compare with: any trigger is a trigger."""


@pytest.mark.parametrize(("status", "signal"), list(product(Status, [*Signal, *Act])))
def test_every_status_meets_every_signal(status: Status, signal: Signal | Act) -> None:
    expected = (EXPECTED | NO_SEVERITY).get((status, signal))
    if expected is None and isinstance(signal, Act):
        with pytest.raises(ActRefused):
            given(status, signal)
        return

    incident, tells = given(status, signal)

    assert incident is not None
    happened = tells[0].what if tells else None
    assert (incident.status, happened) == (expected or (status, None))


def test_the_table_has_exactly_the_moves_that_are_expected() -> None:
    moves = {(RESOLVED if status is None else status, signal) for status, signal in TABLE}

    assert moves == EXPECTED.keys()


def test_a_trigger_opens_an_incident_that_started_with_its_episode() -> None:
    incident, (tell,) = step(None, standing("P2", AT_S, episode_s=AT_S - 180))

    assert incident is not None
    assert incident.id == "checkout-20260105T091200Z"
    assert (incident.started_s, incident.opened_s, incident.episode_s) == (AT_S - 180, AT_S, AT_S - 180)
    assert (incident.severity, incident.current, incident.status) == ("P2", "P2", OPEN)
    assert (tell.what, tell.incident, tell.channels, tell.sequence) == (Happening.OPENED, incident, ("oncall",), 1)
    (entry,) = incident.history
    assert (entry.who, entry.text, entry.at_s) == (SYSTEM, "the score asks for P2", AT_S)


def test_an_incident_without_an_episode_started_when_it_opened_until_an_episode_says_earlier() -> None:
    incident = opened()
    assert (incident.started_s, incident.episode_s) == (AT_S, None)

    touched, _ = step(incident, standing("P2", AT_S + 60, episode_s=AT_S - 60))
    later, _ = step(touched, standing("gap", AT_S + 3600, episode_s=AT_S + 1800))

    assert touched is not None
    assert (touched.started_s, touched.episode_s) == (AT_S - 60, AT_S - 60)
    assert later is not None
    assert (later.started_s, later.episode_s) == (AT_S - 60, AT_S + 1800)


def test_an_episode_after_the_end_is_not_the_incidents() -> None:
    incident = of_status(RESOLVED)

    after, _ = step(incident, standing("calm", AT_S + 1200, episode_s=AT_S + 1140))

    assert after is incident


@pytest.mark.parametrize(("incident", "what"), [
    (None, "calm"), (None, "gap"), (of_status(OPEN), "P2"), (of_status(OPEN), "gap"), (of_status(ACKNOWLEDGED), "P2"),
    (of_status(RESOLVED), "calm"), (of_status(RESOLVED), "gap"),
])  # fmt: skip
def test_nothing_new_gives_the_same_object(incident: Incident | None, what: str) -> None:
    after, tells = step(incident, standing(what, AT_S + 1200, AT_S))

    assert after is incident
    assert tells == ()


def test_it_closes_at_exactly_600_measured_seconds_of_the_opposite_verdict() -> None:
    incident, tells = run(opened(), ["calm"] * 59, AT_S + 10)
    assert incident is not None
    assert (incident.status, tells) == (OPEN, [])

    closed, (tell,) = step(incident, standing("calm", AT_S + 600))

    assert closed is not None
    assert (closed.status, closed.closed_s) == (RESOLVED, AT_S + 600)
    assert (tell.what, tell.channels, tell.sequence) == (Happening.RESOLVED, ("oncall",), 2)


def test_a_gap_neither_counts_nor_undoes_and_a_trigger_undoes() -> None:
    with_gap, _ = run(opened(), ["calm"] * 30 + ["gap"] * 400 + ["calm"] * 30, AT_S + 10)
    interrupted, _ = run(opened(), ["calm"] * 59 + ["P2"] + ["calm"] * 59, AT_S + 10)

    assert with_gap is not None
    assert (with_gap.status, with_gap.closed_s) == (RESOLVED, AT_S + 4600)
    assert interrupted is not None
    assert interrupted.status is OPEN


def test_it_is_lowered_when_nothing_worse_was_seen_for_600_measured_seconds() -> None:
    incident, tells = run(opened("P1"), ["P2"] * 30 + ["P3"] * 30, AT_S + 10)
    assert incident is not None
    assert (incident.severity, incident.current) == ("P1", "P2")

    incident, more = run(incident, ["gap"] * 5 + ["P3"] * 30, AT_S + 610)

    assert incident is not None
    assert (incident.severity, incident.current) == ("P1", "P3")
    assert [tell.what for tell in tells + more] == [Happening.LOWERED] * 2
    assert incident.history[-1].text == "P2 to P3: nothing worse for 10 measured minutes"


def test_a_moment_of_the_old_severity_undoes_the_lowering() -> None:
    incident, tells = run(opened("P1"), ["P3"] * 59 + ["P1"] + ["P3"] * 59, AT_S + 10)

    assert incident is not None
    assert (incident.current, tells) == ("P1", [])


def test_the_opposite_verdict_is_lower_than_every_severity() -> None:
    incident, _ = run(opened("P1"), ["calm"] * 30 + ["P3"] * 30, AT_S + 10)

    assert incident is not None
    assert (incident.current, incident.quiet_s) == ("P3", 0)


def test_a_raise_after_lowering_tells_again_and_the_highest_stays() -> None:
    incident, tells = run(opened("P1"), ["P3"] * 60 + ["P2"], AT_S + 10)

    assert incident is not None
    assert (incident.severity, incident.current) == ("P1", "P2")
    assert [tell.what for tell in tells] == [Happening.LOWERED, Happening.RAISED]


@pytest.mark.parametrize("status", [ACKNOWLEDGED, MITIGATED])
def test_a_raise_returns_it_to_open_so_that_someone_looks(status: Status) -> None:
    business = trigger("P1", ("business",), name="checkout slow")

    incident, (tell,) = step(of_status(status), standing(business, AT_S + 600, AT_S))

    assert incident is not None
    assert (incident.status, incident.trigger) == (OPEN, business)
    assert tell.what is Happening.RAISED
    assert incident.history[-1].text == "P2 to P1: the score asks for P1"


def test_a_raise_reaches_the_new_triggers_channels_and_whoever_was_told_before() -> None:
    incident, (tell,) = step(opened(), standing(trigger("P1", ("business", "oncall", "desk"))))

    assert tell.channels == ("business", "oncall", "desk")
    assert incident is not None
    assert incident.told == ("oncall", "business", "desk")

    _, (only_business,) = step(opened(), standing(trigger("P1", ("business",))))
    assert only_business.channels == ("business", "oncall")


def test_without_channels_nobody_is_told_and_the_history_still_says_it() -> None:
    incident, tells = step(None, standing(trigger("P3", ())))

    assert tells == ()
    assert incident is not None
    assert (len(incident.history), incident.sequence) == (1, 0)


def test_tellings_are_numbered_one_by_one() -> None:
    incident = opened()
    numbers = []
    for what in (Act.ANNOTATE, Act.ACKNOWLEDGE, Act.ANNOTATE, Act.MITIGATE, Act.REOPEN, Act.RESOLVE, Act.REOPEN):
        incident, tells = act(incident, command(what, "a note"))
        numbers += [tell.sequence for tell in tells]

    assert numbers == [2, 3, 4, 5, 6]


def test_a_trigger_in_the_episode_it_had_reopens_it() -> None:
    closed, _ = run(of_status(OPEN), ["calm"] * 60, AT_S + 10, AT_S)

    again, (tell,) = step(closed, standing("P3", AT_S + 700, AT_S))

    assert closed is not None
    assert again is not None
    assert (again.id, again.status, again.closed_s) == (closed.id, OPEN, None)
    assert (again.severity, again.current, again.quiet_s) == ("P2", "P3", 0)
    assert tell.what is Happening.REOPENED


@pytest.mark.parametrize("episode_s", [AT_S + 1140, None])
def test_a_trigger_in_another_episode_or_in_none_is_a_new_incident(episode_s: int | None) -> None:
    closed = of_status(RESOLVED)

    new, (tell,) = step(closed, standing("P2", AT_S + 1200, episode_s))

    assert new is not None
    assert new.id == "checkout-20260105T093200Z"
    assert tell.sequence == 1


def test_two_incidents_without_an_episode_are_two() -> None:
    closed = replace(of_status(RESOLVED), episode_s=None)

    new, _ = step(closed, standing("P2", AT_S + 1200))

    assert new is not None
    assert new.id != closed.id


def resolved_by_hand() -> Incident:
    return act(of_status(OPEN), command(Act.RESOLVE))[0]


def test_resolved_by_hand_it_stays_so_while_its_trigger_stands() -> None:
    incident = resolved_by_hand()

    after, tells = run(incident, ["P2", "P3", "gap", "P2"] * 100, AT_S + 310, AT_S)

    assert after is incident
    assert tells == []


def test_resolved_by_hand_it_reopens_after_the_opposite_verdict_was_seen_once() -> None:
    incident, tells = run(resolved_by_hand(), ["P2", "calm", "P2"], AT_S + 310, AT_S)

    assert incident is not None
    assert incident.status is OPEN
    assert [tell.what for tell in tells] == [Happening.REOPENED]


def test_resolved_by_hand_it_reopens_when_the_severity_rises() -> None:
    incident, tells = run(resolved_by_hand(), ["P2", "P1"], AT_S + 310, AT_S)

    assert incident is not None
    assert (incident.status, incident.severity) == (OPEN, "P1")
    assert [tell.what for tell in tells] == [Happening.REOPENED]


def test_resolved_by_hand_in_calm_it_reopens_with_the_next_trigger() -> None:
    calm, _ = step(of_status(OPEN), standing("calm", AT_S + 290, AT_S))
    assert calm is not None

    incident, _ = step(act(calm, command(Act.RESOLVE))[0], standing("P2", AT_S + 310, AT_S))

    assert incident is not None
    assert incident.status is OPEN


def test_reopened_by_hand_it_closes_by_itself_again() -> None:
    reopened, (tell,) = act(of_status(RESOLVED, quiet_s=HOLD_S), command(Act.REOPEN, "not over", at_s=AT_S + 1000))
    assert (reopened.status, reopened.closed_s, tell.channels) == (OPEN, None, ("oncall",))

    still, _ = run(reopened, ["calm"] * 59, AT_S + 1010)
    closed, _ = run(reopened, ["calm"] * 60, AT_S + 1010)

    assert still is not None
    assert still.status is OPEN
    assert closed is not None
    assert closed.closed_s == AT_S + 1600


def test_only_the_latest_incident_of_a_journey_is_reopened() -> None:
    old, new = of_status(RESOLVED), opened(at_s=AT_S + 3600)

    with pytest.raises(ActRefused, match=r"is not the latest of journey checkout.*reopen checkout-20260105T101200Z"):
        act(old, command(Act.REOPEN), latest=new)
    assert act(old, command(Act.REOPEN), latest=old)[0].status is OPEN


def test_a_refusal_says_status_act_and_what_is_possible() -> None:
    with pytest.raises(ActRefused) as caught:
        act(of_status(RESOLVED), command(Act.ACKNOWLEDGE))

    assert isinstance(caught.value, CollectorError)
    assert (caught.value.status, caught.value.act) == (RESOLVED, Act.ACKNOWLEDGE)
    assert caught.value.possible == possible(RESOLVED) == (Act.REOPEN, Act.ANNOTATE)
    assert str(caught.value) == (
        "incident checkout-20260105T091200Z is resolved: acknowledge is not possible; possible now: reopen, annotate"
    )


def test_what_people_write_is_one_line_of_bounded_length_without_control_characters() -> None:
    hostile = "\x1b[31mrolled\r\nback\u202e \ud800" + "x" * 10_000

    incident, _ = act(opened(), command(Act.ANNOTATE, hostile, who="A\tna" + "a" * 1000))

    entry = incident.history[-1]
    assert entry.text.startswith("[31mrolled back xxx")
    assert (len(entry.text), entry.text[-1], len(entry.who)) == (MAX_TEXT, "…", MAX_WHO)
    assert entry.text.isprintable()
    assert entry.who.isprintable()


@pytest.mark.parametrize(("who", "signed"), [("", "unnamed"), (" \n", "unnamed"), ("OTEL-CX", "OTEL-CX (by hand)")])
def test_nobody_signs_with_nothing_or_as_the_machine(who: str, signed: str) -> None:
    assert act(opened(), command(Act.ACKNOWLEDGE, who=who))[0].history[-1].who == signed


def test_an_annotation_needs_words() -> None:
    with pytest.raises(ActRefused, match="write what is to be noted"):
        act(opened(), command(Act.ANNOTATE, " \n"))


def test_a_full_history_takes_no_notes_and_the_machine_goes_on() -> None:
    incident = opened()
    full = replace(incident, history=incident.history * MAX_HISTORY)

    with pytest.raises(ActRefused, match=r"1,00. lines"):
        act(full, command(Act.ANNOTATE, "one more"))
    resolved, _ = act(full, command(Act.RESOLVE))
    with pytest.raises(ActRefused, match=r"1,00. lines"):
        act(resolved, command(Act.REOPEN))
    raised, _ = step(full, standing("P1"))
    assert raised is not None
    assert len(raised.history) == MAX_HISTORY + 1


def test_a_trigger_that_asks_for_nothing_opens_nothing_and_is_not_calm() -> None:
    monitor = replace(standing("P2"), trigger=None)

    assert step(None, monitor) == (None, ())
    incident = of_status(OPEN, quiet_s=300)
    assert step(incident, monitor)[0] is incident


def test_the_documentation_shows_the_table() -> None:
    assert f"```mermaid\n{diagram()}\n```" in PAGE.read_text()
    assert f"{HOLD_S // 60} measured minutes" in PAGE.read_text()
