"""Takes one person's or company's pseudonym out of the texts of the working state. Not what is written instead.

History is only added to; this alone changes it, because a person's right to be forgotten is older than an incident.
"""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Column, Connection, Table, or_, select, update

from otel_cx_collector.state.tables import AUDIT, HISTORY, INCIDENTS, KEPT, NOTICES, RECORDS

_TEXTS: Final[tuple[tuple[Table, str], ...]] = (
    (INCIDENTS, "body"),
    (HISTORY, "body"),
    (AUDIT, "text"),
    (NOTICES, "body"),
    (RECORDS, "body"),
    (KEPT, "text"),
)
_FROZEN: Final = (HISTORY, AUDIT)
_PACKED: Final = "harmed/%"
"""Kept tables whose text does not show what they hold."""


def erase(connection: Connection, pseudonym: str, change: Callable[[str, str], str]) -> dict[str, int]:
    """Rewrite every text that may hold the pseudonym; how many were changed, by table.

    ``change`` is given the name under which a text was kept ('' for all others) and the text.
    """
    restore = _thaw(connection)
    counts = {table.name: _rewrite(connection, table, table.c[name], pseudonym, change) for table, name in _TEXTS}
    for statement in restore:
        connection.exec_driver_sql(statement)
    return counts


def _rewrite(
    connection: Connection, table: Table, column: Column[str], pseudonym: str, change: Callable[[str, str], str]
) -> int:
    keys = list(table.primary_key.columns)
    holds = column.contains(pseudonym, autoescape=True)
    if table is KEPT:
        holds = or_(holds, KEPT.c.name.like(_PACKED))
    changed = 0
    for row in connection.execute(select(*keys, column).where(holds)).all():
        before = row[-1]
        after = change(row[0] if table is KEPT else "", before)
        if after != before:
            found = [key == value for key, value in zip(keys, row, strict=False)]
            connection.execute(update(table).where(*found).values({column.name: after}))
            changed += 1
    return changed


def _thaw(connection: Connection) -> list[str]:
    """Take away, within the transaction, what keeps history as it was; the statements that bring it back."""
    if connection.dialect.name == "postgresql":
        for table in _FROZEN:
            connection.exec_driver_sql(f"ALTER TABLE {table.name} DISABLE TRIGGER USER")
        return [f"ALTER TABLE {table.name} ENABLE TRIGGER USER" for table in _FROZEN]
    named = [table.name for table in _FROZEN]
    query = "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'"
    triggers = [row for row in connection.exec_driver_sql(query).all() if row.tbl_name in named]
    for row in triggers:
        connection.exec_driver_sql(f"DROP TRIGGER {row.name}")
    return [row.sql for row in triggers]
