"""Incidents and what stands, with defaults: tests say only what they are about."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from otel_cx_collector.decide.words import Finding, Truth
from otel_cx_collector.incidents.machine import step
from otel_cx_collector.incidents.words import (
    Act,
    Change,
    Command,
    Facts,
    Incident,
    Standing,
    Status,
    Tell,
    Trigger,
)
from otel_cx_collector.measure.figures import Factors, Reach

AT_S: Final = 1767604320
"""2026-01-05T09:12:00Z"""
FACTORS: Final = Factors("checkout", c=1, g=1, v=1, m=1, a=480, n=100, x=0, b=0)
P95: Final = Finding("p95 of payment over 5m above 1.5s for 5m", Truth.TRUE, 1.84, 1.71, 2.02, 412)


def trigger(severity: str = "P2", notify: tuple[str, ...] = ("oncall",), **what: Any) -> Trigger:
    """A rule that is true."""
    given: dict[str, Any] = {
        "kind": "rule",
        "name": "impact",
        "because": (P95,),
        "sentence": f"the score asks for {severity}",
    }
    return Trigger(severity=severity, notify=notify, **(given | what))


def standing(
    what: str | Trigger, at_s: int = AT_S, episode_s: int | None = None, journey: str = "checkout"
) -> Standing:
    """``P1`` to ``P4``, ``calm``, ``gap``, or a trigger of one's own."""
    if isinstance(what, Trigger):
        return Standing(at_s, journey, Truth.TRUE, what, episode_s)
    verdict = {"calm": Truth.FALSE, "gap": Truth.UNKNOWN}.get(what, Truth.TRUE)
    return Standing(at_s, journey, verdict, trigger(what) if verdict is Truth.TRUE else None, episode_s)


def run(
    incident: Incident | None, whats: Iterable[str], at_s: int = AT_S, episode_s: int | None = None
) -> tuple[Incident | None, list[Tell]]:
    """One slice after the other, from ``at_s`` on."""
    tells: list[Tell] = []
    for index, what in enumerate(whats):
        incident, told = step(incident, standing(what, at_s + 10 * index, episode_s))
        tells += told
    return incident, tells


def opened(
    what: str | Trigger = "P2", at_s: int = AT_S, episode_s: int | None = None, journey: str = "checkout"
) -> Incident:
    """An incident that has just been opened."""
    incident, _ = step(None, standing(what, at_s, episode_s, journey))
    assert incident is not None
    return incident


def of_status(status: Status, **changed: Any) -> Incident:
    """An incident of that status, opened as P2 at ``AT_S`` in the episode of that moment."""
    closed_s = AT_S + 900 if status is Status.RESOLVED else None
    return replace(opened(episode_s=AT_S), status=status, closed_s=closed_s, **changed)


def command(act: Act, text: str = "", who: str = "Ana", at_s: int = AT_S + 300) -> Command:
    """What Ana does."""
    return Command(act, who, text, at_s)


def facts(at_s: int = AT_S + 60, **what: Any) -> Facts:
    """The worked example of a checkout outage: 40 % of customers, 12 min."""
    given: dict[str, Any] = {
        "score": 49.0,
        "harm_minutes": 4.8,
        "vector": "CXI:1.0/J:checkout/C:1/G:1/V:1/M:1/A:480/N:100/X:0/B:0/H50:5",
        "factors": FACTORS,
        "reach": Reach(412, 1030, 0.375, 0.425),
    }
    return Facts(at_s=at_s, **(given | what))


def deploy(id: str = "d-1", at_s: int = AT_S - 180, kind: str = "deploy", what: str = "billing 1.8.2") -> Change:  # noqa: A002 - the field's name
    """A deploy three minutes before the start."""
    return Change(id, at_s, kind, what)
