"""One request on an HTTP connection, from its head to its answer. Not the connection."""

from dataclasses import dataclass, field
from enum import Enum, auto

from otel_cx_collector.receive.answers import Refused
from otel_cx_collector.receive.desk import Request
from otel_cx_collector.receive.route import Judgement


class Phase(Enum):
    """What is being received."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    LINGER = auto()
    """Nothing any more: what still comes is dropped."""


@dataclass(slots=True)
class Exchange:
    """One request on this connection and what is known of its answer."""

    request: Request
    judgement: Judgement
    refused: Refused | None
    keep_alive: bool
    bodiless: bool = False
    """HEAD: the answer's body is left out."""
    answered: bool = False
    """Before its body was read: what still comes of it is dropped."""
    chunks: list[bytes] = field(default_factory=list)

    def refuse(self, refused: Refused) -> None:
        """Keep nothing of the body, neither what came nor what will come."""
        self.refused = refused
        self.chunks.clear()
        self.request.hold.release()
