"""What counts as an execution of a step, and what is merely counted."""

import random

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from spans import BOUNDS, LIMITS, STEP, TAGGER, block, both, ids, otlp_json, request, row_of, span, step

from otel_cx_collector.inventory import parse
from otel_cx_collector.tag import Tagger, decode_traces, decode_traces_dict, median_end_ns

SERVER = Span.SPAN_KIND_SERVER
CONSUMER = Span.SPAN_KIND_CONSUMER
POST_PAY = {"http.request.method": "POST", "http.route": "/pay"}


def test_an_empty_request_holds_nothing() -> None:
    decoded = both(request())
    assert (decoded.spans, decoded.rows, decoded.rejected) == (0, [], {})


def test_a_span_with_the_step_attribute_is_a_row_and_its_neighbours_are_counted() -> None:
    decoded = both(request(span(), step(), span({"otelcx.journey.name": "checkout", "otelcx.journey.within": "cart"})))
    assert (decoded.spans, len(decoded.rows)) == (3, 1)


def test_the_text_of_the_step_attribute_elsewhere_in_a_span_makes_no_step() -> None:
    decoded = both(request(span({"note": "otelcx.journey.step"}), span(name="otelcx.journey.step", kind=SERVER)))
    assert (decoded.spans, decoded.rows, decoded.rejected) == (2, [], {})


def test_a_step_attribute_on_the_resource_makes_no_step_of_its_spans() -> None:
    decoded = both(request(span(), resource=STEP | {"service.name": "x"}))
    assert (decoded.rows, decoded.rejected) == ([], {})


def test_the_journey_may_stand_on_the_resource_and_the_span_own_wins() -> None:
    resource = {"service.name": "idp", "otelcx.journey.name": "login"}
    assert row_of(span({"otelcx.journey.step": "password"}), resource).journey == "login"
    assert row_of(step(), resource).journey == "checkout"


@pytest.mark.parametrize("kind", [SERVER, CONSUMER])
def test_a_match_rule_tags_server_and_consumer_spans(kind: Span.SpanKind.ValueType) -> None:
    row = row_of(span(POST_PAY, kind=kind))
    assert (row.journey, row.step) == ("checkout", "payment")


@pytest.mark.parametrize("kind", [Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_PRODUCER, 0, 77])
def test_a_match_rule_tags_no_other_spans(kind: Span.SpanKind.ValueType) -> None:
    decoded = both(request(span(POST_PAY, kind=kind)))
    assert (decoded.rows, decoded.rejected) == ([], {})


def test_a_match_rule_leaves_spans_that_name_a_journey_alone() -> None:
    assert both(request(span(POST_PAY | {"otelcx.journey.name": "login"}))).rows == []
    assert both(request(span(POST_PAY), resource={"service.name": "shop", "otelcx.journey.name": "login"})).rows == []


@pytest.mark.parametrize(
    "attributes",
    [
        {"http.request.method": "POST", "http.route": "/pay", "http.target": "/other"},
        {"http.method": "POST", "http.route": "/pay"},
        {"http.method": "POST", "http.target": "/pay?card=1"},
        {"http.request.method": "POST", "url.path": "/pay"},
        {"http.request.method": "POST", "http.method": "GET", "http.route": "/pay"},
    ],
)
def test_old_and_new_http_names_are_read_and_the_new_one_wins(attributes: dict[str, str]) -> None:
    assert row_of(span(attributes)).step == "payment"


@pytest.mark.parametrize(
    "attributes",
    [{"rpc.service": "shop.Checkout", "rpc.method": "Confirm"}, {"rpc.method": "shop.Checkout/Confirm"}],
)
def test_old_and_new_rpc_names_are_read(attributes: dict[str, str]) -> None:
    assert row_of(span(attributes, name="x")).step == "confirm"


@pytest.mark.parametrize(
    "attributes",
    [
        {"http.request.method": "GET", "http.route": "/pay"},
        {"http.request.method": "POST", "http.route": "/pay/{id}"},
        {"http.request.method": "POST"},
        {"http.route": "/pay"},
        {"rpc.method": "Confirm"},
        {"rpc.service": "shop.Checkout"},
        {},
    ],
)
def test_a_span_that_fits_no_rule_is_no_step(attributes: dict[str, str]) -> None:
    assert both(request(span(attributes))).rows == []


def test_the_first_rule_in_the_file_wins_and_a_rule_without_service_fits_all() -> None:
    assert row_of(span(POST_PAY), {"service.name": "shop"}).step == "payment"
    assert row_of(span(POST_PAY), {"service.name": "elsewhere"}).step == "cart"
    assert row_of(span(POST_PAY), {}).step == "cart"


def test_a_rule_with_a_service_alone_tags_all_its_server_and_consumer_spans() -> None:
    worker = {"service.name": "worker"}
    assert (
        row_of(span({"messaging.destination.name": "jobs"}, kind=CONSUMER, name="jobs process"), worker).step == "cart"
    )
    assert both(request(span(kind=Span.SPAN_KIND_INTERNAL), resource=worker)).rows == []


def test_a_span_with_a_step_but_no_journey_is_tagged_by_a_rule_where_one_fits() -> None:
    assert row_of(span(POST_PAY | {"otelcx.journey.step": "cart"})).step == "payment"


@pytest.mark.parametrize("synthetic", ["bot", "test"])
def test_synthetic_traffic_is_counted_apart(synthetic: str) -> None:
    decoded = both(request(step({"user_agent.synthetic.type": synthetic}), span({"user_agent.synthetic.type": "bot"})))
    assert (decoded.spans, decoded.rows, decoded.synthetic, decoded.rejected) == (2, [], 1, {})


def test_what_is_refused_is_not_synthetic_too() -> None:
    decoded = both(request(step({"user_agent.synthetic.type": "bot"}, span_id=b"short")))
    assert (decoded.synthetic, len(decoded.rejected)) == (0, 1)


@pytest.mark.parametrize(
    ("attributes", "service", "synthetic"),
    [
        ({"http.request.method": "GET", "http.route": "/healthz"}, "any", 1),
        ({"http.request.method": "POST", "http.route": "/healthz"}, "any", 0),
        ({"user_agent.original": "kube-probe/1.31"}, "shop", 1),
        ({"http.user_agent": "kube-probe/1.31"}, "shop", 1),
        ({"user_agent.original": "kube-probe/1.31"}, "other", 0),
        ({"user_agent.original": "not kube-probe/1.31"}, "shop", 0),
    ],
)
def test_an_ignore_entry_matches_when_all_its_keys_do(attributes: dict[str, str], service: str, synthetic: int) -> None:
    decoded = both(request(step(attributes), resource={"service.name": service}))
    assert (decoded.synthetic, len(decoded.rows)) == (synthetic, 1 - synthetic)


def test_the_same_span_twice_is_two_equal_rows_which_the_store_makes_one() -> None:
    first, second = both(request(step(), step())).rows
    assert first == second


def test_an_untagged_service_is_passed_over_and_a_tagged_one_beside_it_read() -> None:
    quiet = block(*[span() for _ in range(5)], resource={"service.name": "quiet"})
    decoded = both(request(quiet, block(step()), quiet))
    assert (decoded.spans, len(decoded.rows)) == (11, 1)


def test_what_becomes_of_a_span_does_not_depend_on_its_neighbours_or_their_order() -> None:
    spans = [
        step(span_id=b"goodgood"),
        span(POST_PAY, span_id=b"matched1"),
        step(span_id=b"bad"),
        step({"otelcx.journey.step": "nope"}, span_id=b"unknown1"),
        span(span_id=b"plain001"),
        step({"user_agent.synthetic.type": "bot"}, span_id=b"robot001"),
    ]
    alone = [both(request(each)) for each in spans]
    rng = random.Random(1)
    for _ in range(20):
        rng.shuffle(spans)
        cut = rng.randrange(len(spans) + 1)
        together = both(request(block(*spans[:cut]), block(*spans[cut:])))
        assert sorted(together.rows) == sorted(row for each in alone for row in each.rows)
        assert together.spans == len(spans)
        assert together.synthetic == 1
        assert sum(together.rejected.values()) == 2


def test_a_resource_may_follow_its_spans_and_come_in_parts() -> None:
    whole = block(step())
    spans = ResourceSpans(scope_spans=whole.scope_spans).SerializeToString()
    first, second = (
        ResourceSpans(resource=block(resource={"service.name": "shop"}).resource).SerializeToString(),
        ResourceSpans(resource=block(resource={"service.version": "2"}).resource).SerializeToString(),
    )
    inner = spans + first + second
    body = b"\x0a" + bytes([len(inner) & 0x7F | 0x80, len(inner) >> 7]) + inner
    (row,) = decode_traces(body, TAGGER, BOUNDS, LIMITS).rows
    assert (row.service, row.service_version) == ("shop", "2")


def test_a_three_line_inventory_works() -> None:
    tagger = Tagger(parse("journeys:\n  checkout:\n    steps: [cart, payment, confirm]\n"))
    assert row_of(step(), tagger=tagger).step == "payment"


def test_a_parsed_document_decodes_like_its_bytes_and_tells_the_median_end() -> None:
    message = request(*[step(end_time_unix_nano=BOUNDS.earliest_ns + n) for n in (30, 10, 20, 40)], span(span_id=b""))
    document = otlp_json(message)
    assert decode_traces_dict(document, TAGGER, BOUNDS, LIMITS) == both(message)
    del document["resourceSpans"][0]["scopeSpans"][0]["spans"][4]
    assert median_end_ns(document) == BOUNDS.earliest_ns + 20
    assert median_end_ns({"resourceSpans": []}) is None


def test_rows_keep_the_ids_of_their_spans() -> None:
    message = request(step(span_id=b"01234567"), step(span_id=b"76543210"))
    assert list(ids(both(message))) == [b"01234567", b"76543210"]
