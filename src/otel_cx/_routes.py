"""Routes: what a request, call, message or task is called -> the step it stands for. It dispatches nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from otel_cx._values import static_name
from otel_cx.exceptions import ConfigurationError

Routes = Mapping[str, str]
"""One of the four ways to write what comes in -> `"journey/step"`:

`"POST /path/{parameter}"`, `"package.Service/Method"` (RPC), `"queue NAME"`, `"task NAME"`.
"""

Target = tuple[str, str]
"""(journey, step)."""

_HTTP: Final = re.compile(r"([A-Z]+) (/\S*)")
_RPC: Final = re.compile(r"[A-Za-z_][\w.]*/\w+")
_NAMED: Final = re.compile(r"(queue|task) (\S+)")


class RouteTable:
    """Routes, compiled. The first that matches in the order given wins.

    >>> table = RouteTable({"GET /sites/{site}": "dns/show", "shop.Checkout/Pay": "checkout/payment"})
    >>> table.find("GET", "/sites/42")
    ('dns', 'show')
    >>> table.find_name("rpc", "shop.Checkout/Pay")
    ('checkout', 'payment')

    Raises:
        ConfigurationError: a route in none of the four ways, or a target that is not "journey/step".
    """

    __slots__ = ("_exact", "_names", "_patterns")

    def __init__(self, routes: Routes) -> None:
        self._exact: dict[tuple[str, str], Target] = {}
        self._names: dict[tuple[str, str], Target] = {}
        with_parameters: dict[str, list[tuple[str, Target]]] = {}
        for route, target in routes.items():
            self._add(route, _target(route, target), with_parameters)
        self._patterns = {method: _first_of(listed) for method, listed in with_parameters.items()}

    def __bool__(self) -> bool:
        return bool(self._exact or self._patterns or self._names)

    def find(self, method: str, path: str) -> Target | None:
        """Returns (journey, step) of an HTTP request; exact paths go before those with parameters."""
        exact = self._exact.get((method, path))
        if exact is not None or method not in self._patterns:
            return exact
        pattern, targets = self._patterns[method]
        found = pattern.fullmatch(path)
        return None if found is None or found.lastindex is None else targets[found.lastindex - 1]

    def find_name(self, kind: str, name: str) -> Target | None:
        """Returns (journey, step) of a call (`rpc`), a message (`queue`) or a task (`task`) of this name."""
        return self._names.get((kind, name))

    def _add(self, route: str, target: Target, with_parameters: dict[str, list[tuple[str, Target]]]) -> None:
        if http := _HTTP.fullmatch(route):
            method, path = http.groups()
            if "{" in path:
                with_parameters.setdefault(method, []).append((_pattern(path), target))
            else:
                self._exact.setdefault((method, path), target)
        elif named := _NAMED.fullmatch(route):
            kind, name = named.groups()
            self._names.setdefault((kind, name), target)
        elif _RPC.fullmatch(route):
            self._names.setdefault(("rpc", route), target)
        else:
            raise ConfigurationError(
                f"The route {route!r} cannot be used. Write 'POST /pay', 'shop.Checkout/Pay', 'queue orders' or "
                "'task billing.charge'."
            )


def _pattern(path: str) -> str:
    return "[^/]+".join(re.escape(part) for part in re.split(r"\{[^{}/]*\}", path))


def _first_of(listed: list[tuple[str, Target]]) -> tuple[re.Pattern[str], tuple[Target, ...]]:
    """One expression for all, a group for each: a path of no route costs one search, however many there are."""
    return re.compile("|".join(f"({pattern})" for pattern, _ in listed)), tuple(target for _, target in listed)


def _target(route: str, target: str) -> Target:
    journey, slash, step = target.partition("/")
    if not slash:
        raise ConfigurationError(f"The route {route!r} leads to {target!r}. Write 'journey/step', as in the inventory.")
    return static_name("journey", journey), static_name("step", step)
