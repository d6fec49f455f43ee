"""The words of delivery: a notice, and what the courier asks of the outbox. Not a channel."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to one channel, as the outbox keeps it."""

    id: int
    """The outbox's row."""
    key: str
    """Deduplication key, the same at every try: ``<incident id>:<sequence>`` (or ``watch:<subject>:<time>``)."""
    channel: str
    """Its name under ``notify`` in the inventory."""
    incident: str
    """Incident id: notices of one incident to one channel are delivered in order. ``watch`` for our own health."""
    sequence: int
    what: str
    """``incidents.words.Happening``, or ``unmeasured | store-down | log-half-full | control-late | recovered``."""
    severity: str
    at_s: int
    group: str | None
    body: dict[str, Any]
    """The incident as ``incidents.record.as_json`` has it, and ``journey_title``, ``owner``, ``currency``, ``url``."""
    tries: int = 0
    error: str = ""
    """Of the last try."""


class Outbox(Protocol):
    """Durable notices. Every method commits before it returns."""

    def due(self, now_s: int, limit: int) -> list[Notice]:
        """The first undelivered notice of each (channel, incident) whose time has come, oldest first."""
        ...

    def delivered(self, notice_id: int, at_s: int) -> None:
        """It arrived."""
        ...

    def failed(self, notice_id: int, at_s: int, error: str, retry_at_s: int) -> None:
        """It did not; try again not before ``retry_at_s``."""
        ...

    def held(self, notice_id: int, until_s: int, why: str) -> None:
        """Not now: quiet hours, or waiting for others of its group."""
        ...

    def refused(self, notice_id: int, at_s: int, error: str) -> None:
        """The target will never take it; kept, counted, shown, and out of the way of the ones behind it."""
        ...
