"""What the receivers hand on, and to whom. Not how it travelled."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from otel_cx_collector.decode.facts import RefusedLine


class Signal(StrEnum):
    """What is sent: the kinds of telemetry OTLP has a service for, and facts, which come over HTTP alone."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"
    FACTS = "facts"


class Encoding(StrEnum):
    """How a request body, and therefore its answer, is written."""

    PROTOBUF = "protobuf"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A request was taken: all of it, or all but ``rejected`` items (spans, data points, log records)."""

    rejected: int = 0
    message: str = ""
    """Why items were rejected; with ``rejected == 0`` a warning, and ``""`` for plain success."""
    accepted: int = 0
    """Of facts: how many lines were taken."""
    refused: tuple[RefusedLine, ...] = ()
    """Of facts: each line that was not."""


class Sink(Protocol):
    """Takes request bodies. Called from many worker threads at once."""

    def accept(self, signal: Signal, encoding: Encoding, body: bytes, decoded: Callable[[], None]) -> Answer:
        """Return when ``body`` (decompressed) is durable: the answer is an acknowledgement.

        ``decoded`` is called, at most once, when what is left to do is to wait for the disk.

        Raises:
            BadRequest: ``body`` cannot be decoded; the sender drops it.
            TooLarge: ``body`` holds more than a limit allows; the sender drops it.
            Unavailable: not now; the sender keeps it and comes back.
        """
        ...
