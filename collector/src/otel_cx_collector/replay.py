"""The whole pipeline over recorded OTLP, time taken from the data: the same bytes for the same spans in any order.

Not a simulation: decode, tag, store, measure, decide and incidents are the calls that live traffic takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from otel_cx_collector.decide.words import Record
from otel_cx_collector.errors import UserError
from otel_cx_collector.events import NS, SLICE_S, Refusal
from otel_cx_collector.incidents.record import finding_json, report_json
from otel_cx_collector.incidents.words import Incident
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.judging import harm
from otel_cx_collector.judging.judge import Effects, judge
from otel_cx_collector.judging.state import State
from otel_cx_collector.judging.subject import Subject
from otel_cx_collector.judging.world import World
from otel_cx_collector.measure import saturation
from otel_cx_collector.measure.changes import Known, with_maintenance
from otel_cx_collector.measure.evaluation import figures, of_track
from otel_cx_collector.measure.figures import BurnAlert
from otel_cx_collector.measure.report import Json, alert, journey_report, timestamp
from otel_cx_collector.measure.track import Track
from otel_cx_collector.recording import NEVER_NS, Recording, read
from otel_cx_collector.store import Store

AFTER_S: Final = 24 * 3600
"""A report may be asked for so long after the last span: every slice up to it is judged."""


@dataclass(slots=True)
class Court:
    """The journeys of a recording under judgement, and what was judged so far."""

    inventory: Inventory
    world: World
    subjects: dict[str, Subject]
    state: State
    first_s: int
    last_s: int
    found: Effects = field(default_factory=Effects)

    def judge(self, to_s: int) -> None:
        """Judge every boundary up to ``to_s``."""
        effects = judge(self.subjects, self.state, to_s, self.world)
        self.found.records += effects.records
        self.found.tells += effects.tells
        self.found.alerts = _latest([*self.found.alerts, *effects.alerts])
        self.found.incidents |= effects.incidents


def run(paths: list[str], inventory: Inventory, at_s: list[int] | None = None) -> Json:
    """Replay recordings and report.

    Args:
        paths: Files of OTLP JSON lines and of facts, ``.gz`` too, ``-`` for standard input.
        inventory: The file to judge by.
        at_s: Moments (slice boundaries are made of them by rounding down) for which ``reports`` are added.

    Returns:
        The report of inventory.md as plain JSON values.

    Raises:
        UserError: A file cannot be read, or holds what this version does not evaluate.
    """
    recording = read(paths, inventory)
    table, tables, distinct = stored(recording, inventory)
    bench = court(recording, tables, table, inventory)
    moments = [at // SLICE_S * SLICE_S for at in at_s or []]
    if moments and max(moments) > bench.last_s + AFTER_S:
        raise UserError(
            f"--at {timestamp(max(moments))} lies more than a day after the end of the recording, "
            f"{timestamp(bench.last_s)}; ask for a time in it, or soon after"
        )
    reports = {at: _as_of(bench, at) for at in sorted(set(moments)) if at <= bench.last_s}
    report = _head(recording, table, distinct, bench) | _as_of(bench, bench.last_s)
    reports |= {at: _as_of(bench, at) for at in sorted(set(moments)) if at > bench.last_s}
    if moments:
        report["reports"] = [{"at": timestamp(at)} | reports[at] for at in moments]
    return report


def stored(recording: Recording, inventory: Inventory) -> tuple[pa.Table, dict[str, pa.Table], int]:
    """The rows as they came, as an embedded store gives them back by journey, and how many distinct ones there are."""
    table = recording.rows()
    with Store.temporary() as store:
        store.insert_steps(table)
        tables = {name: store.steps(name, 0, NEVER_NS, inventory.environments) for name in inventory.journeys}
        distinct = sum(count.rows for count in store.counts(0, NEVER_NS))
    return table, tables, distinct


def court(recording: Recording, tables: Mapping[str, pa.Table], table: pa.Table, inventory: Inventory) -> Court:
    """The journeys of a recording before the first boundary is judged."""
    known = Known(recording.facts)
    maintained = with_maintenance(inventory, recording.facts)
    world = World(maintained, saturation.build(recording.points, inventory), known)
    subjects = {}
    for name, journey in maintained.journeys.items():
        track = Track(journey, maintained)
        track.add(tables[name])
        subjects[name] = Subject(track, world)
    first_s, last_s = _extent(table)
    return Court(maintained, world, subjects, State(first_s), first_s, last_s)


def _head(recording: Recording, table: pa.Table, distinct: int, bench: Court) -> Json:
    return {
        "version": 1,
        "from": timestamp(bench.first_s),
        "to": timestamp(bench.last_s),
        "spans": {
            "received": recording.received,
            "steps": distinct,
            "synthetic": recording.synthetic,
            "duplicates": table.num_rows - distinct,
            "rejected": {str(reason): recording.rejected[reason] for reason in Refusal},
        },
    }


def _as_of(bench: Court, to_s: int) -> Json:
    """Everything as of ``to_s``, which is judged up to then."""
    bench.judge(to_s)
    journeys = {
        name: journey_report(figures(of_track(subject.track, to_s * NS), bench.first_s * NS))
        for name, subject in bench.subjects.items()
    }
    return {
        "journeys": journeys,
        "alerts": [alert(each) for each in bench.found.alerts],
        "decisions": [decision(each) for each in bench.found.records],
        "incidents": [report_json(_now(bench, each, to_s)) for each in _opened(bench)],
    }


def decision(record: Record) -> Json:
    """One verdict of a rule that was new."""
    return {
        "rule": record.rule,
        "journey": record.journey,
        "at": timestamp(record.at_s),
        "verdict": record.verdict.value,
        "severity": record.severity,
        "action": record.action,
        "because": [finding_json(each) for each in record.because],
    }


def _opened(bench: Court) -> list[Incident]:
    """Incidents in the order of their opening."""
    return sorted(bench.found.incidents.values(), key=lambda each: (each.opened_s, each.journey))


def _now(bench: Court, incident: Incident, to_s: int) -> Incident:
    """The incident with its figures as of ``to_s`` (4.10)."""
    return replace(incident, facts=harm.facts(bench.subjects[incident.journey].track, incident, to_s, bench.world))


def _latest(alerts: list[BurnAlert]) -> list[BurnAlert]:
    """Each alert once, resolved where it was resolved, in the order of firing."""
    known = {(each.journey, each.sli, each.step, each.policy, each.fired_s): each for each in alerts}
    return sorted(known.values(), key=lambda each: (each.fired_s, each.journey, each.sli, each.step or "", each.policy))


def _extent(table: pa.Table) -> tuple[int, int]:
    """Start of the first slice and end of the last one that hold a row; 0, 0 when there is none."""
    if not table.num_rows:
        return 0, 0
    ends = pc.min_max(table["end"]).as_py()
    slice_ns = SLICE_S * NS
    return ends["min"] // slice_ns * SLICE_S, (ends["max"] // slice_ns + 1) * SLICE_S
