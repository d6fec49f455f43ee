"""What an execution is told apart by: dimensions, environment, service, flags and money."""

from typing import Any

import pytest
from spans import KEYS, both, request, row_of, step

from otel_cx_collector.inventory import parse
from otel_cx_collector.tag import Tagger


def overflow(attributes: dict[str, Any], resource: dict[str, Any] | None = None) -> dict[tuple[str, str], int]:
    return both(request(step(attributes), resource=resource)).overflow


def test_listed_values_are_kept() -> None:
    row = row_of(
        step(
            {
                "otelcx.segment": "enterprise",
                "otelcx.plan": "pro",
                "otelcx.region": "eu",
                "otelcx.device.class": "mobile",
                "otelcx.workflow.type": "batch",
                "otelcx.revenue.class": "new",
                "shop.market": "de",
            }
        )
    )
    assert row.segment == "enterprise"
    assert (row.plan, row.region, row.device, row.workflow, row.revenue_class) == (
        "pro",
        "eu",
        "mobile",
        "batch",
        "new",
    )
    assert row.own == {"market": "de"}


def test_what_is_absent_is_unset() -> None:
    row = row_of(step({"otelcx.segment": "", "otelcx.plan": None}))
    assert {row.segment, row.plan, row.region, row.device, row.workflow, row.revenue_class} == {"unset"}
    assert row.own == {"market": "unset"}
    assert overflow({}) == {}


@pytest.mark.parametrize(
    "value", ["gold", "Enterprise", "a b", "x" * 9_999, "\x00", 5, True, 1.5, ["enterprise"], {"a": 1}]
)
def test_what_is_not_listed_becomes_other_and_is_counted_by_attribute_and_service(value: object) -> None:
    row = row_of(step({"otelcx.segment": value, "shop.market": value}))
    assert (row.segment, row.own["market"]) == ("other", "other")
    assert overflow({"otelcx.segment": value}) == {("otelcx.segment", "shop"): 1}


def test_what_the_sdk_has_made_other_is_not_counted_again() -> None:
    assert row_of(step({"otelcx.segment": "other", "otelcx.plan": "unset"})).segment == "other"
    assert overflow({"otelcx.segment": "other", "otelcx.plan": "unset"}) == {}


def test_refused_and_synthetic_spans_do_not_count_as_overflow() -> None:
    odd = {"otelcx.segment": "gold"}
    decoded = both(request(step(odd, span_id=b""), step(odd | {"user_agent.synthetic.type": "bot"})))
    assert decoded.overflow == {}


def test_numbers_and_booleans_are_read_as_text() -> None:
    tagger = Tagger(
        parse("dimensions: {tier: {attribute: tier, values: ['3', 'true']}}\njourneys: {checkout: {steps: [payment]}}")
    )
    assert row_of(step({"tier": 3}), tagger=tagger).own == {"tier": "3"}
    assert row_of(step({"tier": True}), tagger=tagger).own == {"tier": "true"}


def test_identify_names_where_services_without_the_sdk_carry_a_dimension() -> None:
    assert row_of(step({"tenant.tier": "trial"})).segment == "trial"
    assert row_of(step({"tenant.tier": "trial", "otelcx.segment": "enterprise"})).segment == "enterprise"
    assert overflow({"tenant.tier": "gold"}) == {("tenant.tier", "shop"): 1}


def test_dimensions_may_stand_on_the_resource_and_the_span_own_wins() -> None:
    resource = {"service.name": "shop", "otelcx.region": "eu", "shop.market": "fr"}
    row = row_of(step({"otelcx.region": "us"}), resource)
    assert (row.region, row.own["market"]) == ("us", "fr")
    assert row_of(step(), resource).region == "eu"


def test_a_dimension_may_be_an_attribute_of_the_process() -> None:
    tagger = Tagger(
        parse(
            "dimensions: {build: {attribute: service.version, values: [v2]}}\njourneys: {checkout: {steps: [payment]}}"
        )
    )
    row = row_of(step(), {"service.name": "shop", "service.version": "v2"}, tagger)
    assert (row.own, row.service_version) == ({"build": "v2"}, "v2")


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ({"deployment.environment.name": "production"}, "production"),
        ({"deployment.environment": "staging"}, "staging"),
        ({"deployment.environment.name": "production", "deployment.environment": "old"}, "production"),
        ({}, "unset"),
        ({"deployment.environment.name": "Production EU"}, "other"),
    ],
)
def test_old_and_new_environment_names_are_read_and_the_new_one_wins(resource: dict[str, str], expected: str) -> None:
    assert row_of(step(), {"service.name": "shop"} | resource).environment == expected


def test_an_environment_that_is_no_value_is_counted_and_the_span_own_wins() -> None:
    resource = {"service.name": "shop", "deployment.environment.name": "Production EU"}
    assert overflow({}, resource) == {("deployment.environment.name", "shop"): 1}
    assert row_of(step({"deployment.environment.name": "test"}), resource).environment == "test"


def test_service_and_version_come_from_the_resource() -> None:
    row = row_of(step({"service.name": "not me"}), {"service.name": "Zahlung Süd", "service.version": "1.8.2+b5"})
    assert (row.service, row.service_version) == ("Zahlung Süd", "1.8.2+b5")


def test_a_span_without_service_name_is_a_row_of_an_unset_service() -> None:
    row = row_of(step(), {})
    assert (row.service, row.service_version) == ("unset", "")


def test_hostile_service_names_are_cut_and_made_printable() -> None:
    assert row_of(step(), {"service.name": "a\x00\n\x1fb" + "x" * 500}).service == "a???b" + "x" * 123


def test_feature_flags_are_read_from_attributes_and_events() -> None:
    event = {"feature_flag.key": "new-checkout", "feature_flag.result.variant": "on"}
    old = {"feature_flag.key": "old", "feature_flag.variant": "b"}
    own = {"feature_flag.key": "banner", "feature_flag.result.variant": "red"}
    row = row_of(step(own, events=[event, old, {"feature_flag.key": "no-variant"}]))
    assert row.flags == {"banner": "red", "new-checkout": "on", "old": "b"}


def test_the_last_evaluation_of_a_flag_counts_and_only_eight_flags_are_kept() -> None:
    events = [{"feature_flag.key": f"f{n}", "feature_flag.result.variant": "a"} for n in range(20, 0, -1)]
    events.append({"feature_flag.key": "f1", "feature_flag.result.variant": "b"})
    flags = row_of(step(events=events)).flags
    assert list(flags) == ["f1", "f10", "f11", "f12", "f13", "f14", "f15", "f16"]
    assert flags["f1"] == "b"


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("129.00", "129.00"),
        ("0", "0"),
        ("-5.25", "-5.25"),
        ("0.1", "0.1"),
        (129.0, "129"),
        (0.1 + 0.2, "0.3"),
        (1e-9, "0"),
        (-1e-9, "0"),
        (12, "12"),
        ("1e3", "1000"),
        ("+7", "7"),
        ("007.50", "7.5"),
        (1234567.891, "1234567.891"),
        ("9999999999999999.999999", "9999999999999999.999999"),
    ],
)
def test_amounts_are_stored_as_plain_decimals(amount: object, expected: str) -> None:
    row = row_of(step({"otelcx.revenue.amount": amount, "otelcx.revenue.currency": "USD"}))
    assert (row.amount, row.currency) == (expected, "USD")


@pytest.mark.parametrize(
    "amount",
    ["12,50", "1_000", "EUR 5", "1e99", "1e-99x", "9" * 60, "٣", True, ["1"], "1e17", 1e16, float("nan"), float("inf")],
)
def test_what_is_no_amount_is_left_out_and_counted(amount: object) -> None:
    decoded = both(request(step({"otelcx.revenue.amount": amount, "otelcx.revenue.currency": "EUR"})))
    assert (decoded.rows[0].amount, decoded.rows[0].currency) == ("", "")
    assert decoded.overflow == {("otelcx.revenue.amount", "shop"): 1}


def test_the_currency_is_three_letters_or_the_amount_is_of_no_use() -> None:
    assert row_of(step({"otelcx.revenue.amount": "5", "otelcx.revenue.currency": "usd"})).currency == "USD"
    row = row_of(step({"otelcx.revenue.amount": "5", "otelcx.revenue.currency": "dollars"}))
    assert (row.amount, row.currency) == ("", "")


def test_an_amount_without_currency_is_in_the_one_of_the_inventory() -> None:
    assert row_of(step({"otelcx.revenue.amount": "5"})).currency == "EUR"
    none = Tagger(parse("journeys: {checkout: {steps: [payment]}}"), KEYS)
    row = row_of(step({"otelcx.revenue.amount": "5"}), tagger=none)
    assert (row.amount, row.currency) == ("5", "")


def test_money_on_the_resource_is_not_of_every_span() -> None:
    assert row_of(step(), {"service.name": "x", "otelcx.revenue.amount": "5"}).amount == ""
