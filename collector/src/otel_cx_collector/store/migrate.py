"""Brings a store's schema to the version this program knows, forward only. Not the schema: that is schema/*.sql."""

from collections.abc import Callable
from typing import Final

import pyarrow as pa

from otel_cx_collector.config import StoreLimits
from otel_cx_collector.errors import UserError
from otel_cx_collector.events import NS
from otel_cx_collector.store import sql
from otel_cx_collector.store.database import Database

_AGED: Final[dict[str, tuple[str, Callable[[StoreLimits], int | None]]]] = {
    "steps": ("minute", lambda limits: limits.keep_ns),
    "heartbeats": ("slice", lambda limits: limits.keep_ns),
    "signals": ("second", lambda limits: limits.keep_signals_ns),
    "facts": ("second", lambda limits: limits.keep_facts_ns),
    "rollup_1m": ("start", lambda limits: limits.keep_minutes_ns),
    "rollup_1h": ("start", lambda limits: limits.keep_hours_ns),
    "rollup_1d": ("start", lambda limits: limits.keep_days_ns),
}
"""Table -> column whose age its retention is counted by, and the setting that says how long."""


def migrate(engine: Database, at_us: int, limits: StoreLimits) -> None:
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
    for table, (column, keep_ns) in _AGED.items():
        _keep(engine, table, column, None if limits.keep_ns is None else keep_ns(limits))


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
