"""The words of delivery: a notice, how a try ends, and what the courier asks of the outbox. Not a channel.

A try ends with ``Sent``, or with one of

CollectorError
└── Undelivered  it did not arrive
    ├── Retry    it may arrive later
    └── Refused  the target will never take it
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final, Protocol

from otel_cx_collector.errors import CollectorError

WATCH: Final = "watch"
"""Stands for the incident in notices about our own health."""


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
    """Failed ones."""
    error: str = ""
    """Of the last try."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one try carries: a notice, or the notices of a group's incidents as one message."""

    notices: tuple[Notice, ...]
    """At least one, each of another incident."""
    now_s: int

    @property
    def key(self) -> str:
        """Deduplication key: the notice's own; of several, one that is the same for the same notices."""
        keys = sorted(notice.key for notice in self.notices)
        return keys[0] if len(keys) == 1 else f"group:{hashlib.sha256(chr(10).join(keys).encode()).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True)
class Sent:
    """The target took it."""

    note: str = ""
    """What is worth knowing all the same: a recipient that was refused."""


class Undelivered(CollectorError):  # noqa: N818 - an outcome, named as what it says
    """It did not arrive; the text says why, and never holds a secret."""


class Retry(Undelivered):
    """It may arrive later: the target is busy, away, or to be mended by somebody."""

    def __init__(self, why: str, after_s: int | None = None, *, mend: bool = False) -> None:
        self.after_s = after_s
        """What the target asked for; None: back off."""
        self.mend = mend
        """True: nothing changes until somebody mends an address or a secret, so tries are far apart."""
        super().__init__(why)


class Refused(Undelivered):
    """The target will never take it as it is."""


class Outbox(Protocol):
    """Durable notices. Every method commits before it returns, and is called from several threads."""

    def due(self, now_s: int, limit: int, channel: str | None = None) -> list[Notice]:
        """The first undelivered notice of each (channel, incident) whose time has come, oldest first.

        With ``channel``, of that one alone: a channel that hangs must not fill the answer of the others.
        """
        ...

    def waiting(self, channel: str, incident: str) -> list[Notice]:
        """Everything undelivered of one incident to one channel, in order, whether its time has come or not."""
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
