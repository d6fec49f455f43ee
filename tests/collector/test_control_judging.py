"""What control does with a judgement: incidents, notices and records in one transaction, people's acts, a restart."""

from dataclasses import replace

import pyarrow as pa
import pytest
from control_scene import Scene, stored
from rows import START_S, Row

from otel_cx_collector import inventory
from otel_cx_collector.errors import Unavailable
from otel_cx_collector.events import NS, Fact, FactKind, SignalPoint, signal_batch
from otel_cx_collector.incidents.machine import ActRefused
from otel_cx_collector.incidents.words import Act, Command, Happening, Status
from otel_cx_collector.state import Round, State
from otel_cx_collector.views.source import BadQuestion, NotFound

FILE = inventory.parse(
    """
journeys: {checkout: {steps: [payment], objectives: [{sli: availability, target: 99%}]}}
notify:
  oncall: {slack: {webhook_url_file: /run/secrets/slack}}
"""
)
OUTAGE_S = 3600


def traffic(until_s: int, hurt_until_s: int = 10**9) -> pa.Table:
    """An attempt a second; all of them fail from OUTAGE_S until ``hurt_until_s``."""
    return stored(
        [
            Row(
                at + 0.5,
                f"a{at}",
                outcome="failed" if OUTAGE_S <= at < hurt_until_s else "ok",
                customer=f"k1.{at:022d}",
            )
            for at in range(until_s)
        ]
    )


def hurt(state: State | None = None) -> Scene:
    """Two minutes into an outage, judged every ten seconds since just before it."""
    scene = Scene(inventory=FILE, state=state or State.memory(), now_s=OUTAGE_S - 60)
    scene.store.arrived.append(traffic(OUTAGE_S + 600))
    for at_s in range(OUTAGE_S - 30, OUTAGE_S + 131, 10):
        scene.judge(at_s)
    return scene


def test_an_outage_opens_one_incident_with_its_figures_and_tells_once() -> None:
    scene = hurt()
    (incident,) = scene.answers.incidents()
    assert (incident.started_s, incident.severity) == (START_S + OUTAGE_S, "P1")
    assert incident.facts is not None
    assert incident.facts.reach.affected == incident.facts.reach.active > 50
    told = scene.answers.deliveries(incident.id)
    assert [(each.channel, each.what) for each in told] == [("oncall", "opened")]


def test_the_records_of_verdicts_are_kept_and_the_tree_shows_the_values_of_now() -> None:
    scene = hurt()
    assert scene.answers.records("checkout")[0].verdict.value == "true"
    decision = scene.answers.decision("checkout")
    assert (decision.rule, decision.severity) == ("impact", "P1")
    (branch,) = scene.answers.tree("checkout")
    assert branch.decides
    assert branch.node.finding is not None
    assert branch.node.finding.value == pytest.approx(scene.answers.live("checkout").score)


def test_after_a_restart_judging_goes_on_and_nobody_is_told_twice() -> None:
    scene = hurt()
    before = scene.answers.incidents()
    again = Scene(inventory=FILE, state=scene.state, store=scene.store, now_s=OUTAGE_S + 140)
    for at_s in range(OUTAGE_S + 140, OUTAGE_S + 201, 10):
        again.judge(at_s)
    (incident,) = again.answers.incidents()
    assert incident.id == before[0].id
    assert [each.what for each in again.answers.deliveries(incident.id)] == ["opened"]
    assert len(again.answers.records("checkout")) == len(scene.answers.records("checkout"))


def test_boundaries_that_were_missed_are_judged_on_return_late_rather_than_never() -> None:
    scene = Scene(inventory=FILE, now_s=OUTAGE_S - 60)
    scene.store.arrived.append(traffic(OUTAGE_S + 600, hurt_until_s=OUTAGE_S + 180))
    scene.store.beats["one"] = [START_S + at for at in range(0, OUTAGE_S + 600, 10)]
    scene.judge(OUTAGE_S - 30)
    scene.judge(OUTAGE_S + 600)
    (incident,) = scene.answers.incidents()
    assert incident.opened_s < START_S + OUTAGE_S + 180
    assert incident.status is Status.OPEN


def test_a_round_that_cannot_be_written_is_written_before_the_next_one_judges() -> None:
    class Full(State):
        broken = False

        def commit(self, round_: Round) -> None:
            if self.broken:
                raise Unavailable("the disk is full")
            super().commit(round_)

    state = Full.memory()
    scene = Scene(inventory=FILE, state=state, now_s=OUTAGE_S - 60)
    scene.store.arrived.append(traffic(OUTAGE_S + 600))
    scene.judge(OUTAGE_S - 30)
    state.broken = True
    with pytest.raises(Unavailable):
        scene.judge(OUTAGE_S + 90)
    assert scene.answers.incidents() == []
    state.broken = False
    scene.judge(OUTAGE_S + 100)
    (incident,) = scene.answers.incidents()
    assert [each.what for each in scene.answers.deliveries(incident.id)] == ["opened"]


def test_what_a_person_does_is_kept_through_the_next_rounds_and_leaves_an_audit_trail() -> None:
    scene = hurt()
    (incident,) = scene.answers.incidents()
    acknowledged = scene.answers.act(incident.id, Command(Act.ACKNOWLEDGE, "Kim", "on it", START_S + OUTAGE_S + 131))
    assert acknowledged.status is Status.ACKNOWLEDGED
    scene.judge(OUTAGE_S + 150)
    now = scene.answers.incident(incident.id)
    assert now.status is Status.ACKNOWLEDGED
    assert [entry.what for entry in now.history][-1] is Happening.ACKNOWLEDGED
    assert [(line.who, line.act, line.after) for line in scene.state.audit(incident.id)] == [
        ("Kim", Act.ACKNOWLEDGE, Status.ACKNOWLEDGED)
    ]
    assert [each.what for each in scene.answers.deliveries(incident.id)] == ["acknowledged", "opened"]


def test_what_the_status_forbids_is_refused_with_what_is_possible() -> None:
    scene = hurt()
    (incident,) = scene.answers.incidents()
    command = Command(Act.REOPEN, "Kim", "", START_S + OUTAGE_S + 131)
    with pytest.raises((BadQuestion, ActRefused), match="possible now"):
        scene.answers.act(incident.id, command)
    with pytest.raises(NotFound, match="nope"):
        scene.answers.act("nope", command)


def test_an_incident_closes_ten_measured_minutes_after_the_harm_and_its_figures_are_frozen() -> None:
    scene = Scene(inventory=FILE, now_s=OUTAGE_S - 60)
    scene.store.arrived.append(traffic(OUTAGE_S + 1800, hurt_until_s=OUTAGE_S + 180))
    for at_s in range(OUTAGE_S - 30, OUTAGE_S + 1500, 10):
        scene.judge(at_s)
    (incident,) = scene.answers.incidents()
    assert incident.status is Status.RESOLVED
    assert incident.closed_s is not None
    assert incident.facts is not None
    assert incident.facts.at_s == incident.closed_s
    assert scene.answers.deliveries(incident.id)[0].what == "resolved"
    assert [entry.what for entry in incident.history if entry.what is Happening.RESOLVED] == [Happening.RESOLVED]


def test_a_deploy_shortly_before_is_shown_in_the_incident_and_among_the_changes() -> None:
    scene = Scene(inventory=FILE, now_s=OUTAGE_S - 60)
    deploy = Fact("d-1", (START_S + OUTAGE_S - 180) * NS, FactKind.DEPLOY, service="shop", version="1.8.2")
    scene.store.facts.append(deploy)
    scene.store.arrived.append(traffic(OUTAGE_S + 600))
    for at_s in range(OUTAGE_S - 30, OUTAGE_S + 131, 10):
        scene.judge(at_s)
    (incident,) = scene.answers.incidents()
    assert [change.what for change in incident.changes] == ["shop 1.8.2"]
    assert [change.id for change in scene.answers.changes(START_S, START_S + OUTAGE_S)] == ["d-1"]


def test_a_maintenance_that_becomes_known_takes_its_executions_out_of_the_figures() -> None:
    scene = hurt()
    before = scene.answers.figures("checkout", START_S, START_S + OUTAGE_S + 100).steps["payment"].failed
    window = Fact(
        "m-1", (START_S + OUTAGE_S) * NS, FactKind.MAINTENANCE, journey="checkout", until_ns=(START_S + 9000) * NS
    )
    scene.store.facts.append(window)
    scene.judge(OUTAGE_S + 150)
    (budget,) = scene.answers.budgets("checkout")
    assert before > 0
    assert (budget.spent, budget.total) == (0, OUTAGE_S)


def test_slices_without_measurement_open_nothing() -> None:
    scene = Scene(inventory=FILE, now_s=OUTAGE_S - 60)
    scene.store.arrived.append(traffic(OUTAGE_S + 600))
    scene.store.beats["one"] = [START_S + at for at in range(0, OUTAGE_S - 60, 10)]
    scene.took_all = False
    for at_s in range(OUTAGE_S - 30, OUTAGE_S + 500, 10):
        scene.judge(at_s)
    assert scene.answers.incidents() == []
    assert scene.answers.decision("checkout").verdict.value == "unknown"


def test_a_watermark_that_is_old_stops_the_heartbeat() -> None:
    scene = hurt()
    assert scene.control.healthy()
    scene.now_s += 200
    assert not scene.control.healthy()


def test_a_saved_state_of_another_version_begins_afresh_at_its_time() -> None:
    scene = hurt()
    saved = scene.state.load()
    assert saved is not None
    scene.state.commit(Round(watermark_s=saved.watermark_s, version=99, blob=b"{}"))
    again = Scene(inventory=FILE, state=scene.state, store=scene.store, now_s=OUTAGE_S + 140)
    assert again.control.judged.at_s == saved.watermark_s
    again.judge(OUTAGE_S + 150)
    assert len(again.answers.incidents()) == 1


def test_rules_that_were_rewritten_begin_afresh() -> None:
    scene = hurt()
    other = inventory.parse(
        """
journeys: {checkout: {steps: [payment], objectives: [{sli: availability, target: 99%}]}}
escalation: [{name: impact, journey: "*", when: {impact: score, above: 60}, then: {severity: P2}}]
"""
    )
    again = Scene(inventory=other, state=scene.state, store=scene.store, now_s=OUTAGE_S + 140)
    assert again.control.judged.journeys["checkout"].rules == {}
    kept = replace(scene.control.judged.journeys["checkout"]).rules
    assert set(kept) == {"impact"}


def test_half_measured_for_five_minutes_is_told_and_so_is_its_end() -> None:
    scene = Scene(inventory=FILE, now_s=OUTAGE_S - 60)
    scene.store.arrived.append(traffic(OUTAGE_S))
    scene.store.beats["one"] = [START_S + at for at in range(0, OUTAGE_S, 10)]
    for at_s in range(OUTAGE_S, OUTAGE_S + 600, 10):
        scene.took_all = at_s % 20 == 0
        scene.judge(at_s)
        scene.control.look_after()
    scene.took_all = True
    for at_s in range(OUTAGE_S + 600, OUTAGE_S + 900, 10):
        scene.judge(at_s)
        scene.control.look_after()
    told = [(each.what, each.incident) for each in scene.answers.deliveries(None)]
    assert told == [("recovered", "watch"), ("unmeasured", "watch")]


def test_levels_that_come_again_are_one_and_the_share_is_of_the_boundary_that_was_judged() -> None:
    file = inventory.parse(
        """
journeys: {checkout: {steps: [{name: payment, depends_on: [db]}]}}
saturation: {db: {metric: db.client.connection.count, limit: 50}}
"""
    )
    scene = Scene(inventory=file, now_s=100)
    for at_s, value in ((60, 40.0), (60, 40.0), (75, 45.0)):
        point = SignalPoint("db", "billing", "used", (START_S + at_s) * NS, value)
        scene.store.levels.append(pa.Table.from_batches([signal_batch([point])]))
        scene.judge(at_s + 30)
    assert scene.answers.saturation() == {"db": 0.9}
    assert scene.control.surroundings.levels is not None
    assert scene.control.surroundings.levels.num_rows == 2
