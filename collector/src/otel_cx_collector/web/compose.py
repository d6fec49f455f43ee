"""One page at one round, in parts: each a piece of HTML by its element's id, and charts as options. Sends nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_cx_collector.views import charts, journey, sentences, windows
from otel_cx_collector.views.overview import overview
from otel_cx_collector.views.state import State
from otel_cx_collector.views.status import status
from otel_cx_collector.web.keys import Kind, PageKey

if TYPE_CHECKING:
    from otel_cx_collector.views.charts import Option
    from otel_cx_collector.views.source import Source
    from otel_cx_collector.views.windows import Window
    from otel_cx_collector.web.render import Renderer


@dataclass(frozen=True, slots=True)
class Chart:
    """An option and the sentence that stands for it."""

    option: Option
    label: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What a page shows at a round."""

    round: int
    title: str
    parts: dict[str, str] = field(default_factory=dict)
    """Element id -> outer HTML."""
    lists: dict[str, list[str]] = field(default_factory=dict)
    """Element id -> ids of its children, in order; the children are parts."""
    charts: dict[str, Chart] = field(default_factory=dict)
    empty: str = ""
    """Name of the designed empty state that takes the place of the parts: ``starting``, ``inventory``, ``traffic``."""


def compose(source: Source, renderer: Renderer, key: PageKey) -> Frame:
    """The page of this key now. Raises NotFound, BadQuestion, Unavailable."""
    number = source.round()
    if not source.inventory.journeys:
        return _empty(renderer, number, "inventory", "No journeys yet", {})
    if number == 0:
        return _empty(renderer, number, "starting", "Starting", {})
    window = windows.window(source, key.range)
    made = {Kind.OVERVIEW: _overview, Kind.JOURNEY: _journey, Kind.INVENTORY: _inventory}[key.kind]
    return made(source, renderer, key, window, number)


def _empty(renderer: Renderer, number: int, name: str, title: str, context: dict[str, Any]) -> Frame:
    return Frame(number, title, {"empty": renderer.part("empty", name, context)}, empty=name)


def _overview(source: Source, renderer: Renderer, key: PageKey, window: Window, number: int) -> Frame:
    found = overview(source, window)
    idle = all(row.answer.state is State.IDLE for row in found.rows)
    waiting = source.intake() if idle else None
    shared: dict[str, Any] = {"key": key, "window": window, "overview": found, "waiting": waiting}
    shared["sentence"] = sentences.of_overview(found, window.to_s)
    parts = renderer.parts("overview", ("lead", "announce", "worst", "heading"), shared)
    for row in found.rows:
        parts[f"row-{row.answer.journey.name}"] = renderer.part("overview", "row", {**shared, "row": row})
    return Frame(number, shared["sentence"], parts, {"rows": [f"row-{row.answer.journey.name}" for row in found.rows]})


JOURNEY_PARTS: Final = (
    *("lead", "announce", "tiles", "plan", "slices-table", "steps"),
    *("matrix", "episodes", "why", "objectives", "exemplars"),
)


def _journey(source: Source, renderer: Renderer, key: PageKey, window: Window, number: int) -> Frame:
    by = journey.dimensions(source, key.by)
    found = journey.detail(source, key.name, window, by, key.episode_s)
    sentence = sentences.of_journey(found.answer, window.to_s)
    if found.answer.state is State.IDLE:
        said = {"answer": found.answer, "sentence": sentence, "intake": source.intake()}
        return _empty(renderer, number, "traffic", f"{found.answer.title}: {sentence}", said)
    shared = {"key": key, "window": window, "detail": found, "answer": found.answer, "sentence": sentence}
    parts = renderer.parts("journey", JOURNEY_PARTS, {**shared, "dimensions": list(source.inventory.dimensions)})
    return Frame(number, f"{found.answer.title}: {sentence}", parts, charts=_charts(found))


def _charts(found: journey.Detail) -> dict[str, Chart]:
    figures = found.answer.figures
    target = next((sli.target for sli in figures.slis if sli.sli == "availability" and sli.step is None), None)
    made = {"slices": Chart(charts.slices(found.series, figures.episodes, target), sentences.of_slices(found.series))}
    if found.explained is not None:
        episode = found.explained
        label = sentences.of_waterfall(episode.factors, episode.harm_minutes, episode.score)
        made["waterfall"] = Chart(charts.waterfall(episode.factors, episode.harm_minutes), label)
    return made


def _inventory(source: Source, renderer: Renderer, key: PageKey, window: Window, number: int) -> Frame:
    shared = {"key": key, "window": window, "status": status(source, window)}
    parts = renderer.parts("inventory", ("lead", "intake", "journeys", "unmapped", "overflow", "settings"), shared)
    return Frame(number, "Inventory", parts)


def patch(old: Frame | None, new: Frame) -> dict[str, Any]:
    """What a page that shows ``old`` must change to show ``new``: parts, lists and chart series that differ."""
    before = old or Frame(-1, "")
    changed: dict[str, Any] = {
        "parts": {name: html for name, html in new.parts.items() if before.parts.get(name) != html},
        "lists": {name: ids for name, ids in new.lists.items() if before.lists.get(name) != ids},
        "charts": {
            name: {"option": charts.delta(shown.option if shown else {}, chart.option), "label": chart.label}
            for name, chart in new.charts.items()
            if (shown := before.charts.get(name)) != chart
        },
    }
    told = {name: value for name, value in changed.items() if value}
    return told | ({"title": new.title} if before.title != new.title else {})
