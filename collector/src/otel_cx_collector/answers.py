"""What the pages, the API and the stream of events ask, answered from the last round. No figure is computed here.

An answer is computed at most once a round. It looks at a track only while no round is under way, and computes on what
it took from there afterwards.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

import pyarrow as pa

from otel_cx_collector.control import Control
from otel_cx_collector.decide.tree import Branch
from otel_cx_collector.decide.words import Decision, Record
from otel_cx_collector.errors import Unavailable
from otel_cx_collector.events import NS, SLICE_S, Fact
from otel_cx_collector.incidents.machine import ActRefused
from otel_cx_collector.incidents.words import Account, Change, Command, Incident
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.judging.harm import account_of, change
from otel_cx_collector.judging.subject import Subject
from otel_cx_collector.judging.world import World
from otel_cx_collector.measure import budgets as budget
from otel_cx_collector.measure import errors as errors_of
from otel_cx_collector.measure import evaluation as measure
from otel_cx_collector.measure import ledger, live
from otel_cx_collector.measure.burn import COVERAGE_MIN
from otel_cx_collector.measure.columns import MINUTE_NS
from otel_cx_collector.measure.evaluation import Evaluation, of_track
from otel_cx_collector.measure.figures import (
    Budget,
    BurnAlert,
    Coverage,
    ErrorClass,
    Exemplar,
    Figures,
    HurtAgain,
    Live,
    PaperCut,
    Series,
    Share,
)
from otel_cx_collector.measure.track import Track
from otel_cx_collector.state import Delivery
from otel_cx_collector.traffic import Observed
from otel_cx_collector.views.source import BadQuestion, Intake, NotFound

CACHE_LIMIT: Final = 512
"""Answers remembered of a journey until the next round; more questions than that are computed each time."""
FUTURE_NS: Final = 600 * NS
"""Rows may lie this far ahead of the clock."""

T = TypeVar("T")


@dataclass(slots=True)
class Memory:
    """Answers about one journey as of one round."""

    round: int = -1
    answers: dict[tuple[object, ...], object] = field(default_factory=dict)


class Answers:
    """``views.source.Source`` over the control of this process. Every method may be called from any thread."""

    def __init__(self, control: Control, observed: Callable[[], list[Observed]]) -> None:
        self._control = control
        self._observed = observed
        self._memory: dict[str, Memory] = {}

    @property
    def inventory(self) -> Inventory:
        """The file in force."""
        return self._control.inventory

    def now_s(self) -> int:
        """The wall clock."""
        return self._control.now_s()

    def watermark_s(self) -> int:
        """T of the last round; it never goes back."""
        return self._control.watermark

    def round(self) -> int:
        """How many rounds were judged."""
        return self._control.round

    def wait_round(self, after: int, timeout_s: float) -> int:
        """Block until a round beyond ``after`` is there, the timeout, or the end."""
        return self._control.wait_round(after, timeout_s)

    # ----------------------------------------------------------- figures of a journey

    def live(self, journey: str) -> Live:
        """The live score at T."""
        return self._once(journey, ("live",), lambda: self._live(self._subject(journey)))

    def _live(self, subject: Subject) -> Live:
        at_s = self._control.watermark
        with self._control.lock:
            span = subject.track.walk.open
            found = of_track(subject.track, at_s * NS, span.start * MINUTE_NS if span else at_s * NS)
            now, severity = subject.pulse, subject.severity()
        return live.shown(found, now, severity)

    def figures(self, journey: str, from_s: int, to_s: int) -> Figures:
        """Everything counted over the window, as of its end."""
        return self._once(
            journey,
            ("figures", from_s, to_s),
            lambda: measure.figures(self._as_of(journey, to_s), from_s * NS, to_s * NS),
        )

    def series(self, journey: str, from_s: int, to_s: int, step_s: int) -> Series:
        """The window in equal steps; those after T are provisional."""
        return self._once(
            journey,
            ("series", from_s, to_s, step_s),
            lambda: measure.series(self._latest(journey), from_s, to_s, step_s, self._control.watermark),
        )

    def matrix(self, journey: str, from_s: int, to_s: int, rows: str, columns: str) -> dict[tuple[str, str], Share]:
        """Executions and customers by two dimensions."""
        return self._once(
            journey,
            ("matrix", from_s, to_s, rows, columns),
            lambda: measure.matrix(self._as_of(journey, to_s), from_s * NS, to_s * NS, rows, columns),
        )

    def exemplars(self, journey: str, from_s: int, to_s: int, limit: int) -> list[Exemplar]:
        """Harmful executions to look up in the trace back end."""
        return self._once(
            journey,
            ("exemplars", from_s, to_s, limit),
            lambda: measure.exemplars(self._as_of(journey, to_s), from_s * NS, to_s * NS, limit),
        )

    def errors(self, journey: str, from_s: int, to_s: int) -> list[ErrorClass]:
        """Failures and rejections by class and step."""
        return self._once(
            journey,
            ("errors", from_s, to_s),
            lambda: errors_of.errors(self._as_of(journey, to_s), from_s * NS, to_s * NS),
        )

    def budgets(self, journey: str) -> list[Budget]:
        """Error budgets at T; days whose rows are gone are carried."""
        return self._once(journey, ("budgets",), lambda: self._budgets(journey))

    def _budgets(self, journey: str) -> list[Budget]:
        found, kept = self._found(journey), self._control.kept[journey]
        since_s = int(found.columns.time.min()) // NS if len(found.columns) else 0
        with self._control.lock:
            carried = [each for day in kept.days.values() for each in day if each.until_s <= since_s]
        return budget.budgets(found, carried)

    def segment_budgets(self, journey: str) -> dict[str, list[Budget]]:
        """The same by segment."""
        return self._once(journey, ("budgets", "segment"), lambda: budget.by_segment(self._found(journey)))

    def account_budgets(self, journey: str, limit: int) -> list[tuple[Account, list[Budget]]]:
        """The same of the accounts that are worst off."""
        worst = self._once(
            journey, ("budgets", "account", limit), lambda: budget.by_account(self._found(journey), limit)
        )
        renewals = self.renewals()
        return [
            (account_of(account, attempts, failed, renewals.get(account)), theirs)
            for account, theirs, attempts, failed in worst
        ]

    def coverage(self, journey: str, from_s: int, to_s: int) -> Coverage:
        """Measured of expected slices; expected ones begin with the journey's first data (1.4)."""
        track = self._subject(journey).track
        first = track.since_s
        if first is None:
            return Coverage(0, 0, None, "no data of this journey has arrived yet")
        begin = max(from_s // SLICE_S * SLICE_S, first)
        slices = self._control.surroundings.beats.between(begin, to_s // SLICE_S * SLICE_S)
        measured, expected = int(slices.sum()), len(slices)
        return Coverage(
            measured=measured,
            expected=expected,
            since_s=first if first > from_s else None,
            reason=self._why_unmeasured(measured, expected),
        )

    def _why_unmeasured(self, measured: int, expected: int) -> str:
        if self._control.error:
            return f"the last evaluation failed: {self._control.error}"
        if expected and measured < COVERAGE_MIN * expected:
            return f"the collector was down or refusing for {(expected - measured) * SLICE_S} s of this window"
        return ""

    # ------------------------------------------------------------- what was judged

    def decision(self, journey: str) -> Decision:
        """What the tree of rules says at T."""
        return self._once(journey, ("decision",), lambda: self._asked(journey, Subject.answer))

    def tree(self, journey: str) -> list[Branch]:
        """The rules in order, with live values and what is missing."""
        return self._once(journey, ("tree",), lambda: self._asked(journey, Subject.branches))

    def _asked(self, journey: str, question: Callable[..., T]) -> T:
        subject = self._subject(journey)
        with self._control.lock:
            memory = self._control.judged.journeys[journey]
            return question(subject, memory.rules, self._control.judged.at_s)

    def records(self, journey: str, limit: int = 50) -> list[Record]:
        """Changes of rules' verdicts, newest first."""
        self._known(journey)
        return self._control.state.records(journey, limit)

    def alerts(self, journey: str, from_s: int, to_s: int) -> list[BurnAlert]:
        """Burn-rate alerts that were firing in the window."""
        self._known(journey)
        return self._control.state.alerts(journey, from_s, to_s)

    def incidents(self, *, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """The newest first."""
        return self._control.state.incidents(open_only=open_only, limit=limit)

    def incident(self, incident_id: str) -> Incident:
        """Raises NotFound."""
        found = self._control.state.incident(incident_id)
        if found is None:
            raise NotFound(f"there is no incident {incident_id!r}; /incidents lists what there is")
        return found

    def act(self, incident_id: str, command: Command) -> Incident:
        """Do what a person asked for; durable when it returns. Raises NotFound, BadQuestion when the status forbids."""
        try:
            return self._control.act(incident_id, command)
        except ActRefused as refused:
            raise BadQuestion(str(refused)) from refused

    def deliveries(self, incident_id: str | None, limit: int = 50) -> list[Delivery]:
        """Notices and what became of them, newest first; of one incident, or of all."""
        return self._control.state.deliveries(incident_id, limit)

    # ---------------------------------------------------------- what adds up, facts

    def paper_cuts(self, days: int) -> list[PaperCut]:
        """Small incidents that add up, by journey and cause."""
        with self._control.lock:
            entries = [entry for kept in self._control.kept.values() for entry in kept.ledger.values()]
        return ledger.paper_cuts(entries, self.inventory.journeys, self._control.watermark, days)

    def hurt_again(self, limit: int) -> list[HurtAgain]:
        """Customers hurt again and again within 30 days."""
        tables = []
        for name, kept in list(self._control.kept.items()):
            found = self._found(name)
            with self._control.lock:
                tables += list(kept.harmed.values())
                until = max((day + 1 for day in kept.harmed), default=0) * 24 * 3600
            tables.append(self._once(name, ("harmed", until), partial(_harmed_since, found, until)))
        return ledger.hurt_again(tables, limit=limit)

    def changes(self, from_s: int, to_s: int) -> list[Change]:
        """Deploys and flags in the window."""
        known = self._world()
        return [change(fact) for fact in known.known.deploys_and_flags(from_s, to_s)] if known else []

    def renewals(self) -> dict[str, Fact]:
        """Renewal facts by account."""
        known = self._world()
        return known.known.renewals if known else {}

    def saturation(self) -> dict[str, float | None]:
        """Share of its limit at T by resource; None: nothing was reported."""
        known = self._world()
        levels = known.levels if known else {}
        at_s = self._control.watermark
        return {name: levels[name].share(at_s) if name in levels else None for name in self.inventory.saturation}

    def intake(self) -> Intake:
        """Counters of what arrived; a failed round counts as a store error."""
        return self._control.intake()

    def traffic(self) -> list[Observed]:
        """Traffic that no journey maps."""
        return self._observed()

    # ------------------------------------------------------------------- memory

    def _world(self) -> World | None:
        return next((subject.world for subject in list(self._control.subjects.values())), None)

    def _known(self, journey: str) -> None:
        if journey not in self.inventory.journeys:
            raise NotFound(f"there is no journey {journey!r}; the inventory has {', '.join(self.inventory.journeys)}")

    def _subject(self, journey: str) -> Subject:
        self._known(journey)
        if not self._control.round or journey not in self._control.subjects:
            raise Unavailable(self._control.error or "the first evaluation is still under way", SLICE_S)
        return self._control.subjects[journey]

    def _once(self, journey: str, question: tuple[object, ...], answer: Callable[[], T]) -> T:
        """Compute an answer at most once a round."""
        self._subject(journey)
        memory = self._memory.get(journey)
        if memory is None or memory.round != self._control.round:
            memory = self._memory[journey] = Memory(self._control.round)
        if question not in memory.answers:
            found = answer()
            if len(memory.answers) >= CACHE_LIMIT:
                return found
            memory.answers[question] = found
        return memory.answers[question]  # type: ignore[return-value] # the key names the kind of answer

    def _found(self, journey: str) -> Evaluation:
        """The journey as of T."""
        return self._once(journey, ("found",), lambda: self._evaluated(self._subject(journey).track))

    def _evaluated(self, track: Track) -> Evaluation:
        with self._control.lock:
            return of_track(track, self._control.judged.at_s * NS)

    def _as_of(self, journey: str, to_s: int) -> Evaluation:
        """The journey as of ``to_s``: the round's evaluation, or one made for the question."""
        found = self._found(journey)
        if to_s * NS >= found.as_of_ns:
            return found
        return self._once(journey, ("as of", to_s), lambda: self._before(journey, to_s))

    def _before(self, journey: str, to_s: int) -> Evaluation:
        track = self._subject(journey).track
        with self._control.lock:
            table = track.table()
        minutes = self._control.surroundings.beats.minutes
        return measure.evaluate(table, track.journey, track.inventory, to_s * NS, minutes)

    def _latest(self, journey: str) -> Evaluation:
        """The round's evaluation with the rows that came after T added."""

        def add() -> Evaluation:
            with self._control.lock:
                track = self._subject(journey).track
                return of_track(track, self._control.clock() + FUTURE_NS)

        return self._once(journey, ("latest",), add)


def _harmed_since(found: Evaluation, from_s: int) -> pa.Table:
    return ledger.harmed_customers(found, from_s, found.as_of_ns // NS)
