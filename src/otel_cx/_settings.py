"""The settings, frozen and checked at start, and where the process keeps them. The only reader of the environment."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from opentelemetry import trace
from opentelemetry.trace import Tracer

from otel_cx._hosts import check_patterns
from otel_cx._route_rules import Rules, read_rules, rules_of
from otel_cx.exceptions import ConfigurationError
from otel_cx.pseudonym import Keyring

Trust = Literal["none", "signed", "all"]

_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("", "0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator decides. `Settings()` is the safe edge: believe nobody, send context to nobody.

    >>> Settings(trust="all", egress_destinations=("deployments",)).trust
    'all'
    """

    trust: Trust = "none"
    """Whose incoming `otelcx.*` baggage is believed: `none` (an edge), `signed` (carries a valid `otelcx.sig`), `all`
    (only services of yours can reach this one). Environment: `OTELCX_TRUST`."""

    browser_attempt: bool = False
    """An edge takes the attempt id, and nothing else, from unsigned baggage. Environment: `OTELCX_BROWSER_ATTEMPT`."""

    egress_hosts: tuple[str, ...] = ()
    """Hosts that are sent the customer's context with a call: `billing`, `*.internal`, `10.0.0.*`, `::1`. A `*` in
    front stands for anything, elsewhere it stays in one label. Environment: `OTELCX_EGRESS_HOSTS`, separated by
    commas."""

    egress_destinations: tuple[str, ...] = ()
    """Queues and topics that are sent it with a message; `*` likewise. Environment: `OTELCX_EGRESS_DESTINATIONS`."""

    cluster_suffixes: tuple[str, ...] = (".svc", ".svc.cluster.local")
    """Endings of host names that only resolve inside the cluster. Environment: `OTELCX_CLUSTER_SUFFIXES`."""

    keys: Keyring | None = field(default=None, repr=False)
    """Keys for pseudonyms and signatures; without one, customers and accounts are not recorded. Environment:
    `OTELCX_KEY` (`<key id>:<secret>`) or `OTELCX_KEY_FILE` (one key a line, the first in use)."""

    routes: Mapping[str, str] | Rules = ()
    """Server and consumer spans that are steps, for code that nobody changes: `{"POST /pay": "checkout/payment"}`.
    Environment: `OTELCX_ROUTES` (`POST /pay=checkout/payment, queue orders=checkout/confirm`) and after it
    `OTELCX_ROUTES_FILE`: one such rule a line, or an inventory (`.yaml`), whose `match` rules are read."""

    exact: bool = False
    """Under head sampling every step is recorded and sent to the collector all the same, so that its figures are exact;
    other exporters get sampled traces alone. Environment: `OTELCX_EXACT`."""

    exact_endpoint: str | None = None
    """Where steps are sent for it, if that is not where traces go. Environment: `OTELCX_EXACT_ENDPOINT`."""

    def __post_init__(self) -> None:
        rules_of(self.routes)
        if self.trust not in get_args(Trust):
            raise ConfigurationError(f"trust is {self.trust!r}. Use one of: none, signed, all.")
        if self.trust == "signed" and self.keys is None:
            raise ConfigurationError("trust is 'signed', but there is no key to verify with. Set OTELCX_KEY_FILE.")
        for name in ("egress_hosts", "egress_destinations", "cluster_suffixes"):
            if isinstance(getattr(self, name), str):
                raise ConfigurationError(f"{name} is the string {getattr(self, name)!r}. Use a tuple of strings.")
        check_patterns("egress_hosts", self.egress_hosts)
        if self.exact_endpoint is not None and not self.exact_endpoint.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"exact_endpoint is {self.exact_endpoint!r}. Write a URL, as for OTEL_EXPORTER_OTLP_ENDPOINT: "
                "http://collector:4317."
            )
        for suffix in self.cluster_suffixes:
            if not suffix.startswith("."):
                raise ConfigurationError(f"cluster suffix {suffix!r} has no dot in front. Write '.{suffix}'.")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> "Settings":
        """Reads `OTELCX_*`; `overrides` are fields that win over the environment.

        Raises:
            ConfigurationError: a value cannot be used, or a file cannot be read.
            MissingDependency: `OTELCX_ROUTES_FILE` is an inventory, and PyYAML is not installed.
        """
        env = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        if trust := env.get("OTELCX_TRUST"):
            values["trust"] = trust.strip().lower()
        if flag := env.get("OTELCX_BROWSER_ATTEMPT"):
            values["browser_attempt"] = _boolean("OTELCX_BROWSER_ATTEMPT", flag)
        if flag := env.get("OTELCX_EXACT"):
            values["exact"] = _boolean("OTELCX_EXACT", flag)
        if endpoint := env.get("OTELCX_EXACT_ENDPOINT"):
            values["exact_endpoint"] = endpoint.strip()
        for name in ("egress_hosts", "egress_destinations", "cluster_suffixes"):
            if listed := env.get(f"OTELCX_{name.upper()}"):
                values[name] = tuple(item.strip() for item in listed.split(",") if item.strip())
        if "routes" not in overrides:
            values["routes"] = read_rules(env.get("OTELCX_ROUTES"), env.get("OTELCX_ROUTES_FILE"))
        if "keys" not in overrides:
            values["keys"] = _keys(env)
        return cls(**{**values, **overrides})


def _boolean(name: str, text: str) -> bool:
    lowered = text.strip().lower()
    if lowered not in _TRUE + _FALSE:
        raise ConfigurationError(f"{name} is {text!r}. Use true or false.")
    return lowered in _TRUE


def _keys(env: Mapping[str, str]) -> Keyring | None:
    inline, path = env.get("OTELCX_KEY"), env.get("OTELCX_KEY_FILE")
    if inline and path:
        raise ConfigurationError("OTELCX_KEY and OTELCX_KEY_FILE are both set. Unset one of them.")
    if inline:
        return Keyring.parse(inline)
    if not path:
        return None
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib would be a third of our import time
            return Keyring.parse(file.read())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"OTELCX_KEY_FILE {path!r} cannot be read: {error}. Give the path of a readable text file."
        ) from error


class Runtime:
    """What `install` set for this process: the settings, and the tracer that steps are opened with."""

    __slots__ = ("exports", "on_install", "sampler_is_blind", "settings", "tracer")

    def __init__(self) -> None:
        self.settings = Settings()
        self.tracer: Tracer = trace.get_tracer("otel_cx")
        self.sampler_is_blind = False
        """The sampler is known to look at no attribute, so a step's span need not be started with any for it."""
        self.exports = True
        """`configure` sends to a collector. The pytest plugin switches it off."""
        self.on_install: Callable[[Any], None] | None = None
        """Told of each tracer provider `install` was given. The pytest plugin's."""


runtime: Final = Runtime()
