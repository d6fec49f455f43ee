"""The trust boundary for business baggage: whose members are believed on the way in, who is sent them on the way out.

Pure decisions over text and settings; the propagator applies them. Not authentication of the caller.
"""

from __future__ import annotations

import fnmatch
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from opentelemetry import baggage
from opentelemetry.trace import SpanKind

from otel_cx import semconv
from otel_cx._diagnostics import Reason, count
from otel_cx._hosts import host_of, matches, normal
from otel_cx._settings import runtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from otel_cx._settings import Settings

HEADER: Final = "baggage"
MAX_HEADER_BYTES: Final = 8192
"""All `baggage` lines of a request together, as W3C Baggage 3.3.2; over it nothing is read, split or logged."""
MAX_MEMBERS: Final = 16
"""Members of ours, in and out: twice the vocabulary leaves room, and a fan-out stays cheap."""
MAX_BYTES: Final = 2048
"""Bytes of ours, in and out: a quarter of what W3C lets everybody have together."""

_BROWSERS: Final = (semconv.JOURNEY_ATTEMPT,)
_URL_ATTRIBUTES: Final = ("url.full", "http.url")
_HOST_ATTRIBUTES: Final = ("server.address", "net.peer.name")
_DESTINATION_ATTRIBUTES: Final = ("messaging.destination.name", "messaging.destination")
_EGRESS: Final = "_otelcx_egress"
_EVERY_HOP: Final = ("opentelemetry.instrumentation.httpx",)
"""Instrumentations that inject anew at every hop; the others' headers would follow a redirect to a foreign host."""
checked_libraries: Final[set[str]] = set()
"""Instrumentations of libraries in which every hop passes `check_hop`, by our own instrumentor of the library."""
told_later: Final[set[str]] = set()
"""Instrumentations that inject before the host is known, whose calls pass us again when it is (`going_to`)."""


class GoingTo(NamedTuple):
    """Where a call goes whose span does not say it."""

    host: str
    method: str
    """The call's full name, which its span must bear: another call made meanwhile goes elsewhere."""


going_to: Final[ContextVar[GoingTo | None]] = ContextVar("otelcx-going-to", default=None)
"""Where the call goes that is being started here, from the channel it is made on."""

Members = list[tuple[str, str]]
"""Members of ours as they came: (name, raw value), in order, the same name perhaps twice."""


def split_members(lines: Iterable[str]) -> tuple[str, Members]:
    """Returns (what is not ours, as one header line; our members) of all `baggage` lines together.

    The total is bounded before anything is split; of a member of ours, everything after `;` is cut off.
    """
    present = list(lines)
    if sum(map(len, present)) + len(present) > MAX_HEADER_BYTES:
        count(Reason.BAGGAGE_OVERSIZE)
        return "", []
    return _parted(",".join(present))


def _parted(line: str) -> tuple[str, Members]:
    if semconv.PREFIX not in line and "%" not in line:
        return line, []
    theirs: list[str] = []
    ours: Members = []
    for member in line.split(","):
        name, _, value = member.partition("=")
        name = unquote(name).strip()
        if name.startswith(semconv.PREFIX):
            ours.append((name, value.partition(";")[0].strip()))
        else:
            theirs.append(member)
    return ",".join(theirs), ours


def believed(members: Members, settings: Settings) -> dict[str, str]:
    """Returns those of our incoming members that the settings let in, checked: name -> value."""
    if not members:
        return {}
    if len(members) > MAX_MEMBERS or sum(len(n) + len(v) + 2 for n, v in members) > MAX_BYTES:
        count(Reason.BAGGAGE_OVERSIZE)
        return {}
    values = dict(members)
    if settings.trust == "all":
        return checked(values)
    if settings.trust == "signed" and len(values) == len(members) and _is_signed(values, settings):
        return checked(values)
    alone = {name: values[name] for name in _BROWSERS if settings.browser_attempt and name in values}
    if len(values) > len(alone):
        count(Reason.BAGGAGE_SIGNATURE if settings.trust == "signed" else Reason.BAGGAGE_UNTRUSTED)
    return checked(alone)


def checked(members: Mapping[str, Any]) -> dict[str, str]:
    """Returns the members whose value has its shape. A raw id in place of a pseudonym goes no further."""
    values: dict[str, str] = {}
    for name in semconv.CONTEXT:
        if name not in members:
            continue
        value = unquote(str(members[name]))
        if _SHAPES.get(name, semconv.VALUE).fullmatch(value):
            values[name] = value
        else:
            count(Reason.BAGGAGE_INVALID)
    return values


_SHAPES: Final = {
    semconv.JOURNEY_NAME: semconv.NAME,
    semconv.CUSTOMER_ID: semconv.PSEUDONYM,
    semconv.ACCOUNT_ID: semconv.PSEUDONYM,
}


def _is_signed(members: Mapping[str, str], settings: Settings) -> bool:
    values = {name: unquote(value) for name, value in members.items() if name != semconv.SIGNATURE}
    signature = unquote(members.get(semconv.SIGNATURE, ""))
    return settings.keys is not None and settings.keys.verify(values, signature)


def members_in_process(context: Context) -> dict[str, Any]:
    """Returns members the application itself put, or read, into OpenTelemetry baggage; believed with trust=all."""
    if runtime.settings.trust != "all":
        return {}
    present = baggage.get_all(context)
    return checked(present) if present else {}


def outgoing(attributes: Mapping[str, Any], settings: Settings) -> dict[str, str]:
    """Returns the members to send for a span's context attributes, signed when there is a key, within our limits."""
    members = {name: str(attributes[name]) for name in semconv.CONTEXT if name in attributes}
    if members and settings.keys is not None:
        members[semconv.SIGNATURE] = settings.keys.sign(members)
    if len(members) > MAX_MEMBERS or sum(len(n) + len(v) + 2 for n, v in members.items()) > MAX_BYTES:
        count(Reason.BAGGAGE_OVERSIZE)
        return {}
    return members


def strip(carrier: Any) -> bool:
    """Removes our members from a header that is there already, and tells whether it held any.

    A redirect carries the headers of the call before it, and an application may hand on those it was sent, which of
    Kafka are a list of pairs.
    """
    if isinstance(carrier, list):
        return _strip_pairs(carrier)
    if not isinstance(carrier, MutableMapping) or HEADER not in carrier:
        return False
    several = getattr(carrier, "getall", None)  # a multidict: `get` would show the first line alone
    lines = several(HEADER) if several is not None else [carrier[HEADER]]
    texts = [line.decode("latin-1") if isinstance(line, bytes) else line for line in lines]
    if not all(isinstance(text, str) for text in texts):
        return False
    theirs, ours = _parted(",".join(texts))
    if ours and theirs:
        carrier[HEADER] = theirs
    elif ours:
        del carrier[HEADER]
    return bool(ours)


def _strip_pairs(carrier: list[Any]) -> bool:
    held = False
    for place in reversed(range(len(carrier))):
        name, value = carrier[place]
        if str(name).lower() != HEADER or not isinstance(value, str | bytes):
            continue
        theirs, ours = _parted(value.decode("latin-1") if isinstance(value, bytes) else value)
        if not ours:
            continue
        held = True
        if theirs:
            carrier[place] = (name, theirs.encode("latin-1") if isinstance(value, bytes) else theirs)
        else:
            del carrier[place]
    return held


def check_hop(url: object, headers: Any) -> None:
    """Takes our members off the headers of one request when the host of its URL may not see them. Never raises.

    The last word before a client library sends, whoever put them there: the propagator for the hop before, or the
    application.
    """
    try:
        if headers is not None and HEADER in headers and not _may_see(url) and strip(headers):
            count(Reason.EGRESS_DENIED)
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)


def _may_see(url: object) -> bool:
    try:
        return host_allowed(host_of(str(url)), runtime.settings)
    except Exception as error:  # noqa: BLE001 - what cannot be decided stays here
        count(Reason.INTERNAL, error)
        return False


def may_leave(span: Span, settings: Settings) -> bool:
    """Tells whether the call that `span` stands for goes to a service that may see the customer's context.

    A hook's word counts. Without one the destination is read off the attributes the instrumentation started its span
    with: for messages always, for HTTP calls where every hop of a redirect is a span of its own. What cannot be told is
    not allowed.
    """
    told: bool | None = getattr(span, _EGRESS, None)
    if told is not None:
        return told
    kind = getattr(span, "kind", None)
    attributes: Mapping[str, Any] = getattr(span, "attributes", None) or {}
    if kind is SpanKind.CLIENT:
        library = _scope_of(span)
        if library in told_later:
            goes = going_to.get()
            return goes is not None and is_call_of(span, goes) and host_allowed(goes.host, settings)
        redirects_are_seen = library in _EVERY_HOP or library in checked_libraries
        return redirects_are_seen and host_allowed(_host_of(attributes), settings)
    if kind is SpanKind.PRODUCER:
        return destination_allowed(_first(attributes, _DESTINATION_ATTRIBUTES), settings)
    return False


def is_call_of(span: Span, goes: GoingTo) -> bool:
    """Tells whether `span` is an instrumentation's, of the call that goes there."""
    if getattr(span, "kind", None) is not SpanKind.CLIENT or _scope_of(span) not in told_later:
        return False
    return bool(getattr(span, "name", None) == goes.method)


def is_undecided(span: Span) -> bool:
    """Tells whether the call comes by again when its host is known, so that nothing was denied yet."""
    return going_to.get() is None and _scope_of(span) in told_later


def _scope_of(span: Span) -> str:
    return str(getattr(getattr(span, "instrumentation_scope", None), "name", ""))


def host_allowed(host: str, settings: Settings) -> bool:
    """Tells whether `host` (no port) is on the allow-list or inside the cluster."""
    name = normal(host)
    return name.endswith(settings.cluster_suffixes) or matches(name, settings.egress_hosts)


def destination_allowed(destination: str, settings: Settings) -> bool:
    """Tells whether the queue or topic `destination` is on the allow-list."""
    return bool(destination) and any(fnmatch.fnmatchcase(destination, p) for p in settings.egress_destinations)


def _host_of(attributes: Mapping[str, Any]) -> str:
    url = _first(attributes, _URL_ATTRIBUTES)
    return host_of(url) if url else _first(attributes, _HOST_ATTRIBUTES)


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((str(attributes[name]) for name in names if attributes.get(name)), "")


def egress_hook(span: Span, request: Any) -> None:
    """Decides for one HTTP call from the request itself: the `request_hook` of the requests and httpx instrumentations.

    requests follows redirects inside one span and copies the headers of the first hop, so there the members are taken
    off again before the second.
    """
    try:
        allowed = host_allowed(host_of(str(request.url)), runtime.settings)
        setattr(span, _EGRESS, allowed)
        if allowed and hasattr(request, "register_hook"):
            request.register_hook("response", _strip_answered)
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)


def _strip_answered(response: Any, **_: Any) -> None:
    try:
        strip(response.request.headers)
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)


async def async_egress_hook(span: Span, request: Any) -> None:
    """The same for asynchronous clients: the `async_request_hook` of the httpx instrumentation."""
    egress_hook(span, request)
