"""What an execution was to its customer, and what its failure is called: the rules of wire.md in their order."""

import re
from typing import Final, NamedTuple

from otel_cx import semconv
from otel_cx_collector.decode.span import EXCEPTION_TYPE, STATUS_ERROR, Scalar, Span, text
from otel_cx_collector.events import Outcome
from otel_cx_collector.inventory import Journey, Step

HTTP_STATUS: Final = "http.response.status_code"
OLD_HTTP_STATUS: Final = "http.status_code"
RPC_STATUS: Final = "rpc.response.status_code"
OLD_RPC_STATUS: Final = "rpc.grpc.status_code"
ATTRIBUTES: Final = frozenset(
    {
        semconv.STEP_OUTCOME,
        semconv.STEP_RECOVERABLE,
        semconv.ERROR_TYPE,
        HTTP_STATUS,
        OLD_HTTP_STATUS,
        RPC_STATUS,
        OLD_RPC_STATUS,
    }
)

GAVE_UP: Final = "gave_up"

_UNEVENTFUL: Final = ATTRIBUTES - {semconv.STEP_RECOVERABLE, HTTP_STATUS}
"""Without any of these, most spans are judged by their HTTP status and their own alone."""
_OUTCOMES: Final[dict[Scalar, Outcome]] = {outcome.value: outcome for outcome in Outcome}
_CLIENT_CLOSED_REQUEST: Final = 499
_TOO_MANY_REQUESTS: Final = 429
_RECOVERABLE: Final = frozenset(
    {"408", "425", "429", "502", "503", "504", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}
)
"""Codes after which the same request may well succeed (RFC 9110 15.5, 15.6; RFC 8470; RFC 6585; gRPC's retry guide)."""
_ODD: Final = re.compile(r"[^A-Za-z0-9._:-]+")


class Verdict(NamedTuple):
    """Outcome, whether a failure was retryable, and its class: empty for ok and cancelled."""

    outcome: Outcome
    recoverable: bool
    error_class: str


_OK: Final = Verdict(Outcome.OK, recoverable=False, error_class="")
_CANCELLED: Final = Verdict(Outcome.CANCELLED, recoverable=False, error_class="")


class _Signs(NamedTuple):
    """What a span says of how it ended."""

    error_types: tuple[str, ...]
    """``error.type``, then the types of recorded exceptions, the last first."""
    http: int
    """Status code, 0 when absent."""
    grpc: str
    """Name of the status code, empty when absent."""


def judge(span: Span, journey: Journey, step: Step, duration_ns: int, odd: list[str]) -> Verdict:
    """The verdict on one execution of ``step``. An outcome that is none is noted in ``odd`` and passed over."""
    attributes = span.attributes
    if span.status != STATUS_ERROR and not span.events and _UNEVENTFUL.isdisjoint(attributes):
        http = attributes.get(HTTP_STATUS, 0)
        if type(http) is int and http < 400:
            return _OK
    given = attributes.get(semconv.STEP_OUTCOME)
    signs = _signs(span)
    outcome = None
    if given is not None:
        outcome = _OUTCOMES.get(given)
        if outcome is None:
            odd.append(semconv.STEP_OUTCOME)
    if outcome is None:
        outcome = _outcome(signs, span.status)
    if outcome is Outcome.OK:
        return _OK
    gave_up = False
    if outcome is Outcome.CANCELLED:
        if duration_ns <= step.slow_after_ns:
            return _CANCELLED
        outcome, gave_up = Outcome.FAILED, True
    return _classed(outcome, signs, journey, step, attributes.get(semconv.STEP_RECOVERABLE), gave_up=gave_up)


def _signs(span: Span) -> _Signs:
    attributes = span.attributes
    error_type = attributes.get(semconv.ERROR_TYPE)
    types: list[str] = []
    if error_type is not None:
        types.append(text(error_type))
    if span.events:
        types += [text(event[EXCEPTION_TYPE]) for event in reversed(span.events) if EXCEPTION_TYPE in event]
    http = attributes.get(HTTP_STATUS)
    if http is None:
        http = attributes.get(OLD_HTTP_STATUS)
    grpc = attributes.get(RPC_STATUS)
    if grpc is None:
        grpc = attributes.get(OLD_RPC_STATUS)
    return _Signs(tuple(types), 0 if http is None else _http(http), "" if grpc is None else _grpc(grpc))


def _http(code: Scalar) -> int:
    if isinstance(code, str):
        code = int(code) if code.isascii() and code.isdigit() and len(code) == 3 else 0
    return int(code) if 100 <= code < 1000 else 0


def _grpc(code: Scalar) -> str:
    """Name of a gRPC status given by number or name; empty when it is none (other RPC systems have their own)."""
    name = text(code).upper()
    if name.isascii() and name.isdigit() and len(name) <= 2 and int(name) < len(semconv.GRPC_CODES):
        return semconv.GRPC_CODES[int(name)]
    return name if name in semconv.GRPC_CODES else ""


def _outcome(signs: _Signs, status: int) -> Outcome:
    http, grpc = signs.http, signs.grpc
    if (
        http == _CLIENT_CLOSED_REQUEST
        or grpc == "CANCELLED"
        or (signs.error_types and any(each.endswith(semconv.CANCELLED_TYPES) for each in signs.error_types))
    ):
        return Outcome.CANCELLED
    if http >= 500 or http == _TOO_MANY_REQUESTS:
        return Outcome.FAILED
    if http >= 400:
        return Outcome.REJECTED
    if grpc and grpc != "OK":
        return Outcome.FAILED if grpc in semconv.GRPC_FAILED else Outcome.REJECTED
    return Outcome.FAILED if status == STATUS_ERROR else Outcome.OK


def _classed(
    outcome: Outcome, signs: _Signs, journey: Journey, step: Step, said: Scalar | None, *, gave_up: bool
) -> Verdict:
    """The verdict on a failure or rejection: the journey's first matching rule names it, else what the span says."""
    names = _names(signs)
    matched = (GAVE_UP, *names) if gave_up else names
    recoverable = said if isinstance(said, bool) else None
    error_class = matched[0] if matched else outcome.value
    for rule in journey.errors:
        if rule.step in (None, step.name) and (rule.error_type is None or rule.error_type in matched):
            error_class = rule.error_class
            recoverable = rule.recoverable if recoverable is None else recoverable
            break
    if recoverable is None:
        recoverable = any(name in _RECOVERABLE or "timeout" in name.lower() for name in names)
    return Verdict(outcome, recoverable, _cleaned(error_class))


def _names(signs: _Signs) -> tuple[str, ...]:
    """What the span calls its error, best first: its types, else the code that decided."""
    if signs.error_types:
        return signs.error_types
    if signs.http >= 400:
        return (str(signs.http),)
    return (signs.grpc,) if signs.grpc and signs.grpc != "OK" else ()


def _cleaned(error_class: str) -> str:
    """A class that is a value: other characters become ``_``."""
    if semconv.VALUE.fullmatch(error_class):
        return error_class
    return _ODD.sub("_", error_class)[:64]
