"""Rules that no single value can break alone: references, relations, duplicates. Not shapes."""

from otel_cx_collector.inventory.file import File
from otel_cx_collector.inventory.names import Names
from otel_cx_collector.inventory.place import Report


def check(file: File, names: Names, report: Report) -> None:
    """Everything wrong with a file whose shape is right goes into ``report``."""
