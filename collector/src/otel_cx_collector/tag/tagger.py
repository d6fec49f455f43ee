"""A span to its row, or to the reason why it has none. Rules and identities of one inventory, compiled; no state.

A candidate is checked in this order, and refused by the first reason that holds: too_many_attributes, bad_id, bad_time,
no_journey, unknown_journey, unknown_step, too_late, in_future. Only candidates are checked, so that what becomes of a
span does not depend on those it travels with. What passes is a row, or counted as synthetic.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from otel_cx import semconv
from otel_cx_collector.decode.span import Found, Scalar, Span, Wanted, environment_of, text
from otel_cx_collector.events import MINUTE_S, NS, STORED_NS, WEIGHT_ONE, Refusal, StepRow
from otel_cx_collector.inventory import Inventory, Journey, Step
from otel_cx_collector.tag import flags, money, outcome
from otel_cx_collector.tag.dimensions import Dimensions
from otel_cx_collector.tag.flags import variants
from otel_cx_collector.tag.identity import Identities, attempt
from otel_cx_collector.tag.keys import HashKeys
from otel_cx_collector.tag.matching import USER_AGENTS, IgnoreRules, Mapped, MatchRules
from otel_cx_collector.tag.outcome import judge
from otel_cx_collector.tag.version import row_version
from otel_cx_collector.tag.weight import sampling_weight

_TOLD: Final = 5
"""Refusals told in words; the rest is in the counts."""
_MAX_TIME_NS: Final = (1 << 63) - 1
_MINUTE_NS: Final = MINUTE_S * NS
_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8
_NO_TRACE: Final = bytes(_TRACE_ID_BYTES)
_NO_SPAN: Final = bytes(_SPAN_ID_BYTES)
_SPAN_ONLY: Final = frozenset(
    {
        semconv.JOURNEY_STEP,
        semconv.REVENUE_AMOUNT,
        semconv.REVENUE_CURRENCY,
        semconv.EXACT,
        semconv.ENVIRONMENT,
        *outcome.ATTRIBUTES,
        *flags.ATTRIBUTES,
    }
)
_UNIQUE: Final = frozenset({semconv.JOURNEY_ATTEMPT, semconv.REVENUE_AMOUNT, "http.target", "url.path", *USER_AGENTS})
"""Attributes that differ from span to span."""


LATE_NS: Final = 24 * 3600 * NS
"""A span that ended longer than this before it arrived is `too_late` (wire.md)."""
FUTURE_NS: Final = 300 * NS
"""One that ends further ahead than this is `in_future`."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Event times that are taken, nanoseconds since the epoch, both included."""

    earliest_ns: int
    latest_ns: int


@dataclass(slots=True)
class Decoded:
    """One export request: its rows, and what became of the other spans."""

    rows: list[StepRow] = field(default_factory=list)
    spans: int = 0
    """All spans received."""
    synthetic: int = 0
    """Spans that would have been steps, but for being made by a machine that tests."""
    rejected: dict[Refusal, int] = field(default_factory=dict)
    detail: str = ""
    """The first refusals in words, for ``partial_success.error_message``."""
    overflow: dict[tuple[str, str], int] = field(default_factory=dict)
    """(attribute, service) -> values of rows that are not listed, or of no use, and became ``other`` or absent."""


class Tagger:
    """Turns candidate spans into rows by the rules of an inventory. Immutable but for caches; for many threads."""

    def __init__(self, inventory: Inventory, keys: HashKeys | None = None) -> None:
        self._inventory = inventory
        self._identities = Identities(inventory, keys)
        self._dimensions = Dimensions(inventory)
        self._matches = MatchRules(inventory)
        self._ignores = IgnoreRules(inventory)
        attempt_keys = {journey.attempt for journey in inventory.journeys.values() if journey.attempt}
        anywhere = {
            semconv.JOURNEY_NAME,
            semconv.JOURNEY_ATTEMPT,
            semconv.SYNTHETIC_TYPE,
            *self._identities.attributes,
            *self._dimensions.attributes,
            *attempt_keys,
        }
        self.wanted = Wanted(
            span_keys=frozenset(anywhere | _SPAN_ONLY | self._matches.attributes | self._ignores.attributes),
            context_keys=frozenset(anywhere - _SPAN_ONLY),
            unique_keys=frozenset({*_UNIQUE, *self._identities.attributes, *attempt_keys}),
            needles=self._matches.needles,
            needles_of_any=self._matches.needles_of_any,
        )
        self._steps: dict[tuple[Scalar | None, Scalar], Mapped] = {
            (name, step.name): (journey, step) for name, journey in inventory.journeys.items() for step in journey.steps
        }

    def account_of_fact(self, raw: str) -> str:
        """What rows call the account that a fact names by its raw id; empty when there is no key to hash it with."""
        return self._identities.account_of_fact(raw)

    def tag(self, found: Found, bounds: Bounds) -> Decoded:
        """Rows and counts of one request's candidates."""
        decoded = Decoded(spans=found.spans)
        told: list[str] = []
        for span in found.candidates:
            mapped = self._matches.find(span)
            if mapped is None and semconv.JOURNEY_STEP not in span.attributes:
                continue
            verdict = self._check(span, mapped, bounds)
            if isinstance(verdict, _Refused):
                decoded.rejected[verdict.reason] = decoded.rejected.get(verdict.reason, 0) + 1
                if len(told) < _TOLD:
                    span_id = span.span_id[:_SPAN_ID_BYTES].hex()
                    told.append(f"{verdict.reason}: span {span_id} of {span.resource.service} {verdict.what}")
            elif semconv.SYNTHETIC_TYPE in span.attributes or self._ignores.match(span):
                decoded.synthetic += 1
            else:
                decoded.rows.append(self._row(span, *verdict, decoded.overflow))
        decoded.detail = "; ".join(told)
        return decoded

    def _check(self, span: Span, mapped: Mapped | None, bounds: Bounds) -> "Mapped | _Refused":
        """Journey and step of a candidate, or the first reason to refuse it."""
        refused = _malformed(span)
        if refused is not None:
            return refused
        verdict = mapped or self._named(span)
        if isinstance(verdict, _Refused):
            return verdict
        return _untimely(span, bounds) or verdict

    def _named(self, span: Span) -> "Mapped | _Refused":
        """The journey and step the span itself names."""
        given = span.attributes.get(semconv.JOURNEY_NAME)
        step = span.attributes[semconv.JOURNEY_STEP]
        mapped = self._steps.get((given, step))
        return self._unnamed(given, text(step)) if mapped is None else mapped

    def _unnamed(self, given: Scalar | None, step: str) -> "Mapped | _Refused":
        """Journey and step that are no texts, or why they are none of the inventory's."""
        if given is None:
            return _Refused(Refusal.NO_JOURNEY, f"has step {_shown(step)} and no {semconv.JOURNEY_NAME}; set it too")
        name = text(given)
        mapped = self._steps.get((name, step))
        if mapped is not None:
            return mapped
        journey = self._inventory.journeys.get(name)
        if journey is None:
            return _Refused(
                Refusal.UNKNOWN_JOURNEY, f"names {_shown(name)}; add it to the inventory, or use one of its journeys"
            )
        steps = ", ".join(each.name for each in journey.steps)
        return _Refused(Refusal.UNKNOWN_STEP, f"names {_shown(step)}; the steps of {name} are {steps[:200]}")

    def _row(self, span: Span, journey: Journey, step: Step, overflow: dict[tuple[str, str], int]) -> StepRow:
        attributes = span.attributes
        resource = span.resource
        odd: list[str] = []
        end = span.end_ns
        duration_ns = end - span.start_ns
        session = self._identities.session(attributes, odd)
        customer = self._identities.customer(attributes, odd)
        key, grade = attempt(attributes, journey, session, customer, span.trace_id)
        dimensions = self._dimensions.values(attributes)
        exact = _is_true(attributes.get(semconv.EXACT))
        fields = (
            _environment(span, odd),
            journey.name,
            end // _MINUTE_NS * MINUTE_S,
            key,
            span.span_id,
            span.trace_id,
            end,
            duration_ns,
            step.name,
            *judge(span, journey, step, duration_ns, odd),
            grade,
            customer,
            self._identities.account(attributes, odd),
            session,
            *dimensions.six,
            dimensions.own,
            resource.service,
            resource.service_version,
            variants(attributes, span.events),
            *self._money(attributes, odd),
            WEIGHT_ONE if exact else sampling_weight(span.trace_state),
            exact,
        )
        if odd or dimensions.odd:
            for attribute in (*odd, *dimensions.odd):
                overflow[attribute, resource.service] = overflow.get((attribute, resource.service), 0) + 1
        return StepRow._make((*fields, row_version(fields)))

    def _money(self, attributes: dict[str, Scalar], odd: list[str]) -> tuple[str, str]:
        """Amount and currency, the inventory's where the span names none; both empty without an amount."""
        given = attributes.get(semconv.REVENUE_AMOUNT)
        if given is None:
            return "", ""
        amount = money.amount(given)
        if amount is None:
            odd.append(semconv.REVENUE_AMOUNT)
            return "", ""
        unit = attributes.get(semconv.REVENUE_CURRENCY)
        if unit is None:
            return amount, self._inventory.currency or ""
        currency = money.currency(unit)
        if currency is None:
            odd.append(semconv.REVENUE_CURRENCY)
            return "", ""
        return amount, currency


class _Refused(NamedTuple):
    """Why a candidate is no row."""

    reason: Refusal
    what: str
    """Goes on after "span ... of service ...", and ends with what to do."""


def _malformed(span: Span) -> _Refused | None:
    if span.oversized:
        return _Refused(Refusal.TOO_MANY_ATTRIBUTES, "has more attributes than are read; set fewer on steps")
    if len(span.trace_id) != _TRACE_ID_BYTES or len(span.span_id) != _SPAN_ID_BYTES:
        lengths = f"{len(span.trace_id)} and {len(span.span_id)}"
        return _Refused(Refusal.BAD_ID, f"has trace and span ids of {lengths} bytes; send 16 and 8")
    if span.trace_id == _NO_TRACE or span.span_id == _NO_SPAN:
        return _Refused(Refusal.BAD_ID, "has an id that is all zero; send the ids the SDK made")
    if not 0 < span.start_ns <= span.end_ns <= _MAX_TIME_NS:
        times = f"from {span.start_ns} to {span.end_ns}"
        return _Refused(
            Refusal.BAD_TIME, f"lasts {times}; send both times, in nanoseconds, the end not before the start"
        )
    return None


def _untimely(span: Span, bounds: Bounds) -> _Refused | None:
    if span.end_ns < bounds.earliest_ns:
        return _Refused(Refusal.TOO_LATE, f"ended at {span.end_ns} ns, before {bounds.earliest_ns}; send spans sooner")
    latest = min(bounds.latest_ns, STORED_NS)
    if span.end_ns > latest:
        return _Refused(Refusal.IN_FUTURE, f"ends at {span.end_ns} ns, after {latest}; set the sender's clock right")
    return None


def _environment(span: Span, odd: list[str]) -> str:
    """The span's own environment, else its resource's."""
    own = span.attributes.get(semconv.ENVIRONMENT)
    value = span.resource.environment if own is None else environment_of(own)
    if value == semconv.OTHER:
        odd.append(semconv.ENVIRONMENT)
    return value


def _is_true(value: Scalar | None) -> bool:
    return value is True or value == "true"


def _shown(name: str) -> str:
    return repr(name[:64])
