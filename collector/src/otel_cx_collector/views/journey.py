"""One journey: is the customer affected, how many, why that score. Not the words or the charts made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_cx_collector.views import budgets, decisions, incident, resources
from otel_cx_collector.views.budgets import ACCOUNTS, thinnest
from otel_cx_collector.views.names import known
from otel_cx_collector.views.source import BadQuestion, Source
from otel_cx_collector.views.state import HURT, VERDICT_WINDOW_S, State, state_of

if TYPE_CHECKING:
    from otel_cx_collector.decide.words import Branch, Decision, Record
    from otel_cx_collector.incidents.words import Account, Incident
    from otel_cx_collector.inventory import Dimension, Journey
    from otel_cx_collector.measure.figures import (
        Budget,
        BurnAlert,
        Coverage,
        Episode,
        ErrorClass,
        Exemplar,
        Figures,
        Live,
        Reach,
        Series,
        Share,
    )
    from otel_cx_collector.views.resources import Resource
    from otel_cx_collector.views.windows import Window

EXEMPLARS: Final = 20
"""As many as a person looks through."""

MATRIX: Final = ("segment", "region")
"""Rows and columns of the matrix until others are picked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One journey over one window, and how it is now. Every page, and the API, says these same numbers."""

    journey: Journey
    state: State
    reason: str
    """Why the state cannot be told; empty when it can."""
    live: Live
    coverage: Coverage
    """Of the window; the state rests on that of the last five minutes."""
    figures: Figures
    budgets: tuple[Budget, ...]
    """Of the objectives, in the order of the file."""
    decision: Decision
    incident: Incident | None
    """The open one."""

    @property
    def title(self) -> str:
        """What people call it."""
        return self.journey.title or self.journey.name

    @property
    def hurt(self) -> bool:
        """Whether customers are being hurt as of T."""
        return self.state in HURT

    @property
    def score(self) -> float | None:
        """The live score; None when the state is not measured."""
        return None if self.state in {State.UNMEASURED, State.IDLE} else self.live.score

    @property
    def episode(self) -> Episode | None:
        """The open episode."""
        return self.live.episode

    @property
    def reach(self) -> Reach:
        """Customers affected of active: in the open episode, else in the window."""
        return self.figures.customers if self.episode is None else self.episode.reach

    @property
    def success(self) -> float | None:
        """Of all steps, ok / (ok + failed); None without executions."""
        steps = self.figures.steps.values()
        ok, failed = sum(step.ok for step in steps), sum(step.failed for step in steps)
        return ok / (ok + failed) if ok + failed else None

    @property
    def slowest(self) -> tuple[str, float] | None:
        """Step with the largest p95, and that p95 in milliseconds."""
        known = [(step.p95_ms, name) for name, step in self.figures.steps.items() if step.p95_ms is not None]
        return max(known)[::-1] if known else None

    @property
    def budget(self) -> Budget | None:
        """The objective with the least budget left; None when no objective has been counted."""
        return thinnest(self.budgets)


@dataclass(frozen=True, slots=True)
class Detail:
    """The journey page: the answer, when, where and examples."""

    answer: Answer
    series: Series
    by: tuple[str, str]
    matrix: dict[tuple[str, str], Share]
    rows: tuple[str, ...]
    """Values of the first dimension that were seen, in the inventory's order; likewise ``columns`` of the second."""
    columns: tuple[str, ...]
    exemplars: list[Exemplar]
    explained: Episode | None
    """The episode whose score is taken apart: the open one, or the worst of the window."""
    errors: tuple[ErrorClass, ...]
    """Of the window, the most harm first."""
    tree: tuple[Branch, ...]
    records: tuple[Record, ...]
    """Changes of verdict, newest first."""
    incidents: tuple[Incident, ...]
    """Newest first."""
    alerts: tuple[BurnAlert, ...]
    """Of the window, the ones that fire first."""
    segments: dict[str, list[Budget]]
    accounts: tuple[tuple[Account, list[Budget]], ...]
    resources: tuple[Resource, ...]
    """What its steps depend on."""


def opened(source: Source) -> dict[str, Incident]:
    """The open incident of each journey that has one. Raises Unavailable."""
    return {incident.journey: incident for incident in source.incidents(open_only=True)}


def answer(source: Source, name: str, window: Window, incidents: dict[str, Incident] | None = None) -> Answer:
    """Figures, live score and what was decided of one journey; ``incidents``: those of ``opened``, when known.

    Raises NotFound, Unavailable.
    """
    journey = known(source.inventory, name)
    incident = (opened(source) if incidents is None else incidents).get(name)
    decision = source.decision(name)
    recent = source.coverage(name, window.to_s - VERDICT_WINDOW_S, window.to_s)
    live = source.live(name)
    state = state_of(live, recent, incident, decision)
    return Answer(
        journey=journey,
        state=state,
        reason=_reason(state, recent),
        live=live,
        coverage=source.coverage(name, window.from_s, window.to_s),
        figures=source.figures(name, window.from_s, window.to_s),
        budgets=tuple(source.budgets(name)),
        decision=decision,
        incident=incident,
    )


def _reason(state: State, recent: Coverage) -> str:
    if state is State.IDLE:
        return "no execution of any of its steps has been received"
    if state is State.UNMEASURED:
        return recent.reason or f"only {recent.measured} of the last {recent.expected} slices were measured"
    return ""


def series(source: Source, name: str, window: Window) -> Series:
    """The window in steps, on to now (the last steps are provisional). Raises NotFound, Unavailable."""
    known(source.inventory, name)
    return source.series(name, window.series_from_s, window.series_to_s, window.step_s)


def exemplars(source: Source, name: str, window: Window, limit: int = EXEMPLARS) -> list[Exemplar]:
    """Harmful executions to look up in the trace back end. Raises NotFound, Unavailable."""
    known(source.inventory, name)
    return source.exemplars(name, window.from_s, window.to_s, limit)


def errors(source: Source, name: str, window: Window) -> tuple[ErrorClass, ...]:
    """Failures and rejections by class and step, the most harm first. Raises NotFound, Unavailable."""
    known(source.inventory, name)
    found = source.errors(name, window.from_s, window.to_s)
    return tuple(sorted(found, key=lambda one: (-one.harm, -one.count, one.error_class, one.step)))


def dimensions(source: Source, picked: str | None) -> tuple[str, str]:
    """Rows and columns of the matrix from ``segment,region``. Raises BadQuestion for others than the inventory's."""
    if picked is None:
        return MATRIX
    rows, _, columns = picked.partition(",")
    for name in (rows, columns):
        if name not in source.inventory.dimensions:
            names = ", ".join(source.inventory.dimensions)
            raise BadQuestion(f"there is no dimension {name[:40]!r}; use two of {names}, as in by=segment,region")
    return rows, columns


def detail(
    source: Source, name: str, window: Window, by: tuple[str, str] = MATRIX, episode_s: int | None = None
) -> Detail:
    """Everything of the journey page. ``episode_s``: start of the episode to take apart. Raises as ``answer``."""
    found = answer(source, name, window)
    matrix = source.matrix(name, window.from_s, window.to_s, *by)
    return Detail(
        answer=found,
        series=series(source, name, window),
        by=by,
        matrix=matrix,
        rows=_in_order(source.inventory.dimensions[by[0]], {row for row, _ in matrix}),
        columns=_in_order(source.inventory.dimensions[by[1]], {column for _, column in matrix}),
        exemplars=exemplars(source, name, window),
        explained=_explained(found, episode_s),
        errors=errors(source, name, window),
        tree=tuple(source.tree(name)),
        records=decisions.records(source, name),
        incidents=incident.incidents(source, journey=name, limit=incident.OF_JOURNEY),
        alerts=budgets.alerts(source, name, window),
        segments=source.segment_budgets(name),
        accounts=tuple(source.account_budgets(name, ACCOUNTS)),
        resources=resources.of_journey(source, found.journey),
    )


def _in_order(dimension: Dimension, seen: set[str]) -> tuple[str, ...]:
    """As listed, then what was not (``other``, ``unset``)."""
    return (*(value for value in dimension.values if value in seen), *sorted(seen - set(dimension.values)))


def _explained(found: Answer, episode_s: int | None) -> Episode | None:
    candidates = found.figures.episodes
    picked = next((episode for episode in candidates if episode.start_s == episode_s), None)
    return picked or found.episode or max(candidates, key=lambda episode: episode.harm_minutes, default=None)
