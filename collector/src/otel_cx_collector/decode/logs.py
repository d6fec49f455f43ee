"""Counts the records of an ExportLogsServiceRequest. They are accepted, not yet read."""

from typing import Final

from otel_cx_collector.decode.counting import count_json, count_protobuf
from otel_cx_collector.decode.limits import DecodeLimits

_PROTOBUF: Final = ((1,), (2,), (2,))
"""Field numbers on the way from the request to a record: ResourceLogs, ScopeLogs, LogRecord."""
_JSON: Final = (("resourceLogs",), ("scopeLogs",), ("logRecords",))


def count(body: bytes, json: bool, limits: DecodeLimits) -> int:
    """Log records in the request. Raises BadRequest or TooLarge, nothing else."""
    return count_json(body, _JSON, limits) if json else count_protobuf(body, _PROTOBUF, limits)
