"""Erases one customer or one account: from the log, the store and control's working state. Not whom a raw id means.

Roll-ups keep their counts: they name nobody. See docs/how-to/erase.md.
"""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from otel_cx_collector.errors import UserError
from otel_cx_collector.log import Log
from otel_cx_collector.log import erase as erase_log
from otel_cx_collector.store import Store

Column = Literal["customer", "account"]

ERASED: Final = "erased"
"""What stands where a pseudonym stood, in what must go on being read."""
_PSEUDONYM: Final = re.compile(r"[A-Za-z0-9_-]{1,16}\.[A-Za-z0-9_-]{22}")
_NAMES_AN_ACCOUNT: Final = ("name", "arr", "renewal_due")
_PACKED: Final = "harmed/"


class Texts(Protocol):
    """Control's working state; ``state.State`` is one."""

    def erase(self, pseudonym: str, change: Callable[[str, str], str]) -> dict[str, int]:
        """Rewrite every text that may hold a pseudonym; how many were changed, by table."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """What was erased."""

    column: Column
    pseudonym: str
    log: int
    """Rows that were not in the store yet."""
    store: dict[str, int]
    """Copies of rows, by table."""
    state: dict[str, int]
    """Texts changed, by table."""

    def __str__(self) -> str:
        """For people."""
        parts = {"log": self.log, **self.store, **self.state}
        return "\n".join(
            [f"{self.column} {self.pseudonym} is erased:", *(f"  {name}: {count}" for name, count in parts.items())]
        )


def erase(
    column: Column,
    pseudonym: str,
    log: Log,
    store: Store,
    state: Texts,
    flushed: Callable[[], object] = lambda: None,
) -> Report:
    """Erase everything that is stored of one customer or account; doing it again erases what came since.

    ``flushed`` blocks until what was read from the log has reached the store; where nothing reads it, it does nothing.
    Figures in memory go with the process's next start.

    Raises:
        UserError: It is no pseudonym, or the disk has no room for a segment of the log.
        StoreError, Unavailable: Something is away. What was erased so far stays so; try again.
    """
    if not _PSEUDONYM.fullmatch(pseudonym):
        raise UserError(
            f"{pseudonym!r} is no pseudonym, which is a key id, a dot and 22 characters; give the raw id instead, and "
            f"the key file it was hashed with"
        )
    flushed()
    return Report(
        column=column,
        pseudonym=pseudonym,
        log=erase_log(log, column, pseudonym),
        store=store.erase(column, pseudonym),
        state=state.erase(pseudonym, partial(without, pseudonym)),
    )


def without(pseudonym: str, name: str, text: str) -> str:
    """A text of the working state in which the pseudonym no longer is. JSON, or words that people wrote."""
    try:
        value = json.loads(text)
    except ValueError:
        return text.replace(pseudonym, ERASED)
    if name.startswith(_PACKED):
        scrubbed: Any = {day: _table(packed, pseudonym) for day, packed in value.items()}
    else:
        scrubbed = _scrubbed(value, pseudonym)
    return text if scrubbed == value else json.dumps(scrubbed, ensure_ascii=False, separators=(",", ":"))


def _scrubbed(value: Any, pseudonym: str) -> Any:
    if isinstance(value, str):
        return value.replace(pseudonym, ERASED)
    if isinstance(value, list):
        return [_scrubbed(each, pseudonym) for each in value if each != pseudonym]
    if isinstance(value, dict):
        named = value.get("account") == pseudonym
        return {
            key.replace(pseudonym, ERASED): None if named and key in _NAMES_AN_ACCOUNT else _scrubbed(each, pseudonym)
            for key, each in value.items()
        }
    return value


def _table(packed: str, pseudonym: str) -> str:
    """A day of harmed customers (``measure.ledger``) without the customer; an account's customers belong to none."""
    table = pa.ipc.open_stream(base64.b64decode(packed)).read_all()
    left = table.filter(pc.not_equal(table["customer"], pseudonym))
    at = left.schema.get_field_index("account")
    account = pc.if_else(pc.equal(left["account"], pseudonym), "", left["account"])
    left = left.set_column(at, left.schema.field(at), account)
    if left.equals(table):
        return packed
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, left.schema) as writer:
        writer.write_table(left)
    return base64.b64encode(sink.getvalue().to_pybytes()).decode()
