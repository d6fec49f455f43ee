"""cx.yaml -> Inventory: the smallest file, the whole file, and what stands where nothing is said."""

from pathlib import Path

import pytest

from otel_cx import semconv
from otel_cx_collector.errors import InventoryError
from otel_cx_collector.events import NS
from otel_cx_collector.inventory import Dimension, Identify, Inventory, Match, load, parse
from otel_cx_collector.inventory.decisions import (
    AllOf,
    AnyOf,
    AvailabilityOk,
    CompletionDrop,
    CompletionUnchanged,
    Escalate,
    ImpactAbove,
    LatencyAbove,
    Monitor,
    Not,
    PagerDuty,
    Saturation,
    SaturationAbove,
    Webhook,
)

VALID = Path(__file__).parent / "valid"
MINUTE = 60 * NS
DAY = 86_400 * NS


def evaluated() -> Inventory:
    return load(VALID / "evaluated.yaml")


def whole() -> Inventory:
    return parse((VALID / "whole.yaml").read_text(), pending=())


def test_three_lines_are_an_inventory() -> None:
    inventory = load(VALID / "smallest.yaml")

    journey = inventory.journeys["checkout"]
    assert [step.name for step in journey.steps] == ["cart", "payment", "confirm"]
    assert journey.terminal == {"confirm"}
    assert inventory.environments == ("production", "unset")


def test_what_is_not_said_has_the_defaults_of_the_reference() -> None:
    inventory = load(VALID / "smallest.yaml")
    journey = inventory.journeys["checkout"]

    assert (inventory.version, inventory.currency) == (1, None)
    assert (journey.title, journey.owner, journey.stakeholders, journey.service) == ("checkout", None, (), None)
    assert (journey.criticality, journey.per_second, journey.max_slow, journey.strict) == (1.0, 0.058, 0.5, False)
    assert (journey.timeout_ns, journey.mature_ns, journey.recovery_ns) == (30 * MINUTE, 5 * MINUTE, 5 * MINUTE)
    assert (journey.attempt, journey.kpi, journey.value) == (None, None, None)
    assert (journey.objectives, journey.match, journey.errors, journey.actions) == ((), (), (), ())
    assert all((step.stage, step.slow_after_ns, step.terminal) == (1.0, 2 * NS, False) for step in journey.steps)


def test_the_six_dimensions_are_always_there_with_their_closed_sets() -> None:
    dimensions = load(VALID / "smallest.yaml").dimensions

    assert list(dimensions) == list(semconv.DIMENSIONS)
    assert dimensions["segment"] == Dimension("segment", semconv.SEGMENT, {}, own=False)
    assert list(dimensions["device"].values) == list(semconv.DEVICE_CLASSES)
    assert list(dimensions["workflow"].values) == list(semconv.WORKFLOW_TYPES)
    assert list(dimensions["revenue_class"].values) == list(semconv.REVENUE_CLASSES)


def test_mature_is_the_timeout_where_that_is_shorter_than_five_minutes() -> None:
    assert parse("journeys: {a: {timeout: 2m, steps: [b]}}").journeys["a"].mature_ns == 2 * MINUTE


def test_mature_may_be_as_long_as_the_timeout() -> None:
    assert parse("journeys: {a: {timeout: 2m, mature: 2m, steps: [b]}}").journeys["a"].mature_ns == 2 * MINUTE


def test_everything_evaluated_is_read() -> None:
    inventory = evaluated()
    journey = inventory.journeys["checkout"]

    assert inventory.currency == "EUR"
    assert inventory.dimensions["segment"].values == {"enterprise": 1.0, "developer": 0.7, "trial": 0.4}
    assert inventory.dimensions["market"] == Dimension(
        "market", "shop.market", {"de": 1.0, "fr": 1.0, "uk": 1.0}, own=True
    )
    assert [(each.route, each.user_agent, each.service) for each in inventory.ignore] == [
        ("GET /healthz", None, None),
        (None, "kube-probe/", None),
        ("GET /", None, "canary"),
    ]
    assert (journey.attempt, journey.timeout_ns, journey.mature_ns) == ("cart.id", 20 * MINUTE, 90 * NS)
    assert journey.step("payment").slow_after_ns == 3 * NS // 2
    assert journey.terminal == {"confirm", "invoice"}
    assert [(each.sli, each.step, each.threshold_ns, each.target, each.window_ns) for each in journey.objectives] == [
        ("availability", None, None, 0.999, 30 * DAY),
        ("availability", "payment", None, 0.995, 30 * DAY),
        ("latency", "payment", 3 * NS // 2, 0.95, 7 * DAY),
        ("completion", None, None, 0.6, 28 * DAY),
    ]
    assert journey.match[1] == Match(step="confirm", service="checkout-api", rpc="shop.Checkout/Confirm")
    assert [(each.error_class, each.recoverable) for each in journey.errors] == [
        ("payment-declined", False),
        ("gateway-timeout", True),
        ("anything-else", None),
    ]
    assert journey.actions[0].link == "https://runbooks.example/checkout#rollback"
    assert journey.actions[1].when is None


def test_times_are_read_in_any_zone() -> None:
    (window,) = evaluated().maintenance

    assert (window.from_ns, window.to_ns) == (1767578400 * NS, 1767582000 * NS)


def test_people_and_accounts_are_hashed_unless_the_file_says_they_are_pseudonyms() -> None:
    identify = evaluated().identify

    assert identify["customer"] == Identify("enduser.id", hash=True)
    assert identify["account"] == Identify("enduser.org", hash=True)
    assert identify["segment"] == Identify("tenant.tier", hash=False)
    plain = parse("identify: {customer: {attribute: c, hash: false}}\njourneys: {a: {steps: [b]}}")
    assert plain.identify["customer"] == Identify("c", hash=False)


def test_decisions_are_read_into_types_of_their_own() -> None:
    slow, saturated, something, impact = whole().escalation

    assert isinstance(slow.when, AllOf)
    latency, drop = slow.when.parts
    assert latency == LatencyAbove.model_validate(
        {"latency": "p95", "step": "payment", "over": "5m", "above": "1.5s", "for": "5m"}
    )
    assert isinstance(drop, CompletionDrop)
    assert drop.by == 0.08
    assert slow.then == Escalate(severity="P1", notify=("oncall", "business"))
    assert slow.on_unknown == Escalate(severity="P2", notify=("oncall",))

    assert isinstance(saturated.when, AllOf)
    assert [type(part) for part in saturated.when.parts] == [SaturationAbove, CompletionUnchanged, AvailabilityOk]
    assert isinstance(saturated.then, Monitor)
    assert saturated.then.monitor_ns == 15 * MINUTE
    assert saturated.on_unknown == "true"

    assert isinstance(something.when, AnyOf)
    negated, score = something.when.parts
    assert isinstance(negated, Not)
    assert isinstance(negated.part, AvailabilityOk)
    assert (negated.part.step, negated.part.for_ns) == ("query", MINUTE)
    assert isinstance(score, ImpactAbove)
    assert isinstance(something.on_unknown, Monitor)

    assert (impact.journey, impact.on_unknown) == ("*", "hold")


def test_resources_and_channels_are_read_into_types_of_their_own() -> None:
    inventory = whole()

    assert inventory.saturation["payments-db"] == Saturation(
        metric="db.client.connection.count", where={"service.name": "checkout-api"}, limit=50, warn=0.8
    )
    assert inventory.notify["oncall"].pagerduty == PagerDuty(routing_key_file="/run/secrets/pd")
    assert inventory.notify["business"].min_severity == "P1"
    assert inventory.notify["watchdog"].webhook == Webhook(url="https://deadman.example/ping")
    assert inventory.notify["watchdog"].every_ns == MINUTE
    assert inventory.journeys["checkout"].objectives[0].alerts == ("1h/5m", "3d/6h")
    assert inventory.journeys["checkout"].steps[1].depends_on == ("payments-db",)
    assert (inventory.journeys["checkout"].value, inventory.journeys["checkout"].strict) == (129.0, True)


def test_anchors_aliases_and_merges_are_read() -> None:
    journeys = load(VALID / "anchors.yaml").journeys

    assert journeys["refund"].owner == "payments-sre"
    assert (journeys["refund"].per_second, journeys["refund"].max_slow) == (0.2, 0.3)
    assert (journeys["checkout"].steps[1].name, journeys["checkout"].steps[1].slow_after_ns) == ("confirm", 5 * NS)


def test_the_model_cannot_be_changed() -> None:
    inventory = evaluated()

    with pytest.raises(AttributeError):
        inventory.currency = "USD"  # type: ignore[misc] # what is tested
    with pytest.raises(ValueError, match="frozen"):
        inventory.journeys["checkout"].steps[0].stage = 0.1


def test_a_file_that_is_not_there_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(
        InventoryError, match=r"missing.yaml:0: cannot be read: No such file or directory; check the path"
    ):
        load(tmp_path / "missing.yaml")


def test_a_directory_is_not_an_inventory(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="Is a directory"):
        load(tmp_path)


def test_a_file_that_is_not_utf_8_is_told_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "cx.yaml"
    path.write_bytes(b"version: 1\ncurrency: \xa4\n")

    with pytest.raises(InventoryError, match=r"cx.yaml:2: byte 0xa4 is not UTF-8; save the file as UTF-8"):
        load(path)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "cx.yaml"
    path.write_bytes(b"\xef\xbb\xbfjourneys:\r\n  a:\r\n    steps: [b]\r\n")

    assert list(load(path).journeys) == ["a"]


def test_a_huge_file_is_refused_by_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "cx.yaml"
    path.write_bytes(b"journeys: {a: {steps: [b]}}\n" + b"# filler\n" * 200_000)

    with pytest.raises(InventoryError, match="larger than 1048576 bytes"):
        load(path)
