"""``validate`` says in words how the file is read."""

from pathlib import Path

import pytest

from otel_cx_collector.inventory import explain, load, parse

VALID = Path(__file__).parent / "valid"

SMALLEST = """\
1 journey, judged where deployment.environment.name is production or unset
dimensions, else other, absent unset:
  segment        no values listed: whatever spans carry becomes other
  plan           no values listed: whatever spans carry becomes other
  region         no values listed: whatever spans carry becomes other
  device         desktop, mobile, tablet, api
  workflow       interactive, batch, webhook
  revenue_class  new, expansion, renewal, usage, none

checkout  [criticality 1 (default)]
  steps, in loose order:
    1. cart     stage 1, slow after 2s (default)
    2. payment  stage 1, slow after 2s (default)
    3. confirm  stage 1, slow after 2s (default), ok completes the attempt
  an attempt is what shares otelcx.journey.attempt, else session.id, else customer, else trace
  it is over after 30m of silence (default); live completion counts those older than 5m (default)
  no objectives: nothing is promised, nothing has a budget
  harm: failed 1, or 0.3 when the step is ok within 5m (default); rejected 0.3; slow 0.058 a second beyond slow after, \
at most 0.5
  no match rules: only spans tagged by the SDK count
"""


def test_the_smallest_file_is_told_with_every_default_in_force() -> None:
    assert explain(load(VALID / "smallest.yaml")) == SMALLEST


@pytest.mark.parametrize(
    "line",
    [
        "2 journeys, judged where deployment.environment.name is production",
        "  segment        enterprise, developer (weight 0.7), trial (weight 0.4)",
        "  market         de, fr, uk, from shop.market",
        "customer of services without the SDK: enduser.id, hashed in the collector",
        "segment of services without the SDK: tenant.tier",
        "  route GET /healthz",
        "  user agents that begin with kube-probe/",
        "  service canary, route GET /",
        "maintenance of checkout from 2026-01-05T02:00:00Z to 2026-01-05T03:00:00Z",
        "    1. cart     stage 0.4, slow after 2s (default)",
        "    2. payment  stage 1, slow after 1.5s",
        "    4. invoice  stage 1, slow after 2s (default), ok completes the attempt",
        "  an attempt is what shares otelcx.journey.attempt, else cart.id, else session.id, else customer, else trace",
        "  it is over after 20m of silence; live completion counts those older than 90s",
        "    latency 95% over 7d: ok executions of payment within 1.5s, of ok executions of payment",
        "    completion 60% over 28d: attempts with confirm or invoice ok, of those started at least 20m ago",
        "    service checkout-api, route POST /pay -> payment",
        "    service checkout-api, RPC shop.Checkout/Confirm -> confirm",
        "      no burn alerts: completion has a budget alone",
        "    payment-declined: at payment, type card_declined; is final; costs: lost order",
        "    gateway-timeout: at any step, type timeout; may be tried again",
        "    anything-else: at any step, any type; recoverable as the span says",
        "    when changed.deploy: roll back (https://runbooks.example/checkout#rollback)",
        "    call the gateway",
    ],
)
def test_what_the_file_says_is_told(line: str) -> None:
    assert line in explain(load(VALID / "evaluated.yaml")).splitlines()


def test_a_journey_s_head_says_whose_it_is() -> None:
    head = (
        "checkout: Checkout  [criticality 0.9; owner payments-sre; told head-of-commerce; service checkout-api; "
        "KPI conversion (completion)]"
    )

    assert head in explain(load(VALID / "evaluated.yaml")).splitlines()


def test_availability_says_what_it_leaves_out() -> None:
    good = "ok executions of payment, of ok and failed ones; rejected and cancelled ones are left out"

    assert f"    availability 99.5% over 30d: {good}" in explain(load(VALID / "evaluated.yaml")).splitlines()


def test_a_mature_age_that_is_not_the_default_is_not_said_to_be() -> None:
    told = explain(parse("journeys: {a: {timeout: 2m, mature: 1m, steps: [b]}}"))

    assert "over after 2m of silence; live completion counts those older than 1m\n" in told


def test_a_resource_is_told_with_its_limit_and_its_warning_line() -> None:
    text = "journeys: {a: {steps: [b]}}\nsaturation: {db: {metric: pool.used, where: {service.name: api}, limit: 50}}"

    line = (
        "resource db: pool.used, service.name api, of 50, worth a word above 80% (default); the worst instance counts"
    )
    assert line in explain(parse(text)).splitlines()
    told = explain(parse(text.replace("limit: 50", "limit: 50, warn: 0.9"))).splitlines()
    assert line.replace("80% (default)", "90%") in told


@pytest.mark.parametrize(
    ("objective", "line"),
    [
        (
            "target: 99%",
            "page above 14.4 (1h/5m), page above 6 (6h/30m), ticket above 3 (1d/2h), ticket above 1 (3d/6h) (default)",
        ),
        ("target: 90%", "page above 6 (6h/30m), ticket above 3 (1d/2h), ticket above 1 (3d/6h) (default)"),
        ("target: 99%, window: 15d, alerts: [6h/30m]", "page above 3 (6h/30m)"),
        ("target: 99%, alerts: []", None),
    ],
)
def test_the_burn_alerts_that_are_watched_are_told(objective: str, line: str | None) -> None:
    told = explain(parse(f"journeys: {{a: {{steps: [b], objectives: [{{sli: availability, {objective}}}]}}}}"))

    expected = f"burn alerts, in times the promised pace: {line}" if line else "no burn alerts"
    assert f"\n      {expected}\n" in told
