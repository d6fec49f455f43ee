"""Seen traffic becomes a commented inventory that can be read, whatever was seen."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_cx import semconv
from otel_cx_collector.inventory import Observed, draft, parse
from otel_cx_collector.inventory.drafting import MAX_JOURNEYS, MAX_STEPS

MIDNIGHT_NS = 1_767_571_200_000_000_000


def tagged(step: str, position: float | None = None, **others: object) -> Observed:
    fields = {"service": "shop", "kind": "other", "journey": "checkout", "step": step, "spans": 10, "attempts": 10}
    return Observed.from_json(fields | {"position": position} | others)


def request(route: str, service: str = "web", **others: object) -> Observed:
    fields = {"service": service, "kind": "server", "route": route, "spans": 10, "entries": 10}
    return Observed.from_json(fields | others)


def comments(text: str) -> str:
    return "\n".join(line.partition("#")[2].strip() for line in text.splitlines() if "#" in line)


def test_tagged_journeys_have_their_steps_in_the_order_seen() -> None:
    text = draft(
        [tagged("confirm", 2.0), tagged("cart", 0.0), tagged("payment", 1.2), tagged("payment", 0.9, service="pay")]
    )

    journey = parse(text).journeys["checkout"]
    assert [step.name for step in journey.steps] == ["cart", "payment", "confirm"]
    assert journey.service == "shop"
    assert journey.match == ()


def test_untagged_requests_become_a_journey_of_their_service_with_match_rules() -> None:
    observations = [
        request("POST /pay", position=1.0),
        request("GET /cart", position=0.0),
        request("GET users/<int:id>/", "accounts"),
        Observed("accounts", "server", rpc="users.Users/Get", spans=3, entries=1, position=1),
    ]

    journeys = parse(draft(observations)).journeys

    assert [(name, [step.name for step in journey.steps]) for name, journey in journeys.items()] == [
        ("web", ["get-cart", "post-pay"]),
        ("accounts", ["get-users-int-id", "get"]),
    ]
    assert [(rule.step, rule.service, rule.route, rule.rpc) for rule in journeys["accounts"].match] == [
        ("get-users-int-id", "accounts", "GET users/<int:id>/", None),
        ("get", "accounts", None, "users.Users/Get"),
    ]


def test_what_was_guessed_is_said() -> None:
    said = comments(draft([request("POST /pay")]))

    assert "guessed: one journey for all untagged requests of a service" in said
    assert "order guessed" in said
    assert "not what matters" in said


@pytest.mark.parametrize(
    "path", ["/healthz", "/api/health", "/livez", "/readyz", "/actuator/health", "/ping", "/metrics"]
)
def test_health_checks_are_ignored(path: str) -> None:
    inventory = parse(draft([request(f"GET {path}"), request("POST /pay")]))

    assert [entry.route for entry in inventory.ignore] == [f"GET {path}"]
    assert [rule.route for rule in inventory.journeys["web"].match] == ["POST /pay"]


@pytest.mark.parametrize("path", ["/static/app.js", "/favicon.ico", "/assets/{path}", "/img/logo.png", "/robots.txt"])
def test_static_files_are_ignored(path: str) -> None:
    assert [entry.route for entry in parse(draft([request(f"GET {path}"), request("POST /pay")])).ignore] == [
        f"GET {path}"
    ]


@pytest.mark.parametrize(
    "route", ["GET /health-insurance", "POST /status", "GET /staticmap", "GET /orders/{id}/status/history"]
)
def test_what_customers_may_come_for_is_not_ignored(route: str) -> None:
    inventory = parse(draft([request(route)]))

    assert inventory.ignore == ()
    assert [rule.route for rule in inventory.journeys["web"].match] == [route]


def test_health_checkers_are_ignored_by_their_user_agent() -> None:
    inventory = parse(draft([request("GET /", probes=["kube-probe/"])]))

    assert [entry.user_agent for entry in inventory.ignore] == ["kube-probe/"]


def test_dimension_values_are_those_seen() -> None:
    dimensions = {
        "segment": ["trial", "enterprise", "other"],
        "region": ["eu"],
        "device": ["mobile"],
        "plan": ["no spaces!"],
    }
    text = draft([tagged("cart", dimensions=dimensions)])

    found = parse(text).dimensions
    assert list(found["segment"].values) == ["enterprise", "trial"]
    assert list(found["region"].values) == ["eu"]
    assert list(found["plan"].values) == []
    assert list(found["device"].values) == list(semconv.DEVICE_CLASSES)


@pytest.mark.parametrize(
    ("seen", "judged"),
    [
        ([], ("production", "unset")),
        (["production"], ("production", "unset")),
        (["unset", "staging"], ("production", "unset")),
        (["live-eu", "live-us"], ("live-eu", "live-us")),
    ],
)
def test_environments_are_the_defaults_unless_neither_was_seen(seen: list[str], judged: tuple[str, ...]) -> None:
    assert parse(draft([tagged("cart", environments=seen)])).environments == judged


def test_an_id_that_spans_carry_is_proposed_but_not_read_without_being_asked() -> None:
    text = draft([request("POST /pay", ids=["enduser.id"])])

    assert "identify: {customer: {attribute: enduser.id, hash: true}}" in comments(text)
    assert parse(text).identify == {}


def test_attempts_that_are_told_apart_by_less_are_said() -> None:
    assert "by the session" in draft([tagged("cart", attempts=0, sessions=3)])
    assert "by the trace" in draft([tagged("cart", attempts=0)])
    assert "told apart" not in draft([tagged("cart")])


def test_a_service_that_only_others_call_is_said_to_be_one() -> None:
    assert "came from another traced service" in draft([request("POST /pay", entries=0)])
    assert "came from another traced service" not in draft([request("POST /pay")])


def test_the_period_and_the_number_of_spans_are_said() -> None:
    text = draft([request("POST /pay", first_ns=MIDNIGHT_NS + 1, last_ns=MIDNIGHT_NS + 3600 * 10**9)])

    assert "Drafted from 10 spans of 1 kinds, 2026-01-05T00:00:00Z to 2026-01-05T01:00:00Z" in text


def test_nothing_seen_is_an_example_that_says_so() -> None:
    text = draft([])

    assert list(parse(text).journeys) == ["example"]
    assert "Nothing was seen" in text


def test_what_no_rule_can_name_is_said() -> None:
    said = comments(
        draft(
            [
                Observed("worker", "consumer", destination="orders", spans=1),
                Observed("old", "server", spans=1),
                Observed("web", "other", journey="Check Out", step="Pay!", spans=1),
            ]
        )
    )

    assert "orders (worker)" in said
    assert "no http.route, no rpc.method" in said
    assert "Check Out, Pay!" in said


def test_names_that_yaml_would_read_as_something_else_are_quoted() -> None:
    text = draft(
        [tagged(name, journey=name) for name in ("true", "null", "1.5", "1e3", "0x1f", "no", "2026-01-05", "~")]
    )

    assert set(parse(text).journeys) == {"true", "null", "1.5", "1e3", "0x1f", "no", "2026-01-05"}


def test_a_service_named_like_a_journey_gets_a_name_of_its_own() -> None:
    journeys = parse(draft([tagged("cart"), request("GET /", "checkout"), request("GET /", "Checkout!")])).journeys

    assert list(journeys) == ["checkout", "checkout-2", "checkout-3"]


def test_routes_that_look_alike_get_names_of_their_own() -> None:
    journey = parse(draft([request("GET /a-b"), request("GET /a/b"), request("GET /a.b")])).journeys["web"]

    assert sorted(step.name for step in journey.steps) == ["get-a-b", "get-a-b-2", "get-a-b-3"]


def test_of_many_routes_the_most_frequent_are_proposed_and_the_rest_is_said() -> None:
    text = draft([request(f"GET /r{number}", spans=1000 - number) for number in range(MAX_STEPS + 5)])

    assert len(parse(text).journeys["web"].steps) == MAX_STEPS
    assert f"left out: GET /r{MAX_STEPS}" in text


def test_of_many_services_the_most_frequent_are_proposed() -> None:
    text = draft([request("GET /", f"s{number}", spans=1000 - number) for number in range(MAX_JOURNEYS + 5)])

    assert list(parse(text).journeys) == [f"s{number}" for number in range(MAX_JOURNEYS)]


HOSTILE = st.text(max_size=8) | st.sampled_from(
    ["a\nb: c", '"', "\\", "# x", "*", "&a", "{", "é\u2028", "a" * 300, "otelcx"]
)
ROUTES = st.builds("{} /{}".format, st.sampled_from(["GET", "POST", "BREW"]), HOSTILE) | HOSTILE
VALUES = st.lists(HOSTILE | st.sampled_from(["eu", "other", "unset"]), max_size=3).map(tuple)
OBSERVED = st.builds(
    Observed,
    service=HOSTILE,
    kind=st.sampled_from(["server", "consumer", "other"]),
    route=ROUTES | st.just(""),
    rpc=HOSTILE | st.just("") | st.just("a.B/c"),
    destination=HOSTILE,
    journey=HOSTILE | st.sampled_from(["", "checkout", "null"]),
    step=HOSTILE | st.sampled_from(["", "cart", "1e3"]),
    spans=st.integers(0, 10**9),
    entries=st.integers(0, 10),
    first_ns=st.integers(0, 1 << 63),
    last_ns=st.integers(0, 1 << 63),
    position=st.none() | st.floats(0, 100),
    environments=VALUES,
    dimensions=st.dictionaries(st.sampled_from([*semconv.DIMENSIONS]) | HOSTILE, VALUES, max_size=3),
    ids=VALUES,
    probes=VALUES,
)


@given(st.lists(OBSERVED, max_size=8))
@settings(max_examples=300)
def test_any_traffic_becomes_an_inventory_that_can_be_read(observations: list[Observed]) -> None:
    text = draft(observations)

    assert parse(text).journeys
    assert all(line.isprintable() for line in text.splitlines())


@given(st.lists(OBSERVED, max_size=5))
@settings(max_examples=50)
def test_a_draft_names_no_step_that_was_not_seen(observations: list[Observed]) -> None:
    seen = {each.step for each in observations}
    tagged_journeys = {each.journey for each in observations if each.step}

    for name, journey in parse(draft(observations)).journeys.items():
        if name in tagged_journeys and not journey.match:
            assert {step.name for step in journey.steps} <= seen


def test_every_line_of_a_draft_is_short_enough_to_read() -> None:
    text = draft(
        [tagged("cart", attempts=0), request("GET /healthz"), request("POST /pay", ids=["enduser.id"], entries=0)]
    )

    assert max(map(len, text.splitlines())) <= 120
    assert re.match(r"# Drafted from", text)
