"""A notice in the words of people who know the customers and not the system. No channel's format, no metric names.

Everything that comes from outside (names of deploys, error classes, accounts, notes) is one line of bounded length
without control or direction characters; each channel escapes it for what it writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any, Final
from urllib.parse import quote

from otel_cx_collector.incidents.machine import clean
from otel_cx_collector.notify.words import WATCH, Notice

MAX_WORD: Final = 100
"""Characters of a name: a segment, a deploy, an account."""
MAX_SENTENCE: Final = 500
"""Characters of a reason, an action, a note."""
MAX_SUBJECT: Final = 200
"""Characters of the one line."""
MAX_LINK: Final = 1000
"""A longer address is left out: cut short it would lead elsewhere."""
NAMED: Final = 5
"""Of each list: segments, regions, errors, accounts, changes; most customers first."""
UNKNOWN: Final = ("unset", "other")
"""Values of a dimension that say nothing to a reader."""
WATCHED: Final = {
    "unmeasured": "not measured",
    "store-down": "the store does not answer",
    "log-half-full": "the log is over half full",
    "control-late": "judging is late",
    "recovered": "works again",
}
"""Our own health, in words."""

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Story:
    """One notice, told."""

    id: str
    """Stays the same from opening to end: what an alert is known by at a target."""
    what: str
    severity: str
    """What it is now."""
    over: bool
    """Nobody has to do anything any more."""
    title: str
    """Of the journey; of our own health, its subject."""
    subject: str
    lines: tuple[tuple[str, str], ...]
    """Label and text, most important first."""
    advice: str
    """The recommended action; empty when nothing that was found calls for one."""
    runbook: str
    """Link, or empty."""
    link: str
    """To the incident's page, or empty."""
    started_s: int
    ended_s: int | None


def story_of(notice: Notice) -> Story:
    """A notice, told; values that are missing are left out."""
    return _of_watch(notice) if notice.incident == WATCH else _of_incident(notice)


def headline(stories: tuple[Story, ...]) -> str:
    """The one line of a message: of one story its subject, of several the worst severity and the journeys."""
    if len(stories) == 1:
        return stories[0].subject
    worst = min(story.severity for story in stories)
    titles = ", ".join(story.title for story in stories)
    return clean(f"{worst} {len(stories)} journeys, likely one cause: {titles}", MAX_SUBJECT)


def _of_incident(notice: Notice) -> Story:
    body = notice.body
    severity = _word(body.get("current")) or notice.severity
    started_s = _seconds(body.get("started_at")) or _seconds(body.get("opened_at")) or notice.at_s
    ended_s = _seconds(body.get("closed_at"))
    over = notice.what == "resolved"
    title = _word(body.get("journey_title")) or _word(body.get("title")) or _word(body.get("journey")) or "a journey"
    advice = _recommended(body)
    subject = _subject(notice, body, severity, title, started_s, ended_s)
    base = _link(body.get("url")).rstrip("/")
    return Story(
        id=notice.incident,
        what=notice.what,
        severity=severity,
        over=over,
        title=title,
        subject=clean(subject, MAX_SUBJECT),
        lines=tuple((label, text) for label, text in _lines(notice, body, started_s, ended_s) if text),
        advice="" if over else _sentence(advice.get("do")),
        runbook="" if over else _link(advice.get("link")),
        link=f"{base}/incidents/{quote(notice.incident, safe='')}" if base else "",
        started_s=started_s,
        ended_s=(ended_s or notice.at_s) if over else None,
    )


def _subject(notice: Notice, body: Body, severity: str, title: str, started_s: int, ended_s: int | None) -> str:
    affected, active = _reach(body)
    customers = f"{affected:,}{f' of {active:,}' if active >= affected else ''} customers"
    if notice.what == "resolved":
        told = f"{customers} {'was' if affected == 1 else 'were'} affected" if affected else "no customer was affected"
        end_s = ended_s or notice.at_s
        return f"Resolved: {title}: {told}, {_moment(started_s, end_s)} to {_moment(end_s, started_s)} UTC"
    happened = "" if notice.what == "opened" else f", {_word(notice.what)}"
    told = f"{customers} {_verb(body, affected)}" if affected else _cause(body)
    return f"{severity} {title}{happened}: {told}, since {_moment(started_s, notice.at_s)} UTC"


def _verb(body: Body, affected: int) -> str:
    """Affected customers are those with failures, and slow ones: only the first cannot complete."""
    failing = sum(_count(each.get("customers")) for each in _items(body, "errors"))
    return "cannot complete" if 2 * failing >= affected else "is affected" if affected == 1 else "are affected"


def _cause(body: Body) -> str:
    """Of an incident in which no customer is counted as affected: the rule that opened it, by its name."""
    return clean(_word(_of(body, "trigger").get("rule")) or "needs a look", MAX_WORD)


def _lines(notice: Notice, body: Body, started_s: int, ended_s: int | None) -> list[tuple[str, str]]:
    over = notice.what == "resolved"
    until = f" to {_moment(ended_s or notice.at_s)} UTC" if over else ""
    return [
        ("Customers", _customers(body)),
        ("Segments", _most(_of(body, "segments"))),
        ("Regions", _most(_of(body, "regions"))),
        ("Money", _money(body)),
        ("When" if over else "Since", f"{_moment(started_s)} UTC{until}"),
        ("Changed before", _listed(_change(each, started_s) for each in _items(body, "changes"))),
        ("What fails", _listed(map(_error, _items(body, "errors")))),
        ("Key accounts", _listed(map(_account, _items(body, "accounts")))),
        ("Why", _sentence(_of(body, "trigger").get("sentence"))),
        ("News", _news(notice, body)),
        ("Status", _word(body.get("status"))),
        ("Owner", _word(body.get("owner"))),
    ]


def _of_watch(notice: Notice) -> Story:
    body = notice.body
    subject = _word(body.get("subject")) or "otel-cx"
    since_s = _seconds(body.get("since_s")) or notice.at_s
    over = notice.what == "recovered"
    said = WATCHED.get(notice.what, notice.what)
    told = (
        f"{said}, {_moment(since_s)} to {_moment(notice.at_s)} UTC" if over else f"{said}, since {_moment(since_s)} UTC"
    )
    meaning = "" if over else "What customers feel meanwhile is not known; silence is no sign of health."
    lines = (("What", _sentence(body.get("sentence"))), ("Means", meaning), ("Since", f"{_moment(since_s)} UTC"))
    return Story(
        id=f"{WATCH}:{subject}",
        what=notice.what,
        severity=notice.severity,
        over=over,
        title=subject,
        subject=clean(f"{'' if over else notice.severity + ' '}otel-cx, {subject}: {told}", MAX_SUBJECT),
        lines=tuple((label, text) for label, text in lines if text),
        advice="",
        runbook="",
        link=_link(body.get("url")),
        started_s=since_s,
        ended_s=notice.at_s if over else None,
    )


def _reach(body: Body) -> tuple[int, int]:
    reach = _of(body, "reach")
    return _count(reach.get("affected")), _count(reach.get("active"))


def _customers(body: Body) -> str:
    affected, active = _reach(body)
    if active <= 0:
        return "how many is not known" if affected <= 0 else f"{affected:,}"
    low, high = (_number(_of(body, "reach").get(key)) for key in ("low", "high"))
    between = "" if low is None or high is None else f" ({100 * low:.0f} to {100 * high:.0f} % with 90 % confidence)"
    return f"{affected:,} of {active:,} affected{between}"


def _most(reaches: Body) -> str:
    hurt = [
        (_count(each.get("affected")), _count(each.get("active")), _word(value))
        for value, each in reaches.items()
        if isinstance(each, Mapping) and value not in UNKNOWN
    ]
    worst = sorted((each for each in hurt if each[0] > 0), key=lambda each: (-each[0], each[2]))
    return _listed(f"{value} {affected:,} of {active:,}" for affected, active, value in worst)


def _money(body: Body) -> str:
    """What the key accounts that are hurt pay a year: the money that is known to be touched, not lost."""
    amounts = [amount for amount in (_amount(each.get("arr")) for each in _items(body, "accounts")) if amount]
    if not amounts:
        return ""
    currency = _word(body.get("currency"))
    accounts = "1 key account" if len(amounts) == 1 else f"{len(amounts)} key accounts"
    return f"{f'{currency} ' if currency else ''}{sum(amounts):,.0f} a year from {accounts} hurt"


def _change(change: Body, started_s: int) -> str:
    at_s = _seconds(change.get("at"))
    if at_s is None or at_s >= started_s + 60:
        return ""
    return f"{_word(change.get('kind'))} {_word(change.get('what'))} ({_moment(at_s, started_s)} UTC)".strip()


def _error(error: Body) -> str:
    customers, step = _count(error.get("customers")), _word(error.get("step"))
    consequence = _word(error.get("consequence"))
    said = f"{_word(error.get('class'))}{f' at {step}' if step else ''}: {customers:,} customers"
    return f"{said}, {consequence}" if consequence else said


def _account(account: Body) -> str:
    name = _word(account.get("name")) or _word(account.get("account"))
    due = _word(account.get("renewal_due"))
    said = f"{name}: {_count(account.get('failed')):,} of {_count(account.get('attempts')):,} attempts failed"
    return f"{said}, renewal {due}" if due else said


def _news(notice: Notice, body: Body) -> str:
    """The last line of the history, where somebody did something."""
    entries = _items(body, "history")
    if not entries or notice.what == "opened":
        return ""
    who, text = _word(entries[-1].get("who")), _sentence(entries[-1].get("text"))
    return clean(f"{notice.what}{f' by {who}' if who else ''}{f': {text}' if text else ''}", MAX_SENTENCE)


def _recommended(body: Body) -> Body:
    return next((each for each in _items(body, "advice") if each.get("holds") is True), {})


def _listed(texts: Any) -> str:
    kept = [text for text in texts if text]
    more = f", and {len(kept) - NAMED} more" if len(kept) > NAMED else ""
    return "; ".join(kept[:NAMED]) + more


def _of(body: Body, key: str) -> Body:
    value = body.get(key)
    return value if isinstance(value, Mapping) else {}


def _items(body: Body, key: str) -> list[Body]:
    value = body.get(key)
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list | tuple) else []


def _word(value: object) -> str:
    return "" if value is None else clean(str(value), MAX_WORD)


def _sentence(value: object) -> str:
    return "" if value is None else clean(str(value), MAX_SENTENCE)


def _link(value: object) -> str:
    text = value if isinstance(value, str) else ""
    fits = text.startswith(("https://", "http://")) and len(text) <= MAX_LINK
    return text if fits and text.isprintable() and not set(text) & set(" <>\"'|\\") else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) else None


def _count(value: object) -> int:
    number = _number(value)
    return 0 if number is None else max(0, min(int(number), 10**12))


def _amount(value: object) -> Decimal | None:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 < amount < 10**15 else None


def _seconds(value: object) -> int | None:
    """Of a time as the incident has it: ISO 8601, or seconds since the epoch."""
    if isinstance(value, str):
        try:
            return int(datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp()) if value.endswith("Z") else None
        except ValueError:
            return None
    number = _number(value)
    return int(number) if number is not None and 0 < number < 10**11 else None


def _moment(at_s: int, beside_s: int | None = None) -> str:
    """``10:02`` when it is the day of ``beside_s``, else with the date."""
    at = datetime.fromtimestamp(at_s, UTC)
    same = beside_s is not None and at.date() == datetime.fromtimestamp(beside_s, UTC).date()
    return f"{at:%H:%M}" if same else f"{at:%-d %B %Y %H:%M}"
