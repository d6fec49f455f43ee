"""The fake source's incidents and their deliveries: one P1 open with its group, one acknowledged, one resolved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fakes_inventory import HOSTILE

from otel_cx_collector.decide.words import Finding, Truth
from otel_cx_collector.incidents.machine import ActRefused, act, identity
from otel_cx_collector.incidents.words import (
    Account,
    Advice,
    Change,
    Command,
    Entry,
    ErrorShare,
    Facts,
    Happening,
    Incident,
    Status,
    Trigger,
)
from otel_cx_collector.state import Delivery, DeliveryState
from otel_cx_collector.views.source import BadQuestion, NotFound

if TYPE_CHECKING:
    from otel_cx_collector.inventory import Inventory
    from otel_cx_collector.measure.figures import Episode, Live

PLAIN = (
    "gateway-timeout",
    "card_declined",
    "Acme",
    "timeout",
    "billing",
    "quota",
    "reset",
    "dns",
    "tls",
    "io",
    "x",
    "y",
)


def texts(source: FakeIncidents) -> tuple[str, ...]:
    """Texts from outside: hostile ones, or plain ones."""
    return HOSTILE if source.hostile else PLAIN


class FakeIncidents:
    """The part of ``FakeSource`` that answers about incidents."""

    inventory: Inventory
    at_s: int
    outage: float
    hostile: bool
    idle: str
    acted: dict[str, Incident]
    """Incidents as people left them, by id."""
    refuse: bool
    """Every act is refused."""

    def _ask(self) -> None:
        raise NotImplementedError

    def _hurt(self, journey: str) -> float:
        raise NotImplementedError

    def live(self, journey: str) -> Live:
        raise NotImplementedError

    def _episode(self, journey: str, start_s: int, length_s: int, hurt: float, *, over: bool) -> Episode:
        raise NotImplementedError

    def incidents(self, *, open_only: bool = False, limit: int = 100) -> list[Incident]:
        self._ask()
        made = [replace(self.acted.get(one.id, one), facts=one.facts) for one in self._incidents()]
        found = [one for one in made if not open_only or one.status is not Status.RESOLVED]
        return sorted(found, key=lambda one: -one.opened_s)[:limit]

    def incident(self, incident_id: str) -> Incident:
        found = next((one for one in self.incidents() if one.id == incident_id), None)
        if found is None:
            raise NotFound(f"there is no incident {incident_id[:64]!r}; /incidents lists them")
        return found

    def act(self, incident_id: str, command: Command) -> Incident:
        try:
            if self.refuse:
                raise BadQuestion("the history is full; keep further notes elsewhere")
            self.acted[incident_id] = act(self.incident(incident_id), command)[0]
        except ActRefused as refused:
            raise BadQuestion(str(refused)) from refused
        return self.acted[incident_id]

    def _incidents(self) -> list[Incident]:
        start = 1_795_514_400 - 720
        wanted = (
            ("dns-change", start - 90_000, "P3", 0.05, Status.RESOLVED),
            ("checkout", start, "P1", self._hurt("checkout"), Status.OPEN),
            ("login", start, "P3", self._hurt("login"), Status.ACKNOWLEDGED),
        )
        made = [self._incident(*each) for each in wanted if each[0] in self.inventory.journeys and each[3]]
        return [
            one if one.status is not Status.RESOLVED else replace(one, closed_s=one.opened_s + 1500) for one in made
        ]

    def _changes(self) -> tuple[Change, ...]:
        start, names = 1_795_514_400 - 720, texts(self)
        return (
            Change("f-1", start - 1500, "flag", f"{names[1]} = on", "javascript:alert(1)"),
            Change("d-1", start - 180, "deploy", "billing 1.8.2", "https://deploys.example/billing/1.8.2?a=1&b=<2>"),
            Change("d-2", start + 400, "deploy", f"{names[0]} 1.8.3", None),
        )

    def _incident(self, journey: str, start_s: int, severity: str, hurt: float, status: Status) -> Incident:
        opened_s = start_s + 120
        score = Finding("impact score above 4", Truth.TRUE, 41.0, clause="impact score was 41 against 4")
        trigger = Trigger(
            "rule", "impact", severity, ("oncall", "business"), (score,), f"{severity}: {journey}'s {score.clause}"
        )
        return Incident(
            id=identity(journey, opened_s),
            journey=journey,
            status=status,
            started_s=start_s,
            opened_s=opened_s,
            closed_s=None,
            severity=severity,
            current=severity,
            trigger=trigger,
            episode_s=start_s,
            group="change:d-1" if status is not Status.RESOLVED else None,
            facts=self._facts(journey, start_s, hurt),
            changes=self._changes() if status is not Status.RESOLVED else (),
            advice=self._advice(journey),
            history=self._history(opened_s, severity, status, trigger.sentence),
            told=("oncall", "business"),
        )

    def _facts(self, journey: str, start_s: int, hurt: float) -> Facts:
        episode, names = self._episode(journey, start_s, 720, hurt, over=False), texts(self)
        step = self.inventory.journeys[journey].steps[1]
        return Facts(
            at_s=self.at_s,
            score=episode.score,
            harm_minutes=episode.harm_minutes,
            vector=episode.vector,
            factors=episode.factors,
            reach=episode.reach,
            segments=episode.segments,
            regions=episode.regions,
            by_step=episode.by_step,
            errors=tuple(
                ErrorShare(name, step.name, step.stage, 300 // (at + 1), 190 // (at + 1), at % 2 == 0, names[-1 - at])
                for at, name in enumerate(names[:6])
            ),
            accounts=(
                Account("acc0000000000001", names[0], 40, 36, "2026-12-10", "48000"),
                Account("acc0000000000002", names[4], 30, 11, "2027-06-01", names[2]),
                Account("acc0000000000003", None, 12, 5, None, None),
            ),
            saturated=("payments-db",),
            services=names[:3],
            traces=("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b700f067aa0ba902b7"),
        )

    def _advice(self, journey: str) -> tuple[Advice, ...]:
        plan = self.inventory.journeys[journey].actions
        return tuple(Advice(each.do, each.when or "", each.link, each.when == "changed.deploy") for each in plan)

    def _history(self, opened_s: int, severity: str, status: Status, sentence: str) -> tuple[Entry, ...]:
        names = texts(self)
        opened = Entry(opened_s, Happening.OPENED, "otel-cx", sentence, severity, Status.OPEN)
        notes = tuple(
            Entry(opened_s + 10 * at, Happening.ANNOTATED, names[-at], text, severity, Status.OPEN)
            for at, text in enumerate(names, 1)
        )
        if status is Status.OPEN:
            return (opened, *notes)
        last = {Status.ACKNOWLEDGED: Happening.ACKNOWLEDGED, Status.RESOLVED: Happening.RESOLVED}[status]
        return (opened, Entry(opened_s + 400, last, "Ana", "looking", severity, status))

    def deliveries(self, incident_id: str | None, limit: int = 50) -> list[Delivery]:
        self._ask()
        names = texts(self)
        made = [
            Delivery(channel, "opened", f"{one.id}:1", one.opened_s, state, tries, error, delivered_s, one.id)
            for one in self.incidents()
            for channel, state, tries, error, delivered_s in (
                ("oncall", DeliveryState.DELIVERED, 1, "", one.opened_s + 2),
                ("business", DeliveryState.REFUSED, 3, f"HTTP 404 {names[0]}", None),
                ("audit", DeliveryState.HELD, 0, "quiet hours until 08:00", None),
                ("audit", DeliveryState.WAITING, 5, f"HTTP 500 {names[4]}", None),
            )
        ]
        return [each for each in made if incident_id in {None, each.incident}][:limit]
