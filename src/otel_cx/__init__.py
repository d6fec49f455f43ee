"""otel-cx: tags OpenTelemetry spans with the customer journey they serve. It measures nothing; the collector does."""

from otel_cx import asgi, wsgi
from otel_cx._carry import carry
from otel_cx._context import identify
from otel_cx._diagnostics import diagnostics
from otel_cx._doctor import Finding, doctor
from otel_cx._install import configure, install
from otel_cx._journey import Attempt, Journey, journey
from otel_cx._settings import Settings
from otel_cx._step import Step
from otel_cx.exceptions import ConfigurationError, CXError, InvalidName, MissingDependency

__all__ = [
    "Attempt",
    "CXError",
    "ConfigurationError",
    "Finding",
    "InvalidName",
    "Journey",
    "MissingDependency",
    "Settings",
    "Step",
    "asgi",
    "carry",
    "configure",
    "diagnostics",
    "doctor",
    "identify",
    "install",
    "journey",
    "wsgi",
]
