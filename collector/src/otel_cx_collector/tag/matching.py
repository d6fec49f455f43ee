"""Which step an untagged span is an execution of, and which spans are synthetic: ``match`` and ``ignore``, compiled."""

from itertools import product
from typing import Final, NamedTuple

from otel_cx import semconv
from otel_cx_collector.decode.span import CONSUMER, SERVER, Scalar, Span, label
from otel_cx_collector.inventory import Ignore, Inventory, Journey, Match, Step

HTTP_METHODS: Final = ("http.request.method", "http.method")
HTTP_ROUTES: Final = ("http.route", "http.target", "url.path")
"""The new names and the old; a path where the server has no routes."""
RPC: Final = ("rpc.service", "rpc.method")
USER_AGENTS: Final = ("user_agent.original", "http.user_agent")

_KINDS: Final = frozenset({SERVER, CONSUMER})

Mapped = tuple[Journey, Step]


class _Traits(NamedTuple):
    """What rules look at in a span."""

    service: str
    route: str | None
    """``POST /pay``."""
    rpc: str | None
    """``shop.Checkout/Confirm``."""


class MatchRules:
    """The journeys' ``match`` rules: the first in the file wins, however many there are."""

    def __init__(self, inventory: Inventory) -> None:
        rules = [(journey, rule) for journey in inventory.journeys.values() for rule in journey.match]
        self._first: dict[tuple[str | None, str | None, str | None], tuple[int, Mapped]] = {}
        for number, (journey, rule) in enumerate(rules):
            service = None if rule.service is None else label(rule.service)
            self._first.setdefault((service, rule.route, rule.rpc), (number, (journey, journey.step(rule.step))))
        self.needles: dict[str, tuple[bytes, ...]] = {}
        for _, rule in rules:
            if rule.service is not None:
                name = label(rule.service)
                self.needles[name] = _with(self.needles.get(name, ()), _needle(rule))
        self.needles_of_any: tuple[bytes, ...] = ()
        for _, rule in rules:
            if rule.service is None:
                self.needles_of_any = _with(self.needles_of_any, _needle(rule))
        self.attributes = frozenset((*HTTP_METHODS, *HTTP_ROUTES, *RPC) if rules else ())

    def find(self, span: Span) -> Mapped | None:
        """Journey and step of a span that names no journey itself; None when no rule maps it."""
        if not self._first or span.kind not in _KINDS or semconv.JOURNEY_NAME in span.attributes:
            return None
        traits = _traits(span)
        keys = product(*({value, None} for value in traits))
        found = [self._first[key] for key in keys if key in self._first]
        return min(found, key=_number)[1] if found else None


def _number(found: tuple[int, Mapped]) -> int:
    return found[0]


def _with(needles: tuple[bytes, ...], needle: bytes) -> tuple[bytes, ...]:
    return needles if needle in needles else (*needles, needle)


def _needle(rule: Match) -> bytes:
    """A text that stands in every span the rule maps; ``b""`` when there is none."""
    if rule.route is not None:
        return rule.route.partition(" ")[2].encode()
    return b"" if rule.rpc is None else rule.rpc.partition("/")[0].encode()


def _traits(span: Span) -> _Traits:
    attributes = span.attributes
    return _Traits(span.resource.service, route_of(attributes), rpc_of(attributes))


def _first_of(attributes: dict[str, Scalar], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str):
            return value
    return None


def route_of(attributes: dict[str, Scalar]) -> str | None:
    """Method and route of an HTTP server span; a path without its query where there is no route."""
    method = _first_of(attributes, HTTP_METHODS)
    route = _first_of(attributes, HTTP_ROUTES)
    if method is None or route is None:
        return None
    return f"{method} {route.partition('?')[0]}"


def rpc_of(attributes: dict[str, Scalar]) -> str | None:
    """Service and method of an RPC span; newer conventions give both in ``rpc.method``."""
    service, method = (attributes.get(name) for name in RPC)
    if not isinstance(method, str):
        return None
    name = method.lstrip("/")
    return f"{service}/{name}" if isinstance(service, str) and "/" not in name else name


class IgnoreRules:
    """The inventory's ``ignore``: an entry matches when all its keys do, a user agent by its beginning."""

    def __init__(self, inventory: Inventory) -> None:
        self._entries = inventory.ignore
        self.attributes = frozenset(
            {name for each in self._entries if each.route for name in (*HTTP_METHODS, *HTTP_ROUTES)}
            | {name for each in self._entries if each.user_agent for name in USER_AGENTS}
        )

    def match(self, span: Span) -> bool:
        """Whether any entry matches."""
        return any(_ignored(each, span) for each in self._entries)


def _ignored(entry: Ignore, span: Span) -> bool:
    attributes = span.attributes
    return (
        (entry.service is None or label(entry.service) == span.resource.service)
        and (entry.route is None or entry.route == route_of(attributes))
        and (entry.user_agent is None or (_first_of(attributes, USER_AGENTS) or "").startswith(entry.user_agent))
    )
