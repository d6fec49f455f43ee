"""A batch on its way to the disk, as the log writes it. Not the writing."""

import zlib
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from otel_cx_collector.errors import CollectorError
from otel_cx_collector.log.segment import HEAD_BYTES

KNOWN_SCHEMAS: Final = 64
"""Encoded schemas that are kept; what comes beyond them is encoded anew each time."""


class BatchTooLarge(CollectorError):  # noqa: N818 - says what is wrong with the batch
    """A batch that no record may hold, however often it is sent: cut it and append the parts."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema that batches have, as the log writes it."""

    schema: pa.Schema
    crc: int
    size: int
    """Of its record."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A batch on its way to the disk, and what became of it."""

    rows: int
    schema: Schema
    body: memoryview
    crc: int
    size: int
    sequence: int = 0
    settled: bool = False
    refused: str = "the log's writer left it behind; try again"
    """Why it is not durable; empty once it is."""


class Encoder:
    """Makes records of batches. Used by many threads at once."""

    def __init__(self, batch_bytes: int) -> None:
        self._batch_bytes = batch_bytes
        self._schemas: list[Schema] = []
        """Replaced, never changed."""

    def encode(self, batch: pa.RecordBatch) -> Waiting:
        """What ``batch`` is on the disk.

        Raises BatchTooLarge for one over the limit, ValueError for dictionary-encoded columns.
        """
        body = memoryview(batch.serialize())
        if len(body) > self._batch_bytes:
            raise BatchTooLarge(
                f"a batch of {batch.num_rows} rows takes {len(body)} bytes, and the log's batch_bytes is "
                f"{self._batch_bytes}; append it in smaller parts"
            )
        schema = self._known(batch.schema)
        return Waiting(batch.num_rows, schema, body, zlib.crc32(body), HEAD_BYTES + len(body))

    def _known(self, schema: pa.Schema) -> Schema:
        for known in self._schemas:
            if known.schema.equals(schema, check_metadata=True):
                return known
        _refuse_dictionaries(schema)
        encoded = bytes(schema.serialize())
        made = Schema(schema, zlib.crc32(encoded), HEAD_BYTES + len(encoded))
        self._schemas = [*self._schemas[: KNOWN_SCHEMAS - 1], made]
        return made


def _refuse_dictionaries(schema: pa.Schema) -> None:
    for column in schema:
        if pa.types.is_dictionary(column.type):
            raise ValueError(f"column {column.name} is dictionary-encoded, which a record cannot hold; decode it")
