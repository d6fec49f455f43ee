"""Candidate spans to step rows: match rules, identity, dimensions, outcome, by one inventory. Not bytes (decode)."""

from otel_cx_collector.tag.keys import HashKeys
from otel_cx_collector.tag.requests import decode_traces, decode_traces_dict, decode_traces_json, median_end_ns
from otel_cx_collector.tag.tagger import FUTURE_NS, LATE_NS, Bounds, Decoded, Tagger
from otel_cx_collector.tag.version import row_version

__all__ = [
    "FUTURE_NS",
    "LATE_NS",
    "Bounds",
    "Decoded",
    "HashKeys",
    "Tagger",
    "decode_traces",
    "decode_traces_dict",
    "decode_traces_json",
    "median_end_ns",
    "row_version",
]
