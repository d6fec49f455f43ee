"""The API's routes and its problem answers (RFC 9457). Reads only; who may ask is the web server's to guard."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from pydantic_core import to_jsonable_python
from starlette.exceptions import HTTPException

from otel_cx_collector.api import models
from otel_cx_collector.api.plain import PROBLEM, Json
from otel_cx_collector.errors import CollectorError, Unavailable
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.version import VERSION
from otel_cx_collector.views import journey, windows
from otel_cx_collector.views.overview import overview
from otel_cx_collector.views.source import BadQuestion, NotFound, Source

PREFIX: Final = "/api/v1"

MAX_EXEMPLARS: Final = 200
"""One answer's limit: more than a person reads, little enough for any client."""

Picked = Annotated[windows.Range | None, Query(alias="range", description="Time range; the last hour without it.")]
Name = Annotated[str, Path(description="A journey of the inventory.", max_length=64)]
Limit = Annotated[int, Query(ge=1, le=MAX_EXEMPLARS)]

PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    code: {"description": said, "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for code, said in (
        (404, "No such journey."),
        (422, "A parameter is not one of the possible values."),
        (503, "The store does not answer; try again after Retry-After seconds."),
    )
}


def create_api(source: Source) -> FastAPI:
    """The API over one source, to be mounted at ``PREFIX``."""
    api = FastAPI(
        title="otel-cx collector",
        version=VERSION,
        description="Which customer journeys are hurt, for how many customers, how badly: the numbers of the pages.",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        default_response_class=Json,
    )
    _journeys(api, source)
    _collector(api, source)
    _problems(api)
    _describe_problems(api)
    return api


def _describe_problems(api: FastAPI) -> None:
    """FastAPI describes models of ``application/json`` alone."""
    describe = api.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        document["components"]["schemas"]["Problem"] = models.Problem.model_json_schema()
        return document

    api.openapi = openapi  # type: ignore[method-assign] # the documented way to extend the document


def _get(api: FastAPI, path: str, model: Any, **more: Any) -> Callable[[Any], Any]:
    problems = {code: said for code, said in PROBLEMS.items() if code != 404 or "{name}" in path}
    return api.get(path, responses={200: {"model": model}, **problems}, response_model=None, **more)


def _answer(model: BaseModel) -> Json:
    return Json(model.model_dump(by_alias=True))


def _journeys(api: FastAPI, source: Source) -> None:
    @_get(api, "/journeys", models.Journeys)
    def journeys(picked: Picked = None) -> Json:
        """All journeys, the most hurt first."""
        return _answer(models.Journeys.of(overview(source, windows.window(source, picked))))

    @_get(api, "/journeys/{name}", models.JourneyOut)
    def one_journey(name: Name, picked: Picked = None) -> Json:
        """Figures, live score with vector and factors, reach with interval, coverage and episodes."""
        window = windows.window(source, picked)
        return _answer(models.JourneyOut.of(journey.answer(source, name, window), window))

    @_get(api, "/journeys/{name}/series", models.SeriesOut)
    def series(name: Name, picked: Picked = None) -> Json:
        """The range in equal steps of time; the last are provisional."""
        return _answer(models.SeriesOut.of(journey.series(source, name, windows.window(source, picked))))

    @_get(api, "/journeys/{name}/exemplars", list[models.Exemplar])
    def exemplars(name: Name, picked: Picked = None, limit: Limit = journey.EXEMPLARS) -> Json:
        """Harmful executions, latest first."""
        found = journey.exemplars(source, name, windows.window(source, picked), limit)
        return Json([models.Exemplar.of(exemplar).model_dump() for exemplar in found])


def _collector(api: FastAPI, source: Source) -> None:
    @_get(api, "/inventory", dict[str, Any])
    def inventory() -> Json:
        """The inventory in force, defaults filled in."""
        return Json(inventory_in_force(source.inventory))

    @_get(api, "/traffic", list[dict[str, Any]])
    def traffic() -> Json:
        """Traffic that was seen and is not mapped to a step."""
        return Json([observed.to_json() for observed in source.traffic()])

    @_get(api, "/intake", models.IntakeOut)
    def intake() -> Json:
        """What arrived since the process started, and the state of log and store."""
        return _answer(models.IntakeOut.of(source.intake()))


def inventory_in_force(inventory: Inventory) -> dict[str, Any]:
    """The inventory with its defaults, durations in nanoseconds; without ``notify``, whose addresses may be secret."""
    plain: dict[str, Any] = to_jsonable_python(inventory, by_alias=False)
    return {key: value for key, value in plain.items() if key != "notify"}


def _problem(
    status: int, kind: str, title: str, detail: str, cure: str, headers: Mapping[str, str] | None = None
) -> Json:
    body = models.Problem(type=f"urn:otel-cx:problem:{kind}", title=title, status=status, detail=detail, cure=cure)
    return Json(body.model_dump(), status, headers, PROBLEM)


def _problems(api: FastAPI) -> None:
    @api.exception_handler(CollectorError)
    async def collector_error(_: Request, error: CollectorError) -> Json:
        return problem_of(error)

    @api.exception_handler(RequestValidationError)
    async def bad_parameter(_: Request, error: RequestValidationError) -> Json:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        detail = f"{where} is {str(first.get('input'))[:64]!r}: {first['msg']}"
        cure = "Use one of the values named; /api/v1/openapi.json lists every parameter."
        return _problem(422, "bad-parameter", "A parameter is not possible", detail, cure)

    @api.exception_handler(HTTPException)
    async def not_served(_: Request, error: HTTPException) -> Json:
        cure = "/api/v1/openapi.json lists what is served; everything here is read with GET."
        return _problem(
            error.status_code,
            "not-served",
            str(error.detail),
            f"This is not served: {error.detail}.",
            cure,
            error.headers,
        )

    @api.exception_handler(Exception)
    async def ours(_: Request, error: Exception) -> Json:
        cure = "The mistake is the collector's. Its log has the details; please report them."
        return _problem(
            500, "internal", "The collector failed", f"An unforeseen {type(error).__name__} occurred.", cure
        )


def problem_of(error: CollectorError) -> Json:
    """The answer to an error of views or source, by who must act."""
    match error:
        case NotFound():
            return _problem(
                404, "unknown-journey", "There is no such journey", str(error), "Ask /api/v1/journeys for their names."
            )
        case BadQuestion():
            return _problem(
                422, "bad-parameter", "A parameter is not possible", str(error), "Use one of the values named."
            )
        case Unavailable():
            later = {"Retry-After": str(error.retry_after_s)}
            return _problem(
                503,
                "unavailable",
                "The store does not answer",
                str(error),
                "Try again after Retry-After seconds.",
                later,
            )
        case _:
            cure = "The collector's log has the details."
            return _problem(500, "internal", "The collector failed", str(error), cure)
