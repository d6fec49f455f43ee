"""A deterministic Source: a hosting company's journeys, one hurt, one unmeasured, one without traffic. No clock.

Texts that come from spans are hostile on purpose: whatever shows them must show them as text.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from fakes_inventory import HOSTILE, INVENTORY, NOW_S, chance
from fakes_judgement import SPENT, FakeJudgement

from otel_cx_collector.errors import Unavailable
from otel_cx_collector.incidents.words import Incident
from otel_cx_collector.inventory import Inventory, Observed, parse
from otel_cx_collector.measure.figures import (
    AttemptCounts,
    Coverage,
    Episode,
    Exemplar,
    Factors,
    Figures,
    Live,
    Reach,
    Series,
    Share,
    Sli,
    StepFigures,
)
from otel_cx_collector.views.source import Intake

__all__ = ["HOSTILE", "NOW_S", "QUIET", "FakeSource"]

QUIET = "CXI:1.0/J:x/C:1/G:1/V:1/M:1/A:0/N:100/X:0/B:0/H50:5"


@dataclass
class FakeSource(FakeJudgement):
    """Implements ``views.source.Source``. ``turn`` makes a round; ``outage`` scales checkout's trouble, 0 heals."""

    inventory: Inventory = field(default_factory=lambda: parse(INVENTORY, pending=()))
    at_s: int = NOW_S
    outage: float = 1.0
    hostile: bool = True
    down: str = ""
    """Unavailable with these words, when not empty."""
    unmeasured: str = "deployment"
    idle: str = "support"
    acted: dict[str, Incident] = field(default_factory=dict)
    refuse: bool = False
    rounds: int = 1
    threads: set[str] = field(default_factory=set)
    """Names of the threads that waited for a round."""
    waits: list[int] = field(default_factory=list)
    """After which round, each time."""
    stopped: bool = False
    """Waiting returns at once, as it does when control is stopping."""
    _turned: threading.Condition = field(default_factory=threading.Condition)

    def turn(self, change: Callable[["FakeSource"], None] | None = None, seconds: int = 10) -> None:
        """The next round, ``seconds`` later, after ``change``."""
        with self._turned:
            if change:
                change(self)
            self.at_s += seconds
            self.rounds += 1
            self._turned.notify_all()

    def now_s(self) -> int:
        return self.at_s + 17

    def watermark_s(self) -> int:
        return self.at_s

    def round(self) -> int:
        return self.rounds

    def wait_round(self, after: int, timeout_s: float) -> int:
        self.threads.add(threading.current_thread().name)
        self.waits.append(after)
        with self._turned:
            self._turned.wait_for(lambda: self.rounds > after or self.stopped, timeout_s)
            return self.rounds

    def _ask(self) -> None:
        if self.down:
            raise Unavailable(self.down, 5)

    def _hurt(self, journey: str) -> float:
        return {"checkout": 0.4 * self.outage, "login": 0.04 * min(self.outage, 1)}.get(journey, 0.0)

    def live(self, journey: str) -> Live:
        self._ask()
        episode = self._open(journey)
        if episode is None:
            return Live(self.at_s, 0.0, 0.0, 0.0, harmed=False, episode=None, vector=QUIET)
        rho = episode.harm_minutes / 30
        harm = episode.harm_minutes + 15 * rho
        return Live(
            self.at_s,
            100 * harm / (harm + 5),
            episode.harm_minutes,
            rho,
            harmed=True,
            episode=episode,
            vector=episode.vector,
        )

    def _open(self, journey: str) -> Episode | None:
        hurt = self._hurt(journey)
        return self._episode(journey, self.at_s // 60 * 60 - 720, 720, hurt, over=False) if hurt else None

    def _episode(self, journey: str, start_s: int, length_s: int, hurt: float, *, over: bool) -> Episode:
        steps = [step.name for step in self.inventory.journeys[journey].steps]
        harmed = max(3, round(hurt * 100 * length_s / 60))
        criticality = self.inventory.journeys[journey].criticality
        factors = Factors(journey, criticality, 0.96, 0.82, 0.91, harmed, 100.0, 0.0, round(0.002 * length_s / 60, 4))
        harm = max(0.0, factors.c * factors.g * factors.v * factors.m * factors.a / factors.n + factors.x - factors.b)
        active = 1030
        affected = min(active, round(active * hurt))
        shares = {"eu": 1.75, "us": 0.5, "apac": 0.4}
        segments = {"enterprise": 1.1, "developer": 0.95, "trial": 0.9}
        return Episode(
            start_s=start_s,
            end_s=start_s + length_s,
            confirmed_s=start_s + 120,
            over=over,
            young=False,
            baseline="recent",
            harm_minutes=harm,
            score=100 * harm / (harm + 5),
            vector=f"CXI:1.0/J:{journey}/C:{criticality:g}/G:0.96/V:0.82/M:0.91/A:{harmed}/N:100/X:0/B:{factors.b:g}/H50:5",
            factors=factors,
            reach=Reach(affected, active, max(0.0, hurt - 0.02), min(1.0, hurt + 0.02)),
            by_step={steps[0]: harm * 0.06, steps[1]: harm * 0.86, steps[-1]: harm * 0.08},
            segments={name: self._reach(active // 3, hurt * by) for name, by in segments.items()},
            regions={name: self._reach(active // 3, hurt * by) for name, by in shares.items()},
        )

    def _reach(self, active: int, share: float) -> Reach:
        share = min(share, 0.97)
        return Reach(round(active * share), active, max(0.0, share - 0.04), min(1.0, share + 0.04))

    def coverage(self, journey: str, from_s: int, to_s: int) -> Coverage:
        self._ask()
        expected = (to_s - from_s) // 10
        if journey == self.idle:
            return Coverage(0, 0, None, "no data of this journey has arrived yet")
        if journey == self.unmeasured:
            return Coverage(
                expected // 3, expected, None, "the collector was down or refusing for 200 s of this window"
            )
        since = self.at_s - 20 * 3600 if from_s < self.at_s - 20 * 3600 else None
        return Coverage(expected, expected, since, "")

    def figures(self, journey: str, from_s: int, to_s: int) -> Figures:
        self._ask()
        found = self.inventory.journeys[journey]
        hours = (to_s - from_s) / 3600
        episodes = self._episodes(journey, from_s)
        if journey == self.idle:
            return Figures(journey, from_s * 10**9, to_s * 10**9, "", AttemptCounts(), Reach(), (), {}, {}, 0.0, ())
        hurt = self._hurt(journey)
        started = round(2400 * hours)
        failed = round(started * (hurt * 0.2 + 0.001))
        attempts = AttemptCounts(started, started - failed - 140, failed, 40, 90, 10, 25)
        steps = {step.name: self._step(journey, index, started) for index, step in enumerate(found.steps)}
        active = min(1900, round(1900 * hours))
        low = hurt * 0.55
        return Figures(
            journey=journey,
            from_ns=from_s * 10**9,
            to_ns=to_s * 10**9,
            grade="trace" if journey == "dns-change" else "explicit",
            attempts=attempts,
            customers=Reach(round(active * low), active, max(0.0, low - 0.012), low + 0.014),
            slis=tuple(
                self._sli(journey, number, goal.sli, goal.step, goal.target)
                for number, goal in enumerate(found.objectives)
            ),
            steps=steps,
            by={
                "segment": {
                    name: Share(started / 3, failed / 3, 600, 40) for name in ("enterprise", "developer", "trial")
                },
                "region": {name: Share(started / 3, failed / 3, 600, 40) for name in ("eu", "us", "apac", "other")},
            },
            harm_minutes=sum(episode.harm_minutes for episode in episodes),
            episodes=episodes,
        )

    def _episodes(self, journey: str, from_s: int) -> tuple[Episode, ...]:
        small = [
            self._episode(journey, self.at_s // 60 * 60 - ago, 240, 0.03, over=True)
            for ago in (2400, 9000, 40_000)
            if journey in {"checkout", "dns-change"} and self.at_s - ago >= from_s
        ]
        current = self._open(journey)
        return tuple(sorted([*small, *([current] if current else [])], key=lambda episode: episode.start_s))

    def _step(self, journey: str, index: int, started: int) -> StepFigures:
        hurt = self._hurt(journey) if index == 1 else 0.0
        failed = round(started * (hurt * 0.2 + 0.0004 * index))
        base = 60 + 500 * chance(journey, index)
        return StepFigures(
            ok=started - failed - 30 * index,
            failed=failed,
            rejected=12 * index,
            cancelled=7 * index,
            slow=round(failed * 0.4) + 3 * index,
            p50_ms=base,
            p95_ms=base * 2.4 * (1 + 2 * hurt),
            p99_ms=base * 5.1 * (1 + 2 * hurt),
        )

    def _sli(self, journey: str, number: int, sli: str, step: str | None, target: float) -> Sli:
        spent = SPENT.get(journey, (0.22, 0.4))
        total = 1_728_000.0
        good = total * (1 - spent[number] * (1 - target))
        return Sli(sli, step, good, total, target, spent[number], 30 * 86_400, (self.at_s - 20 * 86_400) * 10**9)

    def series(self, journey: str, from_s: int, to_s: int, step_s: int) -> Series:
        self._ask()
        starts = range(from_s, to_s, step_s)
        idle = journey == self.idle
        measured = [not (journey == self.unmeasured and start > self.at_s - 1200) for start in starts]
        hurt = self._hurt(journey)
        began = self.at_s // 60 * 60 - 720
        active, harmed = [], []
        for start, seen in zip(starts, measured, strict=True):
            share = (
                hurt * (0.85 + 0.3 * chance(journey, start))
                if start >= began - step_s / 2
                else 0.004 * chance(journey, start, 2)
            )
            if began - 1700 <= start < began - 1460 and journey in {"checkout", "dns-change"}:
                share = 0.05
            count = 0 if idle or not seen else round(step_s / 60 * (85 + 30 * chance(journey, start, 1)))
            active.append(count)
            harmed.append(round(count * min(1.0, share)))
        success = [1 - bad / count if count else None for bad, count in zip(harmed, active, strict=True)]
        return Series(
            start_s=from_s,
            step_s=step_s,
            active=active,
            harmed=harmed,
            ok=[float(2 * count - bad) for bad, count in zip(harmed, active, strict=True)],
            failed=[float(bad) for bad in harmed],
            rejected=[0.0] * len(active),
            success=success,
            p95_ms=[None if share is None else 300 + 2000 * (1 - share) for share in success],
            measured=measured,
            provisional=[start + step_s > self.at_s for start in starts],
        )

    def matrix(self, journey: str, from_s: int, to_s: int, rows: str, columns: str) -> dict[tuple[str, str], Share]:
        self._ask()
        if journey == self.idle:
            return {}
        hurt = self._hurt(journey) * (to_s > from_s)
        values = {name: [*dimension.values, "other"][:4] for name, dimension in self.inventory.dimensions.items()}
        cells = {}
        for row in values[rows] or ["other"]:
            for column in values[columns] or ["other"]:
                if (row, column) == ("other", "other"):
                    continue
                customers = 20 + round(180 * chance(row, column))
                share = min(1.0, hurt * (1.9 if "eu" in {row, column} else 0.25) * (0.6 + chance(row, column, 3)))
                affected = round(customers * share)
                cells[row, column] = Share(customers * 3.0, affected * 1.2, customers, affected)
        return cells

    def exemplars(self, journey: str, from_s: int, to_s: int, limit: int) -> list[Exemplar]:
        self._ask()
        if not self._hurt(journey) or to_s <= from_s:
            return []
        texts = HOSTILE if self.hostile else ("timeout", "gateway-timeout", "card_declined")
        step = self.inventory.journeys[journey].steps[1].name
        example = Exemplar("", "", 0, step, "failed", 0.0, "gateway-timeout", "enterprise", "eu", "billing", "1.8.2")
        return [
            replace(
                example,
                trace_id=hashlib.md5(f"{journey}{index}".encode(), usedforsecurity=False).hexdigest(),
                span_id=hashlib.md5(f"{index}".encode(), usedforsecurity=False).hexdigest()[:16],
                at_ns=(self.at_s - 20 - 31 * index) * 10**9,
                duration_ms=200 + 2800 * chance(index),
                error_class=texts[index % len(texts)],
                service=texts[(index + 3) % len(texts)] if self.hostile else "billing",
                service_version=texts[(index + 5) % len(texts)] if self.hostile else "1.8.2",
                region=("eu", "eu", "us")[index % 3],
            )
            for index in range(min(limit, 12))
        ]

    def intake(self) -> Intake:
        services = HOSTILE[:3] if self.hostile else ("panel", "billing", "worker")
        return Intake(
            since_s=NOW_S - 7200,
            spans=1_240_311,
            steps=104_220,
            synthetic=1_200,
            metric_points=98_000,
            log_records=15_300,
            refused={"too_late": 12, "unknown_step": 340, "bad_id": 0},
            overflow={
                ("otelcx.segment", services[0]): 1200,
                ("otelcx.region", services[1]): 4,
                ("shop.market", services[2]): 77,
            },
            log_used_bytes=34_000_000,
            log_minutes_left=1_234.4,
            log_limit_bytes=1 << 30,
            store_ok=not self.down,
            store_error=self.down,
        )

    def traffic(self) -> list[Observed]:
        names = HOSTILE if self.hostile else ("GET /invoices",)
        return [
            Observed(
                service=f"panel{index}" if index else "panel",
                kind="server",
                route=f"GET /{name}",
                spans=9000 // (index + 1),
            )
            for index, name in enumerate(names)
        ] + [Observed(service="worker", kind="consumer", destination="mail", spans=310)]
