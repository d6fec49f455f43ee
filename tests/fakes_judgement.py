"""What the fake source judged: budgets, alerts, decisions, errors, what adds up. Incidents stand in fakes_incidents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fakes_incidents import FakeIncidents, texts
from fakes_inventory import chance

from otel_cx_collector.decide import text
from otel_cx_collector.decide.tree import rules_for
from otel_cx_collector.decide.words import Branch, Decision, Finding, Node, Record, Truth
from otel_cx_collector.incidents.words import Account, Change
from otel_cx_collector.measure.figures import Budget, BurnAlert, ErrorClass, HurtAgain, PaperCut

if TYPE_CHECKING:
    from otel_cx_collector.events import Fact
    from otel_cx_collector.inventory.decisions import Rule

DAY_S = 86_400

SPENT = {"checkout": (1.34, 0.62, 0.4), "login": (0.81, 0.3), "dns-change": (0.12,)}
"""Share of each objective's budget; other journeys 0.22 and 0.4."""

CUTS = (("checkout", "payment"), ("dns-change", "publish"), ("login", "session"))

DROP = Finding(
    "completion down by 8% over 15m", Truth.UNKNOWN, 0.06, -0.04, 0.15, 210,
    "about 430 more sessions, 9 min at this rate",
    "completion fell by 6 % (down at least 8 % with probability 0.38) but is missing about 430 more sessions, 9 min at"
    " this rate",
)  # fmt: skip
SLOW = Finding(
    "p95 of payment over 5m above 1.5s for 5m", Truth.TRUE, 2.4, 2.1, 2.8, 940, None,
    "p95 of payment was 2.4 s (2.1 to 2.8 s) against 1.5 s for 5 min",
)  # fmt: skip
FULL = Finding(
    "saturation of edge-disk above 80% for 5m", Truth.UNKNOWN, None, None, None, 0,
    "no point of edge-disk in the last 60 s",
    "there is no point of edge-disk in the last 60 s",
)  # fmt: skip
EVEN = Finding(
    "completion unchanged within 2% over 15m", Truth.FALSE, 0.05, 0.03, 0.07, 800, None,
    "completion changed by 5 % (3 to 7 %) against 2 % allowed",
)  # fmt: skip


def leaf(finding: Finding, progress: str | None = None) -> Node:
    return Node("leaf", finding.verdict, finding, progress, ())


class FakeJudgement(FakeIncidents):
    """The part of ``FakeSource`` that answers what was judged."""

    def decision(self, journey: str) -> Decision:
        self._ask()
        branch = next((each for each in self.tree(journey) if each.decides), None)
        if branch is None:
            doubt = any(each.verdict is Truth.UNKNOWN for each in self.tree(journey))
            verdict = Truth.UNKNOWN if doubt else Truth.FALSE
            said = f"{verdict}: no rule of {journey} is true"
            return Decision(self.at_s, journey, None, verdict, None, (), None, (), said)
        score = self.live(journey).score
        severity = "P1" if score >= 40 else "P2" if score >= 15 else "P3"
        found = branch.node.finding
        because = () if found is None else (found,)
        said = f"{severity}: {journey}'s {found.clause if found else ''}"
        return Decision(self.at_s, journey, branch.rule, Truth.TRUE, severity, ("oncall",), None, because, said)

    def tree(self, journey: str) -> list[Branch]:
        self._ask()
        rules = rules_for(self.inventory, journey)
        return [self._branch(journey, rule) for rule in rules]

    def _branch(self, journey: str, rule: Rule) -> Branch:
        node = self._impact(journey)
        if "slow" in rule.name:
            node = Node("all", Truth.UNKNOWN, None, None, (leaf(SLOW, "true for 5 min of 5 min"), leaf(DROP)))
        if "saturated" in rule.name:
            even = Node("not", Truth.TRUE, None, None, (leaf(EVEN),))
            node = Node("all", Truth.UNKNOWN, None, None, (leaf(FULL, "true for 2 min of 5 min"), even))
        decides = node.verdict is Truth.TRUE
        then, otherwise = text.consequence(rule.then), text.without_evidence(rule)
        return Branch(rule.name, then, otherwise, node.verdict, decides, node)

    def _impact(self, journey: str) -> Node:
        score = self.live(journey).score
        verdict = Truth.TRUE if score > 4 else Truth.FALSE
        clause = f"impact score was {text.digits(score)} against 4"
        return leaf(Finding("impact score above 4", verdict, score, clause=clause))

    def records(self, journey: str, limit: int = 50) -> list[Record]:
        self._ask()
        if journey == self.idle:
            return []
        rule = "impact" if journey != "checkout" else "checkout slow and conversion down"
        times = [(Truth.UNKNOWN, 660), (Truth.FALSE, 3000), (Truth.TRUE, 9000), (Truth.FALSE, 20_000)]
        return [
            Record(
                rule, journey, self.at_s // 60 * 60 - ago, verdict,
                "P2" if verdict is Truth.TRUE else None, None, (SLOW, DROP), f"{verdict}: {journey}'s {DROP.clause}",
            )
            for verdict, ago in times
        ][:limit]  # fmt: skip

    def alerts(self, journey: str, from_s: int, to_s: int) -> list[BurnAlert]:
        self._ask()
        if journey != "checkout":
            return []
        start = self.at_s // 60 * 60
        found = [
            BurnAlert(journey, "latency", "payment", "1d/2h", "ticket", 3.0, start - 7200, start - 3000),
            BurnAlert(journey, "availability", None, "1h/5m", "page", 14.4, start - 540, None),
        ]
        return [alert for alert in found if alert.fired_s < to_s and (alert.resolved_s or to_s) > from_s]

    def budgets(self, journey: str) -> list[Budget]:
        self._ask()
        return [] if journey == self.idle else self._budgets(journey, 1.0, 1_728_000.0)

    def _budgets(self, journey: str, scale: float, total: float) -> list[Budget]:
        spent = SPENT.get(journey, (0.22, 0.4))
        goals = self.inventory.journeys[journey].objectives
        return [
            self._budget(goal.sli, goal.step, goal.target, spent[at] * scale, total) for at, goal in enumerate(goals)
        ]

    def _budget(self, sli: str, step: str | None, target: float, spent: float, total: float) -> Budget:
        pace = 14.2 if spent > 1 else 0.0 if spent < 0.2 else 1.7 * spent
        left = max(0.0, 1 - spent)
        return Budget(
            sli=sli,
            step=step,
            target=target,
            window_s=30 * DAY_S,
            since_ns=(self.at_s - 20 * DAY_S) * 10**9,
            good=total * (1 - spent * (1 - target)),
            total=total,
            spent=spent,
            remaining=1 - spent,
            pace=pace,
            exhausted_in_s=left * 30 * DAY_S / pace if pace else None,
            approximate=sli == "latency",
        )

    def segment_budgets(self, journey: str) -> dict[str, list[Budget]]:
        self._ask()
        if journey == self.idle:
            return {}
        scales = {"enterprise": 1.2, "developer": 0.9, "trial": 0.6}
        found = {name: self._budgets(journey, scale, 576_000.0) for name, scale in scales.items()}
        nothing = [replace(each, good=0, total=0, spent=None, remaining=None, pace=None, exhausted_in_s=None)
                   for each in found["trial"]]  # fmt: skip
        return found | {"other": nothing}

    def account_budgets(self, journey: str, limit: int) -> list[tuple[Account, list[Budget]]]:
        self._ask()
        if journey != "checkout":
            return []
        names = texts(self)
        accounts = [
            Account(f"acc{at:013x}", names[at], 40 - 6 * at, 36 - 8 * at, ("2026-12-10", "2027-06-01", None)[at], arr)
            for at, arr in enumerate(("48000", "12500.50", None))
        ]
        return [
            (account, self._budgets(journey, 3.0 - at, 4000.0)) for at, account in enumerate(accounts)
        ][:limit]  # fmt: skip

    def errors(self, journey: str, from_s: int, to_s: int) -> list[ErrorClass]:
        self._ask()
        if not self._hurt(journey) or to_s <= from_s:
            return []
        names, step = texts(self), self.inventory.journeys[journey].steps[1]
        return [
            ErrorClass(
                name, step.name, step.stage, "rejected" if at == 2 else "failed", 310 / (at + 1), 12.4 / (at + 1),
                190 // (at + 1), at % 2 == 0, 0.4 - 0.02 * at, 96.0 / (at + 1), names[-1 - at] if at % 3 else None,
            )
            for at, name in enumerate(names)
        ]  # fmt: skip

    def paper_cuts(self, days: int) -> list[PaperCut]:
        self._ask()
        names = texts(self)
        return [
            PaperCut(journey, f"{step}/{names[at]}", 30 // (at + 1), 1.8 / (at + 1), 26.5 / (at + 1),
                     (0.31, 0.04, None)[at], 412 // (at + 1), at == 0, self.at_s - 7000 * (at + 1))
            for at, (journey, step) in enumerate(CUTS)
            if days >= 1
        ]  # fmt: skip

    def hurt_again(self, limit: int) -> list[HurtAgain]:
        self._ask()
        names = texts(self)
        return [
            HurtAgain(f"{int(chance('customer', at) * 16**16):016x}", "enterprise", names[at], 9 - at,
                      ("checkout", "login")[: 1 + at % 2], self.at_s - 4000 * (at + 1))
            for at in range(min(limit, 4))
        ]  # fmt: skip

    def changes(self, from_s: int, to_s: int) -> list[Change]:
        self._ask()
        return [change for change in self._changes() if from_s <= change.at_s < to_s]

    def renewals(self) -> dict[str, Fact]:
        self._ask()
        return {}

    def saturation(self) -> dict[str, float | None]:
        self._ask()
        return {"payments-db": 0.92 if self.outage else 0.4, "worker-queue": 0.31, "edge-disk": None}
