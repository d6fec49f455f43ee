"""What this process says of itself on stderr: JSON lines without personal data. Not the log of rows (log).

Every line, of our own loggers and of libraries, goes through one formatter. A failure that comes again and again is
said once with its traceback, then once a minute with a number.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, Final, Protocol, TextIO

import structlog

EVERY_NS: Final = 60_000_000_000
"""A failure that goes on is said this often."""
TRACEBACK_EVERY_NS: Final = 3_600_000_000_000
"""Its traceback again after this."""
PLACES: Final = 16
"""Places in the code whose tracebacks are told apart; failures in others are counted only."""
MESSAGE_CHARACTERS: Final = 500
"""As much of an error's message is written."""


class Logger(Protocol):
    """What is needed of a structlog logger."""

    def error(self, event: str, **fields: Any) -> object:
        """Write a line."""
        ...

    def info(self, event: str, **fields: Any) -> object:
        """Write a line."""
        ...


class Repeated:
    """Says a failure that comes again and again without flooding. Thread-safe; keep one for each thing that may fail.

    Args:
        log: Where the lines go.
        event: Their name, such as ``round.failed``; the end of it is said as ``round.recovered``.
        now_ns: A clock.
        message: Whether the error's own words are written; False where they may show what clients sent.
    """

    def __init__(self, log: Logger, event: str, now_ns: Callable[[], int], *, message: bool = True) -> None:
        self._log = log
        self._event = event
        self._recovered = f"{event.rpartition('.')[0] or event}.recovered"
        self._now_ns = now_ns
        self._message = message
        self._lock = threading.Lock()
        self._tracebacks: dict[tuple[str, str], int] = {}
        """When that of an error at a place was last written."""
        self._unsaid = 0
        self._failing = False
        self._next_ns = 0
        self._next_recovery_ns = 0

    def failed(self, error: BaseException, **fields: Any) -> None:
        """It failed; ``fields`` go with the line, if one is written."""
        now_ns = self._now_ns()
        with self._lock:
            self._failing = True
            self._unsaid += 1
            whole = self._is_new(error, now_ns)
            if not whole and now_ns < self._next_ns:
                return
            failures, self._unsaid, self._next_ns = self._unsaid, 0, now_ns + EVERY_NS
        if whole:
            fields["traceback"] = where(error)
        self._log.error(self._event, error=self._said(error), failures=failures, **fields)

    def worked(self) -> None:
        """It did not fail; after failures this is said, at most once a minute."""
        if not self._failing:
            return
        now_ns = self._now_ns()
        with self._lock:
            self._failing = False
            if now_ns < self._next_recovery_ns:
                return
            failures, self._unsaid, self._next_recovery_ns = self._unsaid, 0, now_ns + EVERY_NS
        self._log.info(self._recovered, failures_since_last_line=failures)

    def _is_new(self, error: BaseException, now_ns: int) -> bool:
        """Whether the traceback is due."""
        place = (type(error).__name__, _place(error))
        last_ns = self._tracebacks.get(place)
        if last_ns is None and len(self._tracebacks) >= PLACES:
            return False
        if last_ns is not None and now_ns - last_ns < TRACEBACK_EVERY_NS:
            return False
        self._tracebacks[place] = now_ns
        return True

    def _said(self, error: BaseException) -> str:
        name = type(error).__name__
        return f"{name}: {error}"[:MESSAGE_CHARACTERS] if self._message and str(error) else name


def where(error: BaseException) -> str:
    """Where an error came from, the error that caused it first: files and lines, without its words and values."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = f"{where(cause)}then {type(error).__name__} at\n" if cause else ""
    return before + "".join(traceback.format_tb(error.__traceback__))


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def configure(stream: TextIO = sys.stderr) -> None:
    """Send everything that is logged, by us and by libraries, to ``stream`` as JSON lines. Once, at the start."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
