"""What was judged, as OpenAPI describes it: budgets, alerts, decisions, errors, what adds up. Never counted here."""

from typing import Any, Literal

from pydantic import Field

from otel_cx_collector.api.figures import Model
from otel_cx_collector.decide.words import Branch, Node, Record
from otel_cx_collector.incidents.words import Account, Change
from otel_cx_collector.measure import figures as values
from otel_cx_collector.measure.report import timestamp
from otel_cx_collector.state import Delivery
from otel_cx_collector.views.budgets import Budgets
from otel_cx_collector.views.decisions import Judgement
from otel_cx_collector.views.resources import Resource

Verdict = Literal["true", "false", "unknown"]


def moment(seconds: int | None) -> str | None:
    """RFC 3339, or nothing."""
    return None if seconds is None else timestamp(seconds)


def fields(model: type[Model], value: object, *but: str) -> dict[str, Any]:
    """The fields of ``value`` that have the same name and meaning in the model."""
    return {name: getattr(value, name) for name in model.model_fields if name not in but}


class Budget(Model):
    """One objective's error budget: 1 is all of it, ``remaining`` below 0 is overdrawn."""

    sli: str
    step: str | None
    target: float
    window_s: int
    since: str | None
    """Start of the data when the window reaches back further."""
    good: float
    total: float
    spent: float | None
    remaining: float | None
    pace: float | None
    """Burn over the last hour: 1 spends exactly the budget in the window."""
    exhausted_in_s: float | None
    approximate: bool

    @classmethod
    def of(cls, budget: values.Budget) -> "Budget":
        """From views."""
        since = None if budget.since_ns is None else timestamp(budget.since_ns // 1_000_000_000)
        return cls(since=since, **fields(cls, budget, "since"))


class AccountBudget(Model):
    """An account and its share of the budgets."""

    account: str
    name: str | None
    attempts: int
    failed: int
    renewal_due: str | None
    arr: str | None
    budgets: list[Budget]

    @classmethod
    def of(cls, account: Account, budgets: list[values.Budget]) -> "AccountBudget":
        """From views."""
        return cls(budgets=[Budget.of(each) for each in budgets], **fields(cls, account, "budgets"))


class BudgetsOut(Model):
    """A journey's error budgets: whole, by segment, and of the accounts that are worst off."""

    journey: list[Budget]
    segments: dict[str, list[Budget]]
    accounts: list[AccountBudget]

    @classmethod
    def of(cls, found: Budgets) -> "BudgetsOut":
        """From views."""
        return cls(
            journey=[Budget.of(each) for each in found.journey],
            segments={name: [Budget.of(each) for each in budgets] for name, budgets in found.segments.items()},
            accounts=[AccountBudget.of(account, budgets) for account, budgets in found.accounts],
        )


class Alert(Model):
    """A burn-rate policy that fired; ``resolved_at`` is null while it fires."""

    sli: str
    step: str | None
    policy: str
    kind: str
    factor: float
    fired_at: str
    resolved_at: str | None

    @classmethod
    def of(cls, alert: values.BurnAlert) -> "Alert":
        """From views."""
        named = fields(cls, alert, "fired_at", "resolved_at")
        return cls(fired_at=timestamp(alert.fired_s), resolved_at=moment(alert.resolved_s), **named)


class Finding(Model):
    """One predicate: seconds for a latency, else a share, or a score of 0 to 100."""

    predicate: str
    verdict: Verdict
    value: float | None
    low: float | None
    high: float | None
    evidence: int
    missing: str | None
    """What is missing when it is unknown."""
    clause: str
    """Value, interval and what is missing, in words."""


class NodeOut(Model):
    """A part of a rule's condition: a predicate, or how its parts go together."""

    op: str
    """``leaf``, ``all``, ``any`` or ``not``."""
    verdict: Verdict
    finding: Finding | None
    progress: str | None
    """How long it has been true of how long it must."""
    parts: list["NodeOut"]

    @classmethod
    def of(cls, node: Node) -> "NodeOut":
        """From views."""
        finding = None if node.finding is None else Finding.model_validate(node.finding)
        parts = [NodeOut.of(part) for part in node.parts]
        return cls(op=node.op, verdict=node.verdict.value, finding=finding, progress=node.progress, parts=parts)


class BranchOut(Model):
    """One rule; the first that is true decides."""

    rule: str
    then: str
    on_unknown: str
    verdict: Verdict
    decides: bool
    node: NodeOut

    @classmethod
    def of(cls, branch: Branch) -> "BranchOut":
        """From views."""
        return cls(
            rule=branch.rule,
            then=branch.then,
            on_unknown=branch.on_unknown,
            verdict=branch.verdict.value,
            decides=branch.decides,
            node=NodeOut.of(branch.node),
        )


class DecisionOut(Model):
    """What the rules say of a journey, and the tree behind it."""

    at: str
    journey: str
    rule: str | None
    verdict: Verdict
    severity: str | None
    notify: list[str]
    monitor_until: str | None
    because: list[Finding]
    sentence: str
    tree: list[BranchOut]

    @classmethod
    def of(cls, found: Judgement) -> "DecisionOut":
        """From views."""
        decision = found.decision
        return cls(
            at=timestamp(decision.at_s),
            journey=decision.journey,
            rule=decision.rule,
            verdict=decision.verdict.value,
            severity=decision.severity,
            notify=list(decision.notify),
            monitor_until=moment(decision.monitor_until_s),
            because=[Finding.model_validate(one) for one in decision.because],
            sentence=decision.sentence,
            tree=[BranchOut.of(branch) for branch in found.tree],
        )


class RecordOut(Model):
    """A rule's verdict that was new."""

    rule: str
    journey: str
    at: str
    verdict: Verdict
    severity: str | None
    action: str | None
    because: list[Finding]
    sentence: str

    @classmethod
    def of(cls, record: Record) -> "RecordOut":
        """From views."""
        because = [Finding.model_validate(one) for one in record.because]
        named = fields(cls, record, "at", "verdict", "because")
        return cls(at=timestamp(record.at_s), verdict=record.verdict.value, because=because, **named)


class ErrorOut(Model):
    """One class of failures or rejections at one step."""

    error_class: str = Field(serialization_alias="class")
    step: str
    stage: float
    outcome: str
    count: float
    per_thousand: float
    """Of the step's executions."""
    customers: int
    recoverable: bool
    recovered: float
    """Share of them that were ok later in the same attempt."""
    harm: float
    consequence: str | None


class PaperCutOut(Model):
    """Small incidents of one journey and one cause, added up."""

    journey: str
    cause: str
    episodes: int
    harm_minutes: float
    score: float
    budget_share: float | None
    customers: int
    raised: bool
    """Above 20 % of the budget, or together in P2's band."""
    last_at: str

    @classmethod
    def of(cls, cut: values.PaperCut) -> "PaperCutOut":
        """From views."""
        return cls(last_at=timestamp(cut.last_s), **fields(cls, cut, "last_at"))


class HurtAgainOut(Model):
    """A customer hurt in at least three attempts within 30 days, by pseudonym."""

    customer: str
    segment: str
    account: str
    attempts: int
    journeys: list[str]
    last_at: str

    @classmethod
    def of(cls, one: values.HurtAgain) -> "HurtAgainOut":
        """From views."""
        named = fields(cls, one, "last_at", "journeys")
        return cls(last_at=timestamp(one.last_s), journeys=list(one.journeys), **named)


class ChangeOut(Model):
    """A deploy or a flag."""

    id: str
    at: str
    kind: str
    what: str
    link: str | None

    @classmethod
    def of(cls, change: Change) -> "ChangeOut":
        """From views."""
        return cls(at=timestamp(change.at_s), **fields(cls, change, "at"))


class ResourceOut(Model):
    """How full a resource is; ``share`` is null when nothing was reported."""

    name: str
    metric: str
    limit: float
    warn: float
    share: float | None
    warned: bool
    journeys: list[str]

    @classmethod
    def of(cls, resource: Resource) -> "ResourceOut":
        """From views."""
        return cls(journeys=list(resource.journeys), **fields(cls, resource, "journeys"))


class DeliveryOut(Model):
    """One notice to one channel, and what became of it."""

    channel: str
    what: str
    key: str
    """Deduplication key, the same at every try."""
    incident: str
    at: str
    state: str
    """``waiting``, ``held``, ``delivered`` or ``refused``."""
    tries: int
    error: str
    delivered_at: str | None

    @classmethod
    def of(cls, each: Delivery) -> "DeliveryOut":
        """From views."""
        named = fields(cls, each, "at", "state", "delivered_at")
        return cls(at=timestamp(each.at_s), state=each.state.value, delivered_at=moment(each.delivered_s), **named)
