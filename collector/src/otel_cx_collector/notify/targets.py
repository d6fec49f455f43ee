"""Where a notice may go: an address of the configuration, looked up once, checked, and then connected to. Not the talk.

Against requests that are forged through us (SSRF): http and https alone, no redirects, and nothing that is private,
loopback, link-local or a cloud's metadata service unless ``allow_private`` lists it. The address that was checked is
the one that is connected to, so a name cannot change in between; TLS goes on verifying the name.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar
from urllib.parse import urlsplit

from otel_cx_collector.inventory.addresses import Network, network
from otel_cx_collector.notify.words import Retry

MAX_ADDRESSES: Final = 4
"""Of one name that are tried."""
METADATA: Final = (
    ipaddress.ip_network("169.254.0.0/16"),
    ipaddress.ip_network("fe80::/10"),
    ipaddress.ip_network("fd00:ec2::254/128"),
    ipaddress.ip_network("100.100.100.200/32"),
    ipaddress.ip_network("168.63.129.16/32"),
)
"""Link-local ranges and metadata services: only an address or a range lists them, a name that leads there does not."""
NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 behind an IPv6 prefix (RFC 6052)."""
PORTS: Final = {"http": 80, "https": 443}

T = TypeVar("T")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Target:
    """A host and port that may be talked to. What follows the host may be a secret, so no text shows it."""

    secure: bool
    host: str
    port: int
    path: str = field(repr=False)
    """With the query."""
    allow: tuple[str, ...] = ()
    inside: bool = False
    """Nothing protects what is sent, so it never goes to a public address that is not listed itself."""


def parse(url: str, allow: tuple[str, ...]) -> Target:
    """The target of an address. Raises Retry, since somebody has to mend it; the message shows none of it."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        raise Retry("the address cannot be read; write it like https://host/path", mend=True) from None
    host = parts.hostname or ""
    if parts.scheme not in PORTS or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise Retry("the address is not one of http or https in ASCII; write it like https://host/path", mend=True)
    if parts.username is not None or parts.password is not None:
        raise Retry("the address holds a user or password; leave them out", mend=True)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme == "https", host, port, path, allow)


def permitted(address: str, host: str, allow: tuple[str, ...]) -> bool:
    """Whether ``address``, which ``host`` leads to, may be connected to."""
    real = _real(ipaddress.ip_address(address.partition("%")[0]))
    if _is_in(real, map(network, allow)):
        return True
    if _is_in(real, METADATA):
        return False
    return (real.is_global and not real.is_multicast) or host.lower() in map(str.lower, allow)


def connect(target: Target, dial: Callable[[str], T]) -> T:
    """What ``dial`` makes of the first address that is permitted and answers.

    Args:
        target: Its name is looked up here and nowhere else.
        dial: Connects to an address, in digits, and raises OSError when it cannot.

    Raises:
        Retry: There is no such name, every address is refused, or none answers.
    """
    reason = ""
    for address in _addresses(target):
        try:
            return dial(address)
        except OSError as error:
            reason = error.strerror or str(error) or "no answer"
    raise Retry(f"{target.host}:{target.port} cannot be reached: {reason}")


def _addresses(target: Target) -> list[str]:
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a name"
        raise Retry(f"{target.host} cannot be looked up: {reason}") from None
    known = list(dict.fromkeys(str(each[4][0]) for each in found))
    usable = [address for address in known if permitted(address, target.host, target.allow)][:MAX_ADDRESSES]
    shown = f"{target.host} is {known[0]}, which" if known[:1] != [target.host] else target.host
    if not usable:
        raise Retry(f"{shown} is private; list it under allow_private if it is meant", mend=True)
    if target.inside:
        usable = [address for address in usable if not _public(address, target.allow)]
        if not usable:
            raise Retry(f"{shown} is public, and nothing is sent there in the clear; use TLS", mend=True)
    return usable


def _public(address: str, allow: tuple[str, ...]) -> bool:
    real = _real(ipaddress.ip_address(address.partition("%")[0]))
    return real.is_global and not _is_in(real, map(network, allow))


def _is_in(address: Address, ranges: Iterable[Network | None]) -> bool:
    return any(each is not None and address.version == each.version and address in each for each in ranges)


def _real(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)
