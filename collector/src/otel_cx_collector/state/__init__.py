"""Control's working state: transactional, in SQLite or PostgreSQL, through SQLAlchemy with Alembic migrations."""

from otel_cx_collector.state.state import FILE, State
from otel_cx_collector.state.words import (
    Audit,
    Delivery,
    DeliveryState,
    NewNotice,
    Retention,
    Round,
    Saved,
    Stale,
)

__all__ = [
    "FILE",
    "Audit",
    "Delivery",
    "DeliveryState",
    "NewNotice",
    "Retention",
    "Round",
    "Saved",
    "Stale",
    "State",
]
