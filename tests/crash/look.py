"""What a stopped collector has stored: ``look.py FOLDER SINCE_S`` writes the span id of every step, 8 bytes each.

A process of its own, since a process can have the embedded store of one directory open, once. Not a test.
"""

import sys
from pathlib import Path

from otel_cx_collector import config
from otel_cx_collector.clock import now_ns
from otel_cx_collector.events import MINUTE_S, NS
from otel_cx_collector.store import Store
from otel_cx_collector.store.remote import RemoteStore


def opened(settings: config.Settings) -> Store:
    """The store as the collector opens it."""
    if settings.store == "chdb":
        return Store(settings.data / "store", settings.chdb)
    return RemoteStore(config.clickhouse(settings.store), settings.chdb, settings.store_password_file)


def main(folder: Path, since_s: int) -> None:
    """Minute by minute, so that memory holds no more than one."""
    with opened(config.load(folder / "collector.yaml", {})) as store:
        for minute in range(since_s // MINUTE_S * MINUTE_S, now_ns() // NS + 1, MINUTE_S):
            rows = store.steps("checkout", minute * NS, (minute + MINUTE_S) * NS, ["unset"])
            sys.stdout.buffer.write(b"".join(rows["span_id"].to_pylist()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
