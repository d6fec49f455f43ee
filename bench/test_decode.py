"""Bytes to rows, pure Python: what a span costs that is no candidate, and what a step costs. Figures are in README.md.

The spans have the shape of the load generator's: 17 attributes, the journey's context on every one.
"""

import base64
import json
import random
from collections.abc import Callable

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from pytest_benchmark.fixture import BenchmarkFixture

from otel_cx import semconv
from otel_cx_collector import inventory
from otel_cx_collector.decode import DecodeLimits
from otel_cx_collector.tag import Bounds, Decoded, Tagger, decode_traces, decode_traces_json

NOW_NS = 1_767_603_600 * 10**9
SPANS = 1_000
SERVER = Span.SPAN_KIND_SERVER
LIMITS = DecodeLimits()
STEPS = ("start", "validate", "price", "reserve", "confirm", "notify")
JOURNEY = f"""
dimensions: {{segment: [consumer, enterprise], region: [eu-west-1, us-east-1]}}
journeys:
  checkout:
    steps: [{", ".join(STEPS)}]
"""
TAGGER = Tagger(inventory.parse(JOURNEY))
MATCHING = Tagger(
    inventory.parse(
        JOURNEY
        + """
    match:
      - {step: start, service: checkout-api, route: "POST /start"}
      - {step: price, service: checkout-api, route: "GET /prices/{id}"}
      - {step: confirm, service: checkout-api, rpc: shop.Checkout/Confirm}
"""
    )
)
"""Knows the service by match rules, none of which fits a span."""
BOUNDS = Bounds(NOW_NS - 86_400 * 10**9, NOW_NS + 300 * 10**9)


def request(step_share: float, blocks: int = 1, kind: Span.SpanKind.ValueType = SERVER) -> ExportTraceServiceRequest:
    """One request of SPANS spans of one service in so many blocks, about 740 bytes a span."""
    rng = random.Random(1)
    message = ExportTraceServiceRequest()
    for number in range(SPANS):
        if number % (SPANS // blocks) == 0:
            block = message.resource_spans.add()
            block.resource.attributes.add(key="service.name").value.string_value = "checkout-api"
            block.resource.attributes.add(key="service.version").value.string_value = "1.4.2"
            spans = block.scope_spans.add().spans
        spans.append(span(rng, kind, step=number % 100 < step_share * 100))
    return message


def span(rng: random.Random, kind: Span.SpanKind.ValueType, *, step: bool) -> Span:
    made = Span(
        trace_id=rng.randbytes(16),
        span_id=rng.randbytes(8),
        parent_span_id=rng.randbytes(8),
        name="POST /api/checkout/{id}",
        kind=kind,
        start_time_unix_nano=NOW_NS - 40_000_000 - rng.randrange(10**9),
        end_time_unix_nano=NOW_NS,
        flags=0x101,
    )
    attributes: dict[str, str | int] = {
        "http.request.method": "POST",
        "http.route": "/api/checkout/{id}",
        "url.path": f"/api/checkout/{rng.randrange(10**6)}",
        "url.scheme": "https",
        "server.address": "shop.example.com",
        "server.port": 443,
        "client.address": f"198.51.100.{rng.randrange(256)}",
        "network.protocol.version": "1.1",
        "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36",
        semconv.JOURNEY_NAME: "checkout",
        semconv.JOURNEY_ATTEMPT: rng.randbytes(16).hex(),
        semconv.JOURNEY_STEP if step else semconv.JOURNEY_WITHIN: rng.choice(STEPS),
        semconv.SEGMENT: rng.choice(["consumer", "enterprise"]),
        semconv.REGION: rng.choice(["eu-west-1", "us-east-1"]),
        semconv.REVENUE_CLASS: "new",
        semconv.CUSTOMER_ID: rng.randbytes(8).hex(),
        "http.response.status_code": 200,
    }
    for key, value in attributes.items():
        pair = made.attributes.add(key=key)
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value
    return made


def measured(benchmark: BenchmarkFixture, decode: Callable[[], Decoded], rows: int) -> None:
    decoded = benchmark(decode)
    assert (decoded.spans, len(decoded.rows)) == (SPANS, rows)
    if benchmark.stats:
        benchmark.extra_info["us_per_span"] = round(benchmark.stats.stats.median * 1e6 / SPANS, 3)


@pytest.mark.parametrize("step_share", [0.0, 0.1, 1.0], ids=["no step", "one in ten a step", "all steps"])
def test_bytes_to_rows_of_a_request_of_1000_spans(benchmark: BenchmarkFixture, step_share: float) -> None:
    body = request(step_share).SerializeToString()
    measured(benchmark, lambda: decode_traces(body, TAGGER, BOUNDS, LIMITS), round(SPANS * step_share))


@pytest.mark.parametrize("kind", [Span.SPAN_KIND_INTERNAL, SERVER], ids=["internal", "server"])
def test_1000_spans_of_a_service_that_match_rules_name_but_fit_none(
    benchmark: BenchmarkFixture, kind: Span.SpanKind.ValueType
) -> None:
    body = request(0.0, kind=kind).SerializeToString()
    measured(benchmark, lambda: decode_traces(body, MATCHING, BOUNDS, LIMITS), 0)


def test_1000_spans_in_100_blocks_as_a_collector_sends_them(benchmark: BenchmarkFixture) -> None:
    body = request(0.1, blocks=100).SerializeToString()
    measured(benchmark, lambda: decode_traces(body, TAGGER, BOUNDS, LIMITS), SPANS // 10)


def test_1000_spans_as_json_one_in_ten_a_step(benchmark: BenchmarkFixture) -> None:
    body = json_body(request(0.1))
    measured(benchmark, lambda: decode_traces_json(body, TAGGER, BOUNDS, LIMITS), SPANS // 10)


def json_body(message: ExportTraceServiceRequest) -> bytes:
    """OTLP/JSON, which protobuf's own JSON is but for ids, in hexadecimal, and enums, as integers."""
    document = MessageToDict(message, use_integers_for_enums=True)
    for block in document["resourceSpans"]:
        for scope in block["scopeSpans"]:
            for each in scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    each[name] = base64.b64decode(each[name]).hex()
    return json.dumps(document, separators=(",", ":")).encode()
