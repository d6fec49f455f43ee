"""Brings a store's schema to the version this program knows, forward only. Not the schema: that is schema/*.sql."""

import pyarrow as pa

from otel_cx_collector.errors import UserError
from otel_cx_collector.events import NS
from otel_cx_collector.store import sql
from otel_cx_collector.store.database import Database

_AGED = {"steps": "minute", "heartbeats": "slice", "signals": "second"}
"""Table -> column whose age its retention is counted by."""
FACTS_KEEP_NS = 400 * 86_400 * NS
"""Facts are few, and a renewal or a deploy of last year still explains something."""


def migrate(engine: Database, at_us: int, keep_ns: int | None) -> None:
    """Apply what is missing and set the retention. Raises UserError for a schema that a later version has written."""
    engine.command(sql.query("schema_create"))
    current = int(engine.query(sql.query("schema_current"))["version"][0].as_py())
    known = max(sql.migrations())
    if current > known:
        raise UserError(
            f"the store in {engine.path} has schema {current}, and this version of the collector knows up to {known}; "
            f"run the version that wrote it, or a later one, or give this one another data directory"
        )
    for version, statements in sql.migrations().items():
        if version > current:
            _apply(engine, version, statements, at_us)
    if current < known:
        engine.sync()
    for table, column in _AGED.items():
        _keep(engine, table, column, keep_ns)
    _keep(engine, "facts", "second", None if keep_ns is None else FACTS_KEEP_NS)


def _apply(engine: Database, version: int, statements: tuple[str, ...], at_us: int) -> None:
    """Statements can be applied again: there are no transactions, and a crash may come before the version is noted."""
    for statement in statements:
        engine.command(statement)
    applied = pa.array([at_us], pa.timestamp("us"))
    engine.insert("schema_version", pa.table({"version": pa.array([version], pa.uint32()), "applied_at": applied}))


def _keep(engine: Database, table: str, column: str, keep_ns: int | None) -> None:
    current = engine.query(sql.query("ttl_current"), {"table": table})["seconds"][0].as_py()
    wanted = "" if keep_ns is None else str(keep_ns // NS)
    if current == wanted:
        return
    if wanted:
        statement = f"ALTER TABLE {table} MODIFY TTL {column} + toIntervalSecond({{seconds:UInt32}})"
        engine.command(statement, {"seconds": int(wanted)})
    else:
        engine.command(f"ALTER TABLE {table} REMOVE TTL")
