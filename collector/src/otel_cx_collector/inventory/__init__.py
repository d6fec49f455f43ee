"""The file that governs every other stage: model, loader with line numbers, explanation."""

from otel_cx_collector.inventory.drafting import draft
from otel_cx_collector.inventory.explanation import explain
from otel_cx_collector.inventory.model import Dimension, Identify, Inventory, Journey
from otel_cx_collector.inventory.observed import Observed
from otel_cx_collector.inventory.reading import load, parse
from otel_cx_collector.inventory.schema import json_schema
from otel_cx_collector.inventory.shape import (
    Action,
    ErrorRule,
    Ignore,
    Kpi,
    Maintenance,
    Match,
    Objective,
    Step,
)

__all__ = [
    "Action",
    "Dimension",
    "ErrorRule",
    "Identify",
    "Ignore",
    "Inventory",
    "Journey",
    "Kpi",
    "Maintenance",
    "Match",
    "Objective",
    "Observed",
    "Step",
    "draft",
    "explain",
    "json_schema",
    "load",
    "parse",
]
