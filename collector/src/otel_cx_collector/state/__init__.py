"""Control's working state: transactional, in SQLite by default, through SQLAlchemy with Alembic migrations."""
