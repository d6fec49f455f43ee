"""Routes for teams that cannot touch handlers: rules read from text, from a file of such lines, from an inventory.

Not matching: `_span_routes` applies them to spans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from otel_cx._routes import RouteTable
from otel_cx.exceptions import ConfigurationError, MissingDependency

MAX_FILE_BYTES: Final = 1 << 20
"""As an inventory's limit in the collector; a larger file is not what it is taken for."""

_INVENTORY: Final = (".yaml", ".yml")
_RULE_KEYS: Final = ("step", "service", "route", "rpc")


class Rule(NamedTuple):
    """What comes in -> the step it stands for."""

    route: str | None
    """As `RouteTable` has it; None stands for every request, call and message of the service."""
    target: str
    """`journey/step`."""
    service: str | None = None
    """The `service.name` the rule is for; None: any."""


Rules = tuple[Rule, ...]


def rules_of(routes: Mapping[str, str] | Rules) -> Rules:
    """Returns `routes` as rules.

    Raises:
        ConfigurationError: neither a mapping nor rules, or one of them cannot be used.
    """
    if isinstance(routes, Mapping):
        routes = tuple(Rule(str(route), str(target)) for route, target in routes.items())
    if not isinstance(routes, tuple) or not all(isinstance(rule, Rule) for rule in routes):
        raise ConfigurationError(f"routes is {routes!r}. Use a mapping: {{'POST /pay': 'checkout/payment'}}.")
    for rule in routes:
        RouteTable({"GET /" if rule.route is None else rule.route: rule.target})
    return routes


def read_rules(text: str | None, path: str | None) -> Rules:
    """Returns the rules of `OTELCX_ROUTES` (`text`), then those of `OTELCX_ROUTES_FILE` (`path`).

    Raises:
        ConfigurationError: a rule cannot be used, or the file cannot be read.
        MissingDependency: the file is an inventory, and PyYAML is not installed.
    """
    rules = list(parse_rules("OTELCX_ROUTES", text.split(","))) if text else []
    if path:
        content = _read(path)
        if path.endswith(_INVENTORY):
            rules += inventory_rules(path, _from_yaml(path, content))
        else:
            rules += parse_rules(path, content.splitlines())
    return rules_of(tuple(rules))


def parse_rules(source: str, lines: Iterable[str]) -> Iterator[Rule]:
    """Yields the rules of lines `POST /pay=checkout/payment`; blank ones and comments (`#`) are passed over.

    >>> list(parse_rules("OTELCX_ROUTES", ["queue orders=checkout/confirm"]))
    [Rule(route='queue orders', target='checkout/confirm', service=None)]
    """
    for line in (line.strip() for line in lines):
        if not line or line.startswith("#"):
            continue
        route, equals, target = line.rpartition("=")
        if not equals:
            raise ConfigurationError(f"{source} has {line!r}, without a step. Write 'POST /pay=checkout/payment'.")
        yield Rule(route.strip(), target.strip())


def inventory_rules(source: str, inventory: Any) -> list[Rule]:
    """Returns the `match` rules of all journeys of an inventory, in the order of the file.

    Only `match` is read, and checked as far as it is read; `otel-cx-collector validate` checks the file.
    """
    journeys = inventory.get("journeys") if isinstance(inventory, dict) else None
    if not isinstance(journeys, dict):
        raise ConfigurationError(f"{source} has no journeys, so it is no inventory. Give the path of a cx.yaml.")
    rules: list[Rule] = []
    for name, journey in journeys.items():
        entries = journey.get("match") if isinstance(journey, dict) else None
        rules += [_rule(source, str(name), entry) for entry in (entries if isinstance(entries, list) else ())]
    return rules


def _rule(source: str, journey: str, entry: Any) -> Rule:
    keys = set(entry) if isinstance(entry, dict) else set()
    texts = keys and all(isinstance(value, str) for value in entry.values())
    if not texts or "step" not in keys or not keys <= set(_RULE_KEYS) or len(keys) == 1 or {"route", "rpc"} <= keys:
        raise ConfigurationError(
            f"{source}: {entry!r} of journey {journey!r} is no match rule. Write step and at least one of service, "
            "route and rpc (not both), each a text: {step: payment, service: checkout-api, route: 'POST /pay'}."
        )
    route = entry.get("route", entry.get("rpc"))
    method, space, path = (entry.get("route") or "").partition(" ")
    if space and not path.startswith("/"):  # as Django names its routes
        route = f"{method} /{path}"
    return Rule(route, f"{journey}/{entry['step']}", entry.get("service"))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:  # noqa: PTH123 - pathlib would be a third of our import time
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"OTELCX_ROUTES_FILE {path!r} cannot be read: {error}. Give the path of a readable text file."
        ) from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigurationError(f"OTELCX_ROUTES_FILE {path!r} has over {MAX_FILE_BYTES} characters. Give a table.")
    return content


def _from_yaml(path: str, content: str) -> Any:
    """Reads YAML 1.2's scalars as texts: PyYAML by itself takes a step named `on` for true, as YAML 1.1 did."""
    try:
        import yaml
    except ImportError as error:
        raise MissingDependency(
            f"{path!r} is YAML, and PyYAML cannot be imported. Install it with: pip install pyyaml"
        ) from error

    class Loader(yaml.SafeLoader):
        """Resolves only merges (`<<`); every other scalar is its text."""

        yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way of saying which there are
            "<": yaml.SafeLoader.yaml_implicit_resolvers["<"]
        }

    try:
        return yaml.load(content, Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path!r} is not YAML: {error}. Run `otel-cx-collector validate` over it.") from error
