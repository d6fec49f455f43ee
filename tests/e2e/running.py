"""What the end-to-end tests share: free ports, the collector's API, faults, and patience. Not the assertions."""

import json
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESERVED = range(20_000, 32_000)
"""Below what systems give to connections."""


@dataclass(frozen=True)
class Running:
    """A running collector with the example platform beside it."""

    home: Path
    page: str

    def journey(self) -> dict[str, Any]:
        """What the API says about checkout."""
        found: dict[str, Any] = self.api("journeys/checkout?range=15m")
        return found

    def api(self, path: str, body: dict[str, str] | None = None) -> Any:
        """Ask the API, or write to it when there is a body."""
        request = urllib.request.Request(f"{self.page}/api/v1/{path}", headers={"content-type": "application/json"})
        request.data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def fault(self, *words: str) -> None:
        """Switch a fault as its command line does."""
        command = [sys.executable, "-m", "examples.hosting.faults", *words, "--home", str(self.home)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)

    def at_rest(self) -> bool:
        """Live traffic is being judged: every journey has a full hour of measured history and nobody is hurt."""
        journeys = self.api("journeys")["journeys"]
        live = self.journey()["by"]["origin"].get("live", {"customers": 0})["customers"]
        return live > 100 and all(one["state"] in {"healthy", "slight"} and not one["reason"] for one in journeys)


def free_ports(*names: str) -> dict[str, int]:
    """Ports of loopback that nobody listens on, and that no outgoing connection takes before the collector does."""
    drawn = random.sample(RESERVED, 100)
    free = (port for port in drawn if _is_free(port))
    return {name: next(free) for name in names}


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def until(what: str, done: Callable[[], Any], within_s: float) -> Any:
    """Wait for an answer that is not empty."""
    give_up = time.monotonic() + within_s
    while not (answer := done()):
        assert time.monotonic() < give_up, f"not within {within_s} s: {what}"
        time.sleep(1)
    return answer


def moment(text: str) -> float:
    """A time of the API in seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()
