"""Levels out of metrics: which points are asked for, which are levels, and what hostile bodies cost. Both encodings."""

import math
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1 import metrics_pb2 as m
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from spans import BOUNDS, LIMITS, NOW, json_body, pairs

from otel_cx_collector import inventory
from otel_cx_collector.decode import BadRequest, DecodeLimits, TooLarge
from otel_cx_collector.decode.metrics import MetricCounts, WantedMetrics, decode_metrics
from otel_cx_collector.events import STORED_NS, PointRefusal, SignalPoint
from otel_cx_collector.inventory.decisions import Saturation

NAME = "db.client.connection.count"
ENTRIES = {
    "payments-db": Saturation(metric=NAME, where={"service.name": "checkout-api"}, limit=50),
    "pool-a": Saturation(metric=NAME, where={"service.name": "checkout-api", "pool": "a", "up": "true"}, limit=10),
    "queue": Saturation(metric="queue.size", limit=100),
}
FILE = replace(inventory.parse("journeys: {checkout: {steps: [payment]}}"), saturation=ENTRIES)
WANTED = WantedMetrics.of(FILE)
SERVICE = {"service.name": "checkout-api"}
DELTA, CUMULATIVE = m.AGGREGATION_TEMPORALITY_DELTA, m.AGGREGATION_TEMPORALITY_CUMULATIVE


def number(
    value: float | None = 7, *, at_ns: int = NOW, attributes: dict[str, Any] | None = None, flags: int = 0
) -> Any:
    point = m.NumberDataPoint(time_unix_nano=at_ns, attributes=pairs(attributes or {}), flags=flags)
    if isinstance(value, int):
        point.as_int = value
    elif value is not None:
        point.as_double = value
    return point


def gauge(*points: Any, name: str = NAME) -> m.Metric:
    return m.Metric(name=name, gauge=m.Gauge(data_points=points))


def total(*points: Any, temporality: Any = CUMULATIVE, monotonic: bool = False) -> m.Metric:
    data = m.Sum(data_points=points, aggregation_temporality=temporality, is_monotonic=monotonic)
    return m.Metric(name=NAME, sum=data)


def block(*metrics: m.Metric, resource: dict[str, Any] | None = None, scope: str = "") -> m.ResourceMetrics:
    inner = m.ScopeMetrics(metrics=metrics, scope=InstrumentationScope(name=scope, version="1"))
    return m.ResourceMetrics(resource=Resource(attributes=pairs(resource or SERVICE)), scope_metrics=[inner])


def found(
    body: bytes, *, as_json: bool = False, limits: DecodeLimits = LIMITS
) -> tuple[list[SignalPoint], MetricCounts]:
    """What is found in a body, whatever its times."""
    return decode_metrics(body, as_json, WANTED, limits, earliest_ns=0, latest_ns=2**63 - 1)


def decode(
    *blocks: m.ResourceMetrics | m.Metric, limits: DecodeLimits = LIMITS
) -> tuple[list[SignalPoint], MetricCounts]:
    """The same of protobuf and of JSON, or it is a failure."""
    message = ExportMetricsServiceRequest(
        resource_metrics=[each if isinstance(each, m.ResourceMetrics) else block(each) for each in blocks]
    )
    bounds = {"earliest_ns": BOUNDS.earliest_ns, "latest_ns": BOUNDS.latest_ns}
    bodies = {False: message.SerializeToString(), True: json_body(message)}
    of_protobuf, of_json = (decode_metrics(body, kind, WANTED, limits, **bounds) for kind, body in bodies.items())
    assert of_protobuf == of_json
    return of_protobuf


def values(*blocks: m.ResourceMetrics | m.Metric) -> list[tuple[str, float]]:
    return [(point.resource, point.value) for point in decode(*blocks)[0]]


def refusals(*blocks: m.ResourceMetrics | m.Metric) -> dict[str, int]:
    points, counts = decode(*blocks)
    assert points == []
    return {str(reason): number for reason, number in counts.rejected.items()}


def test_gauges_and_sums_that_may_go_down_are_taken_as_they_are() -> None:
    points, counts = decode(gauge(number(7), number(7.5, at_ns=NOW - 1)), total(number(-3)))
    assert [(point.resource, point.value, point.at_ns) for point in points] == [
        ("payments-db", 7.0, NOW), ("payments-db", 7.5, NOW - 1), ("payments-db", -3.0, NOW),
    ]  # fmt: skip
    assert counts == MetricCounts(3)


def test_whole_numbers_of_64_bits_are_numbers() -> None:
    assert values(gauge(number(2**63 - 1), number(-(2**63)))) == [("payments-db", 2.0**63), ("payments-db", -(2.0**63))]


def test_a_metric_that_nobody_asks_for_is_counted_and_nothing_else() -> None:
    points, counts = decode(gauge(number(), number(math.nan), name="http.server.active_requests"))
    assert (points, counts) == ([], MetricCounts(2))


def test_where_is_met_by_attributes_of_the_resource_or_of_the_point() -> None:
    other = {"service.name": "billing"}
    assert values(block(gauge(number()), resource=other)) == []
    assert values(block(gauge(number(attributes=SERVICE)), resource=other)) == [("payments-db", 7.0)]
    assert values(block(gauge(number(attributes=other)), resource=SERVICE)) == []
    assert values(gauge(name="queue.size")) == []
    assert values(gauge(number(1), name="queue.size")) == [("queue", 1.0)]


def test_a_point_may_say_something_about_several_resources() -> None:
    attributes = {"pool": "a", "up": True}
    assert values(gauge(number(attributes=attributes))) == [("payments-db", 7.0), ("pool-a", 7.0)]
    assert values(gauge(number(attributes=attributes | {"up": False}))) == [("payments-db", 7.0)]


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        (total(number(), number(), monotonic=True), "a monotonic sum"),
        (total(number(), number(), temporality=DELTA), "a sum that is not cumulative"),
        (total(number(), number(), temporality=0), "a sum that is not cumulative"),
        (m.Metric(name=NAME, histogram=m.Histogram(data_points=[m.HistogramDataPoint()] * 2)), "a histogram"),
        (m.Metric(name=NAME, summary=m.Summary(data_points=[m.SummaryDataPoint()] * 2)), "a summary"),
        (
            m.Metric(
                name=NAME,
                exponential_histogram=m.ExponentialHistogram(
                    data_points=[m.ExponentialHistogramDataPoint(count=4)] * 2
                ),
            ),
            "an exponential histogram",
        ),
    ],
)
def test_what_is_no_level_is_refused_and_the_cure_is_said(metric: m.Metric, kind: str) -> None:
    points, counts = decode(metric)
    assert (points, counts.points, counts.rejected) == ([], 2, {PointRefusal.NOT_A_LEVEL: 2})
    assert counts.detail == (
        f"not_a_level: metric {NAME}, which saturation.payments-db, saturation.pool-a asks for, is {kind} and no level:"
        " name a gauge or an up-down counter"
    )


def test_what_is_no_level_of_a_service_that_nobody_asks_for_is_no_refusal() -> None:
    assert refusals(block(total(number(), monotonic=True), resource={"service.name": "billing"})) == {}
    histogram = m.HistogramDataPoint(attributes=pairs({"service.name": "billing"}))
    assert refusals(m.Metric(name=NAME, histogram=m.Histogram(data_points=[histogram]))) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_a_value_that_is_no_number_is_refused(value: float | None) -> None:
    assert refusals(gauge(number(value))) == {PointRefusal.NOT_A_NUMBER: 1}


def test_a_point_without_a_recorded_value_says_nothing() -> None:
    assert refusals(gauge(number(None, flags=1), number(math.nan, flags=1), number(0, flags=1))) == {}
    assert values(gauge(number(5, flags=2))) == [("payments-db", 5.0)]


def test_times_have_the_bounds_of_spans() -> None:
    assert refusals(gauge(number(at_ns=0))) == {PointRefusal.BAD_TIME: 1}
    assert refusals(gauge(number(at_ns=BOUNDS.earliest_ns - 1))) == {PointRefusal.TOO_LATE: 1}
    assert refusals(gauge(number(at_ns=BOUNDS.latest_ns + 1), number(at_ns=2**64 - 1))) == {PointRefusal.IN_FUTURE: 2}
    assert len(values(gauge(number(at_ns=BOUNDS.earliest_ns), number(at_ns=BOUNDS.latest_ns)))) == 2


def test_a_recording_may_hold_no_time_that_cannot_be_stored() -> None:
    body = ExportMetricsServiceRequest(resource_metrics=[block(gauge(number(at_ns=STORED_NS + 1)))]).SerializeToString()
    _, counts = found(body)
    assert counts.rejected == {PointRefusal.IN_FUTURE: 1}


def series_of(*blocks: m.ResourceMetrics | m.Metric) -> set[tuple[str, str]]:
    return {(point.instance, point.series) for point in decode(*blocks)[0]}


def test_a_series_is_known_by_its_attributes_in_any_order_and_by_its_scope() -> None:
    one, two = {"state": "used", "n": 1}, {"n": 1, "state": "used"}
    assert len(series_of(gauge(number(attributes=one), number(attributes=two)))) == 1
    for other in (
        {"state": "used"},
        {"state": "used", "n": "1"},
        {"state": "used", "n": 1.0},
        {"state": "n", "used": 1},
    ):
        assert len(series_of(gauge(number(attributes=one), number(attributes=other)))) == 2
    assert len(series_of(block(gauge(number()), scope="a"), block(gauge(number()), scope="b"))) == 2


def test_an_instance_is_known_by_its_resource() -> None:
    def instance(**attributes: Any) -> str:
        (found,) = series_of(block(gauge(number()), resource=SERVICE | attributes))
        return found[0]

    assert instance(pod="a", zone="b") == instance(zone="b", pod="a")
    assert len({instance(), instance(pod="a"), instance(pod="b"), instance(pod=["a"]), instance(pod={"a": "b"})}) == 5


def test_lists_maps_and_bytes_tell_series_apart_the_same_in_both_encodings() -> None:
    for one, other in ((["a"], ["b"]), ({"a": 1}, {"a": "1"}), (b"a", b"b"), ([], None)):
        assert len(series_of(gauge(*(number(attributes={"x": value}) for value in (one, other, one))))) == 2


def test_a_point_or_resource_with_too_many_attributes_is_refused_and_its_neighbours_kept() -> None:
    many = {f"a{number}": number for number in range(129)}
    points, counts = decode(gauge(number(1), number(2, attributes=many), number(3)))
    assert [point.value for point in points] == [1.0, 3.0]
    assert counts.rejected == {PointRefusal.TOO_MANY_ATTRIBUTES: 1}
    assert refusals(block(gauge(number()), resource=many)) == {PointRefusal.TOO_MANY_ATTRIBUTES: 1}


@pytest.mark.parametrize("name", ["signal_points", "work"])
def test_more_points_than_are_read_refuse_the_request(name: str) -> None:
    limits = replace(LIMITS, **{name: 3})
    with pytest.raises(TooLarge, match=r"of metrics under saturation .* send smaller batches"):
        decode(gauge(*[number()] * 4), limits=limits)
    assert decode(gauge(*[number()] * 4, name="other"), limits=limits)[1].points == 4


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


def test_values_nested_too_deep_refuse_the_request_in_both_encodings() -> None:
    assert len(values(gauge(number(attributes={"deep": nested(20)})))) == 1
    message = ExportMetricsServiceRequest(resource_metrics=[block(gauge(number(attributes={"deep": nested(20)})))])
    limits = replace(LIMITS, nesting=10)
    for body, as_json in ((message.SerializeToString(), False), (json_body(message), True)):
        with pytest.raises(BadRequest, match="nested more than 10 deep"):
            found(body, as_json=as_json, limits=limits)


def length(size: int) -> bytes:
    """A varint."""
    return bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21])


def wrapped(field: int, content: bytes) -> bytes:
    return bytes([field << 3 | 2]) + length(len(content)) + content


def metric_body(data: bytes, name: bytes = NAME.encode()) -> bytes:
    """A request of one metric whose data is a gauge with these bytes."""
    metric = bytes([0x0A, len(name)]) + name + wrapped(5, data)
    return wrapped(1, wrapped(2, wrapped(2, metric)))


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\x00" * (2 << 20),  # empty points
        wrapped(1, b"\x3a\x00" * (2 << 20)),  # one point of empty attributes
        wrapped(1, b"\x78\x01" * (2 << 20)),  # one point of fields that OTLP does not have
        b"\x78\x01" * (2 << 20),  # a gauge of such fields
    ],
)
def test_four_mib_of_nothing_are_refused_or_bounded(data: bytes) -> None:
    body = metric_body(data)
    try:
        points, counts = found(body)
    except TooLarge:
        return
    assert (points, counts.rejected) == ([], {PointRefusal.TOO_MANY_ATTRIBUTES: 1})


def test_twenty_thousand_empty_points_of_no_value_are_told_one_by_one() -> None:
    body = metric_body(b"\x0a\x00" * 20_000)
    points, counts = found(body)
    assert (points, counts.points) == ([], 20_000)
    with pytest.raises(TooLarge, match="more than 20000 points of metrics under saturation"):
        found(metric_body(b"\x0a\x00" * 20_001, b"queue.size"))


def test_texts_that_are_not_utf_8_cost_nobody_anything() -> None:
    point = number(5).SerializeToString() + wrapped(7, b"\x0a\x02\xff\xfe\x12\x03\x0a\x01\xff")
    body = metric_body(wrapped(1, point), b"queue.size")
    points, _ = found(body)
    assert [each.value for each in points] == [5.0]


@pytest.mark.parametrize(
    "document",
    [
        '{"asInt":"x"}', '{"asInt":true}', '{"asDouble":"1e999"}', '{"asDouble":[]}', '{"asInt":1e300}', "{}",
    ],
)  # fmt: skip
def test_json_values_that_break_the_rules_are_no_numbers(document: str) -> None:
    point = document[:-1] + ("," if len(document) > 2 else "") + f'"timeUnixNano":"{NOW}"}}'
    body = '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"queue.size","gauge":{"dataPoints":[%s]}}]}]}]}'
    _, counts = found((body % point).encode(), as_json=True)
    assert counts.rejected == {PointRefusal.NOT_A_NUMBER: 1}


BODY = ExportMetricsServiceRequest(
    resource_metrics=[block(gauge(number(7, attributes={"state": "used", "l": ["a"]})), total(number(2.5)), scope="s")]
).SerializeToString()


@given(st.integers(0, len(BODY) - 1), st.integers(0, 255), st.integers(0, len(BODY)))
def test_a_damaged_body_is_decoded_or_a_bad_request(at: int, byte: int, end: int) -> None:
    body = BODY[:at] + bytes([byte]) + BODY[at + 1 :]
    for damaged in (body, body[:end]):
        try:
            points, _ = found(damaged)
        except (BadRequest, TooLarge):
            continue
        assert all(math.isfinite(point.value) and 0 < point.at_ns <= STORED_NS for point in points)


NAMES = [
    "key", "value", "stringValue", "intValue", "arrayValue", "kvlistValue", "bytesValue", "values", "asInt", "asDouble",
    "flags", "name", "attributes", "timeUnixNano", "dataPoints", "isMonotonic", "aggregationTemporality", "x",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**64 - 1) | st.floats() | st.sampled_from(["", "NaN", "7", NAME]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, JSON)
def test_json_of_any_shape_is_decoded_or_a_bad_request(point: Any, data: Any) -> None:
    for gauge_data in (data, {"dataPoints": [point]}):
        metric = {"name": "queue.size", "gauge": gauge_data, "sum": data}
        body = orjson.dumps({"resourceMetrics": [{"resource": point, "scopeMetrics": [{"metrics": [metric]}]}]})
        try:
            points, _ = found(body, as_json=True)
        except (BadRequest, TooLarge):
            continue
        assert all(math.isfinite(each.value) for each in points)
