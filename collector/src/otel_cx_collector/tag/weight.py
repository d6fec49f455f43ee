"""How many executions a sampled span stands for, from the threshold in its tracestate. Nothing is extrapolated here."""

import re
from typing import Final

from otel_cx_collector.events import WEIGHT_ONE

MAX_WEIGHT: Final = WEIGHT_ONE << 20
"""One span in a million: sixteen million such rows still add up within 64 bits."""

_RANGE: Final = 1 << 56
_THRESHOLD: Final = re.compile(r"(?:^|;)th:([^;]*)")
_HEX: Final = re.compile(r"[0-9a-f]{1,14}")
_DIGITS: Final = 14
_OT_CHARS: Final = 256


def sampling_weight(trace_state: str) -> int:
    """Weight in units of 2^-20: ``2^56 / (2^56 - T)`` with T of ``ot=th:``, right-padded to 14 digits (wire.md).

    One when the threshold is absent or invalid; never above MAX_WEIGHT.
    https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/
    """
    if "th:" not in trace_state:
        return WEIGHT_ONE
    threshold = _threshold(trace_state)
    if threshold is None:
        return WEIGHT_ONE
    kept = _RANGE - int(threshold.ljust(_DIGITS, "0"), 16)
    return min((WEIGHT_ONE * _RANGE + kept // 2) // kept, MAX_WEIGHT)


def _threshold(trace_state: str) -> str | None:
    """The digits after ``th:`` of the OpenTelemetry member, leading zeros and all; None when absent or invalid."""
    for member in trace_state.split(","):
        vendor, _, value = member.strip(" \t").partition("=")
        if vendor == "ot":
            found = _THRESHOLD.search(value) if len(value) <= _OT_CHARS else None
            return found[1] if found and _HEX.fullmatch(found[1]) else None
    return None
