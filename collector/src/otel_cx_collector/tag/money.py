"""Amounts and currencies from spans to the text that is stored. No arithmetic with money."""

import re
from decimal import Decimal
from typing import Final

from otel_cx_collector.decode.span import Scalar

MAX_AMOUNT: Final = Decimal(10) ** 16
"""Below it: what one step of a journey carries, in any currency."""
_PLACES: Final = Decimal("0.000001")
_PLAIN: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,6})?")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,2})?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


def amount(value: Scalar) -> str | None:
    """The amount as plain decimal text with at most 6 places; None when it is no amount or not below MAX_AMOUNT.

    Text that is plain already stays as it is ("129.00"); a double is what it prints as, rounded half to even.
    """
    shown = value if isinstance(value, str) else repr(value)
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    if isinstance(value, bool) or not _DECIMAL.fullmatch(shown):
        return None
    exact = Decimal(shown)
    if abs(exact) >= MAX_AMOUNT:
        return None
    rounded = f"{exact.quantize(_PLACES):f}".rstrip("0").rstrip(".")
    return "0" if rounded in ("-0", "") else rounded


def currency(value: Scalar) -> str | None:
    """The ISO 4217 code, upper case; None when it has not its shape."""
    code = str(value).upper()
    return code if _CURRENCY.fullmatch(code) else None
