"""Which step a server or consumer span is, by the settings' routes and what the span says of its request.

It reads spans and decides; `_arrival` makes the span the step. Works with every instrumentation, and no middleware.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from weakref import ref

from otel_cx._diagnostics import Reason, count
from otel_cx._route_rules import Rule
from otel_cx._routes import RouteTable, Target

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Span

_METHOD: Final = "http.request.method"
_OLD_METHOD: Final = "http.method"
_ROUTE: Final = "http.route"
_PATH: Final = "url.path"
_OLD_TARGET: Final = "http.target"
_OLD_URL: Final = "http.url"
"""All that some WSGI servers leave to the instrumentation."""
_RPC: Final = ("rpc.service", "rpc.method")
_DESTINATION: Final = "messaging.destination.name"
_OLD_DESTINATION: Final = "messaging.destination"
_TASK: Final = "celery.task_name"
_CELERY: Final = ("opentelemetry.instrumentation.celery", "run/")
"""Celery's instrumentation names the task in its span's name when it starts, and in an attribute only when it ends."""
_PLAIN_PATH: Final = re.compile(r"[\w./{}~%@!$&'+,;=-]+")
"""A route of other characters (`<int:site>`, `:site`) is one of the framework's, and never a path."""
_LATE: Final = frozenset(
    (_METHOD, _OLD_METHOD, _ROUTE, _PATH, _OLD_TARGET, _OLD_URL, *_RPC, _DESTINATION, _OLD_DESTINATION, _TASK)
)

MAX_UNMATCHED: Final = 16
"""Names of spans that no rule took, kept to be shown by `doctor`."""
MAX_LOOKED_AT: Final = 1_000
"""Spans after which no more names are kept: by then the routes of a service have come by."""

Attributes = Mapping[str, Any]


class SpanRoutes:
    """The rules that are for one service. The first of a route wins; exact paths go before those with parameters."""

    __slots__ = ("_everything", "_frameworks", "_table", "matched", "passed_over", "rules", "unmatched")

    def __init__(self, rules: Iterable[Rule], service: str) -> None:
        routes: dict[str, str] = {}
        self._everything: Target | None = None
        self.rules = [rule for rule in rules if rule.service in {None, service}]
        for rule in self.rules:
            if rule.route is None:  # whatever stands after it is never reached
                journey, _, step = rule.target.partition("/")
                self._everything = journey, step
                break
            routes.setdefault(rule.route, rule.target)
        self._table = RouteTable(routes)
        self._frameworks = any(
            route.partition(" ")[2].startswith("/") and not _PLAIN_PATH.fullmatch(route.partition(" ")[2])
            for route in routes
        )
        self.matched = 0
        self.passed_over = 0
        self.unmatched: dict[str, None] = {}
        """Routes, calls and destinations of spans that no rule took, without what may name a customer."""

    def find(self, span: Span) -> Target | None:
        """Returns (journey, step) of a server or consumer span, as far as it tells by now."""
        attributes = _plain(span)
        found = self._http(attributes) if _is_http(attributes) else self._named(attributes, span)
        found = found or self._everything
        if found is not None:
            self.matched += 1
        elif self.passed_over < MAX_LOOKED_AT:
            self._remember(attributes)
        return found

    def may_follow(self, span: Span) -> bool:
        """Tells whether `span` may still be told something that decides."""
        attributes = _plain(span)
        if _is_http(attributes):
            return self._frameworks and _ROUTE not in attributes
        return _RPC[1] not in attributes and _DESTINATION not in attributes and _OLD_DESTINATION not in attributes

    def watch(self, span: Span, decide: Callable[[Span], bool]) -> None:
        """Calls `decide` each time `span` is told more of its request, until it answers True.

        Messaging instrumentations tell the destination, and Django's the route, after the start. The SDK has no public
        call for that, so this one span's `set_attribute` and `set_attributes` are ours.
        """
        _Listener(span, decide).listen(span)

    def _http(self, attributes: Attributes) -> Target | None:
        get = attributes.get
        method = get(_METHOD) or get(_OLD_METHOD)
        if not isinstance(method, str):
            return None
        route = get(_ROUTE)
        if isinstance(route, str):
            found = self._table.find(method, route if route.startswith("/") else f"/{route}")
            if found is not None:
                return found
        path = get(_PATH) or get(_OLD_TARGET) or get(_OLD_URL)
        return self._table.find(method, _path_of(path)) if isinstance(path, str) else None

    def _named(self, attributes: Attributes, span: Span) -> Target | None:
        call = _call(attributes)
        if call is not None:
            return self._table.find_name("rpc", call)
        found = None
        destination = attributes.get(_DESTINATION) or attributes.get(_OLD_DESTINATION)
        if destination is not None:
            found = self._table.find_name("queue", str(destination))
        task = attributes.get(_TASK) or _celery_task(span)
        return found or (None if task is None else self._table.find_name("task", str(task)))

    def _remember(self, attributes: Attributes) -> None:
        self.passed_over += 1
        name = _call(attributes) or attributes.get(_DESTINATION) or attributes.get(_OLD_DESTINATION)
        if _is_http(attributes):
            # A path may hold a customer's id; the pattern it was routed by does not.
            method = attributes.get(_METHOD) or attributes.get(_OLD_METHOD)
            name = f"{method} {attributes.get(_ROUTE) or '(no http.route)'}"
        if name is not None and len(self.unmatched) < MAX_UNMATCHED:
            self.unmatched.setdefault(str(name))


class _Listener:
    """Sees what is set on one span, and looks again. Holds it weakly: no circle for the garbage collector."""

    __slots__ = ("_decide", "_span")

    def __init__(self, span: Span, decide: Callable[[Span], bool]) -> None:
        self._span = ref(span)
        self._decide = decide

    def listen(self, span: Span) -> None:
        """Puts itself in place of the span's two setters."""
        vars(span).update(set_attribute=self._set_attribute, set_attributes=self._set_attributes)

    def _set_attribute(self, key: str, value: Any) -> None:
        span = self._span()
        if span is not None:
            type(span).set_attribute(span, key, value)
            self._heard((key,), span)

    def _set_attributes(self, attributes: Mapping[str, Any]) -> None:
        span = self._span()
        if span is not None:
            type(span).set_attributes(span, attributes)
            self._heard(attributes, span)

    def _heard(self, names: Iterable[str], span: Span) -> None:
        try:
            if _LATE.isdisjoint(names) or not span.is_recording():
                return
            for setter in ("set_attribute", "set_attributes"):  # to decide sets attributes itself
                vars(span).pop(setter, None)
            if not self._decide(span):
                self.listen(span)
        except Exception as error:  # noqa: BLE001 - never the application's failure
            count(Reason.INTERNAL, error)


def _plain(span: Span) -> Attributes:
    """The span's attributes; the dictionary inside, where it has the known shape: a miss there costs no exception."""
    own = getattr(getattr(span, "_attributes", None), "_dict", None)
    return own if type(own) is dict else dict(span.attributes or {})


def _is_http(attributes: Attributes) -> bool:
    return _METHOD in attributes or _OLD_METHOD in attributes


def _path_of(target: str) -> str:
    """Returns the path of a request target or a whole URL (RFC 9112, 3.2), without its query."""
    if target.startswith("/"):
        return target.partition("?")[0]
    try:
        return urlsplit(target).path or "/"
    except ValueError:
        return target


def _call(attributes: Attributes) -> str | None:
    """Returns `package.Service/Method`; newer conventions give both in `rpc.method`."""
    service, method = (attributes.get(name) for name in _RPC)
    if not isinstance(method, str):
        return None
    name = method.lstrip("/")
    return f"{service}/{name}" if isinstance(service, str) and "/" not in name else name


def _celery_task(span: Span) -> str | None:
    scope, prefix = _CELERY
    name = span.name
    if not name.startswith(prefix) or getattr(span.instrumentation_scope, "name", "") != scope:
        return None
    return name.removeprefix(prefix)
