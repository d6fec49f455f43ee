"""Requests that wait for a worker: by turns among clients, and not for longer than a client waits for its answer."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

NS: Final = 1_000_000_000
PATIENCE: Final = 2
"""What has waited this many times ``queue_s`` is refused when its turn comes: its client is about to give it up, and
would send it again while we still work on it."""

Job = Callable[[bool], None]
"""Told whether its turn came too late."""


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

    A client that sends little does not wait for what another one has sent ahead.
    """

    def __init__(self, queue_s: int, now_ns: Callable[[], int]) -> None:
        self._queue_ns = queue_s * NS
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._clients: dict[str, _Client] = {}
        """Those that have something waiting."""
        self._virtual = 0.0

    def put(self, client: str, size_bytes: int, job: Job) -> None:
        """Let one request wait."""
        with self._lock:
            waiting = self._clients.setdefault(client, _Client(self._virtual))
            waiting.requests.append(_Waiting(self._now_ns(), size_bytes, job))

    def is_long(self, client: str) -> bool:
        """Whether a request of this client has waited so long that no more of them should be let in."""
        with self._lock:
            waiting = self._clients.get(client)
            return waiting is not None and self._now_ns() - waiting.requests[0].since_ns > self._queue_ns

    def take(self) -> None:
        """Do what is due next, in this thread."""
        with self._lock:
            name, client = min(self._clients.items(), key=lambda each: each[1].begins)
            waiting = client.requests.popleft()
            self._virtual = client.begins
            client.begins += waiting.size_bytes + 1
            if not client.requests:
                del self._clients[name]
            late = self._now_ns() - waiting.since_ns > PATIENCE * self._queue_ns
        waiting.job(late)
