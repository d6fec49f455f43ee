"""The collector's settings, ``collector.yaml``: every one has a default, every mistake has a line. Not the inventory.

    settings = config.load(Path("collector.yaml"), os.environ)

``${env:VAR}`` and ``${env:VAR:-default}`` are replaced in every value, as the OpenTelemetry Collector does, and ``$$``
is a dollar sign. A file may hold any part of the settings or none.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from otel_cx_collector.errors import Problem, UserError
from otel_cx_collector.inventory import quantities
from otel_cx_collector.inventory.quantities import UnreadableError, shown
from otel_cx_collector.inventory.spelling import nearest
from otel_cx_collector.inventory.tree import Node, read

__all__ = ["ClickHouse", "LogLimits", "RequestLimits", "Settings", "StoreLimits", "clickhouse", "load", "parse"]

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


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """The settings in a file. Raises UserError with every mistake in it: ``file:line: what; cure``."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; check the path, or run without --config") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    return parse(text, str(path), environ)


def parse(text: str, file: str, environ: Mapping[str, str]) -> Settings:
    """The settings in ``text``; ``file`` is its name in messages. Raises UserError like load."""
    root, problems = read(text, file)
    reading = _Reading(file, environ, problems)
    if root is not None:
        reading.node(root, ())
    settings = reading.settings() if not reading.problems else None
    if settings is None or reading.problems:
        raise UserError("\n".join(map(str, sorted(reading.problems, key=lambda problem: problem.line))))
    return settings


_ENDPOINT: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")
_SIZE: Final = re.compile(r"(?P<number>[0-9]{1,15})\s?(?P<unit>|B|KiB|MiB|GiB)")
_SIZES: Final = {"": 1, "B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}
_VARIABLE: Final = re.compile(r"\$\$|\$\{env:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>[^}]*))?\}|\$\{[^}]*\}?")


def _endpoint(value: object) -> str:
    match = _ENDPOINT.fullmatch(str(value))
    if match is None or int(match["port"]) > 65_535:
        raise UnreadableError(f"{shown(value)} is no endpoint", "write host:port, such as 127.0.0.1:4317 or [::1]:4317")
    return str(value)


def _size(value: object) -> int:
    match = _SIZE.fullmatch(str(value))
    if match is None:
        raise UnreadableError(f"{shown(value)} is no size", "write a whole number of B, KiB, MiB or GiB, such as 64MiB")
    return int(match["number"]) * _SIZES[match["unit"]]


def _some(value: object) -> int:
    size = _size(value)
    if size == 0:
        raise UnreadableError("nothing fits into 0 bytes", "write a whole number of B, KiB, MiB or GiB, such as 64MiB")
    return size


def _count(value: object) -> int:
    if not re.fullmatch("[0-9]{1,9}", str(value)) or int(str(value)) == 0:
        raise UnreadableError(f"{shown(value)} is no count", "write a whole number from 1 on")
    return int(str(value))


def _seconds(value: object) -> int:
    return max(1, quantities.parse_duration(value) // quantities.UNITS["s"])


def _directory(value: object) -> Path:
    if not isinstance(value, str) or not value.strip():
        raise UnreadableError(f"{shown(value)} is no directory", "write the path of one that may be made")
    return Path(value).expanduser()


def _file(value: object) -> Path:
    if not isinstance(value, str) or not value.strip():
        raise UnreadableError(f"{shown(value)} is no file", "write the path of one")
    return Path(value).expanduser()


def _flag(value: object) -> bool:
    if str(value).lower() not in {"true", "false"}:
        raise UnreadableError(f"{shown(value)} is neither true nor false", "write true or false")
    return str(value).lower() == "true"


def _address(value: object) -> str:
    text = str(value)
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", text):
        raise UnreadableError(f"{shown(value)} is no address of a page", "write it whole: https://otel-cx.example")
    return text


def _collector(value: object) -> str:
    text = str(value)
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", text):
        raise UnreadableError(f"{shown(value)} is no OTLP/HTTP receiver", "write its base URL: http://host:4318")
    return text


def _names(value: object) -> tuple[str, ...]:
    return tuple(name.strip() for name in str(value).split(",") if name.strip())


def _choice(*, now: str, later: Mapping[str, str]) -> Callable[[object], str]:
    """A reader that takes ``now``, and says of what matches a pattern in ``later`` that it is not in this version."""

    def choose(value: object) -> str:
        text = str(value)
        if text == now:
            return text
        for pattern, what in later.items():
            if re.fullmatch(pattern, text):
                raise UnreadableError(f"{what} ({_without_password(text)}) is not in this version", f"write {now}")
        raise UnreadableError(f"{shown(value)} is not known here", f"write {now}")

    return choose


def _role(value: object) -> str:
    if str(value) not in ROLES:
        raise UnreadableError(f"{shown(value)} is no role", f"write one of {', '.join(ROLES)}")
    return str(value)


def _without_password(url: str) -> str:
    return re.sub(r"(?<=://)([^@/:]*):[^@]*@", r"\1:***@", url)


_CLICKHOUSE: Final = re.compile(
    r"clickhouse(?P<tls>s?)://((?P<user>[^@:/?#\s]+)@)?"
    r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)(:(?P<port>[1-9][0-9]{0,4}))?"
    r"(/(?P<database>[A-Za-z_][A-Za-z0-9_]{0,62})?)?(\?cluster=(?P<cluster>[A-Za-z_][A-Za-z0-9_-]{0,62}))?"
)


def clickhouse(url: str) -> ClickHouse:
    """The server that an address names. Raises UnreadableError, which shows no password."""
    if re.search("://[^@]*:[^@]*@", url):
        raise UnreadableError(
            "a password stands in the address",
            "write it into a file that only this user can read, and name that file under store_password_file",
        )
    match = _CLICKHOUSE.fullmatch(url)
    if match is None or int(match["port"] or 0) > 65_535:
        raise UnreadableError(
            f"{shown(url)} is no store", "write chdb, or clickhouse://user@host:8123/database?cluster=NAME"
        )
    return ClickHouse(
        host=match["host"].strip("[]"),
        port=int(match["port"] or (8443 if match["tls"] else 8123)),
        user=unquote(match["user"] or "default"),
        database=match["database"] or "otel_cx",
        cluster=match["cluster"] or "",
        tls=bool(match["tls"]),
    )


def _store(value: object) -> str:
    text = str(value)
    if text != "chdb":
        clickhouse(text)
    return text


_POSTGRES: Final = re.compile(
    r"postgres(ql)?(\+psycopg)?://((?P<user>[^@:/?#\s]+)@)?(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*)(:[1-9][0-9]{0,4})?"
    r"/(?P<database>[^/?#\s]+)(\?(?P<options>[^#\s]*))?"
)
_HERE: Final = ("", "localhost", "127.0.0.1", "[::1]")


def _control(value: object) -> str:
    text = str(value)
    if text == "sqlite":
        return text
    if re.search(r"://[^@]*:[^@]*@|[?&]password=", text):
        raise UnreadableError(
            "a password stands in the address",
            "write it into a file that only this user can read, and name that file under control_password_file",
        )
    match = _POSTGRES.fullmatch(text)
    if match is None:
        raise UnreadableError(
            f"{shown(text)} is not known here",
            "write sqlite, or postgresql://user@host:5432/database",
        )
    if match["host"] not in _HERE and "sslmode=" not in (match["options"] or ""):
        raise UnreadableError(
            f"nothing says whether the way to {match['host']} is encrypted",
            "append ?sslmode=verify-full, or ?sslmode=disable where the network itself is trusted",
        )
    return text


_Reader = Callable[[object], object]
_OTLP: Final = ("receivers", "otlp", "protocols")
_READERS: Final[dict[tuple[str, ...], tuple[str, _Reader]]] = {
    (*_OTLP, "grpc", "endpoint"): ("grpc", _endpoint),
    (*_OTLP, "http", "endpoint"): ("http", _endpoint),
    ("receivers", "otlp", "token_file"): ("token_file", _file),
    ("receivers", "otlp", "allow_unauthenticated"): ("allow_unauthenticated", _flag),
    ("web", "endpoint"): ("web", _endpoint),
    ("web", "hosts"): ("web_hosts", _names),
    ("web", "url"): ("web_url", _address),
    ("health", "endpoint"): ("health", _endpoint),
    ("data",): ("data", _directory),
    ("store",): ("store", _store),
    ("store_password_file",): ("store_password_file", _file),
    ("store_ca_file",): ("store_ca_file", _file),
    ("control",): ("control", _control),
    ("control_password_file",): ("control_password_file", _file),
    ("role",): ("role", _role),
    ("telemetry", "otlp"): ("telemetry_otlp", _collector),
    ("telemetry", "every"): ("telemetry_every_s", _seconds),
    ("limits", "message_bytes"): ("limits.message_bytes", _some),
    ("limits", "wire_bytes"): ("limits.wire_bytes", _some),
    ("limits", "spans"): ("limits.spans", _count),
    ("limits", "attributes"): ("limits.attributes", _count),
    ("limits", "nesting"): ("limits.nesting", _count),
    ("log", "max_bytes"): ("log.max_bytes", _some),
    ("log", "segment_bytes"): ("log.segment_bytes", _some),
    ("log", "batch_bytes"): ("log.batch_bytes", _some),
    ("log", "min_free_bytes"): ("log.min_free_bytes", _size),
    ("chdb", "memory_bytes"): ("chdb.memory_bytes", _size),
    ("chdb", "query_memory_bytes"): ("chdb.query_memory_bytes", _size),
    ("chdb", "query_time"): ("chdb.query_s", _seconds),
    ("chdb", "threads"): ("chdb.threads", _count),
    ("chdb", "keep"): ("chdb.keep_ns", quantities.parse_duration),
    ("chdb", "keep_minutes"): ("chdb.keep_minutes_ns", quantities.parse_duration),
    ("chdb", "keep_hours"): ("chdb.keep_hours_ns", quantities.parse_duration),
    ("chdb", "keep_days"): ("chdb.keep_days_ns", quantities.parse_duration),
    ("chdb", "keep_facts"): ("chdb.keep_facts_ns", quantities.parse_duration),
    ("chdb", "keep_signals"): ("chdb.keep_signals_ns", quantities.parse_duration),
    ("chdb", "block_rows"): ("chdb.block_rows", _count),
    ("chdb", "block_time"): ("chdb.block_ns", quantities.parse_duration),
}
"""Path of a key -> field of Settings, and what reads its value."""

_ENDPOINTS: Final = ("grpc", "http", "web", "health")
_PARTS: Final = (("limits", RequestLimits), ("log", LogLimits), ("chdb", StoreLimits))


class _Reading:
    """One pass over the tree that gathers values and problems."""

    def __init__(self, file: str, environ: Mapping[str, str], problems: list[Problem]) -> None:
        self.file = file
        self.environ = environ
        self.problems = list(problems)
        self.values: dict[str, object] = {}
        self.lines: dict[str, int] = {}

    def problem(self, line: int, what: str, cure: str) -> None:
        self.problems.append(Problem(self.file, line, what, cure))

    def node(self, node: Node, path: tuple[str, ...]) -> None:
        """Read what stands under ``path``: a value if one is due, else the keys of a mapping (or nothing: defaults)."""
        if path in _READERS:
            self.value(node, path)
        elif node.kind == "mapping":
            for key, (line, child) in node.entries.items():
                self.key(line, key, child, path)
        elif node.kind != "scalar" or node.value is not None:
            where = ".".join(path) or "the file"
            known = ", ".join(_known(path))
            self.problem(node.line, f"{where} is {shown(node.data())}", f"write a mapping with any of: {known}")

    def key(self, line: int, key: str, child: Node, path: tuple[str, ...]) -> None:
        known = _known(path)
        if key in known:
            self.node(child, (*path, key))
        else:
            where = f" in {'.'.join(path)}" if path else ""
            self.problem(line, f"unknown key {shown(key)}{where}", nearest(key, known))

    def value(self, node: Node, path: tuple[str, ...]) -> None:
        name, reader = _READERS[path]
        self.lines[name] = node.line
        if node.kind != "scalar":
            self.problem(node.line, f"{path[-1]} is {shown(node.data())}", "write a single value")
            return
        try:
            self.values[name] = reader(self.expand(node.value) if isinstance(node.value, str) else node.value)
        except UnreadableError as error:
            self.problem(node.line, f"{path[-1]}: {error.what}", error.cure)

    def expand(self, text: str) -> str:
        """Replace ``${env:VAR:-default}``; an empty variable counts as unset, as in a shell."""
        return _VARIABLE.sub(self.variable, text)

    def variable(self, match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name, default = match["name"], match["default"]
        if name is None:
            raise UnreadableError(f"{shown(match[0])} is no variable", "write ${env:NAME}, or $$ for a dollar sign")
        value = self.environ.get(name) or default
        if value is None:
            raise UnreadableError(
                f"the environment variable {name} is not set", f"set it, or write ${{env:{name}:-default}}"
            )
        return value

    def settings(self) -> Settings:
        """The settings out of the values; problems are added where they contradict each other."""
        own: dict[str, Any] = {name: value for name, value in self.values.items() if "." not in name}
        limits, log, chdb = (self.part(*part) for part in _PARTS)
        settings = Settings(**own, limits=limits, log=log, chdb=chdb)
        taken: dict[str, str] = {}
        for name in _ENDPOINTS:
            endpoint = getattr(settings, name)
            if not endpoint.endswith(":0") and endpoint in taken:
                line = max(self.lines.get(name, 0), self.lines.get(taken[endpoint], 0))
                what = f"{endpoint} is the endpoint of {taken[endpoint]} and of {name}"
                self.problem(line, what, "give each its own port")
            taken[endpoint] = name
        return settings

    def part(self, section: str, kind: Callable[..., Any]) -> Any:
        prefix = f"{section}."
        given = {name.removeprefix(prefix): value for name, value in self.values.items() if name.startswith(prefix)}
        try:
            return kind(**given)
        except UserError as error:
            what, _, cure = str(error).partition("; ")
            self.problem(max(self.lines[prefix + name] for name in given), f"{section}: {what}", cure)
            return kind()


def _known(path: tuple[str, ...]) -> list[str]:
    """The keys that may stand under ``path``."""
    depth = len(path)
    return list(dict.fromkeys(known[depth] for known in _READERS if known[:depth] == path and len(known) > depth))
