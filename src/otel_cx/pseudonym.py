"""Pseudonyms for customers and accounts, and signatures for baggage, by keyed hash. Not encryption, not anonymity.

A pseudonym stays personal data for whoever holds the key; the key therefore stays in the SDK (or the collector) alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from otel_cx.exceptions import ConfigurationError

_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,16}")
_MIN_SECRET_BYTES: Final = 16
_CHARACTERS: Final = 22
"""22 base64url characters are 132 bits: no two of a billion customers meet by chance."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys by id. The first makes pseudonyms and signatures; all of them verify, so that a key can be rotated.

    >>> Keyring.parse("k1:0123456789abcdef").pseudonym("user-42")
    'k1.EBtatqdBczytQvNOw4v4H0'
    """

    secrets: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """Reads one `<key id>:<secret>` a line; blank lines and lines that begin with `#` are skipped.

        Raises:
            ConfigurationError: no key, a malformed line, or a secret under 16 bytes. The message never shows a secret.
        """
        lines = [line.strip() for line in text.splitlines()]
        secrets: dict[str, bytes] = {}
        for line in (line for line in lines if line and not line.startswith("#")):
            key_id, colon, secret = line.partition(":")
            _check(key_id, colon, secret.encode())
            secrets[key_id] = secret.encode()
        if not secrets:
            raise ConfigurationError("The key is empty. Write one line '<key id>:<secret>', the secret >= 16 bytes.")
        return cls(secrets)

    @property
    def active(self) -> str:
        """The id of the key in use."""
        return next(iter(self.secrets))

    def pseudonym(self, raw: str) -> str:
        """Returns `<key id>.<22 base64url characters>` of HMAC-SHA-256 over the UTF-8 bytes of `raw`."""
        key_id = self.active
        return f"{key_id}.{_digest(self.secrets[key_id], raw)}"

    def sign(self, members: Mapping[str, str]) -> str:
        """Returns the value of the baggage member `otelcx.sig` for `members` (name -> value, without the signature)."""
        return _signature(self.active, self.secrets[self.active], members)

    def verify(self, members: Mapping[str, str], signature: str) -> bool:
        """Tells whether `signature` was made over exactly these `members` by one of the keys; in constant time."""
        import hmac

        key_id = signature.partition(".")[0]
        secret = self.secrets.get(key_id)
        return secret is not None and hmac.compare_digest(
            _signature(key_id, secret, members).encode(), signature.encode()
        )


def _check(key_id: str, colon: str, secret: bytes) -> None:
    if not colon or not _KEY_ID.fullmatch(key_id):
        raise ConfigurationError(
            "A line of the key is not '<key id>:<secret>'. The key id is 1 to 16 of A-Z a-z 0-9 _ -; "
            "write for example 'k1:' and 32 random characters."
        )
    if len(secret) < _MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"The secret of key {key_id!r} has {len(secret)} bytes, which can be guessed. Use at least "
            f"{_MIN_SECRET_BYTES}, for example: python -c 'import secrets; print(secrets.token_urlsafe(32))'."
        )


def _digest(secret: bytes, text: str) -> str:
    import base64  # here, as hmac: OpenSSL is 4 ms of import that a process without a key does not need
    import hmac

    digest = hmac.digest(secret, text.encode("utf-8", "surrogatepass"), "sha256")
    return base64.urlsafe_b64encode(digest)[:_CHARACTERS].decode("ascii")


def _signature(key_id: str, secret: bytes, members: Mapping[str, str]) -> str:
    import hmac

    # A key derived from the secret, so that no pseudonym is ever the signature of something.
    derived = hmac.digest(secret, b"otelcx.sig", "sha256")
    canonical = ",".join(f"{name}={members[name]}" for name in sorted(members))
    return f"{key_id}.{_digest(derived, canonical)}"
