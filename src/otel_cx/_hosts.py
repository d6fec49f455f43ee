"""Host names: what a call's URL says, and whether an operator's pattern means it. It resolves nothing."""

from __future__ import annotations

import functools
import re
from typing import Final
from urllib.parse import urlsplit

from otel_cx.exceptions import ConfigurationError

_NAME: Final = re.compile(r"[a-z0-9._-]{1,253}")
_IPV6: Final = re.compile(r"[0-9a-f:.]{2,45}")
_TARGET: Final = re.compile(
    r"(?:(?:dns|ipv4|ipv6|xds):(?://[^/]*/)?)?"
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\](?::\d+)?|(?P<bare>[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)|(?P<host>[\w.-]+)(?::\d+)?)"
)
"""Of a target with several addresses, or of another scheme, nothing is said: what cannot be told is not allowed."""
_NAME_PATTERN: Final = re.compile(r"[a-z0-9._*-]{1,253}")
_IPV4_PATTERN: Final = re.compile(r"[0-9.*]*[0-9][0-9.*]*")
_IPV6_PATTERN: Final = re.compile(r"[0-9a-f:.*]*:[0-9a-f:.*]*")


def host_of(url: str) -> str:
    """Returns the host of `url` without port, brackets and credentials; empty when it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def host_of_target(target: str) -> str:
    """Returns the host of a gRPC target (grpc/doc/naming.md); empty when it names none, or more than one.

    >>> host_of_target("dns:///billing.svc:50051"), host_of_target("[::1]:50051"), host_of_target("unix:/run/billing")
    ('billing.svc', '::1', '')
    """
    found = _TARGET.fullmatch(target)
    return "" if found is None else found["six"] or found["bare"] or found["host"]


def normal(host: str) -> str:
    """Returns `host` in lower case, without the root's dot, an IPv6 address in its short form; empty if it is none."""
    name = host.lower().rstrip(".")
    if _NAME.fullmatch(name):
        return name
    return _short(name) if _IPV6.fullmatch(name) else ""


def matches(host: str, patterns: tuple[str, ...]) -> bool:
    """Tells whether one of `patterns` means the normal name `host`."""
    return bool(host) and _compiled(patterns).fullmatch(host) is not None


def check_patterns(setting: str, patterns: tuple[str, ...]) -> None:
    """Raises `ConfigurationError` for a pattern that no host could ever match, or that means another than it shows."""
    for pattern in patterns:
        if not _is_pattern(pattern.lower().rstrip(".")):
            raise ConfigurationError(
                f"{setting} holds {pattern!r}. Write a host name as it stands in DNS, or an address, without scheme, "
                "port, brackets or path: billing, *.internal, xn--bcher-kva.example, 10.0.0.*, ::1."
            )


def _is_pattern(pattern: str) -> bool:
    return bool(_NAME_PATTERN.fullmatch(pattern) or _IPV6_PATTERN.fullmatch(pattern))


def _short(address: str) -> str:
    import ipaddress  # here: 2 ms of import that a process without IPv6 literals does not need

    try:
        return ipaddress.IPv6Address(address).compressed
    except ValueError:
        return ""


@functools.lru_cache(maxsize=16)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(_expression(pattern.lower().rstrip(".")) for pattern in patterns) or r"(?!)")


def _expression(pattern: str) -> str:
    """Returns the regular expression of one pattern.

    A `*` in front stands for anything, also for more labels. Anywhere else it stays in its label, and in an address it
    stands for digits: else `10.0.0.*` would mean 10.0.0.evil.example, whose owner is not ours.
    """
    if ":" in pattern:
        return re.escape(pattern if "*" in pattern else _short(pattern) or pattern).replace(r"\*", "[0-9a-f:.]*")
    if _IPV4_PATTERN.fullmatch(pattern):
        return re.escape(pattern).replace(r"\*", "[0-9.]*")
    front, rest = (".*", pattern[1:]) if pattern.startswith("*") else ("", pattern)
    return front + re.escape(rest).replace(r"\*", "[^.]*")
