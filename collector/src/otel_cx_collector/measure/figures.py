"""What measure answers with: one journey's figures over one window. Plain values, no behaviour but JSON rounding."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AttemptCounts:
    """Weighted attempts that started in the window, by their state as of its end (measures.md 2.2)."""

    started: float = 0
    completed: float = 0
    failed: float = 0
    rejected: float = 0
    abandoned: float = 0
    pending: float = 0
    recovered: float = 0


@dataclass(frozen=True, slots=True)
class Reach:
    """Distinct customers affected of active, with the Jeffreys 5 % and 95 % bounds of their ratio (4.10)."""

    affected: int = 0
    active: int = 0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Sli:
    """One objective over its window (2.1, 2.4)."""

    sli: str
    step: str | None
    good: float
    total: float
    target: float
    budget_spent: float | None
    window_s: int
    since_ns: int | None
    """Start of the data when the window reaches back further; None when the window is full."""


@dataclass(frozen=True, slots=True)
class StepFigures:
    """Weighted executions of one step; ``ok`` includes ``slow``. Quantiles of ok ones, None when there are none."""

    ok: float = 0
    failed: float = 0
    rejected: float = 0
    cancelled: float = 0
    slow: float = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """Executions and customers of one dimension value (or one cell of two)."""

    ok: float = 0
    failed: float = 0
    customers: int = 0
    affected: int = 0


@dataclass(frozen=True, slots=True)
class Factors:
    """The CXI vector (4.7): full precision here, four digits in its text. ``H = c*g*v*m*a/n + x - b``, clipped at 0."""

    journey: str
    c: float
    g: float
    v: float
    m: float
    a: int
    n: float
    x: float
    b: float
    h50: float = 5.0


@dataclass(frozen=True, slots=True)
class Episode:
    """A run of harmed minutes of one journey (4.8). Times in seconds since the epoch, ``end_s`` exclusive."""

    start_s: int
    end_s: int
    confirmed_s: int
    """T of the first true test."""
    over: bool
    young: bool
    baseline: str
    """``recent``, ``seasonal`` or ``none``."""
    harm_minutes: float
    score: float
    vector: str
    factors: Factors
    reach: Reach
    by_step: dict[str, float] = field(default_factory=dict)
    """Equivalent minutes added by each step's harmed attempts, before the everyday part is taken off."""
    segments: dict[str, Reach] = field(default_factory=dict)
    regions: dict[str, Reach] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figures:
    """One journey over ``[from_ns, to_ns)``, as of ``to_ns``."""

    journey: str
    from_ns: int
    to_ns: int
    grade: str
    attempts: AttemptCounts
    customers: Reach
    slis: tuple[Sli, ...]
    steps: dict[str, StepFigures]
    by: dict[str, dict[str, Share]]
    harm_minutes: float
    episodes: tuple[Episode, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a window was measured (1.4), in slices."""

    measured: int
    expected: int
    since_s: int | None
    """The journey's first data, when the window reaches back further."""
    reason: str
    """Why it is unmeasured; empty when it is measured."""


@dataclass(frozen=True, slots=True)
class Live:
    """The live score of a journey at slice boundary T (4.5)."""

    at_s: int
    score: float
    """S_live, 0 <= score < 100."""
    h60: float
    rho: float
    harmed: bool
    """The last closed minute is harmed."""
    episode: Episode | None
    """The open episode, if any."""
    vector: str
    """Vector of the open episode, or the empty one of a journey that is not hurt."""
    severity: str = "P4"
    """By score, floors included (4.9)."""
    missing: float = 0.0
    """X of the last closed minute: attempts that did not come, inferred."""


@dataclass(frozen=True, slots=True)
class Series:
    """Figures over equal steps of time: one list entry each. None where there was no traffic or no measurement."""

    start_s: int
    step_s: int
    active: list[int]
    """Distinct attempts with an execution in the step of time."""
    harmed: list[int]
    """Of these, the ones with a harmful execution."""
    ok: list[float]
    failed: list[float]
    rejected: list[float]
    success: list[float | None]
    """ok / (ok + failed)."""
    p95_ms: list[float | None]
    measured: list[bool]
    provisional: list[bool]
    """Newer than the last settled slice: shown hatched, never judged."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One harmful execution, to look up in the trace back end."""

    trace_id: str
    span_id: str
    at_ns: int
    step: str
    outcome: str
    duration_ms: float
    error_class: str
    segment: str
    region: str
    service: str
    service_version: str


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """One class of failures and rejections by stage, frequency, recoverability and consequence (row M6)."""

    error_class: str
    step: str
    stage: float
    """g of the step."""
    outcome: str
    """``failed`` or ``rejected``."""
    count: float
    """Weighted executions."""
    per_thousand: float
    """Of the step's executions."""
    customers: int
    recoverable: bool
    """Most of them could have been tried again."""
    recovered: float
    """Share of them that were ok later in the same attempt."""
    harm: float
    """Sum of g*h*v over the attempts whose most hurtful execution is of this class."""
    consequence: str | None
    """As the inventory's ``errors`` says."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The error budget of one objective (3.4), for a whole journey, one segment or one account."""

    sli: str
    step: str | None
    target: float
    window_s: int
    since_ns: int | None
    """Start of the data when the window reaches back further."""
    good: float
    total: float
    spent: float | None
    """Share of the budget spent; may exceed 1. None without traffic."""
    remaining: float | None
    """1 - spent, signed."""
    pace: float | None
    """Burn over the last hour: 1 spends exactly the budget in the window."""
    exhausted_in_s: float | None
    """remaining / burn in seconds; None when nothing burns, 0 when it is spent."""
    approximate: bool = False
    """Partly from a closed generation (2.5)."""


@dataclass(frozen=True, slots=True)
class BurnAlert:
    """A burn-rate policy that fired (3.2)."""

    journey: str
    sli: str
    step: str | None
    policy: str
    """``1h/5m``"""
    kind: str
    """``page`` or ``ticket``."""
    factor: float
    fired_s: int
    resolved_s: int | None


@dataclass(frozen=True, slots=True)
class PaperCut:
    """Small incidents that add up: one journey and one cause over a window (row M19)."""

    journey: str
    cause: str
    """Fingerprint: ``step/error class`` of most of the harm."""
    episodes: int
    harm_minutes: float
    """Sum of H over the episodes, the ones below every threshold included."""
    score: float
    """S of the sum."""
    budget_share: float | None
    """Share of the journey's availability budget over the same window; None without an availability objective."""
    customers: int
    raised: bool
    """Above 20 % of the budget, or the sum's score is in P2's band."""
    last_s: int


@dataclass(frozen=True, slots=True)
class HurtAgain:
    """A customer hurt in at least three attempts within 30 days."""

    customer: str
    """Pseudonym."""
    segment: str
    account: str
    attempts: int
    """Harmed ones."""
    journeys: tuple[str, ...]
    last_s: int
