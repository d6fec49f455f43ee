"""The first tables: judging state, incidents with history and audit, records, alerts, notices."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None

_NUMBER: Final = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables, and the triggers that keep what was written as it was."""
    _judging()
    _incidents()
    _judged()
    _notices()
    op.create_table("kept", sa.Column("name", sa.Text, primary_key=True), sa.Column("text", sa.Text, nullable=False))
    once, each = _APPEND_ONLY[op.get_bind().dialect.name]
    for statement in once:
        op.execute(statement)
    for table in ("incident_history", "audit"):
        for statement in each:
            op.execute(statement.format(table=table))


_UPDATE: Final = """
CREATE TRIGGER {table}_frozen BEFORE UPDATE ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is only added to'); END
"""
_DELETE: Final = """
CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} WHEN EXISTS (SELECT 1 FROM incidents WHERE id = OLD.incident)
BEGIN SELECT RAISE(ABORT, '{table} goes with its incident alone'); END
"""
_FROZEN: Final = """
CREATE FUNCTION otel_cx_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = TG_TABLE_NAME || ' is only added to';
END $$
"""
_KEPT: Final = """
CREATE FUNCTION otel_cx_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM incidents WHERE id = OLD.incident) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'integrity_constraint_violation', MESSAGE = TG_TABLE_NAME || ' goes with its incident alone';
    END IF;
    RETURN OLD;
END $$
"""
_ON_UPDATE: Final = """
CREATE TRIGGER {table}_frozen BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION otel_cx_frozen()
"""
_ON_DELETE: Final = """
CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION otel_cx_kept()
"""
_ON_TRUNCATE: Final = """
CREATE TRIGGER {table}_whole BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION otel_cx_frozen()
"""
_APPEND_ONLY: Final = {
    "sqlite": ((), (_UPDATE, _DELETE)),
    "postgresql": ((_FROZEN, _KEPT), (_ON_UPDATE, _ON_DELETE, _ON_TRUNCATE)),
}
"""By dialect, made once and for each table: a row is never changed, and deleted only after its incident was."""


def _judging() -> None:
    op.create_table(
        "judging",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("watermark_s", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("blob", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("id = 1", name="judging_one_row"),
    )


def _incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("journey", sa.Text, nullable=False),
        sa.Column("opened_s", sa.BigInteger, nullable=False),
        sa.Column("ended_s", sa.BigInteger),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("incidents_open", "incidents", ["ended_s", "opened_s"])
    op.create_index("incidents_opened", "incidents", ["opened_s"])
    op.create_index("incidents_journey", "incidents", ["journey", "opened_s"])
    op.create_table(
        "incident_history",
        sa.Column("incident", sa.Text, sa.ForeignKey("incidents.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("entries", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("incident", sa.Text, sa.ForeignKey("incidents.id", ondelete="CASCADE"), nullable=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("who", "act", "text", "before", "after")),
    )
    op.create_index("audit_incident", "audit", ["incident", "id"])


def _judged() -> None:
    op.create_table(
        "records",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("journey", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("journey", "rule", "at_s", name="records_once"),
    )
    op.create_index("records_journey", "records", ["journey", "at_s"])
    op.create_index("records_age", "records", ["at_s"])
    op.create_table(
        "alerts",
        sa.Column("id", _NUMBER, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("journey", "sli", "step", "policy", "kind")),
        sa.Column("factor", sa.Float, nullable=False),
        sa.Column("fired_s", sa.BigInteger, nullable=False),
        sa.Column("ended_s", sa.BigInteger),
        sa.UniqueConstraint("journey", "sli", "step", "policy", "fired_s", name="alerts_once"),
    )
    op.create_index("alerts_journey", "alerts", ["journey", "fired_s"])
    op.create_index("alerts_age", "alerts", ["ended_s"])


def _notices() -> None:
    op.create_table(
        "notices",
        sa.Column("id", _NUMBER, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("channel", "key", "incident")),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("what", "severity")),
        sa.Column("at_s", sa.BigInteger, nullable=False),
        sa.Column("group_key", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("due_s", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("ended_s", sa.BigInteger),
        sa.UniqueConstraint("key", "channel", name="notices_once"),
        sa.CheckConstraint("(ended_s IS NULL) = (state IN ('waiting', 'held'))", name="notices_ended"),
        sqlite_autoincrement=True,
    )
    op.create_index("notices_queue", "notices", ["ended_s", "channel", "incident", "id"])
    op.create_index("notices_incident", "notices", ["incident", "id"])
