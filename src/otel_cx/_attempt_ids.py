"""Attempt ids that come with a request, in a cookie or a header, and the cookie that gives a browser one.

Checked for shape: a client may send anything, and what is none of the vocabulary's values names no attempt. Not session
ids: whoever reads the traces could use one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Self

from otel_cx import semconv
from otel_cx._diagnostics import Reason, count
from otel_cx.exceptions import ConfigurationError

MAX_COOKIES_LENGTH: Final = 16_384
"""Characters of all `Cookie` lines together that are searched; servers take 8 to 16 KiB."""
MAX_AGE_S: Final = 86_400
"""How long a browser keeps the id it was given: the collector cuts attempts that nobody named after a day as well."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
"""RFC 9110 5.6.2, the form of cookie and header names."""
_ID_BYTES: Final = 16


class Issued(str):
    """An attempt id that was made for this request, because the browser had none; `set_cookie` tells it to keep it."""

    __slots__ = ("set_cookie",)
    set_cookie: str

    @classmethod
    def for_cookie(cls, name: str, *, secure: bool) -> Self:
        """Makes 128 random bits, and the `Set-Cookie` value that carries them (RFC 6265 4.1)."""
        import secrets  # here: it brings OpenSSL, 4 ms of import that a process which issues none does not need

        issued = cls(secrets.token_hex(_ID_BYTES))
        issued.set_cookie = f"{name}={issued}; Path=/; Max-Age={MAX_AGE_S}; HttpOnly; SameSite=Lax"
        if secure:
            issued.set_cookie += "; Secure"
        return issued


def token(kind: str, name: str) -> str:
    """Returns the name of a cookie or header, or raises `ConfigurationError`."""
    if not _TOKEN.fullmatch(name):
        raise ConfigurationError(f"The {kind} name {name!r} cannot be used. Write it as it is sent, such as 'cart'.")
    return name


def in_cookies(name: str, lines: Iterable[str]) -> str | None:
    """Returns the attempt id in the cookie `name` of the request's `Cookie` header lines; the first one counts."""
    joined = ";".join(lines)
    if len(joined) > MAX_COOKIES_LENGTH:
        count(Reason.INVALID_ATTEMPT)
        return None
    for pair in joined.split(";"):
        key, _, value = pair.partition("=")
        if key.strip() == name:
            return checked(value.strip().strip('"'))
    return None


def checked(value: str | None) -> str | None:
    """Returns `value` if it has the shape of an attempt id; None, counted, if it is something else."""
    if not value:
        return None
    if semconv.VALUE.fullmatch(value):
        return value
    count(Reason.INVALID_ATTEMPT)
    return None
