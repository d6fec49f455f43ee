"""The API's application: what is asked of journeys and of the collector. Who may ask is the web server's to guard."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI
from pydantic_core import to_jsonable_python

from otel_cx_collector.api import incidents, judgement, models, problems
from otel_cx_collector.api.asking import Limit, Name, Picked, get, said
from otel_cx_collector.api.plain import Json
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.version import VERSION
from otel_cx_collector.views import journey, windows
from otel_cx_collector.views.overview import overview
from otel_cx_collector.views.source import Source

PREFIX: Final = "/api/v1"


def create_api(source: Source, acted: Callable[[], None] = lambda: None) -> FastAPI:
    """The API over one source, to be mounted at ``PREFIX``; ``acted`` is called after a person did something."""
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
    judgement.install(api, source)
    incidents.install(api, source, acted)
    _collector(api, source)
    problems.install(api)
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


def _journeys(api: FastAPI, source: Source) -> None:
    @get(api, "/journeys", models.Journeys)
    def journeys(picked: Picked = None) -> Json:
        """All journeys, the most hurt first."""
        return said(models.Journeys.of(overview(source, windows.window(source, picked))))

    @get(api, "/journeys/{name}", models.JourneyOut)
    def one_journey(name: Name, picked: Picked = None) -> Json:
        """Figures, live score with vector and factors, reach with interval, coverage and episodes."""
        window = windows.window(source, picked)
        return said(models.JourneyOut.of(journey.answer(source, name, window), window))

    @get(api, "/journeys/{name}/series", models.SeriesOut)
    def series(name: Name, picked: Picked = None) -> Json:
        """The range in equal steps of time; the last are provisional."""
        return said(models.SeriesOut.of(journey.series(source, name, windows.window(source, picked))))

    @get(api, "/journeys/{name}/exemplars", list[models.Exemplar])
    def exemplars(name: Name, picked: Picked = None, limit: Limit = journey.EXEMPLARS) -> Json:
        """Harmful executions, latest first."""
        found = journey.exemplars(source, name, windows.window(source, picked), limit)
        return said([models.Exemplar.of(exemplar) for exemplar in found])


def _collector(api: FastAPI, source: Source) -> None:
    @get(api, "/inventory", dict[str, Any])
    def inventory() -> Json:
        """The inventory in force, defaults filled in."""
        return Json(inventory_in_force(source.inventory))

    @get(api, "/traffic", list[dict[str, Any]])
    def traffic() -> Json:
        """Traffic that was seen and is not mapped to a step."""
        return Json([observed.to_json() for observed in source.traffic()])

    @get(api, "/intake", models.IntakeOut)
    def intake() -> Json:
        """What arrived since the process started, and the state of log and store."""
        return said(models.IntakeOut.of(source.intake()))


def inventory_in_force(inventory: Inventory) -> dict[str, Any]:
    """The inventory with its defaults, durations in nanoseconds; without ``notify``, whose addresses may be secret."""
    plain: dict[str, Any] = to_jsonable_python(inventory, by_alias=False)
    return {key: value for key, value in plain.items() if key != "notify"}
