"""Empties the outbox: one worker a channel, so that one that hangs delays nobody else. Decides nothing of what is told.

Delivery is at least once: a notice is marked after its target has taken it, so a crash in between sends it again, with
the same key.
"""

import ssl
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog

from otel_cx_collector.events import NS
from otel_cx_collector.incidents.words import Happening, Incident, Tell
from otel_cx_collector.inventory.model import Inventory
from otel_cx_collector.logbook import Repeated
from otel_cx_collector.notify.channels import sender_of
from otel_cx_collector.notify.line import Patience
from otel_cx_collector.notify.route import notices_for
from otel_cx_collector.notify.words import Notice, Outbox
from otel_cx_collector.notify.worker import ChannelState, Worker

POLL_S: Final = 1.0
"""A worker looks into the outbox this often when nobody wakes it."""
STOP_S: Final = 3.0
"""``stop`` waits this long for workers whose connections it has cut."""
FAR_S: Final = 1 << 40
"""A time at which everything is due."""
MAX_STRAY: Final = 1000
"""Notices to channels that the inventory has no more, looked at in one go."""

_LOG = structlog.get_logger(__name__)


class Courier:
    """Delivers what is in the outbox.

    Args:
        outbox: Used from several threads.
        inventory: Its channels. For another one, stop this courier and start a new one.
        clock: Nanoseconds since the epoch.
        jitter: Chance, [0, 1), for the time of the next try.
        url: Where the product's own pages are, without a slash at the end.
        healthy: Whether the judged watermark is fresh: heartbeats are sent only while it is.
        standing: Open incidents, for a target that forgets what it does not hear again: Alertmanager.
        patience: How long a target may take.
        tls: How certificates are verified; by default with the system's authorities (``SSL_CERT_FILE`` is honoured).
    """

    def __init__(
        self,
        outbox: Outbox,
        inventory: Inventory,
        clock: Callable[[], int],
        jitter: Callable[[], float],
        url: str,
        *,
        healthy: Callable[[], bool] = lambda: False,
        standing: Callable[[], Sequence[Incident]] = tuple,
        patience: Patience | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._known = frozenset(inventory.notify)
        self._stopping = threading.Event()
        self._inventory = inventory
        self._url = url
        self._standing = standing
        context = tls or ssl.create_default_context()
        self._workers = {
            name: Worker(
                name,
                channel,
                sender_of(channel, context),
                outbox,
                jitter,
                url,
                healthy,
                partial(self._open, name),
                patience or Patience(),
            )
            for name, channel in inventory.notify.items()
        }
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to deliver."""
        self.turn_away_strays(self._now_s())
        self._threads = [
            threading.Thread(target=self._run, args=(worker,), name=f"notify-{name}", daemon=True)
            for name, worker in self._workers.items()
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End within ``STOP_S``, also when a target hangs: what is under way is cut, and sent again next time."""
        self._stopping.set()
        for worker in self._workers.values():
            worker.stop()
        deadline_ns = self._clock() + int(STOP_S * NS)
        for thread in self._threads:
            thread.join(max(0.0, (deadline_ns - self._clock()) / NS))

    def wake(self) -> None:
        """There is something new in the outbox."""
        for worker in self._workers.values():
            worker.wake()

    def turn(self, now_s: int) -> None:
        """One round of every channel in this thread: what ``start`` does all the time, for tests."""
        self.turn_away_strays(now_s)
        for worker in self._workers.values():
            worker.turn(lambda: now_s)

    def states(self) -> dict[str, ChannelState]:
        """Counts and the last error of each channel."""
        return {name: worker.state for name, worker in self._workers.items()}

    def turn_away_strays(self, now_s: int) -> None:
        """Refuse what waits for channels that the inventory has no more; else it would wait, and count, for ever."""
        while strays := [each for each in self._outbox.due(FAR_S, MAX_STRAY) if each.channel not in self._known]:
            for notice in strays:
                why = f"the inventory has no channel {notice.channel} any more"
                _LOG.warning("notice.refused", key=notice.key, why=why)
                self._outbox.refused(notice.id, now_s, why)

    def _run(self, worker: Worker) -> None:
        failures = Repeated(_LOG, "channel.failed", self._clock)
        while not self._stopping.is_set():
            try:
                worker.turn(self._now_s)
                failures.worked()
            except Exception as error:  # noqa: BLE001 - whatever the outbox has, the next notice may wake somebody
                failures.failed(error, channel=worker.name)
            worker.sleep(POLL_S)

    def _open(self, channel: str) -> list[Notice]:
        """What one channel was told of that is still open, as notices of its opening."""
        tells = [
            Tell(Happening.OPENED, incident, (channel,), 0)
            for incident in self._standing()
            if channel in incident.told and not self._is_to_be_told(channel, incident.id)
        ]
        return [notice for tell in tells for notice in notices_for(tell, self._inventory, self._url)]

    def _is_to_be_told(self, channel: str, incident: str) -> bool:
        """Its opening waits in the outbox, maybe for the end of the quiet hours."""
        openings = (Happening.OPENED, Happening.REOPENED)
        return any(notice.what in openings for notice in self._outbox.waiting(channel, incident))

    def _now_s(self) -> int:
        return self._clock() // NS
