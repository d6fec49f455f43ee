"""Billing's tables and its connection pool, how full it is, and what fills it. Not what is sold.

The pool never grows, as many do not, and reports that somebody runs against the production database hold connections
of it: with ``busy-pool`` so many that it looks full while requests still find one, with ``saturated-pool`` for a part
of the time all of them, and requests wait or give up.
"""

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from sqlalchemy import Connection, Engine, QueuePool, create_engine
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from examples.hosting.faults import FAULTS, Faults

POOL: Final = 20
"""Connections; the inventory names the same limit."""
WAIT_S: Final = 2.0
"""How long a request waits for a connection before it fails."""
CYCLE_S: Final = 5.0
"""``saturated-pool`` holds the pool for its share of every such cycle."""
LOOK_S: Final = 0.1
METRIC: Final = "db.client.connection.count"
"""As OpenTelemetry's semantic conventions name it, with the states ``used`` and ``idle``."""


class Table(DeclarativeBase):
    """Base of the tables."""


class Cart(Table):
    """What a customer is about to buy, and how far they got."""

    __tablename__ = "carts"
    id: Mapped[str] = mapped_column(primary_key=True)
    payer: Mapped[str]
    amount: Mapped[str]
    currency: Mapped[str]
    state: Mapped[str]


class Account(Table):
    """Who pays for a customer's hosting."""

    __tablename__ = "accounts"
    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str]


def connect(home: Path) -> Engine:
    """Open billing's database, an SQLite file, and make its tables. Its errors end in spans, so they name no values."""
    engine = create_engine(
        f"sqlite:///{home / 'billing.sqlite'}",
        pool_size=POOL,
        max_overflow=0,
        pool_timeout=WAIT_S,
        hide_parameters=True,
    )
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    Table.metadata.create_all(engine)
    return engine


def observe(engine: Engine, provider: MeterProvider) -> None:
    """Report how many connections are in use and how many are not."""
    pool = engine.pool
    if not isinstance(pool, QueuePool):
        raise TypeError(f"{type(pool).__name__} does not count its connections; use a QueuePool")

    def count(_options: CallbackOptions) -> Iterable[Observation]:
        used = pool.checkedout()
        for state, number in (("used", used), ("idle", pool.size() - used)):
            yield Observation(
                number, {"db.client.connection.pool.name": "billing", "db.client.connection.state": state}
            )

    meter = provider.get_meter("examples.hosting.billing")
    meter.create_observable_up_down_counter(METRIC, [count], "{connection}", "Connections of the pool, by state.")


class Reports:
    """The monthly reports: they hold as many connections as the faults say."""

    def __init__(self, engine: Engine, faults: Faults) -> None:
        self._engine = engine
        self._faults = faults
        self._held: list[Connection] = []

    def start(self) -> None:
        """Run them from now on."""
        threading.Thread(target=self._run, name="monthly-reports", daemon=True).start()

    def wanted(self, now_s: float) -> int:
        """How many connections they need at a moment."""
        busy = round(POOL * self._faults.share("busy-pool"))
        everything = self._faults.share("saturated-pool")
        if not everything:
            return busy
        between = max(busy, round(POOL * FAULTS["busy-pool"].share))
        return POOL if now_s % CYCLE_S < CYCLE_S * everything else between

    def hold(self, wanted: int) -> None:
        """Take connections, or give some back, until so many are held; stops short when none comes free in time."""
        while len(self._held) > wanted:
            self._held.pop().close()
        try:
            while len(self._held) < wanted:
                self._held.append(self._engine.connect())
        except PoolTimeoutError:
            return

    def _run(self) -> None:
        while True:
            self.hold(self.wanted(time.monotonic()))
            time.sleep(LOOK_S)
