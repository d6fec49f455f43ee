"""The outbox against a simple model, and by example. Not sending."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from otel_cx_collector.notify.words import Notice, Outbox
from otel_cx_collector.state import Delivery, DeliveryState, NewNotice, Round, State, outbox

FOREVER: Final = 1 << 40


@pytest.fixture
def tell(state: State) -> Callable[..., None]:
    def commit(*notices: NewNotice) -> None:
        state.commit(Round(10, 1, b"", notices=notices))

    return commit


def keys(notices: list[Notice]) -> list[str]:
    return [notice.key for notice in notices]


def test_a_state_is_an_outbox(state: State) -> None:
    courier_sees: Outbox = state
    assert courier_sees.due(FOREVER, 1) == []


def test_a_notice_carries_everything_and_what_became_of_its_last_try(
    state: State, tell: Callable[..., None], notice: Callable[..., NewNotice], t0: int
) -> None:
    told = notice(group="change:d1", severity="P2", what="raised", sequence=4)
    tell(told)
    (due,) = state.due(t0, 1)
    state.failed(due.id, t0, "503", t0 + 5)
    (again,) = state.due(t0 + 5, 1)
    assert again == Notice(
        due.id, told.key, "oncall", told.incident, 4, "raised", "P2", t0, "change:d1", told.body, 1, "503"
    )


def test_one_that_waits_for_its_time_holds_back_the_ones_behind_it_and_no_others(
    state: State, tell: Callable[..., None], notice: Callable[..., NewNotice], t0: int
) -> None:
    tell(
        notice(key="a:1", incident="a", sequence=1),
        notice(key="a:2", incident="a", sequence=2),
        notice(key="b:1", incident="b", sequence=1),
        notice(key="a:1", incident="a", sequence=1, channel="mail"),
    )
    first = state.due(t0, 10)[0]
    state.failed(first.id, t0, "timeout", t0 + 60)
    assert [(each.channel, each.key) for each in state.due(t0 + 59, 10)] == [("oncall", "b:1"), ("mail", "a:1")]
    assert [(each.channel, each.key) for each in state.due(t0 + 60, 10)] == [
        ("oncall", "a:1"),
        ("oncall", "b:1"),
        ("mail", "a:1"),
    ]
    state.delivered(first.id, t0 + 60)
    assert ("oncall", "a:2") in [(each.channel, each.key) for each in state.due(t0 + 60, 10)]


def test_notices_of_one_round_come_in_the_order_of_their_sequence(
    state: State, tell: Callable[..., None], notice: Callable[..., NewNotice], t0: int
) -> None:
    tell(notice(key="a:2", sequence=2), notice(key="a:3", sequence=3), notice(key="a:1", sequence=1))
    sent = []
    while due := state.due(t0, 10):
        sent += keys(due)
        state.delivered(due[0].id, t0)
    assert sent == ["a:1", "a:2", "a:3"]


def test_a_refused_one_is_shown_and_lets_the_next_pass(
    state: State, tell: Callable[..., None], notice: Callable[..., NewNotice], t0: int
) -> None:
    tell(notice(key="a:1", sequence=1), notice(key="a:2", sequence=2))
    state.refused(state.due(t0, 1)[0].id, t0 + 1, "404 no such service")
    assert keys(state.due(t0, 1)) == ["a:2"]
    assert state.undelivered() == 1
    waiting, refused = state.deliveries(None)
    assert (waiting.state, waiting.tries) == (DeliveryState.WAITING, 0)
    assert refused == Delivery(
        "oncall", "opened", "a:1", t0, DeliveryState.REFUSED, 1, "404 no such service", None, refused.incident
    )


def test_quiet_hours_are_no_try(
    state: State, tell: Callable[..., None], notice: Callable[..., NewNotice], t0: int
) -> None:
    tell(notice())
    state.held(state.due(t0, 1)[0].id, t0 + 3600, "quiet hours until 07:00")
    (held,) = state.deliveries(None)
    assert (held.state, held.tries, held.error) == (DeliveryState.HELD, 0, "quiet hours until 07:00")
    assert state.due(t0 + 3599, 1) == []
    (due,) = state.due(t0 + 3600, 1)
    state.delivered(due.id, t0 + 3601)
    (arrived,) = state.deliveries(due.incident)
    assert (arrived.state, arrived.tries, arrived.error) == (DeliveryState.DELIVERED, 1, "")
    assert arrived.delivered_s == t0 + 3601


def test_a_long_answer_of_a_target_is_cut(
    state: State, tell: Callable[..., None], notice: Callable[..., NewNotice], t0: int
) -> None:
    tell(notice())
    (due,) = state.due(t0, 1)
    state.failed(due.id, t0, "<html>" * 100_000, t0)
    assert len(state.due(t0, 1)[0].error) == outbox.ERROR_CHARS


def test_half_a_character_in_an_answer_or_a_body_hurts_nothing(
    state: State, tell: Callable[..., None], notice: Callable[..., NewNotice], t0: int
) -> None:
    tell(notice(body={"text": "\ud83d"}))
    (due,) = state.due(t0, 1)
    state.failed(due.id, t0, "bad \ud83d", t0)
    (again,) = state.due(t0, 1)
    assert (again.body, again.error) == ({"text": "\ud83d"}, "bad ?")


def test_deliveries_are_the_newest_of_one_incident_or_of_all(
    state: State, tell: Callable[..., None], notice: Callable[..., NewNotice]
) -> None:
    tell(
        *(
            notice(key=f"{incident}:{number}", incident=incident, sequence=number)
            for number in range(3)
            for incident in "ab"
        )
    )
    assert [each.key for each in state.deliveries("a", 2)] == ["a:2", "a:1"]
    assert [each.key for each in state.deliveries(None, 3)] == ["b:2", "a:2", "b:1"]


DELIVERED: Final = """
INSERT INTO notices (channel, key, incident, sequence, what, severity, at_s, body, due_s, state, tries, error, ended_s)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
SELECT 'oncall', 'old:' || i, 'old' || (i - i / 997 * 997), i, 'opened', 'P1', i, '{}', i, 'delivered', 1, '', i FROM n
"""


def test_what_is_due_is_found_by_index_behind_a_hundred_thousand_delivered(
    tell: Callable[..., None], state: State, notice: Callable[..., NewNotice], t0: int
) -> None:
    with state._database.writing() as connection:
        connection.exec_driver_sql(DELIVERED)
    tell(notice(key="new:1", incident="new"))
    for channel in (None, "oncall"):
        with state._database.writing() as connection:
            query = outbox.due_query(t0, 50, channel).compile(connection, compile_kwargs={"literal_binds": True})
            if connection.dialect.name == "sqlite":
                plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]
                assert any("USING COVERING INDEX notices_queue (ended_s=?" in step for step in plan), plan
                assert not any(step.startswith("SCAN") or "TEMP B-TREE" in step for step in plan), plan
            else:
                connection.exec_driver_sql("ANALYZE notices")
                plan = list(connection.exec_driver_sql(f"EXPLAIN {query}").scalars())
                assert any("using notices_queue" in step for step in plan), plan
                assert not any("Seq Scan" in step for step in plan), plan
    assert keys(state.due(t0, 50)) == ["new:1"]
    assert state.undelivered() == 1


@dataclass(slots=True)
class Told:
    """A notice as the model keeps it."""

    key: str
    channel: str
    incident: str
    due_s: int
    state: str = "waiting"
    tries: int = 0
    error: str = ""
    delivered_s: int | None = None

    @property
    def open(self) -> bool:
        return self.state in ("waiting", "held")


TIMES = st.integers(0, 20)


class OutboxLaws(RuleBasedStateMachine):
    """Whatever is told, tried and held in whatever order: the outbox says what a list of notices would say."""

    numbers: Bundle[int] = Bundle("numbers")

    def __init__(self) -> None:
        super().__init__()
        self.state = State.memory()
        self.told: list[Told] = []

    def teardown(self) -> None:
        self.state.close()

    @rule(target=numbers, channel=st.sampled_from("xy"), incident=st.sampled_from("abc"), due_s=TIMES)
    def tell(self, channel: str, incident: str, due_s: int) -> int:
        key = f"{incident}:{len(self.told)}"
        self.told.append(Told(key, channel, incident, due_s))
        self._commit(self.told[-1])
        return len(self.told) - 1

    @rule(number=numbers)
    def tell_again(self, number: int) -> None:
        self._commit(self.told[number])

    @rule(number=numbers, at_s=TIMES)
    def deliver(self, number: int, at_s: int) -> None:
        self.state.delivered(self._id(number), at_s)
        if self._tried(number):
            self.told[number].state, self.told[number].error, self.told[number].delivered_s = "delivered", "", at_s

    @rule(number=numbers, at_s=TIMES, retry_at_s=TIMES)
    def fail(self, number: int, at_s: int, retry_at_s: int) -> None:
        self.state.failed(self._id(number), at_s, "503", retry_at_s)
        if self._tried(number):
            self.told[number].state, self.told[number].error, self.told[number].due_s = "waiting", "503", retry_at_s

    @rule(number=consumes(numbers), at_s=TIMES)
    def refuse(self, number: int, at_s: int) -> None:
        self.state.refused(self._id(number), at_s, "404")
        if self._tried(number):
            self.told[number].state, self.told[number].error = "refused", "404"

    @rule(number=numbers, until_s=TIMES)
    def hold(self, number: int, until_s: int) -> None:
        self.state.held(self._id(number), until_s, "quiet")
        told = self.told[number]
        if told.open:
            told.state, told.error, told.due_s = "held", "quiet", until_s

    @rule(now_s=TIMES, limit=st.integers(1, 8), channel=st.sampled_from(["x", "y", None]))
    def ask(self, now_s: int, limit: int, channel: str | None) -> None:
        heads: dict[tuple[str, str], Told] = {}
        for told in self.told:
            if told.open and channel in (told.channel, None):
                heads.setdefault((told.channel, told.incident), told)
        due = [told for told in self.told if told in heads.values() and told.due_s <= now_s]
        assert [(each.key, each.tries, each.error) for each in self.state.due(now_s, limit, channel)] == [
            (told.key, told.tries, told.error) for told in due[:limit]
        ]

    @rule(channel=st.sampled_from("xy"), incident=st.sampled_from("abc"))
    def ask_for_all(self, channel: str, incident: str) -> None:
        expected = [
            told.key for told in self.told if told.open and (told.channel, told.incident) == (channel, incident)
        ]
        assert keys(self.state.waiting(channel, incident)) == expected

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.state.undelivered() == sum(told.open for told in self.told)
        shown = [
            (each.key, each.state, each.tries, each.error, each.delivered_s)
            for each in reversed(self.state.deliveries(None, 1000))
        ]
        assert shown == [(told.key, told.state, told.tries, told.error, told.delivered_s) for told in self.told]

    def _commit(self, told: Told) -> None:
        notice = NewNotice(told.channel, told.key, told.incident, 0, "opened", "P1", 0, None, {}, told.due_s)
        self.state.commit(Round(0, 1, b"", notices=(notice,)))

    def _tried(self, number: int) -> bool:
        self.told[number].tries += self.told[number].open
        return self.told[number].open

    @staticmethod
    def _id(number: int) -> int:
        return number + 1  # rows are counted from 1, and one that is told again takes no number


TestOutboxLaws = OutboxLaws.TestCase
TestOutboxLaws.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
