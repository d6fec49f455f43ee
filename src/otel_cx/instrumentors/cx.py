"""The SDK itself as an instrumentor: `opentelemetry-instrument` and configuration files install it. No framework's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from opentelemetry import propagate, trace

from otel_cx._install import INSTALLED, install
from otel_cx._route_rules import rules_of
from otel_cx._settings import Settings, runtime
from otel_cx.exceptions import CXError
from otel_cx.instrumentors._shape import LibraryInstrumentor
from otel_cx.propagator import CXPropagator

_logger = logging.getLogger("otel_cx")


@dataclass(frozen=True, slots=True)
class CXConfiguration:
    """What may stand under `instrumentation/development: python: cx:` in a configuration file; as in `Settings`.

    What stands there goes before the environment.
    """

    trust: str | None = None
    browser_attempt: bool | None = None
    egress_hosts: list[str] | None = None
    egress_destinations: list[str] | None = None
    cluster_suffixes: list[str] | None = None
    routes: dict[str, str] | None = None
    exact: bool | None = None
    exact_endpoint: str | None = None
    routes_file: str | None = None
    """As `OTELCX_ROUTES_FILE`; its rules come after `routes`."""
    key_file: str | None = None
    """As `OTELCX_KEY_FILE`. Keys themselves do not belong into a configuration file."""


class CXInstrumentor(LibraryInstrumentor):
    """Calls `otel_cx.install` with the global tracer provider.

    A setting that cannot be used is logged as an error, with its cure, and raises nothing: an exception here would
    take every other instrumentation of the process with it. A program of its own calls `otel_cx.install`, which raises.
    """

    requires = ("opentelemetry-sdk >= 1.30",)
    configuration: ClassVar[type] = CXConfiguration

    def _instrument(self, *, tracer_provider: Any = None, **options: Any) -> None:
        provider: Any = trace.get_tracer_provider() if tracer_provider is None else tracer_provider
        try:
            install(provider, _settings(options))
        except CXError as error:
            _logger.error("otel-cx is not installed, no journey is recorded: %s", error)  # noqa: TRY400 - says it all

    def _uninstrument(self, **_: Any) -> None:
        """Takes the guard off the propagator and forgets the settings.

        The SDK cannot take a span processor back, so spans of journeys that code opens are stamped as before.
        """
        present = propagate.get_global_textmap()
        if isinstance(present, CXPropagator):
            propagate.set_global_textmap(present.inner)
        processor = getattr(trace.get_tracer_provider(), INSTALLED, None)
        if processor is not None:
            processor.routes = None
        runtime.settings = Settings()


def _settings(options: Mapping[str, Any]) -> Settings:
    told: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in options.items()
        if value is not None and name in Settings.__dataclass_fields__
    }
    if (routes_file := options.get("routes_file")) is not None:
        read = Settings.from_env({"OTELCX_ROUTES_FILE": routes_file}).routes
        told["routes"] = rules_of(told.get("routes", ())) + rules_of(read)
    if (key_file := options.get("key_file")) is not None:
        told["keys"] = Settings.from_env({"OTELCX_KEY_FILE": key_file}).keys
    return Settings.from_env(**told)
