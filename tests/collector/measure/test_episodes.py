"""Episodes of 4.8 against a reference that is written from the text, minute by minute, over plain Python sets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import START_S, Row, table

from otel_cx_collector import inventory
from otel_cx_collector.events import NS
from otel_cx_collector.measure import impact
from otel_cx_collector.measure.columns import Bools
from otel_cx_collector.measure.evaluation import evaluate, figures
from otel_cx_collector.measure.stats import jeffreys
from otel_cx_collector.measure.track import Track

FILE = inventory.parse(
    """
dimensions: {segment: {enterprise: 1.0, trial: 0.4}}
journeys: {checkout: {steps: [payment], objectives: [{sli: availability, target: 95%, window: 30d}]}}
"""
)
JOURNEY = FILE.journeys["checkout"]
FIRST = START_S // 60
TOLERANCE = 0.05


class Found(NamedTuple):
    """One episode."""

    start: int
    end: int
    confirmed: int
    young: bool
    over: bool
    baseline: str
    q: float


@dataclass
class Brute:
    """4.3 to 4.5 and 4.8 from the text, for one step, explicit attempts, no seasons and no maintenance."""

    rows: Sequence[Row]
    measured: Sequence[bool]
    episodes: list[Found] = field(default_factory=list)
    missing: dict[int, float] = field(default_factory=dict)

    def attempts(self, minutes: Sequence[int], *outcomes: str) -> set[str]:
        wanted = set(minutes)
        return {r.attempt for r in self.rows if r.at_s // 60 in wanted and (not outcomes or r.outcome in outcomes)}

    def harmed(self, minutes: Sequence[int], baseline: str) -> set[str]:
        return self.attempts(minutes, "failed", *(["rejected"] if baseline != "none" else []))

    def started(self, minute: int) -> int:
        first: dict[str, float] = {}
        for row in self.rows:
            first[row.attempt] = min(row.at_s, first.get(row.attempt, row.at_s))
        return sum(1 for at in first.values() if at // 60 == minute)

    def clean(self, before: int) -> list[int]:
        taken = {minute for each in self.episodes for minute in range(each.start, each.end + 1)}
        return [m for m in range(max(0, before - 1440), before) if self.measured[m] and m not in taken]

    def reference(self, start: int) -> tuple[str, float]:
        minutes = self.clean(start)[-60:]
        if len(minutes) < 10:
            return "none", TOLERANCE
        active, failed = len(self.attempts(minutes)), self.attempts(minutes, "failed")
        rejected = self.attempts(minutes, "rejected") - failed
        share = min(len(failed) / max(active, 1), TOLERANCE) + len(rejected) / max(active, 1)
        return "recent", max(share, 0.001)

    def harmed_minute(self, minute: int, baseline: str, q: float) -> bool:
        harmed = len(self.harmed([minute], baseline))
        return harmed > 2 * q * len(self.attempts([minute])) or self.missing.get(minute, 0) > 0

    def test(self, minute: int, baseline: str, q: float) -> bool:
        if self.missing.get(minute, 0) > 0 and self.missing.get(minute - 1, 0) > 0:
            return True
        window = range(max(0, minute - 2), minute + 1)
        harmed, active = len(self.harmed(window, baseline)), len(self.attempts(window))
        return harmed >= 3 and jeffreys(harmed, active, 0.001) > 2 * q

    def find_missing(self, minute: int) -> None:
        window = range(minute - 4, minute + 1)
        if minute < 4 or not all(self.measured[m] for m in window):
            return
        under_way = self.episodes and not self.episodes[-1].over
        before = self.episodes[-1].start if under_way else minute - 4
        minutes = [m for m in self.clean(min(before, minute - 4))[-60:] if m not in self.missing]
        if len(minutes) < 10:
            return
        came = [self.started(m) for m in minutes]
        expected = min(sum(came) / len(came), sum(came[-10:]) / 10)
        if 5 * expected >= 60 and sum(self.started(m) for m in window) < 2.5 * expected:
            for m in window:
                if expected > self.started(m):
                    self.missing.setdefault(m, expected - self.started(m))

    def walk(self) -> list[Found]:
        quiet = 0
        for minute in range(len(self.measured)):
            if not self.measured[minute]:
                continue
            self.find_missing(minute)
            last = self.episodes[-1] if self.episodes else None
            if last is None or last.over:
                self.confirm(minute)
                quiet = 0
            elif self.test(minute, last.baseline, last.q):
                looked = [m for m in range(minute - 2, minute + 1) if self.harmed_minute(m, last.baseline, last.q)]
                self.episodes[-1] = last._replace(end=max([last.end, *looked]))
                quiet = 0
            else:
                quiet += 1
                self.episodes[-1] = last._replace(over=quiet >= 10)
        return self.episodes

    def confirm(self, minute: int) -> None:
        window = range(max(0, minute - 2), minute + 1)
        baseline, q = self.reference(window[0])
        if not self.test(minute, baseline, q):
            return
        harmed = [m for m in window if self.harmed_minute(m, baseline, q)]
        harmed = harmed or [m for m in window if self.harmed([m], baseline)]
        baseline, q = self.reference(harmed[0])
        young = len(self.clean(harmed[0])) < 10
        self.episodes.append(Found(harmed[0], harmed[-1], minute, young, over=False, baseline=baseline, q=q))


def found(rows: Sequence[Row], measured: Sequence[bool]) -> tuple[list[Found], dict[int, float]]:
    def known(first: int, count: int) -> Bools:
        return np.array(measured[first - FIRST : first - FIRST + count], dtype=np.bool_)

    track = Track(JOURNEY, FILE)
    track.add(table(rows))
    track.close(START_S + len(measured) * 60, known)
    spans = [
        Found(s.start - FIRST, s.end - FIRST, s.confirmed - FIRST, s.young, s.over, s.reference.baseline, s.reference.q)
        for s in track.walk.spans
    ]
    return spans, {at - FIRST: x for at, x in track.walk.missing.items()}


@st.composite
def recordings(draw: st.DrawFn) -> tuple[list[Row], list[bool]]:
    """Calm, harm, calm, harm; some attempts go on for minutes; some minutes are unmeasured."""
    rows = [Row(0, "first")]
    measured: list[bool] = []
    for _ in range(draw(st.integers(1, 4))):
        length, a_minute = draw(st.integers(1, 14)), draw(st.sampled_from([0, 1, 5, 13, 16]))
        failed, rejected = draw(st.integers(0, 5)), draw(st.integers(0, 3))
        long = draw(st.booleans())
        for minute in range(len(measured), len(measured) + length):
            for i in range(a_minute):
                outcome = "failed" if i < failed else "rejected" if i < failed + rejected else "ok"
                name = f"long-{i}-{minute // 4}" if long and i < 3 else f"{minute}-{i}"
                rows.append(Row(minute * 60 + i * 60 / a_minute, name, outcome=outcome))
        measured += [True] * length
    for gap in draw(st.lists(st.integers(0, len(measured) - 1), max_size=4)):
        measured[gap] = False
    return rows, measured


@settings(max_examples=120, deadline=None)
@given(recordings())
def test_episodes_and_missing_customers_are_what_the_text_says(drawn: tuple[list[Row], list[bool]]) -> None:
    rows, measured = drawn
    expected = Brute(rows, measured)
    expected.walk()
    spans, missing = found(rows, measured)
    assert [each[:-1] for each in spans] == [each[:-1] for each in expected.episodes]
    assert [each.q for each in spans] == pytest.approx([each.q for each in expected.episodes])
    assert missing == pytest.approx(expected.missing)


@settings(max_examples=40, deadline=None)
@given(recordings())
def test_an_unmeasured_minute_confirms_nothing_and_ends_nothing(drawn: tuple[list[Row], list[bool]]) -> None:
    rows, measured = drawn
    spans, _ = found(rows, measured)
    assert all(measured[span.confirmed] for span in spans)
    for cut in [at for at, is_measured in enumerate(measured) if not is_measured]:
        before, _ = found([row for row in rows if row.at_s < cut * 60], measured[:cut]) if cut else ([], {})
        after, _ = found([row for row in rows if row.at_s < (cut + 1) * 60], measured[: cut + 1])
        assert after == before


def calm(minutes: range, **how: str) -> list[Row]:
    return [Row(m * 60 + i * 6, f"{m}-{i}", **how) for m in minutes for i in range(10)]  # type: ignore[arg-type]


def outage(minutes: range, failed: int, **how: str) -> list[Row]:
    return [
        Row(m * 60 + i * 6, f"{m}-{i}", outcome="failed" if i < failed else "ok", **how)  # type: ignore[arg-type]
        for m in minutes
        for i in range(10)
    ]


def test_an_attempt_is_in_every_episode_it_is_harmed_in_and_once_in_each() -> None:
    """The same ten attempts fail in two episodes, in every minute of them."""
    again = [
        Row(m * 60 + i * 6, f"same-{i}", outcome="failed")
        for m in (*range(30, 33), *range(50, 53))
        for i in range(10)
    ]  # fmt: skip
    rows = [*calm(range(30)), *again, *calm(range(33, 50)), *calm(range(53, 70))]
    episodes = figures(evaluate(table(rows), JOURNEY, FILE, (START_S + 70 * 60) * NS), START_S * NS).episodes
    assert [each.factors.a for each in episodes] == [10, 10]


def test_harm_is_additive_over_segments() -> None:
    """Two segments' harm, weighted, is that of both together; the everyday part is counted once."""
    after = 10
    parts = []
    for segments in (("enterprise",), ("trial",), ("enterprise", "trial")):
        rows = calm(range(60))
        for name in ("enterprise", "trial"):
            failed = 6 if name in segments else 0
            hurt = outage(range(60, 60 + after), failed, segment=name)
            rows += [Row(r.at_s, f"{name}-{r.attempt}", outcome=r.outcome, segment=name) for r in hurt]
        (episode,) = figures(
            evaluate(table(rows), JOURNEY, FILE, (START_S + (60 + after) * 60) * NS), START_S * NS
        ).episodes
        parts.append(episode.harm_minutes + episode.factors.b)
    assert parts[2] == pytest.approx(parts[0] + parts[1])
    assert parts[1] == pytest.approx(0.4 * parts[0])


def test_harm_is_the_share_of_the_error_budget_that_is_spent() -> None:
    """4.6: c = g = v = 1, one execution an attempt, no baseline, and N the window's mean."""
    rows = [*outage(range(5), 8), *calm(range(5, 60))]
    found_ = figures(evaluate(table(rows), JOURNEY, FILE, (START_S + 3600) * NS), START_S * NS)
    (episode,) = found_.episodes
    assert (episode.baseline, episode.factors.n) == ("none", 10)
    assert episode.harm_minutes / (0.05 * 60) == pytest.approx(found_.slis[0].budget_spent)
    assert impact.harm_minutes(episode.factors) == pytest.approx(4.0)
