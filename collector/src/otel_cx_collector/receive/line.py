"""Requests that wait for a worker: by turns among clients, and not for longer than a client waits for its answer."""

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from otel_cx_collector.receive.limits import Standing

NS: Final = 1_000_000_000
PATIENCE: Final = 2
"""What has waited this many times ``queue_s`` is refused when its turn comes: its client is about to give it up, and
would send it again while we still work on it."""

MEMORY_S: Final = 2.0
"""The speed of the line is that of about this long."""

Job = Callable[[bool, Callable[[], None]], None]
"""Told whether its turn came too late, and whom to tell when another may be decoded."""


class _Waiting(NamedTuple):
    since_ns: int
    size_bytes: int
    job: Job


@dataclass(slots=True)
class _Client:
    begins: float
    """Virtual time at which its next request begins."""
    requests: deque[_Waiting] = field(default_factory=deque)


class Line:
    """Start-time fair queueing by bytes (Goyal, Vin and Cheng, 1996). Thread-safe; as many ``take`` as ``put``.

    A client that sends little does not wait for what another one has sent ahead. How long one that comes now would wait
    is told by how fast the line moved of late, so that those who would wait too long are not let in to find out.
    """

    def __init__(self, queue_s: int, now_ns: Callable[[], int]) -> None:
        self._queue_ns = queue_s * NS
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._clients: dict[str, _Client] = {}
        """Those that have something waiting."""
        self._virtual = 0.0
        self._pace = _Pace()

    def put(self, client: str, size_bytes: int, job: Job) -> None:
        """Let one request wait."""
        with self._lock:
            waiting = self._clients.setdefault(client, _Client(self._virtual))
            waiting.requests.append(_Waiting(self._now_ns(), size_bytes, job))

    def is_long(self, client: str, standing: Standing) -> bool:
        """Whether no more of this client's requests should be let in: one waits too long already, or the next would."""
        with self._lock:
            waiting = self._clients.get(client)
            if waiting is None:
                return False
            if self._now_ns() - waiting.requests[0].since_ns > self._queue_ns:
                return True
            return self._pace.takes_ns(min(standing.all_bytes, standing.own_bytes * standing.clients)) > self._queue_ns

    def take(self) -> tuple[Job, bool]:
        """What is due next, and whether it waited too long."""
        with self._lock:
            name, client = min(self._clients.items(), key=lambda each: each[1].begins)
            waiting = client.requests.popleft()
            self._virtual = client.begins
            client.begins += waiting.size_bytes + 1
            if not client.requests:
                del self._clients[name]
            now_ns = self._now_ns()
            self._pace.took(waiting.size_bytes, now_ns, more=bool(self._clients))
            return waiting.job, now_ns - waiting.since_ns > PATIENCE * self._queue_ns


class _Pace:
    """How fast a line moves while something waits in it; unknown until something did."""

    def __init__(self) -> None:
        self._bytes = 0.0
        self._ns = 0.0
        self._last_ns: int | None = None
        """The turn before, if others waited then."""

    def took(self, size_bytes: int, now_ns: int, *, more: bool) -> None:
        """A request had its turn; ``more`` wait."""
        if self._last_ns is not None:
            passed_ns = now_ns - self._last_ns
            kept = math.exp(-passed_ns / (MEMORY_S * NS))
            self._bytes = self._bytes * kept + size_bytes
            self._ns = self._ns * kept + passed_ns
        self._last_ns = now_ns if more else None

    def takes_ns(self, size_bytes: int) -> float:
        """How long so many bytes take; 0 while that is not known."""
        return size_bytes * self._ns / self._bytes if self._bytes else 0.0
