"""Numbers as people say them. Exact values stand beside them (the page's hover, the API); nothing is decided here."""

from decimal import Decimal, InvalidOperation
from typing import Final

NBSP: Final = "\u00a0"
"""Between number and unit, so that they are never parted."""

NONE: Final = "–"
"""Where there is no number: nothing was measured, or nothing happened."""


def count(value: float | None) -> str:
    """``1,240``, ``12.4 k``, ``3.1 M``; weights make counts fractional, people do not."""
    if value is None:
        return NONE
    if abs(value) < 9999.5:
        return f"{value:,.0f}"
    if abs(value) < 999_500:
        return f"{value / 1e3:.3g}{NBSP}k"
    return f"{value / 1e6:.3g}{NBSP}M"


def percent(share: float | None) -> str:
    """``99.95 %``: more digits near 100, where they matter, and never 100 unless it is."""
    if share is None:
        return NONE
    if share < 0:
        return f"−{percent(-share)}"
    value = share * 100
    digits = 0 if value in {0, 100} else 1 if 0.1 <= value < 99 else 2
    text = f"{value:.{digits}f}"
    if value < 100 and float(text) >= 100:
        text = "99.99"
    if value > 0 and float(text) == 0:
        return f"<{NBSP}0.01{NBSP}%"
    return f"{text}{NBSP}%"


def target(share: float) -> str:
    """``99.9 %``: as it was written."""
    return f"{share * 100:.6g}{NBSP}%"


def rough(share: float | None) -> str:
    """``34 %``, ``7.1 %``, ``−1,340 %``: where whole per cents are what people say."""
    if share is None:
        return NONE
    value = abs(share * 100)
    digits = 0 if value >= 9.95 or value in {0, 100} else 1
    text = f"{value:,.{digits}f}"
    if value > 0 and text == "0.0":
        return f"<{NBSP}0.1{NBSP}%"
    return f"{'−' if share < 0 else ''}{text}{NBSP}%"


def milliseconds(value: float | None) -> str:
    """``240 ms``, ``1.24 s``, ``2.5 min``."""
    if value is None:
        return NONE
    if value < 999.5:
        return f"{value:.0f}{NBSP}ms"
    if value < 59_995:
        return f"{value / 1e3:.3g}{NBSP}s"
    return f"{value / 6e4:.3g}{NBSP}min"


def span(seconds: float) -> str:
    """How long: ``40 s``, ``12 min``, ``3 h 5 min``, ``2 d 4 h``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}{NBSP}s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min"
    if minutes < 24 * 60:
        return _two(minutes // 60, "h", minutes % 60, "min")
    return _two(minutes // 1440, "d", minutes % 1440 // 60, "h")


def _two(large: int, unit: str, small: int, smaller: str) -> str:
    return f"{large}{NBSP}{unit}" + (f"{NBSP}{small}{NBSP}{smaller}" if small else "")


def outage_minutes(value: float | None) -> str:
    """Equivalent minutes of a full outage: ``4.8 min``."""
    if value is None:
        return NONE
    return f"{value:.0f}{NBSP}min" if value >= 100 else f"{significant(value)}{NBSP}min"


def significant(value: float, digits: int = 3) -> str:
    """``digits`` significant digits, never in exponent form: ``4.8``, ``0.0361``, ``1,240``."""
    if value == 0:
        return "0"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    text = f"{float(f'{abs(value):.{digits}g}'):.6f}".rstrip("0").rstrip(".")
    if text == "0":
        return f"<{NBSP}0.000001"
    return f"−{text}" if value < 0 else text


def score(value: float | None) -> str:
    """``49``; below ten with a decimal, because the bands begin at 4."""
    if value is None:
        return NONE
    return f"{value:.0f}" if value >= 9.95 or value == 0 else f"{max(value, 0.1):.1f}"


def interval(low: float | None, high: float | None) -> str:
    """A 90 % interval of a share: ``38-42 %``."""
    if low is None or high is None:
        return ""
    digits = 0 if high - low >= 0.02 else 1
    return f"{low * 100:.{digits}f}–{high * 100:.{digits}f}{NBSP}%"


def plural(number: float, one: str, many: str | None = None) -> str:
    """``1 journey``, ``2 journeys``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def times(value: float | None) -> str:
    """A pace as a multiple: ``2.4 ×``."""
    return NONE if value is None else f"{significant(value, 2)}{NBSP}×"


def money(amount: str | None, currency: str | None) -> str:
    """``EUR 48,000``; what is no number is said as it stands."""
    if not amount:
        return NONE
    try:
        said = f"{Decimal(amount):,.0f}"
    except (InvalidOperation, ValueError):
        said = amount
    return f"{currency}{NBSP}{said}" if currency else said


def listed(words: list[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def data_size(value: float) -> str:
    """Bytes in binary units: ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB"):
        if value < 1023.5:
            return f"{significant(value)}{NBSP}{unit}"
        value /= 1024
    return f"{significant(value)}{NBSP}GiB"
