"""Durations, shares and times as people write them in the inventory, both ways. Not arithmetic with them."""

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from otel_cx_collector.events import NS

UNITS: Final[dict[str, int]] = {
    "ms": NS // 1000,
    "s": NS,
    "m": 60 * NS,
    "h": 3600 * NS,
    "d": 86_400 * NS,
    "w": 7 * 86_400 * NS,
}
"""Unit -> nanoseconds. A day is 24 hours: windows are counted in event time, which has no daylight saving."""

MAX_DURATION: Final = 400 * UNITS["d"]
"""Nothing is kept for longer (the daily roll-up's 400 days), so nothing longer can be answered."""

DURATION: Final = re.compile(r"(?P<number>\d{1,12}(\.\d{1,9})?)(?P<unit>ms|s|m|h|d|w)", re.ASCII)
PERCENT: Final = re.compile(r"\d{1,3}(\.\d{1,30})?%", re.ASCII)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2200
"""Times outside are typing mistakes; inside they fit signed 64-bit nanoseconds."""


class UnreadableError(ValueError):
    """A value that cannot be read: ``what`` is wrong with it, value shown, and the ``cure``."""

    def __init__(self, what: str, cure: str) -> None:
        self.what = what
        self.cure = cure
        super().__init__(f"{what}; {cure}")


def printable(text: str) -> str:
    """A text of the file as a message may hold it: at most 60 characters, none that a terminal would obey."""
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:61])
    return clean if len(text) <= 60 else f"{clean[:57]}..."


def shown(value: object) -> str:
    """A value as a message shows it: quoted when it is text, at most 62 characters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return f'"{printable(value)}"' if isinstance(value, str) else printable(str(value))


def parse_duration(value: object) -> int:
    """``30s``, ``1.5s``, ``30d`` -> nanoseconds. Raises UnreadableError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise UnreadableError(
            f"{shown(value)} is a duration without a unit", f"write {shown(value)}s or another of ms, s, m, h, d, w"
        )
    found = DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise UnreadableError(
            f"{shown(value)} is not a duration",
            "write one number and one unit of ms, s, m, h, d, w, such as 30s, 1.5s, 90m or 30d",
        )
    exact = Decimal(found["number"]) * UNITS[found["unit"]]
    if exact > MAX_DURATION:
        raise UnreadableError(f"{shown(value)} is longer than 400d", "nothing is kept for longer; write at most 400d")
    return int(exact.to_integral_value(ROUND_HALF_EVEN))


def format_duration(duration_ns: int) -> str:
    """Nanoseconds -> a text that ``parse_duration`` reads as the same number: 30d, 90m, 1.5s, 250ms."""
    for unit in ("d", "h", "m"):
        if duration_ns and duration_ns % UNITS[unit] == 0:
            return f"{duration_ns // UNITS[unit]}{unit}"
    if 0 < duration_ns < NS and duration_ns % UNITS["ms"] == 0:
        return f"{duration_ns // UNITS['ms']}ms"
    return f"{Decimal(duration_ns).scaleb(-9).normalize():f}s"


def parse_share(value: object) -> float:
    """``99.9%`` or ``0.999`` -> 0.999. Raises UnreadableError."""
    if isinstance(value, str) and PERCENT.fullmatch(value):
        share = float(Decimal(value[:-1]) / 100)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        share = float(min(value, 10**6))
    else:
        raise UnreadableError(f"{shown(value)} is not a share", "write a percentage like 99.9% or a number like 0.999")
    if not 0 <= share <= 1:
        cure = (
            f"write {value}% for a percentage, or" if isinstance(value, int | float) and 1 < share <= 100 else "write"
        )
        raise UnreadableError(f"{shown(value)} is not between 0 and 1", f"{cure} a number from 0 to 1")
    return share


def format_share(share: float) -> str:
    """0.999 -> ``99.9%``, exactly: ``parse_share`` gives the same float back."""
    return f"{(Decimal(repr(share)) * 100).normalize():f}%"


def parse_time(value: object) -> int:
    """ISO 8601 with a zone, ``2026-01-05T02:00:00Z`` -> nanoseconds since the epoch. Raises UnreadableError."""
    example = "write it like 2026-01-05T02:00:00Z"
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        time = None
    if time is None:
        raise UnreadableError(f"{shown(value)} is not a time", example)
    if time.utcoffset() is None:
        raise UnreadableError(f"{shown(value)} has no time zone", f"{example}, with Z or an offset like +01:00")
    if not FIRST_YEAR <= time.year <= LAST_YEAR:
        raise UnreadableError(f"{shown(value)} is not in the years {FIRST_YEAR} to {LAST_YEAR}", example)
    return (time - EPOCH) // timedelta(microseconds=1) * 1000


def format_time(at_ns: int) -> str:
    """Nanoseconds since the epoch -> ISO 8601 in UTC, whole seconds unless there is a fraction."""
    return (EPOCH + timedelta(microseconds=at_ns // 1000)).isoformat().replace("+00:00", "Z")
