"""Where a receiver listens, and what to do when it cannot. Not what it does there."""

import errno
import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from otel_cx_collector.errors import UserError
from otel_cx_collector.receive.auth import Access

_CURES: Final = {
    errno.EADDRINUSE: "stop the program that has the port (`ss -ltnp 'sport = :{port}'` names it), or set another port",
    errno.EACCES: "ports below 1024 need the capability NET_BIND_SERVICE; set a higher one",
}


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        """As it is written in settings."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it; False for a name we cannot be sure of."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def listen_address(endpoint: str, access: Access) -> Address:
    """``host:port`` taken apart, and refused where anybody could send unauthenticated.

    Raises:
        UserError: it is no address, or lies beyond this machine without authentication.
    """
    host, colon, port = endpoint.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or (":" in bare) != (bare is not host) or not port.isdecimal() or int(port) > 0xFFFF:
        raise UserError(f"the address {endpoint!r} is not host:port; write it like 127.0.0.1:4317 or [::1]:4317")
    address = Address(bare, int(port))
    if access.token_file is None and not access.allow_unauthenticated and not address.is_loopback:
        raise UserError(
            f"{address} can be reached from other machines and nothing guards it; give a token_file with bearer tokens,"
            " or set allow_unauthenticated: true if a proxy or network policy does, or listen on 127.0.0.1"
        )
    return address


def bind(what: str, address: Address, backlog: int, *, shared: bool = False) -> socket.socket:
    """A listening socket; shared with other processes only on request: a taken port is an error and not half the data.

    Raises:
        UserError: the address cannot be bound; the message says why and what to do.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with _told(what, address):
        return socket.create_server(address, family=family, backlog=backlog, reuse_port=shared)


def reserve(what: str, endpoint: str, access: Access) -> socket.socket:
    """A socket that holds an endpoint's port for the processes that share it, and listens to nobody itself.

    Raises:
        UserError: as listen_address and bind.
    """
    address = listen_address(endpoint, access)
    bind(what, address, backlog=1).close()  # whoever has it alone, or shares it with others
    held = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    try:
        with _told(what, address):
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind(address)
    except BaseException:
        held.close()
        raise
    return held


@contextmanager
def _told(what: str, address: Address) -> Iterator[None]:
    """Failures to listen as UserErrors."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else str(error)
        cure = _CURES.get(number, "set an address that this machine has").format(port=address.port)
        raise UserError(f"{what} cannot listen on {address}: {reason}; {cure}") from error
