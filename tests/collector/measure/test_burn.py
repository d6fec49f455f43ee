"""Burn-rate alerts (measures.md 3): the pairs, the arithmetic of detection, the guard, gaps, and the walk's laws."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import Row, table

from otel_cx_collector import inventory
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.measure import burn
from otel_cx_collector.measure.burn import BurnState, Policy, Slices, walk
from otel_cx_collector.measure.columns import Bools, build
from otel_cx_collector.measure.figures import BurnAlert
from otel_cx_collector.measure.slis import good_and_total
from otel_cx_collector.measure.stats import jeffreys

HOUR = 360
"""Slices."""
HEAVY = 50_000_000
"""Executions a slice: so many that evidence is no question."""


def file(objective: str) -> Inventory:
    return inventory.parse(f"journeys: {{checkout: {{steps: [cart, payment], objectives: [{{{objective}}}]}}}}")


def watched(objective: str) -> dict[str, Policy]:
    return {policy.pair: policy for policy in burn.policies(file(objective).journeys["checkout"])}


def chosen(objective: str, *alerts: str) -> Inventory:
    """With an ``alerts`` list."""
    read = file(objective)
    journey = read.journeys["checkout"]
    (one,) = journey.objectives
    journey = replace(journey, objectives=(one.model_copy(update={"alerts": alerts}),))
    return replace(read, journeys={"checkout": journey})


def of(failures: Sequence[int], events: Sequence[int]) -> Slices:
    return Slices.of_counts(0, np.array(failures, dtype=np.int64), np.array(events, dtype=np.int64))


def outage(policy: Policy, share: float, a_slice: int = HEAVY, before: int = 8 * HOUR, after: int = 8 * HOUR) -> Slices:
    failures = [0] * before + [round(share * a_slice)] * after
    return of(failures, [a_slice] * (before + after))


def fired_after_s(policy: Policy, share: float, a_slice: int = HEAVY, before: int = 8 * HOUR) -> int | None:
    slices = outage(policy, share, a_slice, before)
    alerts, _ = walk(slices, policy, 0, slices.end_s)
    return alerts[0].fired_s - before * 10 if alerts else None


# ------------------------------------------------------------------------ pairs


def test_the_default_pairs_for_thirty_days() -> None:
    found = watched("sli: availability, target: 99.9%, window: 30d")
    assert [(p.pair, p.long_s, p.short_s, p.factor, p.kind) for p in found.values()] == [
        ("1h/5m", 3600, 300, 14.4, "page"),
        ("6h/30m", 21_600, 1800, 6.0, "page"),
        ("1d/2h", 86_400, 7200, 3.0, "ticket"),
        ("3d/6h", 259_200, 21_600, 1.0, "ticket"),
    ]


@pytest.mark.parametrize(
    ("window", "factors"),
    [("28d", [13.44, 5.6, 2.8, 28 / 30]), ("7d", [3.36, 1.4, 0.7, 7 / 30]), ("60d", [28.8, 12, 6, 2])],
)
def test_factors_scale_with_the_window_of_the_objective(window: str, factors: list[float]) -> None:
    found = watched(f"sli: availability, target: 99.9%, window: {window}")
    assert [policy.factor for policy in found.values()] == [pytest.approx(factor) for factor in factors]


def test_whatever_the_window_the_same_share_of_the_budget_is_gone_when_a_pair_fires() -> None:
    for window, days in (("7d", 7), ("30d", 30), ("90d", 90)):
        found = watched(f"sli: availability, target: 99.9%, window: {window}")
        gone = {pair: policy.factor * policy.long_s / (days * 86_400) for pair, policy in found.items()}
        assert gone == {"1h/5m": pytest.approx(0.02), "6h/30m": pytest.approx(0.05)} | {
            pair: pytest.approx(0.1) for pair in ("1d/2h", "3d/6h")
        }


def test_an_alerts_list_gives_exactly_those() -> None:
    for alerts, pairs in ((("6h/30m", "6h/30m"), ["6h/30m"]), ((), [])):
        found = burn.policies(chosen("sli: availability, target: 99.9%", *alerts).journeys["checkout"])
        assert [policy.pair for policy in found] == pairs


def test_completion_has_no_burn_alerts() -> None:
    assert watched("sli: completion, target: 60%") == {}
    assert burn.left_out(file("sli: completion, target: 60%")) == []


def test_default_pairs_that_can_never_fire_are_left_out_and_said_so() -> None:
    objective = "sli: availability, step: cart, target: 93%, window: 30d"
    assert list(watched(objective)) == ["6h/30m", "1d/2h", "3d/6h"]
    (sentence,) = burn.left_out(file(objective))
    assert sentence == (
        "journey checkout: 1h/5m of availability of step cart at 93% over 30d is left out: it can never fire, it needs "
        "a burn above 14.4; largest possible factor: 14.28"
    )


def test_an_alerts_list_leaves_nothing_out() -> None:
    assert burn.left_out(chosen("sli: availability, target: 93%", "6h/30m")) == []


def test_a_page_that_fires_within_the_budget_is_said_so_at_load() -> None:
    first, second = burn.eager(file("sli: latency, step: cart, threshold: 1s, target: 99%, window: 1d"))
    assert first == (
        "journey checkout: 1h/5m of latency of step cart over 1d pages at a burn of 0.48, below the pace of 1 that the "
        "target allows; lengthen the window, or write alerts: with other pairs, or [] for none"
    )
    assert second.startswith("journey checkout: 6h/30m of latency of step cart over 1d pages at a burn of 0.2,")
    assert burn.eager(file("sli: availability, target: 99%, window: 7d")) == []


def test_a_pair_whose_factor_is_just_the_largest_burn_can_never_fire() -> None:
    """6·(50 d/30 d) = 10 = 1/(1 - 90 %), whatever floating point makes of 1 - 0.9."""
    assert "6h/30m" not in watched("sli: availability, target: 90%, window: 50d")
    assert "6h/30m" in watched("sli: availability, target: 90%, window: 49d")


# -------------------------------------------------------------------- arithmetic


@pytest.mark.parametrize(
    ("target", "fast_s", "slow_s"),
    [
        ("99.99%", 5.184, 12.96),
        ("99.95%", 25.92, 64.8),
        ("99.9%", 51.84, 129.6),
        ("99.5%", 259.2, 648),
        ("99%", 518.4, 1296),
        ("97%", 1555.2, 3888),
        ("95%", 2592, 6480),
        ("93%", None, 9072),
        ("60%", None, None),
    ],
)
def test_a_total_outage_is_found_after_the_arithmetic(target: str, fast_s: float | None, slow_s: float | None) -> None:
    """Seconds are those of the factor, 14.4 and 6: 5 s, 26 s, 52 s, 4.3, 8.6, 26, 43 min; 13 s ... 151 min; never."""
    found = watched(f"sli: availability, target: {target}, window: 30d")
    for pair, expected in (("1h/5m", fast_s), ("6h/30m", slow_s)):
        assert (pair in found) == (expected is not None)
        if expected is not None:
            assert burn.fires_after_s(found[pair], 1.0) == pytest.approx(expected)
            fired = fired_after_s(found[pair], 1.0)
            assert fired is not None
            assert expected < fired <= expected + 10 + 0.01 * expected


@pytest.mark.parametrize(
    ("target", "events_an_hour"),
    [("99.99%", 694), ("99.95%", 139), ("99.9%", 69), ("99.5%", 14), ("99%", 7), ("97%", 2), ("95%", 1)],
)
def test_one_failure_pages_nobody_although_it_burns_fast_enough(target: str, events_an_hour: int) -> None:
    policy = watched(f"sli: availability, target: {target}, window: 30d")["1h/5m"]
    assert round(1 / policy.limit) == events_an_hour
    fewer = int(1 / policy.limit)
    events = [0] * (2 * HOUR)
    for at in range(fewer):
        events[at * HOUR // fewer] += 1
    failures = [0] * len(events)
    failures[0] = 1
    assert walk(of(failures, events), policy, 0, 10 * len(events))[0] == []


def test_an_error_rate_at_the_limit_fires_never() -> None:
    policy = watched("sli: availability, target: 99%, window: 30d")["6h/30m"]
    assert burn.fires_after_s(policy, 0.06) == float("inf")
    assert fired_after_s(policy, 0.06, a_slice=10**6, before=0) is None
    assert fired_after_s(policy, 0.0601, a_slice=10**6, before=0) is not None
    # 54 of 375 are 14.4 %, though floating point says that 14.4 % of 375 are less. Evidence is plenty here.
    policy = watched("sli: availability, target: 99%, window: 30d")["1h/5m"]
    slices = of([540], [1000])
    bad, total = (slices.bad // 10, slices.total * 375 // 1000)
    assert walk(replace(slices, bad=bad, total=total), policy, 0, 10)[0] == []


def test_it_resolves_when_the_short_window_burns_no_faster_than_the_factor() -> None:
    policy = watched("sli: availability, target: 99.9%, window: 30d")["1h/5m"]
    failures = [0] * HOUR + [1000] * 60 + [0] * HOUR
    slices = of(failures, [1000] * len(failures))
    (alert,), _ = walk(slices, policy, 0, slices.end_s)
    # 300 s after the outage no failure is left in it, and one slice is 3.3 %: above 1.44 %.
    assert alert.resolved_s == (HOUR + 60) * 10 + 300


def test_firing_again_is_a_new_alert() -> None:
    policy = watched("sli: availability, target: 99.9%, window: 30d")["1h/5m"]
    failures = ([0] * HOUR + [1000] * 60) * 2 + [0] * HOUR
    slices = of(failures, [1000] * len(failures))
    first, second = walk(slices, policy, 0, slices.end_s)[0]
    assert (first.resolved_s or 0) < second.fired_s


def test_an_alert_says_what_fired() -> None:
    policy = watched("sli: availability, step: payment, target: 99.9%, window: 30d")["1h/5m"]
    (alert,), state = walk(of([10] * 60, [10] * 60), policy, 0, 600)
    assert alert == BurnAlert("checkout", "availability", "payment", "1h/5m", "page", 14.4, 10, None)
    assert state == BurnState(10)


# --------------------------------------------------------------- evidence and gaps


def test_fewer_than_three_failures_in_the_short_window_are_no_evidence() -> None:
    policy = watched("sli: availability, target: 99.9%, window: 30d")["1h/5m"]
    assert walk(of([1, 1], [1, 1]), policy, 0, 20)[0] == []
    assert len(walk(of([1, 1, 1], [1, 1, 1]), policy, 0, 30)[0]) == 1


def test_evidence_is_counted_in_executions_and_burn_in_weights() -> None:
    """Two kept failures that stand for a thousand each are two."""
    policy = watched("sli: availability, target: 99.9%, window: 30d")["1h/5m"]
    heavy = of([2], [2])
    assert walk(replace(heavy, bad=heavy.bad * 1000, total=heavy.total * 1000), policy, 0, 10)[0] == []
    # Three failures of four kept, but those that were ok stand for a thousand: they do not burn.
    light = of([3], [4])
    assert len(walk(light, policy, 0, 10)[0]) == 1
    assert walk(replace(light, total=light.total * 1000), policy, 0, 10)[0] == []
    # Four of 250 are 1.6 %, by chance perhaps: that each stands for a thousand makes it no more certain.
    rare = of([4], [250])
    assert walk(replace(rare, bad=rare.bad * 1000, total=rare.total * 1000), policy, 0, 10)[0] == []


def test_the_long_window_must_be_certain_too() -> None:
    """Six failures of 400 are 1.5 %, above 1.44 %; the Jeffreys bound of 0.73 % is not."""
    policy = watched("sli: availability, target: 99.9%, window: 30d")["1h/5m"]
    events = [2] * 200
    failures = [0] * 194 + [1] * 6
    assert jeffreys(6, 400, burn.CERTAINTY) < policy.limit < 6 / 400
    assert walk(of(failures, events), policy, 0, 2000)[0] == []


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 2000), st.sampled_from([0.001, 0.0144, 0.3]))
def test_certainty_is_that_of_the_jeffreys_quantile(failures: int, more: int, limit: float) -> None:
    n = failures + more
    quantile = jeffreys(failures, n, burn.CERTAINTY)
    if abs(quantile - limit) > 1e-9:
        assert bool(burn.certain(np.array([failures]), np.array([n]), limit)[0]) == (quantile > limit)


def test_below_nine_tenths_of_coverage_it_neither_fires_nor_resolves() -> None:
    policy = watched("sli: availability, target: 99.9%, window: 30d")["1h/5m"]
    slices = of([0] * HOUR + [100] * 60 + [0] * HOUR, [100] * (2 * HOUR + 60))
    measured = np.ones(len(slices), dtype=np.bool_)
    (whole,), _ = walk(slices, policy, 0, slices.end_s, measured)
    begin = HOUR
    measured[begin : begin + 4] = False  # 4 of the short window's 30
    (late,), _ = walk(slices, policy, 0, slices.end_s, measured)
    assert whole.fired_s == (begin + 6) * 10
    # The first T whose short window holds three of the four again: more than 27 measured.
    assert late.fired_s == (begin + 31) * 10
    measured[:] = True
    measured[begin + 60 + 25 : begin + 60 + 35] = False
    (frozen,), _ = walk(slices, policy, 0, slices.end_s, measured)
    assert whole.resolved_s == (begin + 60 + 30) * 10
    # Ten unmeasured slices freeze it until only three of them are left in the short window.
    assert frozen.resolved_s == (begin + 60 + 35 + 27) * 10


def test_coverage_of_the_long_window_counts_as_well() -> None:
    policy = watched("sli: availability, target: 99.9%, window: 30d")["1h/5m"]
    slices = of([0] * HOUR + [100] * 30, [100] * (HOUR + 30))
    measured = np.ones(len(slices), dtype=np.bool_)
    measured[40:76] = False  # 36 of 360 slices: 0.9 is enough
    assert len(walk(slices, policy, 0, slices.end_s, measured)[0]) == 1
    measured[40:110] = False
    assert walk(slices, policy, 0, slices.end_s, measured)[0] == []


def test_an_outage_that_stops_the_traffic_does_not_resolve_by_silence() -> None:
    policy = watched("sli: availability, target: 99.9%, window: 30d")["1h/5m"]
    quiet = [0] * (3 * HOUR)
    failures, events = [100] * 30 + quiet, [100] * 30 + quiet
    (alert,), _ = walk(of(failures, events), policy, 0, 10 * len(events))
    assert alert.resolved_s is None
    (alert,), _ = walk(of([*failures, 0], [*events, 1]), policy, 0, 10 * len(events) + 10)
    assert alert.resolved_s == 10 * len(events) + 10


def test_before_the_first_data_nothing_is_judged() -> None:
    policy = watched("sli: availability, target: 99.9%, window: 30d")["1h/5m"]
    slices = Slices.of_counts(1000, np.array([5]), np.array([5]))
    assert walk(slices, policy, 0, 1000) == ([], BurnState())
    assert len(walk(slices, policy, 0, 1010)[0]) == 1


def test_boundaries_beyond_the_slices_are_refused_with_the_cure() -> None:
    policy = watched("sli: availability, target: 99.9%, window: 30d")["1h/5m"]
    with pytest.raises(ValueError, match=r"slices end at 10 and T is 20; sum them up"):
        walk(of([0], [1]), policy, 0, 20)


# -------------------------------------------------------------------------- laws


def oracle(
    policy: Policy, failures: list[int], events: list[int], measured: list[bool]
) -> list[tuple[int, int | None]]:
    """3.2 read aloud, one boundary at a time."""
    alerts: list[tuple[int, int | None]] = []
    for end in range(1, len(events) + 1):
        burns, covered = [], []
        for length_s in (policy.long_s, policy.short_s):
            begin = max(0, end - length_s // 10)
            bad, total = sum(failures[begin:end]), sum(events[begin:end])
            burns.append(bad / total if total else None)
            covered.append(sum(measured[begin:end]) / (end - begin))
        if min(covered) < 0.9:
            continue
        on = bool(alerts) and alerts[-1][1] is None
        if on and any(burn is not None and burn <= policy.limit for burn in burns):
            alerts[-1] = (alerts[-1][0], end * 10)
        elif not on and all(burn is not None and burn > policy.limit for burn in burns):
            k, n = (sum(each[max(0, end - policy.long_s // 10) : end]) for each in (failures, events))
            evident = sum(failures[max(0, end - policy.short_s // 10) : end]) >= 3
            if evident and jeffreys(k, n, 0.05) > policy.limit:
                alerts.append((end * 10, None))
    return alerts


TINY = replace(watched("sli: availability, target: 80%, window: 30d")["3d/6h"], long_s=120, short_s=30)
"""Windows of twelve and three slices and a limit of 20 %: things happen."""
slice_counts = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda pair: (min(pair), max(pair)))
histories = st.lists(st.tuples(slice_counts, st.sampled_from([True] * 15 + [False])), min_size=1, max_size=80)


def split(history: list[tuple[tuple[int, int], bool]]) -> tuple[Slices, Bools]:
    slices = of([counts[0] for counts, _ in history], [counts[1] for counts, _ in history])
    return slices, np.array([seen for _, seen in history], dtype=np.bool_)


@settings(max_examples=300, deadline=None)
@given(histories)
def test_the_walk_says_what_the_definition_says(history: list[tuple[tuple[int, int], bool]]) -> None:
    slices, measured = split(history)
    alerts, state = walk(slices, TINY, 0, slices.end_s, measured)
    found = [(alert.fired_s, alert.resolved_s) for alert in alerts]
    failures, events = [c[0] for c, _ in history], [c[1] for c, _ in history]
    assert found == oracle(TINY, failures, events, measured.tolist())
    assert state.fired_s == (found[-1][0] if found and found[-1][1] is None else None)


@settings(deadline=None)
@given(histories, st.data())
def test_walking_in_pieces_is_walking_at_once(history: list[tuple[tuple[int, int], bool]], data: st.DataObject) -> None:
    slices, measured = split(history)
    whole, end = walk(slices, TINY, 0, slices.end_s, measured)
    together: dict[int, BurnAlert] = {}
    state, at = BurnState(), 0
    while at < slices.end_s:
        to = data.draw(st.integers(at // 10 + 1, len(slices))) * 10
        known = Slices.of_counts(0, np.diff(slices.failures)[: to // 10], np.diff(slices.events)[: to // 10])
        alerts, state = walk(known, TINY, at, to, measured[: to // 10], state)
        together |= {alert.fired_s: alert for alert in alerts}
        at = to
    assert list(together.values()) == whole
    assert state == end


@settings(deadline=None)
@given(histories, st.integers(0, 80))
def test_history_that_no_window_reaches_does_not_matter(history: list[tuple[tuple[int, int], bool]], cut: int) -> None:
    slices, measured = split(history)
    cut = min(cut, len(slices))
    _, state = walk(slices, TINY, 0, cut * 10, measured)
    begin = max(0, cut - TINY.long_s // 10)
    sums = (slices.bad, slices.total, slices.failures, slices.events)
    rest = Slices(begin * 10, *(each[begin:] - each[begin] for each in sums))
    assert walk(rest, TINY, cut * 10, slices.end_s, measured[begin:], state) == walk(
        slices, TINY, cut * 10, slices.end_s, measured, state
    )


@pytest.mark.parametrize("rate", [120, 10_000])
def test_two_months_of_a_service_that_spends_half_its_budget_page_nobody(rate: int) -> None:
    """What bench/simulate.py does for hundreds of months."""
    rng = np.random.default_rng(7)
    found = watched("sli: availability, target: 99.9%, window: 30d")
    month = 30 * 24 * HOUR
    for _ in range(2):
        failures = rng.poisson(rate / HOUR * 0.0005, month)
        slices = Slices.of_counts(0, failures, failures + rng.poisson(rate / HOUR * 0.9995, month))
        assert [walk(slices, found[pair], 0, slices.end_s)[0] for pair in ("1h/5m", "6h/30m")] == [[], []]


# ------------------------------------------------------------------ what is counted

FILE = inventory.parse(
    """
maintenance: [{journey: checkout, from: 2026-01-05T09:10:00Z, to: 2026-01-05T09:20:00Z}]
journeys:
  checkout:
    steps: [cart, payment]
    objectives:
      - {sli: availability, target: 99%, window: 30d}
      - {sli: latency, step: payment, threshold: 1s, target: 95%, window: 30d}
"""
)
AVAILABILITY, LATENCY = FILE.journeys["checkout"].objectives


def counted(rows: list[Row], objective: inventory.Objective) -> tuple[set[str], set[str]]:
    """Attempts with a good execution, and with one that counts at all."""
    columns = build(table(rows), FILE.journeys["checkout"], FILE)
    attempts = columns.table["attempt"].to_numpy()
    good, total = good_and_total(columns, objective)
    return set(attempts[good]), set(attempts[total])


def test_availability_counts_ok_and_failed_and_nothing_else() -> None:
    rows = [
        Row(0, "a"),
        Row(1, "b", outcome="failed"),
        Row(2, "c", outcome="rejected"),
        Row(3, "d", outcome="cancelled"),
        Row(15, "e", "cart"),
        Row(601, "in maintenance", outcome="failed"),
    ]
    assert counted(rows, AVAILABILITY) == ({"a", "e"}, {"a", "b", "e"})


def test_latency_counts_ok_executions_of_its_step_against_the_threshold() -> None:
    rows = [
        Row(0, "a", duration_s=1.0),
        Row(1, "b", duration_s=1.001),
        Row(2, "c", "cart", duration_s=9),
        Row(3, "d", outcome="failed", duration_s=9),
    ]
    assert counted(rows, LATENCY) == ({"a"}, {"a", "b"})


def test_a_month_of_a_busy_journey_is_summed_exactly() -> None:
    slices = of([0] * 10, [10**8] * 10)
    assert int(slices.total[-1]) == 10**9 * 2**20
