"""One evaluation round on one screen: read what is new, judge every boundary, write it in one transaction.

measure -> decide -> incidents -> effects. Rows of the last days stay in memory as tracks, so that a round reads and
computes only what came since the last one. Questions are answered in ``answers``, from what a round leaves.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from otel_cx_collector import keeping
from otel_cx_collector.coverage import SETTLE_MIN_S, Arrivals, Beats
from otel_cx_collector.decide.tree import fitting, rules_for
from otel_cx_collector.errors import Unavailable
from otel_cx_collector.events import MINUTE_S, NS, SIGNAL_SCHEMA, SLICE_S, Fact
from otel_cx_collector.health_watch import Watch, conditions
from otel_cx_collector.incidents.machine import act
from otel_cx_collector.incidents.words import Command, Incident, Tell
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.judging import state as memory
from otel_cx_collector.judging.judge import Effects, judge
from otel_cx_collector.judging.subject import Subject
from otel_cx_collector.judging.world import World
from otel_cx_collector.keeping import Kept
from otel_cx_collector.logbook import Repeated
from otel_cx_collector.measure import saturation
from otel_cx_collector.measure.burn import COVERAGE_MIN
from otel_cx_collector.measure.changes import Known, with_maintenance
from otel_cx_collector.measure.track import Track
from otel_cx_collector.notify.route import notices_for
from otel_cx_collector.state import Audit, NewNotice, Round, Stale, State
from otel_cx_collector.state.words import queued
from otel_cx_collector.store import StoreError
from otel_cx_collector.views.source import Intake, NotFound

REACH_S: Final = 8 * 24 * 3600
"""Rows stay in memory as long as the store keeps them, but"""
ROWS_LIMIT: Final = 2_000_000
"""no more than this many a journey (about 0.5 GiB): over it the oldest go, and the figures say since when."""
CATCH_UP_S: Final = 24 * 3600
"""After a stop the boundaries that were missed are judged, the last day's at most: late rather than never."""
HOUR_S: Final = 3600
FACTS_S: Final = 400 * 24 * 3600
LEVELS_S: Final = 24 * 3600
"""Levels of resources are kept in memory for this long."""

log = structlog.get_logger(__name__)


class Rows(Protocol):
    """What control needs of the store."""

    def steps(self, journey: str, start_ns: int, end_ns: int, environments: tuple[str, ...]) -> pa.Table:
        """Rows of a journey, deduplicated."""
        ...

    def cursor_us(self) -> int:
        """Where ``steps_inserted_since`` begins."""
        ...

    def steps_inserted_since(self, journey: str, cursor_us: int) -> tuple[pa.Table, int]:
        """Copies of rows inserted after the cursor, of all environments, and the next cursor."""
        ...

    def facts_since(self, cursor_us: int) -> tuple[list[Fact], int]:
        """Facts inserted after the cursor, and the next cursor."""
        ...

    def signals_since(self, cursor_us: int) -> tuple[pa.Table, int]:
        """Levels inserted after the cursor, and the next cursor."""
        ...

    def heartbeats(self, start_s: int, end_s: int) -> dict[str, list[int]]:
        """Slices for which each node said so."""
        ...


@dataclass(slots=True)
class Surroundings:
    """Facts, levels and heartbeats as far as they were read."""

    facts: list[Fact] = field(default_factory=list)
    facts_us: int = 0
    levels: pa.Table | None = None
    levels_us: int = 0
    beats: Beats = field(default_factory=Beats)


@dataclass
class Control:
    """Judges, and remembers the last round.

    Attributes:
        inventory: The file in force.
        rows: The store.
        state: Where judging stands, incidents, and the outbox.
        clock: Nanoseconds since the epoch.
        prepare: Called before each round: an ingest node in this process stores what it took, and says so.
        counters: Reads what arrived so far.
        url: Where the pages are, for notices.
        lock: Guards tracks and judging state; a question that looks at them holds it.
    """

    inventory: Inventory
    rows: Rows
    state: State
    clock: Callable[[], int]
    prepare: Callable[[], None]
    counters: Callable[[], Intake]
    url: str = ""
    lock: threading.RLock = field(default_factory=threading.RLock)
    subjects: dict[str, Subject] = field(default_factory=dict)
    judged: memory.State = field(default_factory=lambda: memory.State(0))
    kept: dict[str, Kept] = field(default_factory=dict)
    surroundings: Surroundings = field(default_factory=Surroundings)
    error: str = ""
    settle: int = SETTLE_MIN_S
    watermark: int = 0
    round: int = 0
    took_s: float = 0.0
    """How long the last round took."""
    _cursors: dict[str, int] = field(default_factory=dict)
    _unwritten: list[Round] = field(default_factory=list)
    _watch: Watch = field(default_factory=Watch)
    _store_failed: bool = False
    """The last round failed because of the store."""
    _failing_s: int | None = None
    """Since when each look after ourselves found that the store fails."""
    _dark: dict[str, int] = field(default_factory=dict)
    _hour: int = 0
    _turned: threading.Condition = field(default_factory=threading.Condition)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        """Nothing was taken before now; what was judged before is taken up again."""
        self._arrivals = Arrivals(self.now_s())
        self._failures = Repeated(log, "round.failed", self.clock)
        self._untold = Repeated(log, "health.untold", self.clock)
        saved = self.state.load()
        if saved is not None:
            latest = [incident for name in self.inventory.journeys if (incident := self.state.latest(name))]
            self.judged = memory.read(saved.watermark_s, saved.version, saved.blob, latest)
            for name, journey in self.judged.journeys.items():
                journey.rules = fitting(rules_for(self.inventory, name), journey.rules)

    def now_s(self) -> int:
        """The wall clock."""
        return self.clock() // NS

    # ------------------------------------------------------------------ rounds

    def start(self) -> None:
        """Judge every slice boundary in a thread of its own, from now on."""
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the round under way."""
        self._stop.set()
        with self._turned:
            self._turned.notify_all()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.turn()
            due = (self.watermark + SLICE_S + self.settle) * NS
            wait_s = min(max((due - self.clock()) / NS, 0.5), SLICE_S)
            self._stop.wait(wait_s)

    def turn(self) -> None:
        """One round, which may fail, and a look after ourselves."""
        try:
            self.judge()
            self._failures.worked()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next round may succeed
            self.error = str(error) or type(error).__name__
            self._store_failed = isinstance(error, StoreError)
            self._failures.failed(error)
        self.look_after()

    def judge(self) -> None:
        """One round: read what is new, judge every boundary up to the newest settled one, write what follows."""
        began_ns = self.clock()
        now_s = began_ns // NS
        self.prepare()
        with self.lock:
            self._write()
            world = self._look(now_s)
            self._read(now_s, world)
            to_s = max(self.judged.at_s, (now_s - self.settle) // SLICE_S * SLICE_S)
            begin_s = to_s - SLICE_S if not self.judged.at_s else to_s - CATCH_UP_S
            self.judged.at_s = max(self.judged.at_s, begin_s)
            effects = judge(self.subjects, self.judged, to_s, world)
            self._unwritten.append(self._round(effects))
            self._write()
            self._keep(now_s)
        with self._turned:
            self.watermark, self.error, self._store_failed = to_s, "", False
            self.took_s = (self.clock() - began_ns) / NS
            self.round += 1
            self._turned.notify_all()

    def _look(self, now_s: int) -> World:
        """Read heartbeats, facts and levels; a maintenance that is new changes what is counted of its journey."""
        around = self.surroundings
        around.beats = Beats.of(
            self.rows.heartbeats(now_s - REACH_S, now_s + SLICE_S).values(),
            (now_s - REACH_S) // SLICE_S * SLICE_S,
            now_s // SLICE_S * SLICE_S,
        )
        facts, around.facts_us = self.rows.facts_since(around.facts_us)
        if facts:
            known_facts = {each.id: each for each in [*around.facts, *facts]}
            around.facts = [each for each in known_facts.values() if each.at_ns > (now_s - FACTS_S) * NS]
        fresh, around.levels_us = self.rows.signals_since(around.levels_us)
        if fresh.num_rows:
            known = [around.levels] if around.levels is not None else []
            table = pa.concat_tables([*known, fresh.select(SIGNAL_SCHEMA.names).cast(SIGNAL_SCHEMA)])
            table = table.filter(pc.greater_equal(table["at_ns"], (now_s - LEVELS_S) * NS))
            around.levels = table.group_by(SIGNAL_SCHEMA.names).aggregate([])  # several servers give some again
        inventory = with_maintenance(self.inventory, around.facts)
        return World(
            inventory=inventory,
            levels=saturation.build(around.levels if around.levels is not None else [], inventory),
            known=Known(around.facts),
            measured_slices=around.beats.between,
            measured_minutes=around.beats.minutes,
        )

    def _read(self, now_s: int, world: World) -> None:
        """Bring every track up to date, and take the arrival lag."""
        fresh = {name: self._rows(name, now_s) for name in self.inventory.journeys}
        self.settle = self._arrivals.settle_s(fresh.values(), now_s)
        for name, table in fresh.items():
            known = self.subjects.get(name)
            if known is None or known.track.inventory.maintenance_of(name) != world.inventory.maintenance_of(name):
                self.subjects[name] = self._subject(name, world, table if known is None else None, now_s)
            else:
                known.world = world
                known.track.add(table)
            track = self.subjects[name].track
            if track.rows > ROWS_LIMIT:
                track.thin(ROWS_LIMIT)

    def _rows(self, name: str, now_s: int) -> pa.Table:
        environments = self.inventory.environments
        if name not in self._cursors:
            # The cursor first: what is inserted while the rows are read comes again with the next round.
            cursor = self.rows.cursor_us()
            table = self.rows.steps(name, (now_s - REACH_S) * NS, (now_s + MINUTE_S * 10) * NS, environments)
            self._cursors[name] = cursor
            return table
        table, self._cursors[name] = self.rows.steps_inserted_since(name, self._cursors[name])
        return table.filter(pc.is_in(table["environment"].cast(pa.string()), value_set=pa.array(environments)))

    def _subject(self, name: str, world: World, table: pa.Table | None, now_s: int) -> Subject:
        """A journey's track from its rows; from the store again when what counts of them has changed."""
        if table is None:
            del self._cursors[name]
            table = self._rows(name, now_s)
        journey = world.inventory.journeys[name]
        kept = self.kept.setdefault(name, keeping.load(self.state, journey))
        track = Track(journey, world.inventory, kept.hours)
        track.add(table)
        return Subject(track, world)

    def use(self, inventory: Inventory) -> None:
        """Judge by another inventory from the next round on; its rows are read from the store again.

        Rules that stay as they are written go on where they stood; what people see of journeys that are gone stays.
        """
        with self.lock:
            self._write()
            self.inventory = inventory
            for memory_of in (self.subjects, self.kept, self._cursors):
                memory_of.clear()
            for name in list(self.judged.journeys):
                if name in inventory.journeys:
                    known = self.judged.journeys[name]
                    known.rules = fitting(rules_for(inventory, name), known.rules)
                else:
                    del self.judged.journeys[name]

    # ----------------------------------------------------------------- effects

    def _round(self, effects: Effects) -> Round:
        notices = [notice for tell in effects.tells for notice in self._notices(tell)]
        return Round(
            watermark_s=self.judged.at_s,
            version=memory.VERSION,
            blob=memory.write(self.judged),
            incidents=tuple(effects.incidents.values()),
            records=tuple(effects.records),
            alerts=tuple(effects.alerts),
            notices=tuple(notices),
        )

    def _notices(self, tell: Tell) -> list[NewNotice]:
        return [queued(notice) for notice in notices_for(tell, self.inventory, self.url)]

    def _write(self) -> None:
        """Commit what rounds have asked for; what cannot be written now is written before the next round judges."""
        while self._unwritten:
            self.state.commit(self._unwritten[0])
            del self._unwritten[0]

    def act(self, incident_id: str, command: Command) -> Incident:
        """Do what a person asked for; durable when it returns.

        Raises:
            NotFound: There is no such incident.
            ActRefused: Its status does not allow it.
            Unavailable: The working state cannot be written now.
        """
        with self.lock:
            self._write()
            try:
                return self._act(incident_id, command)
            except Stale:  # somebody else wrote in between: what they wrote is there now
                return self._act(incident_id, command)

    def _act(self, incident_id: str, command: Command) -> Incident:
        revision, incident = self.state.revision(incident_id), self.state.incident(incident_id)
        if incident is None:
            raise NotFound(f"there is no incident {incident_id!r}; /incidents lists what there is")
        journey = self.judged.journeys.get(incident.journey)
        after, tells = act(incident, command, journey.incident if journey else None)
        audit = Audit(
            incident.id,
            command.at_s,
            after.history[-1].who,
            command.act,
            command.text,
            incident.status,
            after.status,
        )
        notices = [notice for tell in tells for notice in self._notices(tell)]
        self.state.act(after, audit, notices, revision=revision)
        if journey and journey.incident and journey.incident.id == after.id:
            journey.incident = after
        return after

    # ------------------------------------------------------------------ health

    def intake(self) -> Intake:
        """Counters of what arrived; a failed round counts as a store error."""
        intake = self.counters()
        return replace(intake, store_ok=False, store_error=self.error) if self.error else intake

    def look_after(self) -> None:
        """Tell people when we are blind; the working state does not need the store for it."""
        now_s = self.now_s()
        intake = self.counters()
        failing = self._store_failed or not intake.store_ok
        self._failing_s = (self._failing_s or now_s) if failing else None
        recent = self.surroundings.beats.between(self.watermark - 2 * MINUTE_S, self.watermark)
        for name, subject in self.subjects.items():
            if subject.track.since_s is not None and recent.mean() < COVERAGE_MIN:
                self._dark.setdefault(name, now_s)
            else:
                self._dark.pop(name, None)
        wrong = list(conditions(now_s, self.watermark, self.settle, intake, self.error, self._failing_s, self._dark))
        try:
            notices = self._watch.notices(wrong, now_s, self.inventory, self.url)
            if notices:
                self.state.tell([queued(notice) for notice in notices])
        except Unavailable as error:
            self._untold.failed(error)

    def healthy(self) -> bool:
        """Whether what is judged is fresh: the dead-man heartbeat is sent only then."""
        return bool(self.round) and self.now_s() - self.watermark < self.settle + 6 * SLICE_S

    def _keep(self, now_s: int) -> None:
        """Once an hour: close hours and days, drop old rows, prune what is kept."""
        if now_s // HOUR_S == self._hour:
            return
        self._hour = now_s // HOUR_S
        for name, subject in self.subjects.items():
            keeping.update(self.state, self.kept[name], subject.track, self.judged.at_s)
            subject.track.drop(now_s - REACH_S)
        self.state.prune(now_s)

    # ----------------------------------------------------------------- waiting

    def wait_round(self, after: int, timeout_s: float) -> int:
        """Block until a round beyond ``after`` is there, the timeout, or the end."""
        with self._turned:
            self._turned.wait_for(lambda: self.round > after or self._stop.is_set(), timeout_s)
            return self.round
