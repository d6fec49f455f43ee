"""Copies everything a collector keeps while it runs, and brings it back. Not when, nor what is done with the copy.

The order makes the copy whole: first control's state, which the next start takes further; then the log, which is sent
to the store again; the store last, so that what the log has let go of meanwhile is in it.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from otel_cx_collector.errors import UserError
from otel_cx_collector.state import FILE, State
from otel_cx_collector.store import Store

NODE: Final = "node"
LOG: Final = "log"
STORE: Final = "store"


def back_up(data: Path, state: State, store: Store, into: Path) -> None:
    """Copy a running collector's data directory into ``into``, which is made; durable when it returns.

    Raises:
        UserError: ``into`` exists, or cannot be written.
        StoreError, Unavailable: The store or the state is away; nothing is left of the copy.
    """
    try:
        into.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise UserError(f"{into} cannot be made: {error.strerror}; name a directory that does not exist yet") from error
    try:
        state.copy(into / FILE)
        if (data / NODE).exists():
            shutil.copy2(data / NODE, into / NODE)
        _copy_log(data / LOG, into / LOG)
        store.back_up(into / STORE)
        _sync(into)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise


def restore(copy: Path, data: Path) -> None:
    """Make a data directory out of a copy. Raises UserError when there is something in ``data`` already."""
    if data.exists() and any(data.iterdir()):
        raise UserError(f"{data} is not empty; restore into a directory that does not exist yet, and look at it first")
    if not (copy / STORE).is_dir():
        raise UserError(f"{copy} holds no back-up: there is no {STORE!r} in it; name the directory that was written")
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    Store.restore(data / STORE, copy / STORE)
    if (copy / LOG).is_dir():
        shutil.copytree(copy / LOG, data / LOG)
        (data / LOG).chmod(0o700)
    for name in (NODE, FILE):
        if (copy / name).exists():
            shutil.copy2(copy / name, data / name)
    _sync(data)


def _copy_log(log: Path, into: Path) -> None:
    """Segments in their order, the newest last; one that is forgotten meanwhile is in the store already."""
    into.mkdir(mode=0o700)
    for path in sorted(log.iterdir() if log.exists() else ()):
        with suppress(FileNotFoundError):
            shutil.copyfile(path, into / path.name)
    for path in into.iterdir():
        if not (log / path.name).exists():
            path.unlink()


def _sync(directory: Path) -> None:
    """Make a tree of files durable."""
    for path in (directory.parent, directory, *directory.rglob("*")):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
