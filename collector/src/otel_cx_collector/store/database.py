"""What the store needs of whatever holds its tables: the embedded engine, or servers over the network."""

from collections.abc import Mapping
from typing import Protocol

import pyarrow as pa


class Database(Protocol):
    """Takes statements and rows. Thread-safe; every method raises StoreError when it fails."""

    @property
    def path(self) -> object:
        """Where it is, for messages."""

    def command(self, statement: str, parameters: Mapping[str, object] | None = None, /) -> None:
        """Run a statement that answers nothing."""

    def query(self, statement: str, parameters: Mapping[str, object] | None = None, /) -> pa.Table:
        """The answer to a query, each column in one chunk; low-cardinality strings are dictionary-encoded."""

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append rows of one partition; durable and visible when this returns."""

    def sync(self) -> None:
        """Make the tables that statements have made durable."""

    def close(self) -> None:
        """Let go of it."""
