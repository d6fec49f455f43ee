"""Routes of incidents: read them, and what people do to them. Who may write is the web server's to guard."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from otel_cx_collector.api.asking import Id, Limit, get
from otel_cx_collector.api.judged import ChangeOut
from otel_cx_collector.api.plain import Json
from otel_cx_collector.api.problems import Refused, described
from otel_cx_collector.incidents.machine import MAX_TEXT, MAX_WHO, possible
from otel_cx_collector.incidents.record import as_json
from otel_cx_collector.incidents.status_line import status_line
from otel_cx_collector.incidents.words import Act, Incident
from otel_cx_collector.views import incident as views
from otel_cx_collector.views.source import Source

MAX_BODY: Final = 16 * 1024
"""Bytes of a write: a name and a note, however they are escaped, and room to spare."""

MAX_DRAINED: Final = 1024 * 1024
"""Bytes read of a body that is too long: its sender is still writing, and would not read the answer before."""

BODY_S: Final = 10.0
"""Longest time that a body may take to come."""

KIND: Final = "application/json"


class Written(BaseModel):
    """Who does it, and what they say about it."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    who: str = Field(min_length=1, max_length=MAX_WHO, description="A person's name; it is kept in the history.")
    text: str = Field(default="", max_length=MAX_TEXT, description="A note; an annotation must have one.")


class IncidentOut(BaseModel):
    """One incident, as notifications and the replay report have it, and what can be done to it."""

    model_config = ConfigDict(extra="allow")

    id: str
    journey: str
    title: str
    owner: str | None
    status: str
    severity: str = Field(description="The highest reached.")
    current: str = Field(description="What it is now.")
    started_at: str
    opened_at: str
    closed_at: str | None
    as_of: str | None = Field(description="Time of the figures; null before the first.")
    score: float | None
    harm_minutes: float | None
    vector: str | None
    reach: dict[str, Any]
    segments: dict[str, Any]
    regions: dict[str, Any]
    revenue: dict[str, Any]
    trigger: dict[str, Any] = Field(description="What opened it, or last raised or reopened it, with its findings.")
    by_step: dict[str, float]
    errors: list[dict[str, Any]]
    accounts: list[dict[str, Any]]
    saturated: list[str]
    services: list[str]
    traces: list[str]
    changes: list[ChangeOut]
    advice: list[dict[str, Any]] = Field(description="The action plan; the first that holds is recommended.")
    group: str | None
    history: list[dict[str, Any]]
    possible: list[str] = Field(description="What can be posted to it now.")
    status_line: str = Field(description="What to tell stakeholders, ready to paste.")


def told(incident: Incident, source: Source) -> dict[str, Any]:
    """The answer that stands for one incident."""
    acts = [act.value for act in possible(incident.status)]
    line = status_line(incident, source.inventory)
    return as_json(incident, source.inventory) | {"possible": acts, "status_line": line}


def install(api: FastAPI, source: Source, acted: Callable[[], None]) -> None:
    """Add the routes; ``acted`` is called on the event loop after a person did something."""

    @get(api, "/incidents", list[IncidentOut])
    def incidents(
        only: Annotated[bool, Query(alias="open", description="Only those that are not resolved.")] = False,
        journey: Annotated[str | None, Query(description="Only those of this journey.", max_length=64)] = None,
        limit: Limit = views.LISTED,
    ) -> Json:
        """Incidents: the open ones first, the most severe of them first; then the newest."""
        found = views.incidents(source, open_only=only, journey=journey, limit=limit)
        return Json([told(incident, source) for incident in found])

    @get(api, "/incidents/{incident_id}", IncidentOut)
    def one_incident(incident_id: Id) -> Json:
        """One incident whole, its figures frozen when it is over."""
        return Json(told(source.incident(incident_id), source))

    for act in Act:
        _write(api, source, act, acted)


def _write(api: FastAPI, source: Source, act: Act, acted: Callable[[], None]) -> None:
    body = {"required": True, "content": {KIND: {"schema": Written.model_json_schema()}}}

    @api.post(
        f"/incidents/{{incident_id}}/{act.value}",
        operation_id=act.value,
        summary=f"{act.value.capitalize()} an incident",
        responses={200: {"model": IncidentOut}, **described(404, 408, 409, 413, 415, 422, 503)},
        response_model=None,
        openapi_extra={"requestBody": body},
    )
    async def done(incident_id: Id, request: Request) -> Json:
        """Durable when it is answered. The history keeps who did it and what they said; nothing is taken back."""
        written = _parsed(await _body(request))
        changed = await run_in_threadpool(views.act, source, incident_id, act, written.who, written.text)
        acted()
        return Json(told(changed, source))


async def _body(request: Request) -> bytes:
    """The body, of which no more is kept than it may be long."""
    try:
        async with asyncio.timeout(BODY_S):
            body, length = await _read(request)
    except (TimeoutError, ClientDisconnect):
        detail = f"the body has not come within {BODY_S:g} s"
        raise Refused(408, "too-slow", "The body did not come", detail, "Send it again.") from None
    if length > MAX_BODY:
        detail = f"the body is longer than {MAX_BODY} bytes"
        raise Refused(413, "too-long", "The body is too long", detail, "Send a name and a short note.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != KIND:
        detail = f"the body is {kind[:64] or 'of no type'!r}"
        raise Refused(415, "not-json", "The body is not JSON", detail, f"Send it as {KIND}.")
    return body


async def _read(request: Request) -> tuple[bytes, int]:
    """What is kept of the body, and how much was read."""
    kept, length = bytearray(), 0
    async for part in request.stream():
        length += len(part)
        if length <= MAX_BODY:
            kept += part
        elif length > MAX_DRAINED:
            break
    return bytes(kept), length


def _parsed(body: bytes) -> Written:
    try:
        return Written.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        given = "" if first["type"] == "missing" else f" is {str(first['input'])[:64]!r}"
        detail = f"{where}{given}: {first['msg']}"
        cure = f'Send {{"who": "your name", "text": "a note"}}, at most {MAX_WHO} and {MAX_TEXT} characters.'
        raise Refused(422, "bad-body", "The body cannot be used", detail, cure) from error
