"""The API's answers as OpenAPI describes them; names as in the replay report. Made from views, never counted here."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from otel_cx_collector.measure import figures as values
from otel_cx_collector.views.journey import Answer
from otel_cx_collector.views.overview import Overview, Row
from otel_cx_collector.views.sentences import of_journey, of_overview
from otel_cx_collector.views.source import Intake
from otel_cx_collector.views.windows import Window


def at(seconds: float) -> str:
    """RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def at_ns(nanoseconds: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return (
        datetime.fromtimestamp(nanoseconds // 1_000_000 / 1e3, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


class Model(BaseModel):
    """Reads the frozen values of views; unknown keys are a mistake."""

    model_config = ConfigDict(from_attributes=True, extra="forbid", use_attribute_docstrings=True)


class WindowOut(Model):
    """The window of an answer: settled, half-open."""

    range: str
    from_: str = Field(alias="from")
    to: str


class Reach(Model):
    """Distinct customers affected of active, with the Jeffreys 5 % and 95 % bounds of their ratio."""

    affected: int
    active: int
    low: float | None
    high: float | None


class Coverage(Model):
    """Slices measured of expected; below 0.9 the verdict is unmeasured."""

    measured: int
    expected: int
    since: str | None
    """The journey's first data, when the window reaches back further."""
    reason: str

    @classmethod
    def of(cls, coverage: values.Coverage) -> "Coverage":
        """From views."""
        since = None if coverage.since_s is None else at(coverage.since_s)
        return cls(measured=coverage.measured, expected=coverage.expected, since=since, reason=coverage.reason)


class Factors(Model):
    """The CXI vector: ``harm_minutes = max(0, C*G*V*M*A/N + X - B)``, ``score = 100*H/(H + H50)``."""

    C: float
    G: float
    V: float
    M: float
    A: int
    N: float
    X: float
    B: float
    H50: float

    @classmethod
    def of(cls, f: values.Factors) -> "Factors":
        """From views."""
        return cls(C=f.c, G=f.g, V=f.v, M=f.m, A=f.a, N=f.n, X=f.x, B=f.b, H50=f.h50)


class Episode(Model):
    """A run of harmed minutes."""

    started_at: str
    ended_at: str
    confirmed_at: str
    over: bool
    young: bool
    baseline: str
    harm_minutes: float
    score: float
    vector: str
    factors: Factors
    reach: Reach
    by_step: dict[str, float]
    segments: dict[str, Reach]
    regions: dict[str, Reach]

    @classmethod
    def of(cls, episode: values.Episode) -> "Episode":
        """From views."""
        return cls(
            started_at=at(episode.start_s),
            ended_at=at(episode.end_s),
            confirmed_at=at(episode.confirmed_s),
            over=episode.over,
            young=episode.young,
            baseline=episode.baseline,
            harm_minutes=episode.harm_minutes,
            score=episode.score,
            vector=episode.vector,
            factors=Factors.of(episode.factors),
            reach=Reach.model_validate(episode.reach),
            by_step=episode.by_step,
            segments={name: Reach.model_validate(reach) for name, reach in episode.segments.items()},
            regions={name: Reach.model_validate(reach) for name, reach in episode.regions.items()},
        )


class Live(Model):
    """The score at the last judged boundary: ``100*L/(L + 5)`` of ``L = h60 + 15*rho``."""

    at: str
    score: float | None
    """None while the state is not measured."""
    h60: float
    rho: float
    harmed: bool
    vector: str
    factors: Factors | None
    """Of the open episode; None while none is open."""

    @classmethod
    def of(cls, found: Answer) -> "Live":
        """From views."""
        live = found.live
        factors = None if live.episode is None else Factors.of(live.episode.factors)
        return cls(
            at=at(live.at_s),
            score=found.score,
            h60=live.h60,
            rho=live.rho,
            harmed=live.harmed,
            vector=live.vector,
            factors=factors,
        )


class Budget(Model):
    """What is left of an objective's error budget; below 0 it is overdrawn."""

    sli: str
    step: str | None
    target: float
    window_s: int
    left: float


class Sli(Model):
    """One objective over its window."""

    sli: str
    step: str | None
    good: float
    total: float
    target: float
    budget_spent: float | None
    window_s: int
    since: str | None

    @classmethod
    def of(cls, sli: values.Sli) -> "Sli":
        """From views."""
        since = None if sli.since_ns is None else at(sli.since_ns // 1_000_000_000)
        return cls(
            sli=sli.sli,
            step=sli.step,
            good=sli.good,
            total=sli.total,
            target=sli.target,
            budget_spent=sli.budget_spent,
            window_s=sli.window_s,
            since=since,
        )


class Attempts(Model):
    """Attempts that started in the window, by their state at its end."""

    started: float
    completed: float
    failed: float
    rejected: float
    abandoned: float
    pending: float
    recovered: float


class StepOut(Model):
    """Executions of one step; ``ok`` includes ``slow``; quantiles of ok executions in milliseconds."""

    ok: float
    failed: float
    rejected: float
    cancelled: float
    slow: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Share(Model):
    """Executions and customers of one dimension value."""

    ok: float
    failed: float
    customers: int
    affected: int


class Head(Model):
    """What the overview says of a journey."""

    name: str
    title: str
    owner: str | None
    state: str
    reason: str
    sentence: str
    live: Live
    reach: Reach
    customers: Reach
    success: float | None
    p95_ms: float | None
    p95_step: str | None
    budget: Budget | None
    coverage: Coverage

    @staticmethod
    def fields_of(found: Answer) -> dict[str, Any]:
        """The fields of this model, from views."""
        step, p95_ms = found.slowest or (None, None)
        return {
            "name": found.journey.name,
            "title": found.title,
            "owner": found.journey.owner,
            "state": found.state.value,
            "reason": found.reason,
            "sentence": of_journey(found, found.live.at_s),
            "live": Live.of(found),
            "reach": Reach.model_validate(found.reach),
            "customers": Reach.model_validate(found.figures.customers),
            "success": found.success,
            "p95_ms": p95_ms,
            "p95_step": step,
            "budget": None if found.budget is None else Budget.model_validate(found.budget),
            "coverage": Coverage.of(found.coverage),
        }


class Trend(Model):
    """Success and harmed attempts in equal steps; null where there was no traffic or no measurement."""

    start: str
    step_s: int
    success: list[float | None]
    harmed: list[int]

    @classmethod
    def of(cls, series: values.Series) -> "Trend":
        """From views."""
        return cls(start=at(series.start_s), step_s=series.step_s, success=series.success, harmed=series.harmed)


class Ranked(Head):
    """A journey on the overview."""

    trend: Trend

    @classmethod
    def of(cls, row: Row) -> "Ranked":
        """From views."""
        return cls(**cls.fields_of(row.answer), trend=Trend.of(row.series))


class Journeys(WindowOut):
    """All journeys, the most hurt first."""

    as_of: str
    sentence: str
    journeys: list[Ranked]

    @classmethod
    def of(cls, found: Overview) -> "Journeys":
        """From views."""
        return cls(
            **span(found.window),
            as_of=at(found.window.to_s),
            sentence=of_overview(found, found.window.to_s),
            journeys=[Ranked.of(row) for row in found.rows],
        )


class JourneyOut(Head, WindowOut):
    """One journey: figures as in the replay report, the live score, reach, coverage, episodes."""

    as_of: str
    grade: str
    attempts: Attempts
    slis: list[Sli]
    steps: dict[str, StepOut]
    by: dict[str, dict[str, Share]]
    harm_minutes: float
    episodes: list[Episode]

    @classmethod
    def of(cls, found: Answer, window: Window) -> "JourneyOut":
        """From views."""
        figures = found.figures
        return cls(
            **cls.fields_of(found),
            **span(window),
            as_of=at(window.to_s),
            grade=figures.grade,
            attempts=Attempts.model_validate(figures.attempts),
            slis=[Sli.of(sli) for sli in figures.slis],
            steps={name: StepOut.model_validate(step) for name, step in figures.steps.items()},
            by={
                name: {value: Share.model_validate(share) for value, share in shares.items()}
                for name, shares in figures.by.items()
            },
            harm_minutes=figures.harm_minutes,
            episodes=[Episode.of(episode) for episode in figures.episodes],
        )


def span(window: Window) -> dict[str, str]:
    """The fields of ``WindowOut``."""
    return {"range": window.range.value, "from": at(window.from_s), "to": at(window.to_s)}


class SeriesOut(Model):
    """One list entry for each step of time; null where there was no traffic or no measurement."""

    start: str
    step_s: int
    active: list[int]
    harmed: list[int]
    ok: list[float]
    failed: list[float]
    rejected: list[float]
    success: list[float | None]
    p95_ms: list[float | None]
    measured: list[bool]
    provisional: list[bool]

    @classmethod
    def of(cls, series: values.Series) -> "SeriesOut":
        """From views."""
        names = [name for name in cls.model_fields if name not in {"start", "step_s"}]
        return cls(start=at(series.start_s), step_s=series.step_s, **{name: getattr(series, name) for name in names})


class Exemplar(Model):
    """One harmful execution, to look up in the trace back end."""

    trace_id: str
    span_id: str
    at: str
    step: str
    outcome: str
    duration_ms: float
    error_class: str
    segment: str
    region: str
    service: str
    service_version: str

    @classmethod
    def of(cls, exemplar: values.Exemplar) -> "Exemplar":
        """From views."""
        names = [name for name in cls.model_fields if name != "at"]
        return cls(at=at_ns(exemplar.at_ns), **{name: getattr(exemplar, name) for name in names})


class Overflow(Model):
    """Values of one attribute from one service that became "other"."""

    attribute: str
    service: str
    count: int


class IntakeOut(Model):
    """What arrived since ``since``, and the state of log and store."""

    since: str
    spans: int
    steps: int
    synthetic: int
    metric_points: int
    log_records: int
    refused: dict[str, int]
    overflow: list[Overflow]
    log_used_bytes: int
    log_limit_bytes: int
    store_ok: bool
    store_error: str

    @classmethod
    def of(cls, intake: Intake) -> "IntakeOut":
        """From views."""
        names = [name for name in cls.model_fields if name not in {"since", "overflow"}]
        overflow = [
            Overflow(attribute=attribute, service=service, count=count)
            for (attribute, service), count in sorted(intake.overflow.items())
        ]
        return cls(since=at(intake.since_s), overflow=overflow, **{name: getattr(intake, name) for name in names})


class Problem(Model):
    """RFC 9457, with what to do as an extension."""

    type: str
    title: str
    status: int
    detail: str
    cure: str
