"""The API's answers as OpenAPI describes them; names as in the replay report. Made from views, never counted here."""

from typing import Any

from pydantic import Field

from otel_cx_collector.api.figures import (
    Attempts,
    Coverage,
    Episode,
    Live,
    Model,
    Reach,
    Share,
    Sli,
    StepOut,
    at_ns,
)
from otel_cx_collector.api.judged import Budget
from otel_cx_collector.measure import figures as values
from otel_cx_collector.measure.report import timestamp
from otel_cx_collector.views.journey import Answer
from otel_cx_collector.views.overview import Overview, Row
from otel_cx_collector.views.sentences import of_journey, of_overview
from otel_cx_collector.views.source import Intake
from otel_cx_collector.views.windows import Window


class WindowOut(Model):
    """The window of an answer: settled, half-open."""

    range: str
    from_: str = Field(alias="from")
    to: str


class Head(Model):
    """What the overview says of a journey."""

    name: str
    title: str
    owner: str | None
    state: str
    reason: str
    sentence: str
    incident: str | None
    """Id of the open one."""
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
            "incident": None if found.incident is None else found.incident.id,
            "live": Live.of(found),
            "reach": Reach.model_validate(found.reach),
            "customers": Reach.model_validate(found.figures.customers),
            "success": found.success,
            "p95_ms": p95_ms,
            "p95_step": step,
            "budget": None if found.budget is None else Budget.of(found.budget),
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
        return cls(start=timestamp(series.start_s), step_s=series.step_s, success=series.success, harmed=series.harmed)


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
    incidents: list[str]
    """Ids of the open ones, the most severe first."""
    journeys: list[Ranked]

    @classmethod
    def of(cls, found: Overview) -> "Journeys":
        """From views."""
        return cls(
            **span(found.window),
            as_of=timestamp(found.window.to_s),
            sentence=of_overview(found, found.window.to_s),
            incidents=[incident.id for incident in found.incidents],
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
            as_of=timestamp(window.to_s),
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


def span(window: Window) -> dict[str, Any]:
    """The fields of ``WindowOut``."""
    return {"range": window.range.value, "from": timestamp(window.from_s), "to": timestamp(window.to_s)}


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
        return cls(
            start=timestamp(series.start_s), step_s=series.step_s, **{name: getattr(series, name) for name in names}
        )


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
    log_minutes_left: float | None
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
        return cls(
            since=timestamp(intake.since_s), overflow=overflow, **{name: getattr(intake, name) for name in names}
        )


class Problem(Model):
    """RFC 9457, with what to do as an extension."""

    type: str
    title: str
    status: int
    detail: str
    cure: str
    possible: list[str] | None = None
    """Of a 409: what can be done to the incident now."""
