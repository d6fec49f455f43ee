"""A round is written whole or not at all, and twice is once. Not kill -9: see test_crash."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from otel_cx_collector.decide.words import Record, Truth
from otel_cx_collector.incidents.words import Incident
from otel_cx_collector.measure.figures import BurnAlert
from otel_cx_collector.state import NewNotice, Round, Saved, Stale, State


@pytest.fixture
def round_(
    t0: int,
    incident: Callable[..., Incident],
    record: Callable[..., Record],
    alert: Callable[..., BurnAlert],
    notice: Callable[..., NewNotice],
) -> Round:
    """The round in which the checkout breaks."""
    return Round(t0, 1, b"state", (incident(),), (record(),), (alert(),), (notice(), notice(channel="mail")))


def everything(state: State) -> tuple[object, ...]:
    return (
        state.load(),
        state.incidents(),
        state.versions("checkout-20260105T090000Z"),
        state.records("checkout"),
        state.alerts("checkout", 0, 1 << 40),
        state.due(1 << 40, 100),
        state.deliveries(None),
    )


def test_all_of_a_round_can_be_read_back(state: State, round_: Round, t0: int) -> None:
    state.commit(round_)
    assert state.load() == Saved(t0, 1, b"state")
    assert state.incidents() == list(round_.incidents)
    assert state.records("checkout") == list(round_.records)
    assert state.alerts("checkout", t0, t0 + 1) == list(round_.alerts)
    assert [(notice.channel, notice.body) for notice in state.due(t0, 10)] == [
        (notice.channel, notice.body) for notice in round_.notices
    ]


def test_a_round_committed_again_changes_nothing(state: State, round_: Round) -> None:
    state.commit(round_)
    before = everything(state)
    revision = state.revision("checkout-20260105T090000Z")
    state.commit(round_)
    assert everything(state) == before
    assert state.revision("checkout-20260105T090000Z") == revision == 1


def test_a_round_committed_again_brings_no_delivered_notice_back(state: State, round_: Round, t0: int) -> None:
    state.commit(round_)
    for notice in state.due(t0, 10):
        state.delivered(notice.id, t0)
    state.commit(round_)
    assert state.due(1 << 40, 10) == []


def test_a_round_that_cannot_be_written_leaves_nothing(
    state: State, round_: Round, longer: Callable[..., Incident], notice: Callable[..., NewNotice], t0: int
) -> None:
    state.commit(round_)
    (opened,) = round_.incidents
    state.commit(replace(round_, incidents=(longer(opened),)))
    before = everything(state)
    unaware = replace(round_, watermark_s=t0 + 10, blob=b"later", notices=(notice(key="new:1"),))
    other = replace(opened, id="login-20260105T090000Z", journey="login")
    with pytest.raises(Stale, match="changed meanwhile"):
        state.commit(replace(unaware, incidents=(other, opened)))
    assert everything(state) == before


def test_a_round_whose_last_notice_is_no_json_leaves_nothing(
    state: State, round_: Round, notice: Callable[..., NewNotice]
) -> None:
    before = everything(state)
    with pytest.raises(TypeError):
        state.commit(replace(round_, notices=(*round_.notices, notice(key="new:1", body={"at": object()}))))
    assert everything(state) == before


def test_time_does_not_go_back(state: State, round_: Round, t0: int) -> None:
    state.commit(replace(round_, watermark_s=t0 + 10))
    with pytest.raises(Stale, match=rf"round of T {t0} comes after the one of T {t0 + 10}; load the state again"):
        state.commit(round_)


def test_between_two_slices_more_can_be_told(state: State, round_: Round, notice: Callable[..., NewNotice]) -> None:
    state.commit(round_)
    state.commit(replace(round_, notices=(notice(key="watch:store-down:1", incident="watch", what="store-down"),)))
    assert state.undelivered() == 3


def test_what_a_rule_said_first_of_a_moment_stays(
    state: State, round_: Round, record: Callable[..., Record], t0: int
) -> None:
    state.commit(round_)
    state.commit(replace(round_, records=(record(verdict=Truth.FALSE), record(at_s=t0 + 10, verdict=Truth.UNKNOWN))))
    assert [(each.at_s, each.verdict) for each in state.records("checkout")] == [
        (t0 + 10, Truth.UNKNOWN),
        (t0, Truth.TRUE),
    ]
    assert [each.at_s for each in state.records("checkout", limit=1)] == [t0 + 10]
    assert state.records("login") == []


def test_an_alert_is_resolved_once_and_for_all(
    state: State, round_: Round, alert: Callable[..., BurnAlert], t0: int
) -> None:
    state.commit(round_)
    for resolved_s in (t0 + 600, None):
        state.commit(replace(round_, alerts=(alert(resolved_s=resolved_s),)))
        assert state.alerts("checkout", 0, 1 << 40) == [alert(resolved_s=t0 + 600)]


def test_alerts_of_one_moment_are_told_apart_by_their_step(
    state: State, round_: Round, alert: Callable[..., BurnAlert]
) -> None:
    state.commit(replace(round_, alerts=(alert(), alert(step="payment"), alert(), alert(step="payment"))))
    assert {each.step for each in state.alerts("checkout", 0, 1 << 40)} == {None, "payment"}
    assert len(state.alerts("checkout", 0, 1 << 40)) == 2


def test_an_alert_belongs_to_every_time_range_in_which_it_fires(
    state: State, round_: Round, alert: Callable[..., BurnAlert], t0: int
) -> None:
    # fired:     t0 |=====| t0+600        another, still firing: t0+700 |=====...
    state.commit(replace(round_, alerts=(alert(resolved_s=t0 + 600), alert(fired_s=t0 + 700))))
    fired = {
        (from_s, to_s): [each.fired_s - t0 for each in state.alerts("checkout", t0 + from_s, t0 + to_s)]
        for from_s, to_s in ((-10, 0), (-10, 1), (300, 400), (599, 700), (600, 700), (600, 701), (9000, 9001))
    }
    assert fired == {
        (-10, 0): [],
        (-10, 1): [0],
        (300, 400): [0],
        (599, 700): [0],
        (600, 700): [],
        (600, 701): [700],
        (9000, 9001): [700],
    }


def test_an_odd_figure_keeps_no_page_from_being_sent(
    state: State, round_: Round, record: Callable[..., Record], notice: Callable[..., NewNotice]
) -> None:
    finding = replace(record().because[0], value=float("inf"))
    (opened,) = round_.incidents
    odd = replace(opened, trigger=replace(opened.trigger, because=(finding,)))
    changed = replace(round_, incidents=(odd,), records=(record(because=(finding,)),))
    state.commit(replace(changed, notices=(notice(body={"score": float("-inf")}),)))
    assert state.incident(odd.id) == odd
    assert state.records("checkout")[0].because == (finding,)
    assert state.due(1 << 40, 1)[0].body == {"score": float("-inf")}


@pytest.mark.parametrize("memory", [False, True], ids=["", "memory"])
def test_readers_see_whole_rounds_while_others_are_committed(
    place: Path | str, incident: Callable[..., Incident], *, memory: bool
) -> None:
    ids = [f"checkout-{number}" for number in range(3)]
    seen: list[set[int]] = []
    failures: list[BaseException] = []
    done = threading.Event()

    def read(state: State) -> None:
        try:
            while not done.is_set():
                seen.append({each.quiet_s for each in state.incidents()})
                state.due(1 << 40, 10)
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    with State.memory() if memory else State.open(place) as state:
        readers = [threading.Thread(target=read, args=(state,)) for _ in range(4)]
        for reader in readers:
            reader.start()
        for number in range(1, 101):
            state.commit(Round(number, 1, b"", tuple(incident(id=each, quiet_s=number) for each in ids)))
        done.set()
        for reader in readers:
            reader.join()
    assert failures == []
    assert {len(quiet) for quiet in seen} <= {0, 1}
    assert len({*map(frozenset, seen)}) > 2


def test_writers_in_many_threads_lose_nothing(state: State, notice: Callable[..., NewNotice]) -> None:
    def write(who: int) -> None:
        for number in range(20):
            told = notice(key=f"{who}:{number}", incident=f"{who}", sequence=number)
            state.commit(Round(10, 1, b"", notices=(told,)))
            state.keep(f"{who}", str(number))

    writers = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert state.undelivered() == 80
    assert [state.kept(str(who)) for who in range(4)] == ["19"] * 4


def test_two_states_of_one_database_wait_for_each_other(place: Path | str, notice: Callable[..., NewNotice]) -> None:
    failures: list[BaseException] = []

    def write(state: State, who: int) -> None:
        try:
            for number in range(50):
                state.commit(Round(10, 1, b"", notices=(notice(key=f"{who}:{number}"),)))
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    with State.open(place) as first, State.open(place) as second:
        writers = [threading.Thread(target=write, args=(state, who)) for who, state in enumerate((first, second))]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert failures == []
        assert first.undelivered() == second.undelivered() == 100
