"""Who an execution belongs to: customer, account, session, attempt. A raw id never leaves this file."""

from hashlib import blake2b
from typing import Final

from otel_cx import semconv
from otel_cx_collector.decode.span import Scalar, text
from otel_cx_collector.events import Grade
from otel_cx_collector.inventory import Inventory, Journey
from otel_cx_collector.tag.keys import HashKeys

_DIGEST_BYTES: Final = 16
_ATTRIBUTES: Final = {
    "customer": semconv.CUSTOMER_ID,
    "account": semconv.ACCOUNT_ID,
    "session": semconv.SESSION_ID,
}


def opaque(key: str) -> str:
    """A key as it is stored: itself when it is a value, else a digest of it, so that an odd key loses no attempt."""
    if semconv.VALUE.fullmatch(key):
        return key
    return blake2b(key.encode(), digest_size=_DIGEST_BYTES).hexdigest()


class Identities:
    """The inventory's ``identify``, compiled."""

    def __init__(self, inventory: Inventory, keys: HashKeys | None) -> None:
        self._keys = keys
        self._identify = inventory.identify
        self.attributes = frozenset(
            {each.attribute for name, each in inventory.identify.items() if name in _ATTRIBUTES}
            | {*_ATTRIBUTES.values()}
        )

    def customer(self, attributes: dict[str, Scalar], odd: list[str]) -> str:
        """Pseudonym of the customer, empty when absent or when it cannot be hashed, which is noted in ``odd``."""
        return self._pseudonym("customer", attributes, odd)

    def account(self, attributes: dict[str, Scalar], odd: list[str]) -> str:
        """Pseudonym of the account, likewise."""
        return self._pseudonym("account", attributes, odd)

    def session(self, attributes: dict[str, Scalar], odd: list[str]) -> str:
        """The session's id, empty when absent."""
        own = attributes.get(semconv.SESSION_ID)
        if own is not None:
            return opaque(text(own))
        identify = self._identify.get("session")
        found = attributes.get(identify.attribute) if identify else None
        if identify is None or found is None:
            return ""
        if identify.hash:
            return self._hashed(text(found), identify.attribute, odd)
        return opaque(text(found))

    def account_of_fact(self, raw: str) -> str:
        """What rows call the account that a fact names by its raw id; empty when it cannot be hashed."""
        identify = self._identify.get("account")
        if identify and not identify.hash and semconv.VALUE.fullmatch(raw):
            return raw
        return self._keys.pseudonym(raw) if self._keys is not None else ""

    def _pseudonym(self, name: str, attributes: dict[str, Scalar], odd: list[str]) -> str:
        attribute = _ATTRIBUTES[name]
        own = attributes.get(attribute)
        if own is not None:
            given = text(own)
            return given if semconv.PSEUDONYM.fullmatch(given) else self._hashed(given, attribute, odd)
        identify = self._identify.get(name)
        found = attributes.get(identify.attribute) if identify else None
        if identify is None or found is None:
            return ""
        given = text(found)
        if identify.hash or not semconv.VALUE.fullmatch(given):
            return self._hashed(given, identify.attribute, odd)
        return given

    def _hashed(self, raw: str, attribute: str, odd: list[str]) -> str:
        if self._keys is not None:
            return self._keys.pseudonym(raw)
        odd.append(attribute)
        return ""


def attempt(
    attributes: dict[str, Scalar], journey: Journey, session: str, customer: str, trace_id: bytes
) -> tuple[str, Grade]:
    """The key of the attempt and how it is known: the first that is present (wire.md, Attempt key)."""
    given = attributes.get(semconv.JOURNEY_ATTEMPT)
    if given is None and journey.attempt is not None:
        given = attributes.get(journey.attempt)
    if given is not None:
        return opaque(text(given)), Grade.EXPLICIT
    if session:
        return session, Grade.SESSION
    if customer:
        return customer, Grade.CUSTOMER
    return trace_id.hex(), Grade.TRACE
