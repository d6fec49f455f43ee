"""Server-sent events as a test reads them. Not a test."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx

Event = tuple[str, dict[str, Any]]


@contextlib.contextmanager
def listening(url: str, query: str, headers: dict[str, str] | None = None) -> Iterator[Iterator[Event]]:
    """The events of one page: (event, data); heartbeats are ("beat", {})."""
    with (
        httpx.Client(timeout=20) as client,
        client.stream("GET", f"{url}/events?{query}", headers=headers or {}) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer.iter_lines())


def news(told: Iterator[Event]) -> Event:
    """The next event that is no heartbeat: on a busy machine the first page takes longer than a short beat."""
    return next(each for each in told if each[0] != "beat")


def events(lines: Iterator[str]) -> Iterator[Event]:
    name = ""
    for line in lines:
        if line.startswith(": beat"):
            yield "beat", {}
        elif line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
