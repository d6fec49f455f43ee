"""One export request in, rows and counts out: decode and tag in one call. Not the answer to the sender (receive)."""

from typing import Any

from otel_cx_collector.decode import DecodeLimits, document, traces, traces_json
from otel_cx_collector.tag.tagger import Bounds, Decoded, Tagger


def decode_traces(body: bytes, tagger: Tagger, bounds: Bounds, limits: DecodeLimits) -> Decoded:
    """Rows of an ExportTraceServiceRequest in binary protobuf. Raises BadRequest or TooLarge, nothing else."""
    return tagger.tag(traces.decode(body, tagger.wanted, limits), bounds)


def decode_traces_json(body: bytes, tagger: Tagger, bounds: Bounds, limits: DecodeLimits) -> Decoded:
    """Rows of an ExportTraceServiceRequest as OTLP/JSON. Raises BadRequest or TooLarge, nothing else."""
    return decode_traces_dict(document.parse(body, limits), tagger, bounds, limits)


def decode_traces_dict(request: Any, tagger: Tagger, bounds: Bounds, limits: DecodeLimits) -> Decoded:
    """Rows of an OTLP/JSON ExportTraceServiceRequest parsed already. Raises BadRequest or TooLarge, nothing else."""
    return tagger.tag(traces_json.decode(request, tagger.wanted, limits), bounds)


def median_end_ns(request: Any) -> int | None:
    """Median end of all spans of a parsed request, of two the earlier: when it arrived, for a recording.

    Nanoseconds since the epoch; None without spans that have an end. Raises BadRequest.
    """
    ends = sorted(traces_json.ends(request))
    return ends[(len(ends) - 1) // 2] if ends else None
