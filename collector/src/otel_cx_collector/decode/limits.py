"""What one request may hold. Not the size of a body: receive bounds that."""

from dataclasses import dataclass

from otel_cx_collector.decode.errors import BadRequest, TooLarge

__all__ = ["BadRequest", "DecodeLimits", "TooLarge"]


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Bounds on the work and memory one request can cause, found by a walk before anything is built."""

    spans: int = 20_000
    """Spans a request, over it TooLarge. Exporters send 512 and collectors 8,192 at a time by default; 4 MiB of empty
    spans would be two million."""
    blocks: int = 20_000
    """ResourceSpans, ScopeSpans and unknown fields beside them, over it TooLarge: no more than spans to put in them."""
    attributes: int = 128
    """Attributes a span and a resource: the SDKs' own default. A step with more is refused, its neighbours kept."""
    fields: int = 2_048
    """Attributes, events and links of a span together: the SDKs' 128 of each, with room. A larger one is not read, and
    refused as one with too many attributes if it is a step."""
    work: int = 1_000_000
    """Attributes of steps and their events read in a request, over it TooLarge: half a second of one core. 20,000
    ordinary steps have half as many. As many fields are searched for values nested too deep, then no more."""
    nesting: int = 64
    """Values within values of one attribute, over it BadRequest. Nested values are walked, never built."""
    value_chars: int = 4_096
    """Characters that are read of one attribute value; the rest is cut off."""
    json_built_bytes: int = 256 << 20
    """What a JSON body may take once built, estimated from its brackets and commas, over it TooLarge: 20,000 spans."""
    points: int = 500_000
    """Data points or log records a request, and the fields on the way to them, over it TooLarge. Counting one takes 0.5
    us."""
