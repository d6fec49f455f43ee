"""What one request may hold. Not the size of a body: receive bounds that."""

from dataclasses import dataclass
from typing import Final

from otel_cx_collector.decode.errors import BadRequest, TooLarge
from otel_cx_collector.events import NS

__all__ = ["BadRequest", "DecodeLimits", "FactLimits", "TooLarge"]

_DAY_NS: Final = 86_400 * NS


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
    signal_points: int = 20_000
    """Data points a request of the metrics that the inventory's ``saturation`` asks for, over it TooLarge: each is
    read, 15 us, and kept for a week."""


@dataclass(frozen=True, slots=True)
class FactLimits:
    """Bounds on the facts of one request."""

    lines: int = 20_000
    """Blank ones too; over it TooLarge."""
    line_bytes: int = 16_384
    """Of one line; over it the line is refused, likewise below."""
    chars: int = 256
    """Of one field that is no link."""
    link_chars: int = 1_000
    """Of a link."""
    age_ns: int = 400 * _DAY_NS
    """How old a fact may be: the store keeps it no longer."""
    future_ns: int = 300 * NS
    """How far ahead, as for spans: clocks differ."""
    planned_ns: int = 400 * _DAY_NS
    """How far ahead a maintenance may begin and end."""
