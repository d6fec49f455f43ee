"""What every route of the API shares: its parameters and how it is registered. Not the routes."""

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import FastAPI, Path, Query
from pydantic import BaseModel

from otel_cx_collector.api.plain import Json
from otel_cx_collector.api.problems import described
from otel_cx_collector.views import windows

MAX_LISTED: Final = 200
"""One answer's limit: more than a person reads, little enough for any client."""

MAX_DAYS: Final = 92
"""Small incidents are added up over a quarter at most."""

Picked = Annotated[windows.Range | None, Query(alias="range", description="Time range; the last hour without it.")]
Name = Annotated[str, Path(description="A journey of the inventory.", max_length=64)]
Id = Annotated[str, Path(description="An incident's id.", max_length=100)]
Limit = Annotated[int, Query(ge=1, le=MAX_LISTED)]
Days = Annotated[int, Query(ge=1, le=MAX_DAYS)]


def get(api: FastAPI, path: str, model: Any, **more: Any) -> Callable[[Any], Any]:
    """Registers a question, with the problems it may be answered with."""
    problems = described(*((404, 422, 503) if "{" in path else (422, 503)))
    return api.get(path, responses={200: {"model": model}, **problems}, response_model=None, **more)


def said(model: BaseModel | list[Any]) -> Json:
    """The answer that a model, or a list of them, stands for."""
    if isinstance(model, list):
        return Json([each.model_dump(by_alias=True) for each in model])
    return Json(model.model_dump(by_alias=True))
