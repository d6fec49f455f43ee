"""Bytes in, answers out: the receivers, and what they hand to a sink. Not what a body means."""

from otel_cx_collector.receive.auth import Access
from otel_cx_collector.receive.counts import Counts
from otel_cx_collector.receive.grpc import GrpcReceiver
from otel_cx_collector.receive.http import HttpReceiver
from otel_cx_collector.receive.limits import InFlight, ReceiveLimits
from otel_cx_collector.receive.sink import Answer, Encoding, Signal, Sink

__all__ = [
    "Access",
    "Answer",
    "Counts",
    "Encoding",
    "GrpcReceiver",
    "HttpReceiver",
    "InFlight",
    "ReceiveLimits",
    "Signal",
    "Sink",
]
