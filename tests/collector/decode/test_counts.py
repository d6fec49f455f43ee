"""Metrics and logs are accepted and counted, within limits."""

from dataclasses import replace

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1 import metrics_pb2 as m
from spans import LIMITS, json_body, request, step

from otel_cx_collector.decode import BadRequest, DecodeLimits, TooLarge, logs, metrics

METRICS = ExportMetricsServiceRequest(
    resource_metrics=[
        m.ResourceMetrics(
            scope_metrics=[
                m.ScopeMetrics(
                    metrics=[
                        m.Metric(name="a", gauge=m.Gauge(data_points=[m.NumberDataPoint(as_int=1)] * 2)),
                        m.Metric(name="b", sum=m.Sum(data_points=[m.NumberDataPoint()] * 3)),
                        m.Metric(name="c", histogram=m.Histogram(data_points=[m.HistogramDataPoint(count=1)] * 4)),
                    ]
                ),
                m.ScopeMetrics(
                    metrics=[
                        m.Metric(
                            exponential_histogram=m.ExponentialHistogram(
                                data_points=[m.ExponentialHistogramDataPoint()] * 5
                            )
                        ),
                        m.Metric(summary=m.Summary(data_points=[m.SummaryDataPoint()] * 6)),
                        m.Metric(name="without data"),
                    ]
                ),
            ]
        ),
        m.ResourceMetrics(),
    ]
)
LOGS = ExportLogsServiceRequest(
    resource_logs=[
        ResourceLogs(scope_logs=[ScopeLogs(log_records=[LogRecord(severity_text="INFO")] * 3), ScopeLogs()]),
        ResourceLogs(scope_logs=[ScopeLogs(log_records=[LogRecord()] * 4)]),
    ]
)


def counts(message: Message, limits: DecodeLimits = LIMITS) -> tuple[int, int]:
    count = metrics.count if message is METRICS else logs.count
    return count(message.SerializeToString(), False, limits), count(json_body(message), True, limits)


def test_data_points_of_every_kind_of_metric_are_counted() -> None:
    assert counts(METRICS) == (20, 20)


def test_log_records_are_counted() -> None:
    assert counts(LOGS) == (7, 7)


@pytest.mark.parametrize("count", [metrics.count, logs.count])
def test_an_empty_request_holds_nothing(count: type(logs.count)) -> None:  # type: ignore[valid-type]
    assert (count(b"", False, LIMITS), count(b"{}", True, LIMITS)) == (0, 0)


@pytest.mark.parametrize("message", [METRICS, LOGS])
def test_more_than_the_limit_refuse_the_request(message: Message) -> None:
    count = metrics.count if message is METRICS else logs.count
    limits = replace(LIMITS, points=6)
    for body, as_json in ((message.SerializeToString(), False), (json_body(message), True)):
        with pytest.raises(TooLarge, match="more than 6 data points or log records"):
            count(body, as_json, limits)


@pytest.mark.parametrize("count", [metrics.count, logs.count])
@pytest.mark.parametrize("body", [b"\x0a\x05", b"\x08\x01", b"hello, world", b"\x0a\x02\x12\x7f", b"\x0f"])
def test_malformed_protobuf_is_a_bad_request(count: type(logs.count), body: bytes) -> None:  # type: ignore[valid-type]
    with pytest.raises(BadRequest, match="malformed protobuf"):
        count(body, False, LIMITS)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"resourceMetrics":5,"resourceLogs":5}', b"[" * 100_000])
def test_malformed_json_is_a_bad_request(body: bytes) -> None:
    for count in (metrics.count, logs.count):
        with pytest.raises(BadRequest):
            count(body, True, LIMITS)


def test_four_mib_of_empty_records_are_refused() -> None:
    scope = b"\x12\x80\x80\x80\x02" + b"\x12\x00" * (2 << 20)
    with pytest.raises(TooLarge):
        logs.count(b"\x0a\x85\x80\x80\x02" + scope, False, LIMITS)


def test_a_body_of_another_signal_is_refused_where_it_shows() -> None:
    body = request(step()).SerializeToString()
    assert logs.count(body, False, LIMITS) == 1
    with pytest.raises(BadRequest, match="field 7 has wire type 1"):
        metrics.count(body, False, LIMITS)
