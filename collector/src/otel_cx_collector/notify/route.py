"""Who is told what, and when not: channels and severities, quiet hours, group waits. Pure; not the sending.

A channel takes part in an incident from the first notice at which the incident has reached its severity, and to the
end: whoever was told of it hears that it is over.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from otel_cx_collector.events import NS
from otel_cx_collector.incidents.record import as_json
from otel_cx_collector.incidents.words import Happening, Tell
from otel_cx_collector.inventory.decisions import ONE_BY_ONE, SEVERITIES, Channel
from otel_cx_collector.inventory.model import Inventory
from otel_cx_collector.notify.words import WATCH, Notice

PAGING: Final = ("pagerduty",)
"""Kinds of channel that wake people."""
PAGED: Final = "P2"
"""The least severe that they take unless ``min_severity`` says otherwise."""
PAGED_ABOUT: Final = frozenset(
    {
        Happening.OPENED,
        Happening.RAISED,
        Happening.REOPENED,
        Happening.ACKNOWLEDGED,
        Happening.RESOLVED,
        *("unmeasured", "store-down", "log-half-full", "control-late", "recovered"),
    }
)
"""What a paging channel hears: to tell it that a severity fell would open an alert again that somebody closed there."""
GROUP_WAIT_S: Final = 30
"""For channels that show several incidents in one message."""

_DAY: Final = timedelta(days=1)


def wanted(channel: Channel, severity: str) -> bool:
    """Whether a channel takes incidents that have reached ``severity``; a heartbeat takes none."""
    if channel.every_ns is not None:
        return False
    least = channel.min_severity or (PAGED if channel.kinds[0] in PAGING else SEVERITIES[-1])
    return SEVERITIES.index(severity) <= SEVERITIES.index(least)


def hears(channel: Channel, what: str) -> bool:
    """Whether a channel has any use for such a notice."""
    return channel.kinds[0] not in PAGING or what in PAGED_ABOUT


def notices_for(tell: Tell, inventory: Inventory, url: str) -> list[Notice]:
    """The notices of one telling, for the outbox (``id`` 0).

    Args:
        tell: What happened, and the channels that rules name.
        inventory: Its channels; a name that it does not have is passed over, since the file may have changed.
        url: Where the product's own pages are, without a slash at the end.
    """
    incident = tell.incident
    journey = inventory.journeys.get(incident.journey)
    body: dict[str, Any] = as_json(incident, inventory) | {
        "journey_title": journey.title if journey else incident.journey,
        "currency": inventory.currency,
        "url": url,
    }
    at_s = incident.history[-1].at_s if incident.history else incident.opened_s
    return [
        Notice(
            id=0,
            key=f"{incident.id}:{tell.sequence}",
            channel=name,
            incident=incident.id,
            sequence=tell.sequence,
            what=tell.what.value,
            severity=incident.severity,
            at_s=at_s,
            group=incident.group,
            body=body,
        )
        for name, channel in _known(tell.channels, inventory)
        if wanted(channel, incident.severity) and hears(channel, tell.what)
    ]


def watch_notices(
    what: str, subject: str, severity: str, at_s: int, since_s: int, sentence: str, inventory: Inventory, url: str
) -> list[Notice]:
    """Notices about our own health, to every channel that takes the severity.

    Args:
        what: ``unmeasured``, ``store-down``, ``log-half-full``, ``control-late``, or ``recovered`` from one of them.
        subject: What it is about, the same when it recovers: a journey's name, ``store``, ``log``, ``control``.
        severity: The same when it recovers, so that whoever was told hears of the end.
        at_s: Now, in seconds since the epoch.
        since_s: When it began, the same when it recovers.
        sentence: What is wrong, or right again, for people.
        inventory: Its channels.
        url: Where the product's own pages are, without a slash at the end.
    """
    body = {"subject": subject, "sentence": sentence, "since_s": since_s, "url": url}
    return [
        Notice(
            id=0,
            key=f"{WATCH}:{subject}:{at_s}" if what != "recovered" else f"{WATCH}:{subject}:{at_s}:recovered",
            channel=name,
            incident=WATCH,
            sequence=at_s,
            what=what,
            severity=severity,
            at_s=at_s,
            group=None,
            body=body,
        )
        for name, channel in _known(tuple(inventory.notify), inventory)
        if wanted(channel, severity)
    ]


def quiet_until(channel: Channel, severity: str, at_s: int) -> int | None:
    """When a notice of ``severity`` may be sent that is due at ``at_s``; None: now.

    Begin and end are times of day of the zone, whatever its clocks do: an end that a change of the clocks leaves out
    or repeats is taken as the first moment after ``at_s`` that can be meant.
    """
    quiet = channel.quiet_hours
    if quiet is None or SEVERITIES.index(severity) <= SEVERITIES.index(quiet.urgent):
        return None
    zone = ZoneInfo(quiet.zone)
    local = datetime.fromtimestamp(at_s, zone)
    minute = local.hour * 60 + local.minute
    if not _within(minute, quiet.from_min, quiet.to_min):
        return None
    day = local.date() if minute < quiet.to_min else local.date() + _DAY
    end = datetime.combine(day, time(quiet.to_min // 60, quiet.to_min % 60), zone)
    ends = [int(end.replace(fold=fold).astimezone(UTC).timestamp()) for fold in (0, 1)]
    return min((each for each in ends if each > at_s), default=None)


def group_wait_s(channel: Channel) -> int:
    """How long a notice waits for those of other incidents of its group."""
    if channel.group_wait_ns is not None:
        return channel.group_wait_ns // NS
    return 0 if channel.kinds[0] in ONE_BY_ONE else GROUP_WAIT_S


def _within(minute: int, begin: int, end: int) -> bool:
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def _known(names: tuple[str, ...], inventory: Inventory) -> Iterator[tuple[str, Channel]]:
    for name in dict.fromkeys(names):
        if name in inventory.notify:
            yield name, inventory.notify[name]
