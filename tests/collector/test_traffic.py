"""What traffic is seen: counted by kind, ordered within attempts, and bounded whatever arrives."""

import json
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from spans import NOW, SECOND, block, otlp_json, request, span

from otel_cx import semconv
from otel_cx_collector.inventory import draft, parse
from otel_cx_collector.traffic import (
    MAX_ATTEMPTS,
    MAX_KINDS,
    MAX_SPAN_BYTES,
    MAX_SPANS,
    MAX_STEPS,
    MAX_TEXT,
    MAX_VALUES,
    Observed,
    Traffic,
    unmapped,
)

CONSUMER = Span.SPAN_KIND_CONSUMER
INTERNAL = Span.SPAN_KIND_INTERNAL


def observe(*spans: Span, **resource: Any) -> Traffic:
    traffic = Traffic()
    traffic.observe(request(*spans, **resource).SerializeToString(), encoding_json=False)
    return traffic


def seen(*spans: Span, **resource: Any) -> list[Observed]:
    return observe(*spans, **resource).observed()


def http(method: str, route: str, **fields: Any) -> Span:
    return span({"http.request.method": method, "http.route": route} | fields.pop("attributes", {}), **fields)


def step(name: str, attempt: str = "", **fields: Any) -> Span:
    attributes = {semconv.JOURNEY_NAME: "checkout", semconv.JOURNEY_STEP: name}
    if attempt:
        attributes[semconv.JOURNEY_ATTEMPT] = attempt
    return span(attributes, kind=INTERNAL, **fields)


def test_requests_that_arrive_are_counted_by_service_and_route() -> None:
    (pay, cart) = seen(http("POST", "/pay"), http("GET", "/cart"), http("POST", "/pay", end_time_unix_nano=NOW + 5))

    assert (pay.service, pay.kind, pay.route, pay.spans) == ("shop", "server", "POST /pay", 2)
    assert (pay.first_ns, pay.last_ns) == (NOW, NOW + 5)
    assert (cart.route, cart.spans) == ("GET /cart", 1)


@pytest.mark.parametrize(
    ("attributes", "route"),
    [
        ({"http.method": "POST", "http.route": "/pay"}, "POST /pay"),
        ({"http.request.method": "POST", "http.method": "GET", "http.route": "/pay"}, "POST /pay"),
        ({"http.method": "GET", "http.target": "/search?q=shoes"}, "GET /search"),
        ({"http.request.method": "GET", "url.path": "/search"}, "GET /search"),
        ({"http.request.method": "GET", "http.route": "users/<int:id>/"}, "GET users/<int:id>/"),
        ({"http.request.method": "GET", "url.path": "/users/1234"}, ""),
        ({"http.request.method": "GET", "url.path": "/u/1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"}, ""),
        ({"http.request.method": "BREW", "http.route": "/pot"}, ""),
        ({"http.route": "/pay"}, ""),
    ],
)
def test_a_route_is_what_a_match_rule_can_name(attributes: dict[str, str], route: str) -> None:
    (only,) = seen(span(attributes))

    assert only.route == route


@pytest.mark.parametrize(
    "attributes",
    [{"rpc.service": "shop.Checkout", "rpc.method": "Confirm"}, {"rpc.method": "shop.Checkout/Confirm"}],
)
def test_an_rpc_is_named_by_the_old_and_by_the_new_conventions(attributes: dict[str, str]) -> None:
    (only,) = seen(span(attributes))

    assert only.rpc == "shop.Checkout/Confirm"


def test_consumers_are_counted_by_destination() -> None:
    spans = [
        span({"messaging.destination.name": "orders"}, kind=CONSUMER),
        span({"messaging.destination": "orders"}, kind=CONSUMER),
    ]

    assert [(each.kind, each.destination, each.spans) for each in seen(*spans)] == [("consumer", "orders", 2)]


def test_spans_where_no_work_arrives_are_passed_over_unless_they_are_steps() -> None:
    (only,) = seen(span({}, kind=INTERNAL), span({}, kind=Span.SPAN_KIND_CLIENT), step("cart"))

    assert (only.kind, only.journey, only.step) == ("other", "checkout", "cart")


def test_who_and_from_where_is_told_by_presence_and_by_value() -> None:
    context = {
        semconv.JOURNEY_ATTEMPT: "a",
        semconv.SESSION_ID: "s",
        semconv.CUSTOMER_ID: "k.x",
        semconv.SEGMENT: "trial",
        semconv.DEVICE_CLASS: "mobile",
        "enduser.id": "raw-id-of-a-person",
        "user_agent.original": "kube-probe/1.29",
        semconv.ENVIRONMENT: "staging",
    }
    root, child = http("GET", "/", attributes=context), http("GET", "/", parent_span_id=b"p" * 8)
    (only,) = seen(root, child)

    assert (only.spans, only.entries, only.attempts, only.sessions, only.customers) == (2, 1, 1, 1, 1)
    assert only.dimensions == {"segment": ("trial",), "device": ("mobile",)}
    assert (only.environments, only.ids, only.probes) == (("staging", "unset"), ("enduser.id",), ("kube-probe/",))
    assert "raw-id-of-a-person" not in json.dumps(only.to_json())


def test_the_resource_s_attributes_hold_for_its_spans_and_the_span_s_own_win() -> None:
    (only,) = seen(
        http("GET", "/", attributes={semconv.PLAN: "pro"}),
        resource={"service.name": "web", semconv.PLAN: "free", semconv.ENVIRONMENT: "production"},
    )

    assert (only.service, only.environments, only.dimensions) == ("web", ("production",), {"plan": ("pro",)})


def test_steps_are_ordered_by_their_mean_place_within_attempts_however_they_arrive() -> None:
    spans = [
        step(name, attempt, end_time_unix_nano=NOW + place * SECOND)
        for attempt in ("a", "b", "c")
        for place, name in enumerate(("cart", "payment", "confirm"))
        if not (attempt == "c" and name == "payment")
    ]
    places = {each.step: each.position for each in seen(*reversed(spans))}

    assert places == {"cart": 0, "payment": 1, "confirm": (2 + 2 + 1) / 3}


def test_untagged_requests_are_ordered_within_sessions_else_traces() -> None:
    spans = [
        http("GET", "/b", attributes={semconv.SESSION_ID: "s"}, end_time_unix_nano=NOW, trace_id=b"1" * 16),
        http("GET", "/c", attributes={semconv.SESSION_ID: "s"}, end_time_unix_nano=NOW + 1, trace_id=b"2" * 16),
        http("GET", "/a", end_time_unix_nano=NOW, trace_id=b"3" * 16),
        http("GET", "/b", end_time_unix_nano=NOW + 1, trace_id=b"3" * 16),
        http("GET", "/alone", trace_id=b"4" * 16),
    ]
    places = {each.route: each.position for each in seen(*spans)}

    assert places == {"GET /a": 0, "GET /b": 0.5, "GET /c": 1, "GET /alone": None}


def test_json_is_read_like_protobuf() -> None:
    message = request(
        http("POST", "/pay", attributes={semconv.SESSION_ID: "s", semconv.PLAN: "pro", "enduser.id": 7}),
        step("cart", "a"),
        span({"messaging.destination.name": "orders"}, kind=CONSUMER, parent_span_id=b"p" * 8),
    )
    binary, text = Traffic(), Traffic()
    binary.observe(message.SerializeToString(), encoding_json=False)
    text.observe(json.dumps(otlp_json(message)).encode(), encoding_json=True)

    assert text.observed() == binary.observed()
    assert (text.requests, text.unreadable, text.passed_over) == (1, 0, 0)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_counted_and_never_raise(body: bytes, as_json: bool) -> None:
    traffic = Traffic()
    traffic.observe(body, as_json)

    assert traffic.requests == 1


@given(st.data())
@settings(max_examples=200)
def test_any_damage_to_a_request_is_counted_and_never_raises(data: st.DataObject) -> None:
    as_json = data.draw(st.booleans())
    message = request(http("POST", "/pay"), step("cart", "a"))
    body = json.dumps(otlp_json(message)).encode() if as_json else message.SerializeToString()
    at = data.draw(st.integers(0, len(body)))
    traffic = Traffic()
    traffic.observe(body[:at] + data.draw(st.binary(max_size=8)) + body[at + data.draw(st.integers(0, 8)) :], as_json)

    assert traffic.requests == 1
    for each in traffic.observed():
        assert Observed.from_json(each.to_json()) == each


def test_a_span_that_is_too_large_is_passed_over_and_its_neighbours_are_kept() -> None:
    traffic = observe(http("GET", "/a"), span({"http.route": "x" * MAX_SPAN_BYTES}), http("GET", "/b"))

    assert [each.route for each in traffic.observed()] == ["GET /a", "GET /b"]
    assert traffic.passed_over == 1


def test_what_follows_the_last_span_of_the_limit_is_not_read() -> None:
    traffic = observe(*[span({}, kind=INTERNAL)] * MAX_SPANS, http("GET", "/late"))

    assert traffic.observed() == []


def test_a_request_of_empty_spans_is_read_span_by_span() -> None:
    traffic = Traffic()
    empty = bytes([0x12, 0])
    scope = empty * (1 << 20)
    inner = bytes([0x12]) + _varint(len(scope)) + scope
    traffic.observe(bytes([0x0A]) + _varint(len(inner)) + inner, encoding_json=False)

    assert (traffic.observed(), traffic.unreadable) == ([], 0)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def test_kinds_beyond_the_limit_are_passed_over_and_known_ones_go_on() -> None:
    traffic = observe(*(http("GET", f"/r{number}") for number in range(MAX_KINDS + 5)))
    traffic.observe(request(http("GET", "/r0"), http("GET", "/new")).SerializeToString(), encoding_json=False)

    assert len(traffic.observed()) == MAX_KINDS
    assert traffic.observed()[0].spans == 2
    assert traffic.passed_over == 6


def test_values_beyond_the_limit_are_left_out() -> None:
    (only,) = seen(*(http("GET", "/", attributes={semconv.REGION: f"r{number}"}) for number in range(MAX_VALUES + 5)))

    assert len(only.dimensions["region"]) == MAX_VALUES


def test_attempts_beyond_the_limit_are_forgotten_the_oldest_first() -> None:
    spans = []
    for number in range(MAX_ATTEMPTS + 10):
        spans += [
            step("b" if number < 10 else "a", f"t{number}", end_time_unix_nano=NOW),
            step("a" if number < 10 else "b", f"t{number}", end_time_unix_nano=NOW + 1),
        ]
    traffic = Traffic()
    for start in range(0, len(spans), 1000):
        body = request(*spans[start : start + 1000]).SerializeToString()
        traffic.observe(body, encoding_json=False)

    assert {each.step: each.position for each in traffic.observed()} == {"a": 0, "b": 1}


def test_steps_of_one_attempt_beyond_the_limit_are_not_ordered() -> None:
    spans = [step(f"s{number}", "t", end_time_unix_nano=NOW + number) for number in range(MAX_STEPS + 3)]

    assert sum(each.position is None for each in seen(*spans)) == 3


def test_texts_are_cut_and_made_printable() -> None:
    (only,) = seen(http("GET", "/" + "x" * 1000 + "\n"), resource={"service.name": "a\nb\x1b[31m"})

    assert len(only.route) <= MAX_TEXT + len("GET ")
    assert only.service == "a?b?[31m"


def test_long_trace_ids_are_cut() -> None:
    traffic = observe(http("GET", "/", trace_id=b"\x01" * 5000))

    assert all(len(attempt) <= 32 for attempt, _ in traffic._order)


def test_threads_count_every_span() -> None:
    traffic = Traffic()
    body = request(*[http("GET", "/")] * 100).SerializeToString()

    def work() -> None:
        for _ in range(20):
            traffic.observe(body, encoding_json=False)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (traffic.requests, traffic.observed()[0].spans) == (80, 8000)


INVENTORY = """
ignore: [{route: "GET /healthz"}]
journeys:
  checkout:
    steps: [cart, pay]
    match:
      - {step: pay, service: shop, route: "POST /pay"}
      - {step: cart, rpc: shop.Cart/Add}
      - {step: cart, service: basket}
"""


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (Observed("shop", "server", route="POST /pay"), False),
        (Observed("web", "server", route="POST /pay"), True),
        (Observed("web", "server", rpc="shop.Cart/Add"), False),
        (Observed("basket", "consumer", destination="q"), False),
        (Observed("web", "server", route="GET /healthz"), False),
        (Observed("web", "other", journey="checkout", step="cart"), False),
        (Observed("web", "other", journey="checkout", step="carte"), True),
        (Observed("web", "server", journey="checkout", route="GET /"), False),
        (Observed("web", "server", journey="search", route="GET /"), True),
        (Observed("basket", "other", step="cart"), True),
    ],
)
def test_unmapped_is_what_neither_tags_nor_match_rules_count(observed: Observed, expected: bool) -> None:
    assert (unmapped([observed], parse(INVENTORY)) == [observed]) is expected


def test_a_draft_of_what_was_seen_maps_all_of_it() -> None:
    found = seen(
        http("GET", "/cart"),
        http("POST", "/pay"),
        http("GET", "/healthz"),
        span({"rpc.service": "shop.Checkout", "rpc.method": "Confirm"}),
        step("confirm", "a"),
    )

    assert unmapped(found, parse(draft(found))) == []


@given(
    st.builds(
        Observed,
        service=st.text(max_size=5),
        kind=st.sampled_from(["server", "consumer", "other"]),
        route=st.text(max_size=5),
        spans=st.integers(0, 1 << 62),
        position=st.none() | st.floats(0, 100),
        environments=st.lists(st.text(max_size=3), max_size=2).map(tuple),
        dimensions=st.dictionaries(
            st.text(max_size=3), st.lists(st.text(max_size=3), max_size=2).map(tuple), max_size=2
        ),
    )
)
def test_an_observation_written_as_json_reads_as_the_same(observed: Observed) -> None:
    assert Observed.from_json(json.loads(json.dumps(observed.to_json()))) == observed


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        (None, "value"),
        ([], "value"),
        ({}, "service"),
        ({"service": "a", "kind": "server", "spans": -1}, "spans"),
        ({"service": "a", "kind": "server", "spans": "many"}, "spans"),
        ({"service": 5, "kind": "server"}, "service"),
    ],
)
def test_what_is_no_observation_is_refused_with_the_reason(plain: object, says: str) -> None:
    with pytest.raises(ValueError, match=f"not an observation: {says}"):
        Observed.from_json(plain)


def test_several_processes_in_one_request_are_told_apart() -> None:
    message = request(
        block(http("GET", "/"), resource={"service.name": "a"}), block(http("GET", "/"), resource={"service.name": "b"})
    )
    traffic = Traffic()
    traffic.observe(message.SerializeToString(), encoding_json=False)

    assert [each.service for each in traffic.observed()] == ["a", "b"]
