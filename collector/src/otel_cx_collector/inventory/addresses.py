"""The kinds of value that channels are written with: hosts, mailboxes, times of day, zones. Not whom they reach."""

import ipaddress
import re
from difflib import get_close_matches
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, Strict, StringConstraints, WithJsonSchema

from otel_cx_collector.inventory.quantities import UnreadableError, shown

HOST_PATTERN: Final = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$"
MAILBOX_PATTERN: Final = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$"
CLOCK_PATTERN: Final = r"^([01]\d|2[0-3]):[0-5]\d$"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network(value: str) -> Network | None:
    """An address or a range as a range, None when it is neither."""
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        return None


def _host(value: str) -> str:
    if re.fullmatch(HOST_PATTERN, value) or (":" in value and network(value) and "/" not in value):
        return value
    raise UnreadableError(f"{shown(value)} is not a host", "write a name or an address, without scheme and port")


def _mailbox(value: str) -> str:
    if re.fullmatch(MAILBOX_PATTERN, value):
        return value
    raise UnreadableError(f"{shown(value)} is not a mail address", "write it like oncall@example.com, without a name")


def _clock(value: object) -> int:
    if not isinstance(value, str) or not re.fullmatch(CLOCK_PATTERN, value):
        raise UnreadableError(f"{shown(value)} is not a time of day", 'write it in quotes, like "22:00"')
    return int(value[:2]) * 60 + int(value[3:])


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = get_close_matches(value[:100], sorted(available_timezones()), n=1)
        cure = f"did you mean {near[0]}? " if near else ""
        raise UnreadableError(
            f"{shown(value)} is not a time zone", f"{cure}write one of the IANA database, such as Europe/Berlin"
        ) from None
    return value


def _allowed(value: str) -> str:
    found = network(value)
    if found is None:
        return _host(value)
    if "/" in value and str(found) != str(ipaddress.ip_interface(value)):
        raise UnreadableError(f"{shown(value)} is an address within a range", f"write the range, {found}")
    return value


def is_this_machine(host: str) -> bool:
    """Whether a host of the file can be nothing but loopback."""
    found = network(host)
    return host.lower() == "localhost" if found is None else found.is_loopback


def is_listed(host: str, allowed: tuple[str, ...]) -> bool:
    """Whether ``allow_private`` lists a host; a name may resolve into any range that is listed."""
    ranges = [each for each in map(network, allowed) if each is not None]
    found = network(host)
    if found is None:
        return host.lower() in map(str.lower, allowed) or any(each.num_addresses > 1 for each in ranges)
    return any(found.version == each.version and found.network_address in each for each in ranges)


Host = Annotated[
    str, StringConstraints(max_length=253), AfterValidator(_host), WithJsonSchema({"type": "string", "maxLength": 253})
]
"""A name or an address."""
Port = Annotated[int, Strict(), Field(ge=1, le=65535)]
Mailbox = Annotated[
    str,
    StringConstraints(max_length=254),
    AfterValidator(_mailbox),
    WithJsonSchema({"type": "string", "pattern": MAILBOX_PATTERN}),
]
"""A mail address alone: no display name, nothing that could end a header."""
Clock = Annotated[int, BeforeValidator(_clock), WithJsonSchema({"type": "string", "pattern": CLOCK_PATTERN})]
"""Minutes since midnight; written ``"22:00"``."""
Zone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_zone)]
"""Of the IANA database."""
Allowed = Annotated[str, StringConstraints(max_length=253), AfterValidator(_allowed)]
"""A host, an address or a range that notices may go to although it is private."""
