"""The tables, in SQL that SQLite and PostgreSQL share. Not how they are made: that is ``migrations/``.

Times are whole seconds since the epoch. A nullable ``ended_s`` is NULL for as long as a row is still open: one plain
index then serves both what is open and what is old.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

METADATA: Final = MetaData()

_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")
"""A key that counts by itself: SQLite does that for INTEGER alone."""

JUDGING: Final = Table(
    "judging",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("watermark_s", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("blob", LargeBinary, nullable=False),
    CheckConstraint("id = 1", name="judging_one_row"),
)

INCIDENTS: Final = Table(
    "incidents",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("journey", Text, nullable=False),
    Column("opened_s", BigInteger, nullable=False),
    Column("ended_s", BigInteger),
    Column("revision", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Index("incidents_open", "ended_s", "opened_s"),
    Index("incidents_opened", "opened_s"),
    Index("incidents_journey", "journey", "opened_s"),
)

HISTORY: Final = Table(
    "incident_history",
    METADATA,
    Column("incident", Text, ForeignKey("incidents.id", ondelete="CASCADE"), primary_key=True),
    Column("entries", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
)
"""The incident as it was written whenever its history grew; ``entries`` is the history's length. Rows are only added:
a trigger holds that."""

AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("incident", Text, ForeignKey("incidents.id", ondelete="CASCADE"), nullable=False),
    Column("at_s", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Index("audit_incident", "incident", "id"),
)
"""Rows are only added: a trigger holds that."""

RECORDS: Final = Table(
    "records",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("journey", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("at_s", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("journey", "rule", "at_s", name="records_once"),
    Index("records_journey", "journey", "at_s"),
    Index("records_age", "at_s"),
)

ALERTS: Final = Table(
    "alerts",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("journey", Text, nullable=False),
    Column("sli", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("factor", Float, nullable=False),
    Column("fired_s", BigInteger, nullable=False),
    Column("ended_s", BigInteger),
    UniqueConstraint("journey", "sli", "step", "policy", "fired_s", name="alerts_once"),
    Index("alerts_journey", "journey", "fired_s"),
    Index("alerts_age", "ended_s"),
)
"""``step`` is empty where an alert has none: NULLs would not be unique."""

NOTICES: Final = Table(
    "notices",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("incident", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("what", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("at_s", BigInteger, nullable=False),
    Column("group_key", Text),
    Column("body", Text, nullable=False),
    Column("due_s", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("ended_s", BigInteger),
    UniqueConstraint("key", "channel", name="notices_once"),
    CheckConstraint("(ended_s IS NULL) = (state IN ('waiting', 'held'))", name="notices_ended"),
    Index("notices_queue", "ended_s", "channel", "incident", "id"),
    Index("notices_incident", "incident", "id"),
    sqlite_autoincrement=True,
)
"""Numbers are never used twice, so ``id`` is the order in which notices came, for good."""

KEPT: Final = Table(
    "kept",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("text", Text, nullable=False),
)


def storable(text: str) -> str:
    """Text that both databases take: half a character becomes ``?``, NUL the replacement character."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
