"""Who may send, and who that is: bearer tokens, browsers' origins. Not TLS, which a proxy in front of us ends."""

import hmac
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from otel_cx_collector.errors import UserError

_SCHEME: Final = "bearer "
_TOKEN_CHARACTERS: Final = 16
"""A shorter token can be guessed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may send, a setting of both receivers."""

    token_file: Path | None = None
    """Bearer tokens, one a line, any of which is accepted: with two, they can be changed without a gap."""
    allow_unauthenticated: bool = False
    """Listen beyond this machine without tokens, because something in front of us guards the port."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may send from a browser, such as ``https://shop.example``; ``*`` for any."""
    cors_headers: tuple[str, ...] = ("authorization", "content-encoding", "content-type")
    """Headers such pages may set."""
    cors_max_age_s: int = 7_200
    """How long a browser remembers that it may."""


class Tokens:
    """The bearer tokens in force; none means that everybody may send."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = list(dict.fromkeys(token.encode() for token in tokens))
        self._numbered = list(enumerate(self._tokens, 1))

    @classmethod
    def load(cls, access: Access) -> Self:
        """Read ``access.token_file``, if there is one.

        Raises:
            UserError: it cannot be read, is empty, or holds what is no safe token. The token itself is never shown.
        """
        path = access.token_file
        if path is None:
            return cls([])
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"the token file {path} cannot be read ({error}); write one token a line, UTF-8") from error
        tokens = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}
        for number, token in tokens.items():
            if len(token) < _TOKEN_CHARACTERS or not token.isascii() or not token.isprintable() or " " in token:
                raise UserError(
                    f"{path}:{number}: a token of {len(token)} characters; write {_TOKEN_CHARACTERS} or more of ASCII"
                    " without spaces, for example from `openssl rand -hex 32`"
                )
        if not tokens:
            raise UserError(f"the token file {path} is empty; write one token a line, or leave token_file out")
        return cls(list(tokens.values()))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._tokens)

    def admit(self, authorization: str | None) -> bool:
        """Whether a request with this ``Authorization`` header may be read."""
        return self.number(authorization) is not None

    def number(self, authorization: str | None) -> int | None:
        """Which token this ``Authorization`` header shows, from 1 on; 0 if none is needed, None if it shows none.

        Takes the same time for every wrong token of one length.
        """
        if not self._tokens:
            return 0
        if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
            return None
        given = authorization[len(_SCHEME) :].strip().encode(errors="surrogatepass")
        return sum([number * hmac.compare_digest(given, token) for number, token in self._numbered]) or None


def client(token: int, address: str) -> str:
    """Who sends, as far as room is shared: the token it shows, and the address it comes from.

    Of an IPv6 address its network of 64 bits counts, all of which one machine may have to itself.
    """
    if ":" not in address:
        return f"{token} {address}"
    parsed = ipaddress.IPv6Address(address.partition("%")[0])
    return f"{token} {parsed.ipv4_mapped or hex(int(parsed) >> 64)}"
