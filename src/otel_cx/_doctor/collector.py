"""The collector's word on a journey: known, refused and why, last seen, and traffic that no step takes. Only asks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import quote, urlsplit

from otel_cx import semconv
from otel_cx._doctor.findings import Finding, note, ok, problem

TIMEOUT_S: Final = 10.0
"""The collector answers about a journey within a second; a busy one may take some."""
SHOWN: Final = 10
"""Routes, steps or reasons named in one sentence."""
RANGE: Final = "24h"
"""How far back it is asked when a journey was last seen."""

_CURES: Final = {
    "unknown_journey": "Add the journey to the inventory, or correct its name in the code.",
    "unknown_step": "Add the step to its journey in the inventory, or correct its name in the code.",
    "no_journey": "Send journey and step together; the SDK does.",
    "too_late": "Look for exporters or queues that hold spans back for more than a day, and for clocks.",
    "in_future": "Set the sending machine's clock: it is more than five minutes ahead.",
    "bad_time": "Look for what writes spans without an end, or that end before they begin.",
    "bad_id": "Look for what writes spans without ids; every OpenTelemetry SDK gives them.",
    "too_many_attributes": "Send fewer attributes on a span, or raise the collector's limits.attributes.",
}


class _Unanswered(Exception):  # noqa: N818 - what is told, not what went wrong here
    """The collector did not answer as it does."""


def health(address: str) -> Iterator[Finding]:
    """Yields what the health port says: ready, whole requests that were refused."""
    try:
        status, body = _get(address, "/ready")
        _, page = _get(address, "/metrics")
    except _Unanswered as error:
        yield _silent("health-refused", "--health", str(error))
        return
    if status == 200:
        yield ok("collector-ready", "The collector is ready.", address)
    else:
        cure = "Mend what it says; until then steps wait in it or are refused."
        yield problem("collector-not-ready", "The collector is not ready.", body.decode("utf-8", "replace"), cure)
    refused = list(_refused_requests(page.decode("utf-8", "replace")))
    if refused:
        cure = "undecodable, unauthenticated, too_large: a sender is set up wrongly. Others: they come again later."
        shown = ", ".join(refused[:SHOWN])
        yield note("requests-refused", "The collector refused whole requests since it started.", shown, cure)


def _refused_requests(page: str) -> Iterator[str]:
    name = "otelcx_collector_requests_refused_total"
    for line in page.splitlines():
        labels, _, value = line.removeprefix(name).rpartition(" ")
        if line.startswith(name) and float(value) > 0:
            yield f"{labels} {float(value):g}"


def journey(address: str, name: str, steps: tuple[str, ...], env: Mapping[str, str]) -> Iterator[Finding]:
    """Yields what the API says of a journey, its `steps` if some are named, and of what arrived without one."""
    try:
        inventory = _json(address, "/api/v1/inventory", "journeys")
        intake = _json(address, "/api/v1/intake", "spans")
        traffic = _json(address, "/api/v1/traffic")
        series = _json(address, f"/api/v1/journeys/{quote(name, safe='')}/series?range={RANGE}", "ok")
        answer = _json(address, f"/api/v1/journeys/{quote(name, safe='')}?range={RANGE}", "state")
    except _Unanswered as error:
        yield _silent("api-refused", "--api", str(error))
        return
    if inventory is None or intake is None or traffic is None:
        yield _silent("api-refused", "--api", f"{address} has no API of this collector")
        return
    yield from _intake(intake)
    yield from _known(name, steps, inventory)
    yield from _other_steps(name, inventory, traffic)
    if answer is not None and series is not None:
        yield from _seen(name, answer, series)
    yield from _unmapped(traffic)
    yield from _environment(inventory, env)


def _intake(intake: Mapping[str, Any]) -> Iterator[Finding]:
    since = f"since {intake['since']}: {intake['spans']} spans, {intake['steps']} steps"
    if not intake["spans"]:
        cure = "Look at the endpoint above: is it this collector's? Tail sampling or a collector between may drop all."
        yield problem("nothing-arrives", "No span has arrived at the collector since it started.", since, cure)
    else:
        yield ok("arrives", "Spans arrive at the collector.", since)
    for reason, number in intake["refused"].items():
        if number:
            cure = _CURES.get(reason, "docs/reference/metrics.md says what it means.")
            what = f"The collector refused steps as {reason}, of any journey."
            yield problem(f"refused-{reason.replace('_', '-')}", what, f"{number} {since.partition(':')[0]}", cure)
    if not intake["store_ok"]:
        cure = "Mend the store; what arrived waits in the log."
        yield problem("store-down", "The collector's store takes nothing.", intake["store_error"], cure)


def _known(name: str, steps: tuple[str, ...], inventory: Mapping[str, Any]) -> Iterator[Finding]:
    journeys = inventory["journeys"]
    if name not in journeys:
        cure = _nearest(name, journeys) or _CURES["unknown_journey"]
        listed = ", ".join(list(journeys)[:SHOWN]) or "none"
        yield problem("unknown-journey", f"The inventory has no journey {name!r}.", f"journeys: {listed}", cure)
        return
    known = [step["name"] for step in journeys[name]["steps"]]
    for step in steps:
        if step not in known:
            cure = _nearest(step, known) or _CURES["unknown_step"]
            what = f"Journey {name!r} has no step {step!r} in the inventory."
            yield problem("unknown-step", what, f"steps: {', '.join(known)}", cure)
    yield ok("journey", f"The inventory has the journey {name!r}.", f"steps: {', '.join(known)}")


def _nearest(word: str, known: Any) -> str:
    found = get_close_matches(word, list(known), 1)
    return f"Did you mean {found[0]!r}? Correct it in the code, or add it to the inventory." if found else ""


def _other_steps(name: str, inventory: Mapping[str, Any], traffic: list[dict[str, Any]]) -> Iterator[Finding]:
    """What arrived under this journey, or a name like it, and is counted for nothing."""
    known = [step["name"] for step in inventory["journeys"].get(name, {"steps": []})["steps"]]
    for seen in traffic:
        step, under = seen["step"], seen["journey"]
        evidence = f"{under}/{step}, {seen['spans']} spans of service {seen['service']}, last {_at(seen['last_ns'])}"
        if under == name and step:
            cure = _nearest(step, known) or _CURES["unknown_step"]
            yield problem("unknown-step", f"A step {step!r} arrives that the inventory does not have.", evidence, cure)
        elif under and get_close_matches(under, [name], 1):
            what = f"A journey {under!r} arrives that the inventory does not have."
            yield problem("unknown-journey", what, evidence, f"Call it {name!r} in the code, if that is meant.")


def _at(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).isoformat() if nanoseconds else "unknown"


def _seen(name: str, answer: Mapping[str, Any], series: Mapping[str, Any]) -> Iterator[Finding]:
    counts = zip(series["ok"], series["failed"], series["rejected"], strict=True)
    slots = [number for number, slot in enumerate(counts) if any(slot)]
    if not slots:
        cure = "The sentences above say what arrives instead. Figures are there some 20 s after a step has ended."
        evidence = f"state {answer['state']}: {answer['reason'] or answer['sentence']}"
        yield problem("never-seen", f"No step of {name!r} was counted in the last {RANGE}.", evidence, cure)
        return
    begin = datetime.fromisoformat(series["start"]) + timedelta(seconds=series["step_s"] * slots[-1])
    end = begin + timedelta(seconds=series["step_s"])
    by_step = ", ".join(
        f"{step} {found['ok'] + found['failed'] + found['rejected']:g}" for step, found in answer["steps"].items()
    )
    evidence = f"last between {begin.isoformat()} and {end.isoformat()}; settled executions: {by_step}"
    yield ok("seen", f"Journey {name!r} is counted; state {answer['state']}.", evidence)
    if answer["coverage"]["reason"]:
        cure = "Look at the coverage on the journey's page."
        yield note("coverage", "Not all of the time is measured.", answer["coverage"]["reason"], cure)


def _unmapped(traffic: list[dict[str, Any]]) -> Iterator[Finding]:
    named = [seen for seen in traffic if not seen["journey"] and (seen["route"] or seen["rpc"] or seen["destination"])]
    if named:
        listed = ", ".join(
            f"{seen['route'] or seen['rpc'] or seen['destination']} of {seen['service']} ({seen['spans']})"
            for seen in named[:SHOWN]
        )
        cure = "If one of them is a step: OTELCX_ROUTES in the service, or a match rule in the inventory."
        yield note("unmapped-routes", f"{len(named)} kinds of requests and messages are no step.", listed, cure)


def _environment(inventory: Mapping[str, Any], env: Mapping[str, str]) -> Iterator[Finding]:
    pairs = (item.partition("=") for item in env.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    told = {name.strip(): value.strip() for name, _, value in pairs}
    here = told.get(semconv.ENVIRONMENT, semconv.UNSET)
    judged = inventory["environments"]
    if here not in judged:
        cure = f"Add it to `environments` in the inventory, or set {semconv.ENVIRONMENT} to one of them."
        what = f"Steps of the environment {here!r} are stored and not judged."
        yield problem("environment-not-judged", what, f"judged: {', '.join(judged)}", cure)


def _silent(code: str, option: str, said: str) -> Finding:
    cure = f"Start the collector, or correct {option}: its log names the ports when it is ready."
    return problem(code, "The collector does not answer.", said, cure)


def _json(address: str, path: str, key: str | None = None) -> Any:
    """Returns the answer, which is a list or has `key`; None where there is no such thing."""
    status, body = _get(address, path)
    if status == 404:
        return None
    shown = body[:200].decode("utf-8", "replace")
    if status != 200:
        raise _Unanswered(f"{address}{path} answers {status}: {shown}")
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise _Unanswered(f"{address}{path} answers what is no JSON: {shown}") from error
    if not (isinstance(answer, list) if key is None else isinstance(answer, dict) and key in answer):
        raise _Unanswered(f"{address}{path} answers what is not the collector's: {shown}")
    return answer


def _get(address: str, path: str) -> tuple[int, bytes]:
    try:
        url = urlsplit(address)
        kind = {"http": HTTPConnection, "https": HTTPSConnection}[url.scheme]
        connection = kind(url.hostname or "", url.port, timeout=TIMEOUT_S)
    except (KeyError, ValueError) as error:
        raise _Unanswered(f"{address!r} is no address; write http://host:port") from error
    try:
        connection.request("GET", url.path.rstrip("/") + path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException) as error:
        raise _Unanswered(f"{address}: {error or type(error).__name__}") from error
    finally:
        connection.close()
