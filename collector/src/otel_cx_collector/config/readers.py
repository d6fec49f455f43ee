"""How each value of ``collector.yaml`` is written: one reader a kind, and the table of keys. Not how a file is read."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from otel_cx_collector.config.settings import GIB, KIB, MIB, ROLES, ClickHouse
from otel_cx_collector.inventory import quantities
from otel_cx_collector.inventory.quantities import UnreadableError, shown

_ENDPOINT: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")
_SIZE: Final = re.compile(r"(?P<number>[0-9]{1,15})\s?(?P<unit>|B|KiB|MiB|GiB)")
_SIZES: Final = {"": 1, "B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}


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


def _role(value: object) -> str:
    if str(value) not in ROLES:
        raise UnreadableError(f"{shown(value)} is no role", f"write one of {', '.join(ROLES)}")
    return str(value)


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
READERS: Final[dict[tuple[str, ...], tuple[str, _Reader]]] = {
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
