"""What people met, written down by themselves: the truth that a test holds the collector's figures against."""

import json
import os
import time
from pathlib import Path
from typing import Final

VARIABLE: Final = "HOSTING_DIARY"
"""Names the file; nothing is written when it is not set."""


class Diary:
    """Appends a line for every answer a person got."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("a", buffering=1) if path else None

    def note(self, journey: str, step: str, customer: str, status: int) -> None:
        """One answer, as it arrived."""
        if self._file:
            line = {"at": time.time(), "journey": journey, "step": step, "customer": customer, "status": status}
            self._file.write(json.dumps(line) + "\n")


def from_environment() -> Diary:
    """The diary that the environment asks for."""
    path = os.environ.get(VARIABLE)
    return Diary(Path(path) if path else None)
