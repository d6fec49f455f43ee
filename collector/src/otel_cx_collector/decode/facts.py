"""JSON lines to facts, each line on its own; never raises on a line. Not their storing, nor the answer to the sender.

A line is one JSON object with ``id``, ``at``, ``kind`` and the fields of its kind (docs/reference/facts.md). Unknown
fields are refused: a misspelt one would be lost in silence, and a person sees the answer.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, NamedTuple

import orjson

from otel_cx import semconv
from otel_cx_collector.decode.errors import TooLarge
from otel_cx_collector.decode.limits import FactLimits
from otel_cx_collector.events import STORED_NS, Fact, FactKind
from otel_cx_collector.inventory.quantities import UnreadableError, format_duration, parse_time, printable, shown
from otel_cx_collector.inventory.spelling import nearest

_BOM: Final = b"\xef\xbb\xbf"
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MONEY: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?")
_COMMON: Final = ("id", "at", "kind")
_KINDS: Final = [str(kind) for kind in FactKind]
_PENDING: Final = ["order", "ticket", "cancellation"]
"""Kinds of the file format that this version does not evaluate."""
_NEEDED: Final = {
    FactKind.DEPLOY: (*_COMMON, "service"),
    FactKind.FLAG: (*_COMMON, "key", "variant"),
    FactKind.MAINTENANCE: (*_COMMON, "journey", "until"),
    FactKind.RENEWAL: (*_COMMON, "account", "due"),
}
_OPTIONAL: Final = {
    FactKind.DEPLOY: ("version", "link"),
    FactKind.FLAG: ("link",),
    FactKind.MAINTENANCE: (),
    FactKind.RENEWAL: ("arr", "name"),
}
_ATTRIBUTES: Final = {"at": "at_ns", "until": "until_ns"}
"""Fields that a Fact has under another name."""


class RefusedLine(NamedTuple):
    """A line that became no fact."""

    line: int
    """1-based."""
    id: str
    """As far as it could be read, at most 60 characters."""
    why: str
    """What is wrong, and what to do."""


def _no_key(_: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class FactRules:
    """What the facts of one collector may say."""

    journeys: frozenset[str]
    """A maintenance is of one of them."""
    pseudonym: Callable[[str], str] = _no_key
    """Raw account id -> pseudonym; ``""`` when there is no key to hash it with."""
    limits: FactLimits = field(default_factory=FactLimits)


def decode_facts(body: bytes, rules: FactRules, now_ns: int | None) -> tuple[list[Fact], list[RefusedLine]]:
    """The facts of ``body`` in the order of its lines, and the lines that are none. Blank lines are passed over.

    Args:
        body: JSON lines.
        rules: What they may say.
        now_ns: When they came, for the bounds of their times; None takes facts of any time, as a replay must.

    Raises:
        TooLarge: There are more lines than ``rules.limits.lines``. Nothing else.
    """
    if body.count(b"\n") + (not body.endswith(b"\n")) > rules.limits.lines:
        raise TooLarge(f"the request has more than {rules.limits.lines} lines; send fewer facts at a time")
    facts: list[Fact] = []
    refused: list[RefusedLine] = []
    for number, line in _lines(body):
        document: Any = None
        try:
            document = _document(line, rules.limits)
            facts.append(_fact(document, rules, now_ns))
        except UnreadableError as error:
            refused.append(RefusedLine(number, _id_of(document), str(error)))
    return facts, refused


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(body.removeprefix(_BOM).split(b"\n"), 1):
        if line and not line.isspace():
            yield number, line


def _document(line: bytes, limits: FactLimits) -> dict[str, Any]:
    if len(line) > limits.line_bytes:
        raise UnreadableError(f"the line has {len(line)} bytes", f"write at most {limits.line_bytes}")
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UnreadableError(f"the line is not JSON ({error})", "write one JSON object a line, in UTF-8") from None
    if not isinstance(document, dict):
        raise UnreadableError(f"the line is {shown(document)}", "write one JSON object a line")
    return {name: value for name, value in document.items() if value is not None}


def _id_of(document: Any) -> str:
    given = document.get("id") if document else None
    return printable(given) if isinstance(given, str) else ""


def _fact(document: dict[str, Any], rules: FactRules, now_ns: int | None) -> Fact:
    kind = _kind(document)
    known = _NEEDED[kind] + _OPTIONAL[kind]
    for name in document:
        if name not in known:
            raise UnreadableError(f"a {kind} has no field {shown(name)}", nearest(name, known))
    for name in _NEEDED[kind]:
        if name not in document:
            raise UnreadableError(f"there is no {name}", f"a {kind} needs {', '.join(_NEEDED[kind])}")
    read = {_ATTRIBUTES.get(name, name): _READERS[name](name, value, rules) for name, value in document.items()}
    fact = Fact(**read | {"kind": kind})
    _check_times(fact, rules.limits, now_ns)
    return fact


def _kind(document: dict[str, Any]) -> FactKind:
    given = document.get("kind")
    if given in _PENDING:
        raise UnreadableError(
            f"kind {shown(given)} is not evaluated by this version", "leave such facts out until a later one does"
        )
    if given not in _KINDS:
        what = "there is no kind" if given is None else f"kind {shown(given)} is not known"
        raise UnreadableError(what, nearest(str(given), _KINDS))
    return FactKind(given)


def _check_times(fact: Fact, limits: FactLimits, now_ns: int | None) -> None:
    """Raise UnreadableError for a time that is out of bounds."""
    last_ns = max(fact.at_ns, fact.until_ns)
    if fact.until_ns and fact.until_ns <= fact.at_ns:
        raise UnreadableError("until is not after at", "a maintenance lasts from at to until")
    if last_ns > STORED_NS:
        raise UnreadableError("the time is after the year 2105", "send a nearer one")
    if now_ns is None:
        return
    if fact.at_ns < now_ns - limits.age_ns:
        raise UnreadableError(f"at is more than {format_duration(limits.age_ns)} ago", "nothing is kept for longer")
    ahead_ns = limits.planned_ns if fact.kind is FactKind.MAINTENANCE else limits.future_ns
    if last_ns > now_ns + ahead_ns:
        cure = "plan nearer" if fact.kind is FactKind.MAINTENANCE else "send what has happened, and check the clock"
        raise UnreadableError(f"the time is more than {format_duration(ahead_ns)} ahead", cure)


def _text(name: str, value: Any, rules: FactRules) -> str:
    return _printable(name, value, rules.limits.chars)


def _printable(name: str, value: Any, most: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
        raise UnreadableError(f"{name} {shown(value)} cannot be taken", f"write 1 to {most} printable characters")
    return value


def _account(name: str, value: Any, rules: FactRules) -> str:
    """The pseudonym. No message shows what was given: it may be a raw id."""
    most = rules.limits.chars
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise UnreadableError(f"{name} is no text of 1 to {most} characters", "write the account's id or pseudonym")
    account = value if semconv.PSEUDONYM.fullmatch(value) else rules.pseudonym(value)
    if not account:
        raise UnreadableError(
            f"{name} is a raw id and the collector has no key to hash it with",
            "start it with OTELCX_KEY_FILE set to the SDK's key file, or send the pseudonym",
        )
    return account


def _journey(name: str, value: Any, rules: FactRules) -> str:
    if not isinstance(value, str) or value not in rules.journeys:
        raise UnreadableError(
            f"{name} {shown(value)} is not in the inventory", nearest(str(value), sorted(rules.journeys))
        )
    return value


def _link(name: str, value: Any, rules: FactRules) -> str:
    """An address that a page may link to."""
    link = _printable(name, value, rules.limits.link_chars)
    if not link.startswith(("https://", "http://")) or " " in link:
        raise UnreadableError(
            f"{name} {shown(value)} is no link", "write an address that begins with https:// or http://"
        )
    return link


def _time(name: str, value: Any, _: FactRules) -> int:
    try:
        return parse_time(value)
    except UnreadableError as error:
        raise UnreadableError(f"{name} {error.what}", error.cure) from None


def _due(name: str, value: Any, _: FactRules) -> str:
    try:
        good = isinstance(value, str) and _DATE.fullmatch(value) and 2000 <= date.fromisoformat(value).year <= 2200
    except ValueError:
        good = False
    if not good:
        raise UnreadableError(f"{name} {shown(value)} is no date", "write it like 2026-02-01")
    return str(value)


def _money(name: str, value: Any, _: FactRules) -> str:
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str) or not _MONEY.fullmatch(value):
        raise UnreadableError(
            f"{name} {shown(value)} is no amount", 'write a decimal number as text, such as "48000.00"'
        )
    return value


_READERS: Final[dict[str, Callable[[str, Any, FactRules], Any]]] = {
    "id": _text,
    "at": _time,
    "kind": _text,
    "service": _text,
    "version": _text,
    "link": _link,
    "key": _text,
    "variant": _text,
    "journey": _journey,
    "until": _time,
    "account": _account,
    "due": _due,
    "arr": _money,
    "name": _text,
}
"""Field -> what it is read with."""
