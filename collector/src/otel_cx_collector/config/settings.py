"""What ``run`` is told, with every default and limit. Not how it is written (readers), nor read (reading)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from otel_cx_collector.errors import UserError
from otel_cx_collector.inventory import quantities

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
DAY_NS: Final = quantities.UNITS["d"]

ROLES: Final = ("all", "ingest", "control")


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What one export request may be (``limits:``)."""

    message_bytes: int = 64 * MIB
    """Decompressed; OTLP 1.11 recommends this default."""
    wire_bytes: int = 20 * MIB
    """As it arrives, compressed or not."""
    spans: int = 20_000
    """Found by a walk over the wire format before anything is built."""
    attributes: int = 128
    """Of one span; the same as the OpenTelemetry SDKs' default."""
    nesting: int = 64


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How much the log may hold (``log:``). Raises UserError when the numbers do not go together."""

    max_bytes: int = 4 * GIB
    """On disk, all segments; beyond it requests are refused until the store has taken some."""
    segment_bytes: int = 64 * MIB
    """The log is freed by whole segments, so it may be at most a quarter of ``max_bytes``."""
    batch_bytes: int = 64 * MIB
    """One batch of rows; a segment that holds nothing else may be larger than ``segment_bytes`` for its sake."""
    min_free_bytes: int = 256 * MIB
    """Left free on the disk: without room of its own the store could not take what the log holds."""

    def __post_init__(self) -> None:
        if self.segment_bytes * 4 > self.max_bytes:
            raise UserError(
                f"segment_bytes {self.segment_bytes} is more than a quarter of max_bytes {self.max_bytes}; the log is "
                f"freed by whole segments: set segment_bytes to {self.max_bytes // 4} or less"
            )
        if not 0 < self.batch_bytes <= min(self.max_bytes // 2, GIB):
            raise UserError(
                f"batch_bytes {self.batch_bytes} is not between 1 and half of max_bytes, at most 1GiB; set it to "
                f"{min(64 * MIB, self.max_bytes // 2)}"
            )


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """What the store may take, and how long it keeps rows (``chdb:``)."""

    memory_bytes: int = 2 * GIB
    """Of the whole embedded engine; what does not fit fails loudly and is tried again. Here and below 0 is no limit."""
    query_memory_bytes: int = 1 * GIB
    """Of one query."""
    query_s: int = 30
    """Longest time of one query, seconds."""
    threads: int = 2
    """Of one query, embedded."""
    keep_ns: int | None = 8 * DAY_NS
    """Age by event time after which step rows and heartbeats are dropped; None keeps all of every table, as a replay
    must."""
    keep_minutes_ns: int = 30 * DAY_NS
    """Age after which what was closed by the minute is dropped; then by the hour and by the day."""
    keep_hours_ns: int = 400 * DAY_NS
    keep_days_ns: int = 400 * DAY_NS
    keep_facts_ns: int = 400 * DAY_NS
    """Facts are few, and a renewal or a deploy of last year still explains something."""
    keep_signals_ns: int = 8 * DAY_NS
    """Levels of resources."""
    block_rows: int = 50_000
    """Rows sent to the store in one insert."""
    block_ns: int = quantities.UNITS["s"]
    """Longest time a row waits in the log for others to be sent with."""


@dataclass(frozen=True, slots=True)
class ClickHouse:
    """A ClickHouse server, or the one of a cluster that is asked (``store: clickhouse://…``)."""

    host: str
    port: int
    user: str = "default"
    database: str = "otel_cx"
    cluster: str = ""
    """Its name in system.clusters; empty: this server alone."""
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything ``run`` is told besides the inventory. Endpoints are ``host:port``; port 0 takes a free one."""

    grpc: str = "127.0.0.1:4317"
    http: str = "127.0.0.1:4318"
    web: str = "127.0.0.1:8080"
    health: str = "127.0.0.1:13133"
    token_file: Path | None = None
    """Bearer tokens that OTLP senders must show, one a line; needed to listen beyond this machine, unless"""
    allow_unauthenticated: bool = False
    """something in front guards the ports."""
    web_hosts: tuple[str, ...] = ()
    """Names beside the loopback ones under which browsers may open the pages."""
    web_url: str = ""
    """Where people find the pages, for links in notifications; empty: the endpoint."""
    data: Path = Path("/var/lib/otel-cx")
    store: str = "chdb"
    """``chdb``, or the address of a ClickHouse server, which ``clickhouse`` reads."""
    store_password_file: Path | None = None
    store_ca_file: Path | None = None
    """Certificates (PEM) that a server's is checked against, instead of the public ones."""
    control: str = "sqlite"
    """``sqlite``, a file under ``data``; or ``postgresql://user@host:5432/database`` without a password."""
    control_password_file: Path | None = None
    """Holds PostgreSQL's password; read for each new connection."""
    role: str = "all"
    """``all``; ``ingest``: takes telemetry and judges nothing; ``control``: judges and takes none."""
    telemetry_otlp: str = ""
    """Base URL of an OTLP/HTTP receiver that the collector's own metrics are pushed to; empty: they are not."""
    telemetry_every_s: int = 60
    limits: RequestLimits = field(default_factory=RequestLimits)
    log: LogLimits = field(default_factory=LogLimits)
    chdb: StoreLimits = field(default_factory=StoreLimits)
