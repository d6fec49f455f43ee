"""The words of the working state: what a round writes, what people did, what became of a notice. Not the tables."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from otel_cx_collector.decide.words import Record
from otel_cx_collector.errors import CollectorError
from otel_cx_collector.incidents.words import Act, Incident, Status
from otel_cx_collector.measure.figures import BurnAlert
from otel_cx_collector.notify.words import Notice


class Stale(CollectorError):  # noqa: N818 - says what is wrong with the write
    """A write that does not know what was written since its values were read: read again and decide anew."""


@dataclass(frozen=True, slots=True)
class Saved:
    """The judging state as of the last committed round."""

    watermark_s: int
    """T of the last round, seconds since the epoch."""
    version: int
    """Of the blob's format; the reader refuses one it does not know."""
    blob: bytes


@dataclass(frozen=True, slots=True)
class NewNotice:
    """A message to one channel, before the outbox has it. Unique by (key, channel)."""

    channel: str
    key: str
    incident: str
    """Incident id, or ``watch``: notices of one incident to one channel are delivered in order."""
    sequence: int
    what: str
    severity: str
    at_s: int
    group: str | None
    body: dict[str, Any]
    """JSON values only."""
    due_s: int
    """Not to be sent before, seconds since the epoch."""


def queued(notice: Notice) -> NewNotice:
    """A notice as the outbox takes it, due when it was told."""
    return NewNotice(
        channel=notice.channel,
        key=notice.key,
        incident=notice.incident,
        sequence=notice.sequence,
        what=notice.what,
        severity=notice.severity,
        at_s=notice.at_s,
        group=notice.group,
        body=notice.body,
        due_s=notice.at_s,
    )


@dataclass(frozen=True, slots=True)
class Round:
    """All that one round of judging changes; written whole or not at all."""

    watermark_s: int
    version: int
    blob: bytes
    incidents: tuple[Incident, ...] = ()
    """New or changed."""
    records: tuple[Record, ...] = ()
    alerts: tuple[BurnAlert, ...] = ()
    """Fired or resolved."""
    notices: tuple[NewNotice, ...] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """What a person did to an incident. Never changed, kept as long as the incident."""

    incident: str
    at_s: int
    who: str
    act: Act
    text: str
    before: Status
    after: Status


class DeliveryState(StrEnum):
    """Where a notice is."""

    WAITING = "waiting"
    HELD = "held"
    DELIVERED = "delivered"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one notice."""

    channel: str
    what: str
    key: str
    at_s: int
    """When it was told, seconds since the epoch."""
    state: DeliveryState
    tries: int
    error: str
    """Of the last try, or why it is held; empty when it arrived."""
    delivered_s: int | None
    incident: str


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the working state is kept, and how much one call of ``State.prune`` may delete."""

    notices_s: int = 30 * 86_400
    """After a notice was delivered or refused; one that waits is kept."""
    records_s: int = 400 * 86_400
    """As long as the store keeps its roll-ups."""
    alerts_s: int = 400 * 86_400
    """After an alert was resolved; one that still fires is kept."""
    incidents_s: int = 400 * 86_400
    """After an incident was resolved; with its history and its audit trail."""
    rows: int = 1000
    """Of each table in one call: pruning never holds up a round for long."""
