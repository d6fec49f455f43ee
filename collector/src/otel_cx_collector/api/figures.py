"""The pieces that the API's answers are made of, as OpenAPI describes them. Made from views, never counted here."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from otel_cx_collector.measure import figures as values
from otel_cx_collector.measure.report import timestamp
from otel_cx_collector.views.journey import Answer


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
        since = None if coverage.since_s is None else timestamp(coverage.since_s)
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
            started_at=timestamp(episode.start_s),
            ended_at=timestamp(episode.end_s),
            confirmed_at=timestamp(episode.confirmed_s),
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
            at=timestamp(live.at_s),
            score=found.score,
            h60=live.h60,
            rho=live.rho,
            harmed=live.harmed,
            vector=live.vector,
            factors=factors,
        )


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
        since = None if sli.since_ns is None else timestamp(sli.since_ns // 1_000_000_000)
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
