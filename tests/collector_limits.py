"""Which limits the collector has, and how docs/explanation/limits.md writes their defaults. No expectations."""

from typing import Any

PACKAGE = "otel_cx_collector"
TABLES = {
    "Requests on the wire": [f"{PACKAGE}.receive.limits:ReceiveLimits"],
    "What a request holds": [
        f"{PACKAGE}.config:RequestLimits",
        f"{PACKAGE}.decode.limits:DecodeLimits",
        f"{PACKAGE}.decode.limits:FactLimits",
    ],
    "Log": [f"{PACKAGE}.config:LogLimits"],
    "Store": [f"{PACKAGE}.config:StoreLimits", f"{PACKAGE}.store.flush:LAST_RETRY_S"],
    "Judging": [
        f"{PACKAGE}.control:REACH_S",
        f"{PACKAGE}.control:ROWS_LIMIT",
        f"{PACKAGE}.control:CATCH_UP_S",
        f"{PACKAGE}.coverage:SETTLE_MIN_S",
        f"{PACKAGE}.coverage:SETTLE_MAX_S",
        f"{PACKAGE}.ingest:CULPRITS_MAX",
        f"{PACKAGE}.answers:CACHE_LIMIT",
    ],
    "What it tells of itself": [
        f"{PACKAGE}.health:CONNECTIONS",
        f"{PACKAGE}.health:TIMEOUT_S",
        f"{PACKAGE}.health:LONGEST_S",
        f"{PACKAGE}.metrics.readings:SERIES",
        f"{PACKAGE}.metrics.readings:LABEL_CHARACTERS",
        f"{PACKAGE}.store.lag:SAMPLES",
        f"{PACKAGE}.metrics.push:TIMEOUT_S",
        f"{PACKAGE}.health_watch:UNMEASURED_S",
        f"{PACKAGE}.health_watch:STORE_DOWN_S",
        f"{PACKAGE}.health_watch:LATE_S",
        f"{PACKAGE}.logbook:PLACES",
        f"{PACKAGE}.logbook:EVERY_NS",
        f"{PACKAGE}.logbook:TRACEBACK_EVERY_NS",
        f"{PACKAGE}.logbook:MESSAGE_CHARACTERS",
    ],
}
"""Section of the document -> ``module:name`` of each class of limits, or of one limit."""
_SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_TIMES = ((86_400, "d"), (3_600, "h"), (60, "min"))


def shown(name: str, value: Any) -> str:
    """A default as the document has it."""
    lower = name.lower()
    if value is None:
        return "none"
    if lower.endswith("bytes"):
        return _in(value, _SIZES, "B")
    if lower.endswith("_ns"):
        return _in(value / 10**9, _TIMES, "s")
    if lower.endswith("_s"):
        return _in(value, _TIMES, "s")
    return f"{value:,}"


def _in(value: float, units: tuple[tuple[int, str], ...], rest: str) -> str:
    for size, unit in units:
        if value >= size and value % size == 0:
            return f"{value // size:g} {unit}"
    return f"{value:,g} {rest}"
