"""Seen traffic -> a commented cx.yaml that ``parse`` accepts. Not an opinion on what matters: every guess is marked.

Texts from spans are hostile until shown otherwise: names are made anew, values are quoted, comments hold one printable
line each.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from pydantic import ValidationError

from otel_cx import semconv
from otel_cx_collector.inventory.file import DEFAULT_ENVIRONMENTS, MAX_ENVIRONMENTS
from otel_cx_collector.inventory.observed import Observed
from otel_cx_collector.inventory.quantities import format_time
from otel_cx_collector.inventory.shape import METHODS, Ignore, Match
from otel_cx_collector.inventory.vocabulary import MAX_VALUES, Shape

MAX_STEPS: Final = 20
"""Steps proposed for a journey, the most frequent; a service's further routes are listed as a comment."""
MAX_JOURNEYS: Final = 50
MAX_LISTED: Final = 20
"""Things listed in one comment."""

_HEALTH: Final = re.compile(
    r"/(?:[^/]+/)?(?:health|healthz|healthcheck|health-check|livez?|readyz?|liveness|readiness|ping|status|metrics|_health)/?"
    r"|/actuator/.*|/-/(?:healthy|ready)"
)
_STATIC: Final = re.compile(
    r"/(?:static|assets|public|dist|_next)(?:/.*)?|/favicon\.\w+|/robots\.txt"
    r"|.*\.(?:css|js|mjs|map|png|jpe?g|gif|svg|ico|webp|woff2?|ttf)"
)
_ATTRIBUTE: Final = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_BARE: Final = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n)$)[a-z][a-z0-9_-]*")
"""Texts that YAML 1.1 and 1.2 alike read as text without quotes."""


def draft(observations: Iterable[Observed]) -> str:
    """An inventory for this traffic. Its comments say what was seen and what was guessed."""
    seen = sorted(observations, key=lambda each: -each.spans)
    ignored = {each.route: why for each in seen if (why := _not_customers(each))}
    tagged = _by_journey(seen)
    untagged = _by_service([each for each in seen if each.route not in ignored])
    lines = [*_header(seen), *_environments(seen), *_dimensions(seen), *_identify(seen), *_ignore(seen, ignored)]
    lines += ["", "journeys:"]
    taken = set(tagged)
    for name, steps in tagged.items():
        lines += ["", *_tagged(name, steps)]
    for service, kinds in untagged.items():
        lines += ["", *_untagged(_free(_slug(service), taken), service, kinds)]
    if not tagged and not untagged:
        lines += _example()
    return "\n".join([*lines, *_left_out(seen)]) + "\n"


def _header(seen: list[Observed]) -> Iterator[str]:
    spans = sum(each.spans for each in seen)
    times = [each for each in seen if each.last_ns]
    period = ""
    if times:
        first, last = min(each.first_ns for each in times), max(each.last_ns for each in times)
        period = f", {format_time(first // 10**9 * 10**9)} to {format_time(last // 10**9 * 10**9)}"
    yield f"# Drafted from {spans} spans of {len(seen)} kinds{period}."
    yield "# It says what was seen, not what matters: remove what customers do not come for, and say what counts"
    yield "# (criticality, stage, slow_after, objectives). Guesses are marked. Check: otel-cx-collector validate"
    yield "version: 1"
    yield "# currency: EUR  # not to be seen in traffic"


def _environments(seen: list[Observed]) -> Iterator[str]:
    found = sorted({name for each in seen for name in each.environments if semconv.VALUE.fullmatch(name)})
    if not found or set(found) & set(DEFAULT_ENVIRONMENTS):
        yield f"environments: {_flow(DEFAULT_ENVIRONMENTS)}  # judged (default); seen: {_listed(found)}"
    else:
        yield f"environments: {_flow(found[:MAX_ENVIRONMENTS])}  # guessed: all that were seen; keep what customers use"


def _dimensions(seen: list[Observed]) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    for name in ("segment", "plan", "region"):
        carried = {value for each in seen for value in each.dimensions.get(name, ()) if semconv.VALUE.fullmatch(value)}
        found[name] = sorted(carried - {semconv.OTHER, semconv.UNSET})[:MAX_VALUES]
    if not any(found.values()):
        yield "# No segment, plan or region was seen: list their values under dimensions: once spans carry them."
        return
    yield "dimensions:  # values seen; what is not listed becomes other"
    for name, values in found.items():
        yield f"  {name}: {_flow(values)}" if values else f"  # {name}: none seen"


def _identify(seen: list[Observed]) -> Iterator[str]:
    ids = {name for each in seen if not each.customers for name in each.ids}
    attributes = sorted(name for name in ids if _ATTRIBUTE.fullmatch(name))
    if attributes:
        yield f"# Spans without otelcx.customer.id carry {_listed(attributes)}; to count customers by it (hashed here):"
        yield f"# identify: {{customer: {{attribute: {attributes[0]}, hash: true}}}}"


def _not_customers(each: Observed) -> str:
    method, _, path = each.route.partition(" ")
    if each.journey or method not in ("GET", "HEAD") or not _reads(Ignore, route=each.route):
        return ""
    if _HEALTH.fullmatch(path):
        return "health check"
    return "static file" if _STATIC.fullmatch(path) else ""


def _ignore(seen: list[Observed], routes: dict[str, str]) -> Iterator[str]:
    probes = sorted({probe for each in seen for probe in each.probes if _reads(Ignore, user_agent=probe)})
    if not probes and not routes:
        return
    yield "ignore:  # guessed from path and User-Agent; counted as synthetic, never as customers"
    for probe in probes:
        yield f"  - {{user_agent: {_quoted(probe)}}}"
    for route, why in sorted(routes.items()):
        yield f"  - {{route: {_quoted(route)}}}  # {why}"


def _by_journey(seen: list[Observed]) -> dict[str, list[Observed]]:
    """Tagged steps by journey, the most frequent journey first; names that cannot stand in the file are left out."""
    found: dict[str, list[Observed]] = {}
    for each in seen:
        if semconv.NAME.fullmatch(each.journey) and semconv.NAME.fullmatch(each.step):
            found.setdefault(each.journey, []).append(each)
    return dict(list(found.items())[:MAX_JOURNEYS])


def _by_service(seen: list[Observed]) -> dict[str, list[Observed]]:
    """Untagged work that a match rule can name, by service."""
    found: dict[str, list[Observed]] = {}
    for each in seen:
        if each.kind == "server" and not each.journey and _called(each):
            found.setdefault(each.service, []).append(each)
    return dict(list(found.items())[:MAX_JOURNEYS])


def _called(each: Observed) -> tuple[str, str] | None:
    """Key and value of the match rule that names this kind of request of its service; None when no rule can."""
    for key, value in (("route", each.route), ("rpc", each.rpc)):
        if value and _reads(Match, **{"step": "any", "service": each.service, key: value}):
            return key, value
    return None


def _reads(shape: type[Shape], **written: str) -> bool:
    """Whether the file may hold a mapping of these keys."""
    try:
        shape.model_validate(written)
    except ValidationError:
        return False
    return True


def _tagged(name: str, kinds: list[Observed]) -> Iterator[str]:
    order = _in_order((each.step, each) for each in kinds)
    spans = sum(each.spans for each in kinds)
    yield f"  {_quoted(name)}:  # tagged by the SDK, {spans} spans"
    if _reads(Ignore, service=kinds[0].service):
        yield f"    service: {_quoted(kinds[0].service)}  # the one with the most spans"
    if not any(each.attempts for each in kinds):
        key = "the session" if any(each.sessions for each in kinds) else "the trace"
        yield f"    # no attempt on these spans: attempts are told apart by {key}; see attempt: in the reference"
    yield "    steps:  # in the order seen within attempts; the last completes one unless another is terminal: true"
    for step, places in order[:MAX_STEPS]:
        yield f"      - {_quoted(step)}  # {sum(each.spans for each in places)} spans"
    yield from _beyond(order)


def _untagged(name: str, service: str, kinds: list[Observed]) -> Iterator[str]:
    yield f"  {_quoted(name)}:  # guessed: one journey for all untagged requests of a service; split it"
    if not any(each.entries for each in kinds):
        yield "    # every request here came from another traced service: remove it unless customers call it themselves"
    yield f"    service: {_quoted(service)}"
    taken: set[str] = set()
    order = _in_order((called[1], each) for each in kinds if (called := _called(each)))
    named = [(_free(_step_name(called), taken), places) for called, places in order[:MAX_STEPS]]
    yield "    steps:  # order guessed from sessions and traces; the last completes an attempt"
    for step, places in named:
        yield f"      - {_quoted(step)}  # {sum(each.spans for each in places)} spans"
    yield from _beyond(order)
    yield "    match:"
    for step, places in named:
        key, value = _called(places[0]) or ("", "")
        yield f"      - {{step: {_quoted(step)}, service: {_quoted(service)}, {key}: {_quoted(value)}}}"


def _in_order(kinds: Iterable[tuple[str, Observed]]) -> list[tuple[str, list[Observed]]]:
    """Kinds by what they are called: the most frequent by mean position, then when first seen; then the rest."""
    steps: dict[str, list[Observed]] = {}
    for called, each in kinds:
        steps.setdefault(called, []).append(each)

    def place(item: tuple[str, list[Observed]]) -> tuple[float, int, str]:
        known = [each for each in item[1] if each.position is not None]
        weight = sum(each.spans for each in known)
        mean = sum((each.position or 0) * each.spans for each in known) / weight if weight else 0.0
        return mean, min(each.first_ns for each in item[1]), item[0]

    frequent = sorted(steps.items(), key=lambda item: -sum(each.spans for each in item[1]))
    return sorted(frequent[:MAX_STEPS], key=place) + frequent[MAX_STEPS:]


def _beyond(order: list[tuple[str, list[Observed]]]) -> Iterator[str]:
    rest = [what for what, _ in order[MAX_STEPS:]]
    if rest:
        yield f"    # seen less often and left out: {_listed(rest)}"


def _left_out(seen: list[Observed]) -> Iterator[str]:
    """What no rule of the file can name, said at the end."""
    consumers = sorted({f"{each.destination or '?'} ({each.service})" for each in seen if _is_unnamed_consumer(each)})
    if consumers:
        yield f"# Untagged consumers, which match rules name by service alone: {_listed(consumers)}"
    bare = sorted({each.service for each in seen if each.kind == "server" and not each.journey and not _called(each)})
    if bare:
        yield f"# Server spans that no rule can tell apart (no http.route, no rpc.method) came from: {_listed(bare)}"
    refused = {each.journey for each in seen if each.journey and not semconv.NAME.fullmatch(each.journey)}
    refused |= {each.step for each in seen if each.step and not semconv.NAME.fullmatch(each.step)}
    if refused:
        yield f"# Tagged with names that are against the rules for names, and refused: {_listed(sorted(refused))}"


def _is_unnamed_consumer(each: Observed) -> bool:
    return each.kind == "consumer" and not each.journey


def _example() -> Iterator[str]:
    yield "  # Nothing was seen that could be a journey: this one is an example, so that the file can be read."
    yield "  example:"
    yield "    steps: [first, second]"


def _step_name(called: str) -> str:
    """``post-pay`` of a route, the method's name of an RPC."""
    return _slug(called if called.partition(" ")[0] in METHODS else called.rpartition("/")[2])


def _slug(text: str) -> str:
    """A name from any text."""
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-")
    return slug or "root"


def _free(name: str, taken: set[str]) -> str:
    """``name``, or ``name-2`` and so on when it is taken; it is taken afterwards."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name[:58]}-{number}", number + 1
    taken.add(free)
    return free


def _flow(values: Iterable[str]) -> str:
    return f"[{', '.join(map(_quoted, values))}]"


def _quoted(text: str) -> str:
    """A YAML scalar: bare when nothing could read it as something else, else in double quotes."""
    if _BARE.fullmatch(text):
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    return char if char.isprintable() and char not in '"\\' else f"\\U{ord(char):08x}"


def _listed(texts: Iterable[str]) -> str:
    """For a comment: one printable line."""
    each = list(texts)
    shown = ", ".join("".join(char if char.isprintable() else "?" for char in text[:80]) for text in each[:MAX_LISTED])
    return (shown or "none") + (f" and {len(each) - MAX_LISTED} more" if len(each) > MAX_LISTED else "")
