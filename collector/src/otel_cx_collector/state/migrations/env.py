"""Runs the migrations in the transaction that ``state.migrate`` has open. Not for Alembic's command line."""

from alembic import context

from otel_cx_collector.state.migrate import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
