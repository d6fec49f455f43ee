"""Step rows, heartbeats, facts and levels in ClickHouse dialect, embedded (chDB), and what carries them there.

A row is idempotent by its key (environment, journey, minute, attempt, span id): of several copies the highest version
survives, whatever was sent when and how often.

Facts of the embedded engine that bind the caller: one process and one path at a time (another path once all stores are
closed); never fork while a store is open; a read or an insert runs in the calling thread, on a connection of its own.
"""

from otel_cx_collector.config import StoreLimits
from otel_cx_collector.store.client import Count, Store, StoreError, TableSize
from otel_cx_collector.store.flush import Flusher, FlushState, RowSink

__all__ = ["Count", "FlushState", "Flusher", "RowSink", "Store", "StoreError", "StoreLimits", "TableSize"]
