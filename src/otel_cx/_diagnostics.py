"""Counts of what the SDK dropped, replaced or failed to do, so that nothing is lost in silence. Not metrics, not logs.

Each reason is logged once in a process, as a warning that shows no value; after that it only counts.
"""

import logging
import os
import threading
from enum import StrEnum
from typing import Self

_logger = logging.getLogger("otel_cx")
_lock = threading.Lock()
_counts: dict[str, int] = {}


class Reason(StrEnum):
    """Why something of ours was dropped or replaced: the keys of `diagnostics`, each with what it means."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """Keeps the meaning beside the value."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    INVALID_NAME = "invalid_name", "a run-time journey or step name broke the rule for names and became 'other'"
    INVALID_VALUE = (
        "invalid_value",
        "a run-time attempt, dimension or reason broke the rule for values; it became 'other'",
    )
    INVALID_ATTEMPT = "invalid_attempt", "the attempt id in a cookie or header has another shape and was not used"
    INVALID_REVENUE = "invalid_revenue", "revenue without a finite amount and a three-letter currency was not recorded"
    NO_HOLDER = "no_holder", "identify() outside a recorded local root span, or after its end, wrote nothing"
    NO_KEY = "no_key", "a customer or account was not recorded, because no key is set: set OTELCX_KEY_FILE"
    NO_SERVER_SPAN = (
        "no_server_span",
        (
            "the middleware served a request of which no server span was recorded, so its step is not either; unless "
            "it was not sampled: instrument the framework with the opentelemetry-instrumentation package of its name, "
            "and give the tracer provider in use to otel_cx.install"
        ),
    )
    BAGGAGE_UNTRUSTED = "baggage_untrusted", "incoming otelcx.* baggage was removed, its sender is not trusted"
    BAGGAGE_SIGNATURE = "baggage_signature", "incoming otelcx.* baggage was removed, its signature is missing or wrong"
    BAGGAGE_OVERSIZE = "baggage_oversize", "baggage over a limit was removed"
    BAGGAGE_INVALID = "baggage_invalid", "an incoming otelcx.* member of the wrong shape was removed"
    NO_BAGGAGE = (
        "no_baggage",
        (
            "the process's propagator carries no baggage, so a journey ends with the process: add baggage to "
            "OTEL_PROPAGATORS, or to `propagator` in the file of OTEL_CONFIG_FILE, where it must be named"
        ),
    )
    PROPAGATOR_REPLACED = (
        "propagator_replaced",
        (
            "another propagator was set after otel_cx.install, so no journey comes in or goes out: set it before, "
            "or call otel_cx.install again"
        ),
    )
    EGRESS_DENIED = (
        "egress_denied",
        (
            "a call left without the customer's context, because its destination is not allowed: "
            "set OTELCX_EGRESS_HOSTS or OTELCX_EGRESS_DESTINATIONS if it is a service of yours"
        ),
    )
    EXACT_DROPPED = (
        "exact_dropped",
        "a step was not sent for exact figures, because too many wait: the collector takes them too slowly, or not",
    )
    EXACT_NOT_SENT = (
        "exact_not_sent",
        (
            "a step was not sent for exact figures, because its exporter gave up: set OTELCX_EXACT_ENDPOINT if the "
            "collector is not where traces go"
        ),
    )
    INTERNAL = "internal", "an error of the SDK was caught before it reached the application"


def _new_lock() -> None:
    global _lock  # noqa: PLW0603 - a child forked while another thread counts must not wait for that thread
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


def count(reason: Reason, cause: BaseException | None = None, *, times: int = 1) -> None:
    """Counts `reason` and logs its first time in the process. Never raises.

    Of `cause` only its class and place are logged: its message is often the application's, and may hold a raw id.
    """
    with _lock:
        seen = _counts.get(reason.value, 0)
        _counts[reason.value] = seen + times
    if not seen:
        where = "" if cause is None else f": {_place(cause)}"
        _logger.warning("otel-cx: %s%s (counted as %s, logged once)", reason.meaning, where, reason.value)


def _place(cause: BaseException) -> str:
    """Returns the class of an exception and where it was raised."""
    innermost = cause.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    name = type(cause).__qualname__
    if innermost is None:
        return name
    code = innermost.tb_frame.f_code
    return f"{name} at {code.co_filename}:{innermost.tb_lineno} in {code.co_name}"


def diagnostics() -> dict[str, int]:
    """Counts so far in this process by reason; what never happened is left out.

    >>> import otel_cx
    >>> otel_cx.diagnostics().get("no_holder", 0)
    0
    """
    with _lock:
        return dict(_counts)


def reset() -> None:
    """Forgets all counts; for tests."""
    with _lock:
        _counts.clear()
