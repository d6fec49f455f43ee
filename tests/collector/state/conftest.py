"""What the tests of the working state share: plain values of which a test changes what it is about."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from postgres_server import MISSING, PostgresServer

from otel_cx_collector.decide.words import Finding, Record, Truth
from otel_cx_collector.incidents.words import Entry, Happening, Incident, Status, Trigger
from otel_cx_collector.measure.figures import BurnAlert
from otel_cx_collector.state import NewNotice, State

T0: Final = 1_767_603_600
"""2026-01-05T09:00:00Z."""

_FINDING: Final = Finding("p95 of payment over 5m above 1.5s", Truth.TRUE, 2.1, 1.9, None, 431)
_INCIDENT: Final = Incident(
    id="checkout-20260105T090000Z",
    journey="checkout",
    status=Status.OPEN,
    started_s=T0 - 120,
    opened_s=T0,
    closed_s=None,
    severity="P1",
    current="P1",
    trigger=Trigger("rule", "slow-payment", "P1", ("oncall",), (_FINDING,), "p95 of payment is 2.1 s"),
    episode_s=T0 - 120,
    group=None,
    facts=None,
    changes=(),
    advice=(),
    history=(Entry(T0, Happening.OPENED, "otel-cx", "p95 of payment is 2.1 s", "P1", Status.OPEN),),
)
_NOTICE: Final = NewNotice(
    channel="oncall",
    key="checkout-20260105T090000Z:1",
    incident="checkout-20260105T090000Z",
    sequence=1,
    what="opened",
    severity="P1",
    at_s=T0,
    group=None,
    body={"journey_title": "Kasse – über", "score": 49.0, "segments": {"smb": [1, None]}},
    due_s=T0,
)
_RECORD: Final = Record("slow-payment", "checkout", T0, Truth.TRUE, "P1", None, (_FINDING,), "p95 of payment is 2.1 s")
_ALERT: Final = BurnAlert("checkout", "availability", None, "1h/5m", "page", 14.4, T0, None)


@pytest.fixture
def incident() -> Callable[..., Incident]:
    """An open incident; ``id`` and whatever else is named differ."""
    return lambda **changes: replace(_INCIDENT, **changes)


@pytest.fixture
def longer() -> Callable[..., Incident]:
    """An incident with one more line in its history."""

    def add(incident: Incident, what: Happening = Happening.ANNOTATED, who: str = "mira", **changes: Any) -> Incident:
        entry = Entry(T0 + len(incident.history), what, who, what.value, incident.current, incident.status)
        return replace(incident, history=(*incident.history, entry), **changes)

    return add


@pytest.fixture
def notice() -> Callable[..., NewNotice]:
    """A notice that is due at T0."""
    return lambda **changes: replace(_NOTICE, **changes)


@pytest.fixture
def record() -> Callable[..., Record]:
    return lambda **changes: replace(_RECORD, **changes)


@pytest.fixture
def alert() -> Callable[..., BurnAlert]:
    return lambda **changes: replace(_ALERT, **changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "control.db"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for all tests; each makes databases of its own."""
    server = PostgresServer.find()
    if server is None:
        pytest.skip(MISSING)
    server.start()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, path: Path) -> Iterator[Path | str]:
    """Where a state may be: a file, or a database on a server."""
    if request.param == "sqlite":
        yield path
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.database()
    yield url
    server.drop(url)


@pytest.fixture
def state(place: Path | str) -> Iterator[State]:
    with State.open(place) as state:
        yield state


@pytest.fixture
def t0() -> int:
    return T0
