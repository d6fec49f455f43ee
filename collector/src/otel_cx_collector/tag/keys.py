"""Pseudonyms made in the collector, for services without the SDK. The SDK makes the same from the same key."""

import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Final

from otel_cx_collector.errors import UserError

_CHARS: Final = 22
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,16}")
_MIN_SECRET_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class HashKeys:
    """The key raw ids are hashed with, and its id, which stands before the pseudonym so that keys can be changed."""

    key_id: str
    secret: bytes = field(repr=False)

    @classmethod
    def parse(cls, content: str) -> "HashKeys":
        """The first ``<key id>:<secret>`` line of a key file, the one the SDK makes pseudonyms with.

        Blank lines and lines that begin with ``#`` are passed over; further keys are older ones, of no use here.

        Raises:
            UserError: There is no key, or it is no key. The message never shows a secret.
        """
        lines = (line.strip() for line in content.splitlines())
        first = next((line for line in lines if line and not line.startswith("#")), "")
        key_id, colon, secret = first.partition(":")
        if not colon or not _KEY_ID.fullmatch(key_id):
            raise UserError(
                "the hash key does not begin with '<key id>:<secret>', the key id 1 to 16 of A-Z a-z 0-9 _ -; "
                "write for example 'k1:' and 32 random characters"
            )
        if len(secret.encode()) < _MIN_SECRET_BYTES:
            raise UserError(
                f"the secret of hash key {key_id!r} has {len(secret.encode())} bytes, which can be guessed; "
                f"use at least {_MIN_SECRET_BYTES}"
            )
        return cls(key_id, secret.encode())

    def pseudonym(self, raw: str) -> str:
        """``<key id>.<22 base64url characters>``: the first 132 bits of HMAC-SHA-256 over the raw id in UTF-8."""
        digest = hmac.digest(self.secret, raw.encode(), "sha256")
        return f"{self.key_id}.{urlsafe_b64encode(digest)[:_CHARS].decode()}"
