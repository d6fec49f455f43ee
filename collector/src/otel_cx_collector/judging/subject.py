"""One journey under judgement: its track, its rules, its burn-rate policies, and what it is at T. Opens nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from otel_cx_collector.decide.tree import Branch, RuleState, answer, decide, rules_for, tree
from otel_cx_collector.decide.words import Decision, Record, Severity, Truth
from otel_cx_collector.events import MINUTE_S, NS, SLICE_S
from otel_cx_collector.incidents.words import Standing, Trigger
from otel_cx_collector.inventory.decisions import Rule
from otel_cx_collector.judging.evidence import At
from otel_cx_collector.judging.state import JourneyState
from otel_cx_collector.judging.world import World
from otel_cx_collector.measure import live
from otel_cx_collector.measure.budgets import FLOOR_MINUTES, hurt_accounts
from otel_cx_collector.measure.burn import LONGEST_S, BurnState, Policy, policies, walk
from otel_cx_collector.measure.evaluation import of_track
from otel_cx_collector.measure.figures import BurnAlert
from otel_cx_collector.measure.live import Pulse
from otel_cx_collector.measure.slices import running
from otel_cx_collector.measure.track import Track

RENEWAL_NEAR_DAYS: Final = 30
"""An account whose renewal is due within it is escalated (4.9)."""
SLICE_NS: Final = SLICE_S * NS


@dataclass
class Subject:
    """One journey's track, and where its judgement stands between two boundaries."""

    track: Track
    world: World
    pulse: Pulse | None = None
    """Of the last closed minute that was measured."""
    firing: dict[str, list[BurnAlert]] = field(default_factory=dict)
    """By policy, alerts that were on in the range under judgement, in order of time."""
    _severity: tuple[int, Severity] | None = None
    rules: tuple[Rule, ...] = ()
    policies: list[Policy] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Which rules and policies there are follows from the inventory."""
        self.rules = rules_for(self.world.inventory, self.track.journey.name)
        self.policies = policies(self.track.journey)

    @property
    def name(self) -> str:
        """The journey's."""
        return self.track.journey.name

    def burn(self, state: JourneyState, from_s: int, to_s: int) -> tuple[BurnAlert, ...]:
        """Walk every burn-rate policy over ``(from_s, to_s]``; the alerts that fired or resolved there."""
        changed: list[BurnAlert] = []
        since = self.track.since_s
        if since is None:
            return ()
        begin = max(since, from_s - LONGEST_S - SLICE_S)
        for policy in self.policies:
            index = self.track.journey.objectives.index(policy.objective)
            sums = running(self.track.slices, self.track.asked.objectives[index], begin, to_s)
            measured = self.world.measured_slices(sums.start_s, sums.end_s)
            name = key(policy)
            before = state.burns.get(name, BurnState())
            alerts, state.burns[name] = walk(sums, policy, from_s, max(to_s, sums.start_s), measured, before)
            self.firing[name] = alerts
            changed += [
                alert
                for alert in alerts
                if alert.fired_s > from_s or (alert.resolved_s is not None and alert.resolved_s > from_s)
            ]
        return tuple(changed)

    def close(self, at_s: int) -> bool:
        """Close the minutes that have ended by T; whether one did that was measured. A restart closes none."""
        self.track.close(at_s, self.world.measured_minutes)
        if self.pulse is not None and self.pulse.minute >= at_s // MINUTE_S - 1:
            return False
        closed = np.flatnonzero(self.track.measured[: max(0, at_s // MINUTE_S - self.track.first)])
        minute = self.track.first + int(closed[-1]) if len(closed) else -1
        if minute < 0 or (self.pulse is not None and self.pulse.minute >= minute):
            return False
        taken_up = self.pulse is None and at_s != (minute + 1) * MINUTE_S
        self.pulse = live.pulse(self.track, minute)
        return not taken_up

    def at(self, at_s: int) -> At:
        """The evidence at T."""
        return At(self.track, at_s, self.pulse.score if self.pulse else 0.0, self.severity, self.world)

    def severity(self) -> Severity:
        """Severity by score with its floors (4.9), as of the last closed minute that was measured."""
        if self.pulse is None:
            return live.band(0.0)
        if self._severity is None or self._severity[0] != self.pulse.minute:
            found = live.severity(self.track, self.pulse, self._account_floor((self.pulse.minute + 1) * MINUTE_S))
            self._severity = self.pulse.minute, found
        return self._severity[1]

    def _account_floor(self, closed_s: int) -> Severity | None:
        recent = of_track(self.track, closed_s * NS, (closed_s - FLOOR_MINUTES * MINUTE_S) * NS)
        hurt = [account for account, _, _ in hurt_accounts(recent)]
        if not hurt:
            return None
        known = self.world.known
        return "P2" if any(known.due_within(account, closed_s, RENEWAL_NEAR_DAYS) for account in hurt) else "P3"

    def decide(self, state: JourneyState, at_s: int) -> tuple[Decision, tuple[Record, ...]]:
        """The tree's answer at T; advances the rules' states."""
        decision, state.rules, records = decide(self.rules, state.rules, self.at(at_s), self.name)
        return decision, records

    def answer(self, rules: dict[str, RuleState], at_s: int) -> Decision:
        """The decision with the findings of T, for a question."""
        return answer(self.rules, rules, self.at(at_s), self.name)

    def branches(self, rules: dict[str, RuleState], at_s: int) -> list[Branch]:
        """The tree with its live values."""
        return tree(self.rules, rules, self.at(at_s), self.name)

    def standing(self, decision: Decision, at_s: int) -> Standing:
        """What the incident machine is told: a rule that opens one, else a burn alert of kind page (5.8)."""
        span = self.track.walk.open
        episode_s = span.start * MINUTE_S if span else None
        trigger = _by_rule(decision) or self._by_alert(at_s)
        if trigger is not None:
            return Standing(at_s, self.name, Truth.TRUE, trigger, episode_s)
        opposite = decision.verdict is not Truth.UNKNOWN and self.at(at_s).covered(SLICE_NS)
        return Standing(at_s, self.name, Truth.FALSE if opposite else Truth.UNKNOWN, None, episode_s)

    def _by_alert(self, at_s: int) -> Trigger | None:
        alert = next((each for each in self.on(at_s) if each.kind == "page"), None)
        if alert is None:
            return None
        channels = self.world.inventory.notify
        told = tuple(name for name, channel in channels.items() if channel.every_ns is None)
        return Trigger("alert", f"{what(alert)} {alert.policy}", self.severity(), told, (), _burning(alert))

    def on(self, at_s: int) -> Iterator[BurnAlert]:
        """The burn alerts that are on at T."""
        for alerts in self.firing.values():
            for alert in alerts:
                if alert.fired_s <= at_s and (alert.resolved_s is None or alert.resolved_s > at_s):
                    yield alert


def key(policy: Policy) -> str:
    """Which policy it is, for its state: changed thresholds begin afresh."""
    o = policy.objective
    return f"{o.sli}/{o.step or ''}/{o.threshold_ns or ''}/{o.target:g}/{o.window_ns}/{policy.pair}"


def what(alert: BurnAlert) -> str:
    """``availability`` or ``latency of payment``."""
    return alert.sli if alert.step is None else f"{alert.sli} of {alert.step}"


def _burning(alert: BurnAlert) -> str:
    return (
        f"{alert.journey} spends its {what(alert)} budget more than {alert.factor:g} times as fast as it may "
        f"({alert.policy})"
    )


def _by_rule(decision: Decision) -> Trigger | None:
    if decision.rule is None or decision.severity is None:
        return None
    return Trigger("rule", decision.rule, decision.severity, decision.notify, decision.because, decision.sentence)
