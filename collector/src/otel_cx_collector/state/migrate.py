"""Brings the tables up to date at opening; forward only. Not the tables: each migration states its own."""

import threading
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from otel_cx_collector.errors import UserError
from otel_cx_collector.state.database import Database

VERSION_TABLE: Final = "otel_cx_state"
SCRIPTS: Final = Path(__file__).parent / "migrations"

_MIGRATING: Final = threading.Lock()
"""Alembic keeps what it is at work on in module globals."""


def migrate(database: Database) -> None:
    """Apply what is missing, in one transaction.

    Raises:
        UserError: The database is somebody else's, or of a later version. It is left as it was.
    """
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    with _MIGRATING, database.writing() as connection:
        version = _version(connection, database.where)
        if version is not None and version not in {script.revision for script in scripts.walk_revisions()}:
            raise UserError(
                f"{database.where} has version {version}, this program knows {scripts.get_current_head()}: a later "
                f"otel-cx-collector wrote it; install that version or a later one"
            )
        if version != scripts.get_current_head():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _version(connection: Connection, where: str) -> str | None:
    """What was migrated to; None for an empty database."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    version = context.get_current_revision()
    if version is None and (found := inspect(connection).get_table_names()):
        raise UserError(
            f"{where} is no state of otel-cx: it holds the table {found[0]!r}; name another, or move what is there away"
        )
    return version
