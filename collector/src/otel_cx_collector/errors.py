"""Every error of the collector, split by who must act.

CollectorError
├── UserError           a file, a flag or a setting is wrong: exit code 2, reason on stderr
│   └── InventoryError  cx.yaml; carries one Problem for each mistake
└── Unavailable         we cannot take more just now: the sender should try again
"""

from dataclasses import dataclass


class CollectorError(Exception):
    """Root of the tree."""


class UserError(CollectorError):
    """Something the operator wrote is wrong; the message says what, shows the value, and ends with what to do."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file: where, what, and what to do about it."""

    file: str
    line: int
    """1-based; 0 when the file as a whole is meant."""
    what: str
    cure: str

    def __str__(self) -> str:
        """``file:line: what; cure``, as compilers print it."""
        return f"{self.file}:{self.line}: {self.what}; {self.cure}"


class InventoryError(UserError):
    """The inventory has mistakes: all of them, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


class Unavailable(CollectorError):  # noqa: N818 - named as the OTLP status it becomes
    """Refused for now; ``retry_after_s`` says when to come back."""

    def __init__(self, reason: str, retry_after_s: int = 2) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(reason)
