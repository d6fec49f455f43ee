"""Billing's tables and its connection pool, and what saturates it. Not what is sold.

The pool is small and never grows, as many are: ``saturated-pool`` takes every connection for a part of the time, as a
report somebody runs against the production database does, and requests wait or give up.
"""

import contextlib
import threading
import time
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from examples.hosting.faults import Faults

POOL: Final = 5
WAIT_S: Final = 2.0
"""How long a request waits for a connection before it fails."""
CYCLE_S: Final = 5.0
"""``saturated-pool`` holds the pool for its share of every such cycle."""


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
    """Open billing's database, an SQLite file, and make its tables."""
    engine = create_engine(f"sqlite:///{home / 'billing.sqlite'}", pool_size=POOL, max_overflow=0, pool_timeout=WAIT_S)
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    Table.metadata.create_all(engine)
    return engine


def hog(engine: Engine, faults: Faults) -> None:
    """Run the monthly report whenever ``saturated-pool`` is on: it needs all the connections there are."""

    def report() -> None:
        while True:
            held_s = CYCLE_S * faults.share("saturated-pool")
            if held_s:
                hold(engine, held_s)
            time.sleep(max(CYCLE_S - held_s, 0.2) if held_s else 0.5)

    threading.Thread(target=report, name="monthly-report", daemon=True).start()


def hold(engine: Engine, seconds: float) -> None:
    """Take every connection of the pool and give them back after ``seconds``."""
    with contextlib.ExitStack() as held:
        for _ in range(POOL):
            held.enter_context(engine.connect())
        time.sleep(seconds)
