"""The collector's settings, ``collector.yaml``: every one has a default, every mistake has a line. Not the inventory.

    settings = config.load(Path("collector.yaml"), os.environ)

``${env:VAR}`` and ``${env:VAR:-default}`` are replaced in every value, as the OpenTelemetry Collector does, and ``$$``
is a dollar sign. A file may hold any part of the settings or none.
"""

from otel_cx_collector.config.readers import READERS, clickhouse
from otel_cx_collector.config.reading import load, parse
from otel_cx_collector.config.settings import ROLES, ClickHouse, LogLimits, RequestLimits, Settings, StoreLimits

__all__ = [
    "READERS",
    "ROLES",
    "ClickHouse",
    "LogLimits",
    "RequestLimits",
    "Settings",
    "StoreLimits",
    "clickhouse",
    "load",
    "parse",
]
