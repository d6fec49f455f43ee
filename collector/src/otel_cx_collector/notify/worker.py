"""One channel's turn: heartbeat, alerts that a target forgets, then what is due, in order. Not the threads."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from otel_cx_collector.events import NS
from otel_cx_collector.inventory.decisions import Channel
from otel_cx_collector.notify.alertmanager import RESEND_S, AlertmanagerChannel
from otel_cx_collector.notify.backoff import gave_up, wait_s
from otel_cx_collector.notify.channels import Sender
from otel_cx_collector.notify.line import Line, Patience
from otel_cx_collector.notify.route import group_wait_s, quiet_until
from otel_cx_collector.notify.webhook import WebhookChannel
from otel_cx_collector.notify.words import Notice, Outbox, Parcel, Retry, Sent, Undelivered

MAX_DUE: Final = 100
"""Notices taken out of the outbox at once."""
MAX_TOGETHER: Final = 20
"""Incidents in one message: a reader is told how many, and does not read more."""
HOLD_S: Final = 15
"""A notice that waits is looked at again after this: what comes behind it may be too urgent to wait."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChannelState:
    """What became of a channel's tries since the start."""

    delivered: int = 0
    """Notices that arrived."""
    failed: int = 0
    """Tries that did not succeed."""
    refused: int = 0
    """Notices given up."""
    error: str = ""
    """Of the last try; empty when it succeeded."""
    since_s: int | None = None
    """Of the first failure in a row."""


class Worker:
    """Serves one channel. One thread at a time, but for ``wake``, ``stop`` and ``state``."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        sender: Sender,
        outbox: Outbox,
        jitter: Callable[[], float],
        url: str,
        healthy: Callable[[], bool],
        standing: Callable[[], list[Notice]],
        patience: Patience,
    ) -> None:
        self.name = name
        self.state = ChannelState()
        self._channel = channel
        self._sender = sender
        self._outbox = outbox
        self._jitter = jitter
        self._url = url
        self._healthy = healthy
        self._standing = standing
        self._patience = patience
        self._awake = threading.Event()
        self._stopped = False
        self._line: Line | None = None
        self._groups: dict[str, int] = {}
        self._next_s = 0

    def turn(self, now: Callable[[], int]) -> None:
        """Everything that this channel has to do now; ``now`` in seconds since the epoch."""
        if isinstance(self._sender, WebhookChannel) and self._channel.every_ns is not None:
            self._beat(self._sender, self._channel.every_ns // NS, now())
        if isinstance(self._sender, AlertmanagerChannel):
            self._resend(now())
        while not self._stopped:
            due = self._outbox.due(now(), MAX_DUE, self.name)
            for notices in self._together(due, now()):
                self._deliver(Parcel(notices, now()))
            if not due:
                return

    def wake(self) -> None:
        """There is something new."""
        self._awake.set()

    def sleep(self, longest_s: float) -> None:
        """Until woken."""
        self._awake.wait(longest_s)
        self._awake.clear()

    def stop(self) -> None:
        """Cut what is under way, and begin nothing more."""
        self._stopped = True
        line = self._line
        if line is not None:
            line.cut("the collector stops")
        self._awake.set()

    def _together(self, due: list[Notice], now_s: int) -> list[tuple[Notice, ...]]:
        """What is sent now, as messages, the most urgent first; the others are held."""
        messages: dict[tuple[str, int], list[Notice]] = {}
        for notice in due:
            held = self._held(notice, now_s)
            if held is not None:
                self._outbox.held(notice.id, *held)
            elif notice.group is None or group_wait_s(self._channel) == 0:
                messages[notice.key, -1] = [notice]
            else:
                messages.setdefault((notice.group, notice.tries), []).append(notice)
        self._groups = {group: until_s for group, until_s in self._groups.items() if until_s > now_s}
        urgent = sorted(messages.values(), key=lambda notices: min(notice.severity for notice in notices))
        return [tuple(each[at : at + MAX_TOGETHER]) for each in urgent for at in range(0, len(each), MAX_TOGETHER)]

    def _held(self, notice: Notice, now_s: int) -> tuple[int, str] | None:
        """Until when a notice waits, and why."""
        until_s = quiet_until(self._channel, self._most_urgent(notice), now_s)
        if until_s is not None:
            why = f"quiet hours until {datetime.fromtimestamp(until_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
            return min(until_s, now_s + HOLD_S), why
        wait = group_wait_s(self._channel)
        if notice.group is None or wait == 0 or notice.tries > 0:
            return None
        until_s = self._groups.setdefault(notice.group, now_s + wait)
        return (until_s, "waiting for others of its group") if until_s > now_s else None

    def _most_urgent(self, notice: Notice) -> str:
        """Of the notice and those behind it: order is kept, so one that must not wait brings the others along."""
        if self._channel.quiet_hours is None:
            return notice.severity
        behind = self._outbox.waiting(self.name, notice.incident)
        return min([notice.severity, *(each.severity for each in behind)])

    def _deliver(self, parcel: Parcel) -> None:
        if self._stopped:
            return
        try:
            sent = self._try(lambda line: self._sender.send(parcel, line), parcel.now_s)
        except Undelivered as error:
            jitter = self._jitter()  # one for all: what went out as one message comes back as one
            for notice in parcel.notices if not self._stopped else ():
                self._not_delivered(notice, error, jitter, parcel.now_s)
            return
        for notice in parcel.notices:
            self._outbox.delivered(notice.id, parcel.now_s)
        count = self.state.delivered + len(parcel.notices)
        self.state = replace(self.state, delivered=count, error=sent.note, since_s=None)
        if sent.note:
            _LOG.warning("notice %s to %s: %s", parcel.key, self.name, sent.note)

    def _not_delivered(self, notice: Notice, error: Undelivered, jitter: float, now_s: int) -> None:
        if isinstance(error, Retry) and not gave_up(notice, now_s):
            after_s = wait_s(notice, error, jitter)
            _LOG.warning("notice %s to %s, again in %d s: %s", notice.key, self.name, after_s, error)
            self._outbox.failed(notice.id, now_s, str(error), now_s + after_s)
            return
        hours = (now_s - notice.at_s) // 3600
        why = (
            f"gave up after {notice.tries + 1} tries in {hours} h: {error}" if isinstance(error, Retry) else str(error)
        )
        _LOG.error("notice %s to %s refused: %s", notice.key, self.name, why)
        self._outbox.refused(notice.id, now_s, why)
        self.state = replace(self.state, refused=self.state.refused + 1)

    def _try(self, send: Callable[[Line], Sent], now_s: int) -> Sent:
        """One try, counted when it fails. Raises Retry or Refused and nothing else."""
        try:
            with Line(self._patience) as line:
                self._line = line
                if self._stopped:
                    line.cut("the collector stops")
                return send(line)
        except Undelivered as error:
            self._failed(str(error), now_s)
            raise
        except Exception as error:  # noqa: BLE001 - a mistake of ours in one notice must not silence the channel
            _LOG.exception("channel %s failed in a way that nobody foresaw", self.name)
            self._failed(f"an error of ours: {type(error).__name__}", now_s)
            raise Retry(f"an error of ours: {type(error).__name__}; see the log") from None
        finally:
            self._line = None

    def _failed(self, error: str, now_s: int) -> None:
        since_s = self.state.since_s or now_s
        self.state = replace(self.state, failed=self.state.failed + 1, error=error, since_s=since_s)

    def _beat(self, sender: WebhookChannel, every_s: int, now_s: int) -> None:
        """A sign of life while the judged watermark is fresh; missed ones are not made up for."""
        if now_s < self._next_s or not self._healthy():
            return
        self._next_s = now_s + every_s
        self._aside(lambda line: sender.beat(now_s, self._url, line), "heartbeat", now_s)

    def _resend(self, now_s: int) -> None:
        """Open incidents once more, before the target takes them for resolved."""
        if now_s < self._next_s:
            return
        self._next_s = now_s + RESEND_S
        notices = tuple(self._standing())
        if notices:
            self._aside(lambda line: self._sender.send(Parcel(notices, now_s), line), "open alerts", now_s)

    def _aside(self, send: Callable[[Line], Sent], what: str, now_s: int) -> None:
        """What is not in the outbox, since only the newest of it counts."""
        try:
            self._try(send, now_s)
        except Undelivered as error:
            _LOG.warning("%s to %s failed: %s", what, self.name, error)
        else:
            self.state = replace(self.state, error="", since_s=None)
