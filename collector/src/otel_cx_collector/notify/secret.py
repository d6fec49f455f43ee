"""Secrets, read from their files at each use, so that a rotated one works at once. Kept nowhere, shown nowhere."""

from pathlib import Path
from typing import Final

from otel_cx_collector.notify.words import Retry

MAX_SECRET: Final = 4096
"""Bytes: more is another file."""
HIDDEN: Final = "(secret)"


def read_secret(path: str, *, spaces: bool = False) -> str:
    """What the file holds, without the line's end.

    Args:
        path: As the inventory names it.
        spaces: Whether it may hold spaces: a password may, what goes into a header or an address may not.

    Raises:
        Retry: It cannot be read, or is no secret; somebody has to mend it. What it holds is never shown.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_SECRET + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Retry(f"{path} cannot be read: {reason}; mend the file or its path", mend=True) from None
    if len(raw) > MAX_SECRET:
        raise Retry(f"{path} holds more than {MAX_SECRET} bytes; it is to hold one secret alone", mend=True)
    text = raw.decode("ascii", errors="replace").rstrip("\r\n")
    if not text or not (text.isascii() and text.isprintable()) or (" " in text and not spaces):
        raise Retry(f"{path} does not hold one secret in ASCII on one line; write it again", mend=True)
    return text


def without(text: str, *secrets: str) -> str:
    """A text in which none of the secrets stands."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN) if secret else text
    return text
