"""Problem answers (RFC 9457): what went wrong, for whom to mend it. Not which routes there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from otel_cx_collector.api import models
from otel_cx_collector.api.plain import PROBLEM, Json
from otel_cx_collector.errors import CollectorError, Unavailable
from otel_cx_collector.views.incident import NotPossible
from otel_cx_collector.views.source import BadQuestion, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.requests import Request

SAID: Final = {
    404: "No such journey or incident.",
    408: "The body did not come in time.",
    409: "The incident's status does not allow it; says what is possible.",
    413: "The body is larger than a name and a note.",
    415: "The body is not JSON.",
    422: "A parameter is not one of the possible values.",
    503: "The store does not answer; try again after Retry-After seconds.",
}


def described(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Problem answers as OpenAPI describes them."""
    schema = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": SAID[code], "content": schema} for code in codes}


class Refused(CollectorError):  # noqa: N818 - a refusal, answered to the one who asked
    """A write that cannot be done; where its body may not have been read to the end, the connection is closed."""

    def __init__(self, status: int, kind: str, title: str, detail: str, cure: str) -> None:
        unread = {"Connection": "close"} if status in {408, 413} else None
        self.answer = problem(status, kind, title, detail, cure, unread)
        super().__init__(detail)


def problem(
    status: int,
    kind: str,
    title: str,
    detail: str,
    cure: str,
    headers: Mapping[str, str] | None = None,
    possible: tuple[str, ...] | None = None,
) -> Json:
    """An answer of ``application/problem+json``."""
    said = models.Problem(
        type=f"urn:otel-cx:problem:{kind}",
        title=title,
        status=status,
        detail=detail,
        cure=cure,
        possible=None if possible is None else list(possible),
    )
    return Json(said.model_dump(exclude_none=True), status, headers, PROBLEM)


def install(api: FastAPI) -> None:
    """Answer every error as a problem."""

    @api.exception_handler(CollectorError)
    async def collector_error(request: Request, error: CollectorError) -> Json:
        return problem_of(error, "incident" if "/incidents/" in request.url.path else "journey")

    @api.exception_handler(RequestValidationError)
    async def bad_parameter(_: Request, error: RequestValidationError) -> Json:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        detail = f"{where} is {str(first.get('input'))[:64]!r}: {first['msg']}"
        cure = "Use one of the values named; /api/v1/openapi.json lists every parameter."
        return problem(422, "bad-parameter", "A parameter is not possible", detail, cure)

    @api.exception_handler(HTTPException)
    async def not_served(_: Request, error: HTTPException) -> Json:
        cure = "/api/v1/openapi.json lists what is served, and with which method."
        detail = f"This is not served: {error.detail}."
        return problem(error.status_code, "not-served", str(error.detail), detail, cure, error.headers)

    @api.exception_handler(Exception)
    async def ours(_: Request, error: Exception) -> Json:
        cure = "The mistake is the collector's. Its log has the details; please report them."
        detail = f"An unforeseen {type(error).__name__} occurred."
        return problem(500, "internal", "The collector failed", detail, cure)


def problem_of(error: CollectorError, thing: str) -> Json:
    """The answer to an error of views or source, by who must act; ``thing`` is what was asked for by name."""
    match error:
        case Refused():
            return error.answer
        case NotFound():
            cure = f"Ask /api/v1/{thing}s for their names."
            return problem(404, f"unknown-{thing}", f"There is no such {thing}", str(error), cure)
        case NotPossible():
            cure = f"Possible now: {', '.join(error.possible) or 'nothing'}."
            return problem(409, "not-possible", "Not possible now", str(error), cure, possible=error.possible)
        case BadQuestion():
            cure = "Use one of the values named."
            return problem(422, "bad-parameter", "A parameter is not possible", str(error), cure)
        case Unavailable():
            later = {"Retry-After": str(error.retry_after_s)}
            cure = "Try again after Retry-After seconds."
            return problem(503, "unavailable", "The store does not answer", str(error), cure, later)
        case _:
            cure = "The collector's log has the details."
            return problem(500, "internal", "The collector failed", str(error), cure)
