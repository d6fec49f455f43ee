"""One connection's time: cut when it is over, or when the courier stops. Not what travels on it."""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a target may take, in seconds."""

    connect_s: float = 5
    """Until a connection stands, and again until its TLS does."""
    read_s: float = 10
    """Between two bytes of an answer."""
    total_s: float = 30
    """From the first name looked up to the answer: also what drips byte by byte ends."""


class Line:
    """Holds on to the socket in use, whatever library reads from it, and can shut it from another thread.

    The reader then sees the end of the stream, or an error, and asks ``cut_because``.
    """

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.cut_because = ""
        self._lock = threading.Lock()
        self._held: socket.socket | None = None
        why = f"no answer within {patience.total_s:g} s"
        self._timer = threading.Timer(patience.total_s, self.cut, (why,))
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        self._release()

    def hold(self, connection: socket.socket) -> None:
        """From now on ``cut`` shuts this one. A duplicate, since TLS takes the socket itself over."""
        self._release()
        with self._lock:
            self._held = connection.dup()
        if self.cut_because:
            self._shut()

    def cut(self, why: str) -> None:
        """End it: nothing more is sent or read. The first reason stays."""
        self.cut_because = self.cut_because or why
        self._shut()

    def _shut(self) -> None:
        with self._lock:
            if self._held is not None:
                with suppress(OSError):  # the other side was faster
                    self._held.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        with self._lock:
            if self._held is not None:
                self._held.close()
                self._held = None
