"""One page at one round, in parts: each a piece of HTML by its element's id, and charts as options. Sends nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_cx_collector.views import charts, incident, journey, sentences, windows
from otel_cx_collector.views.overview import overview
from otel_cx_collector.views.resources import resources
from otel_cx_collector.views.state import State
from otel_cx_collector.views.status import status
from otel_cx_collector.web.keys import OPEN, Kind, PageKey

if TYPE_CHECKING:
    from otel_cx_collector.incidents.words import Facts
    from otel_cx_collector.measure.figures import Episode
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
    acts: int = 0
    """How many things people had done when it was made."""
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
    return MADE[key.kind](source, renderer, key, window, number)


def _empty(renderer: Renderer, number: int, name: str, title: str, context: dict[str, Any]) -> Frame:
    return Frame(number, title, parts={"empty": renderer.part("empty", name, context)}, empty=name)


def _overview(source: Source, renderer: Renderer, key: PageKey, window: Window, number: int) -> Frame:
    found = overview(source, window)
    idle = all(row.answer.state is State.IDLE for row in found.rows)
    waiting = source.intake() if idle else None
    shared: dict[str, Any] = {"key": key, "window": window, "overview": found, "waiting": waiting}
    shared["sentence"] = sentences.of_overview(found, window.to_s)
    shared["titles"] = {row.answer.journey.name: row.answer.title for row in found.rows}
    parts = renderer.parts("overview", ("lead", "announce", "incidents", "worst", "heading", "ledger"), shared)
    for row in found.rows:
        parts[f"row-{row.answer.journey.name}"] = renderer.part("overview", "row", {**shared, "row": row})
    rows = [f"row-{row.answer.journey.name}" for row in found.rows]
    return Frame(number, shared["sentence"], parts=parts, lists={"rows": rows})


JOURNEY_PARTS: Final = (
    *("lead", "announce", "incident-now", "tiles", "plan", "slices-table", "errors", "steps", "matrix", "decision"),
    *("episodes", "incidents", "why", "resources", "budgets", "accounts", "alerts", "records", "exemplars"),
)


def _journey(source: Source, renderer: Renderer, key: PageKey, window: Window, number: int) -> Frame:
    by = journey.dimensions(source, key.by)
    found = journey.detail(source, key.name, window, by, key.episode_s)
    sentence = sentences.of_journey(found.answer, window.to_s)
    if found.answer.state is State.IDLE:
        said = {"answer": found.answer, "sentence": sentence, "intake": source.intake()}
        return _empty(renderer, number, "traffic", f"{found.answer.title}: {sentence}", said)
    shared: dict[str, Any] = {"key": key, "window": window, "detail": found, "answer": found.answer}
    shared |= {"sentence": sentence, "incidents": found.incidents, "resources": found.resources}
    shared["journeys"] = source.inventory.journeys
    shared |= {"dimensions": list(source.inventory.dimensions), "currency": source.inventory.currency}
    parts = renderer.parts("journey", JOURNEY_PARTS, shared)
    return Frame(number, f"{found.answer.title}: {sentence}", parts=parts, charts=_charts(found))


def _charts(found: journey.Detail) -> dict[str, Chart]:
    figures = found.answer.figures
    target = next((sli.target for sli in figures.slis if sli.sli == "availability" and sli.step is None), None)
    made = {"slices": Chart(charts.slices(found.series, figures.episodes, target), sentences.of_slices(found.series))}
    if found.explained is not None:
        made["waterfall"] = _waterfall(found.explained)
    return made


def _waterfall(harm: Episode | Facts) -> Chart:
    label = sentences.of_waterfall(harm.factors, harm.harm_minutes, harm.score)
    return Chart(charts.waterfall(harm.factors, harm.harm_minutes), label)


def _inventory(source: Source, renderer: Renderer, key: PageKey, window: Window, number: int) -> Frame:
    shared = {"key": key, "window": window, "status": status(source, window)}
    names = ("lead", "intake", "journeys", "resources", "unmapped", "overflow", "settings")
    parts = renderer.parts("inventory", names, {**shared, "resources": resources(source)})
    return Frame(number, "Inventory", parts=parts)


def _incidents(source: Source, renderer: Renderer, key: PageKey, window: Window, number: int) -> Frame:
    found = incident.incidents(source, open_only=key.show == OPEN, journey=key.journey)
    shared = {"key": key, "window": window, "incidents": found, "journeys": source.inventory.journeys}
    parts = renderer.parts("incidents", ("lead", "list"), shared)
    return Frame(number, "Incidents", parts=parts)


INCIDENT_PARTS: Final = (
    *("lead", "announce", "tiles", "first", "act", "changes", "who", "accounts", "errors", "decision"),
    *("why", "paste", "resources", "timeline", "deliveries", "together"),
)


def _incident(source: Source, renderer: Renderer, key: PageKey, window: Window, number: int) -> Frame:
    case = incident.case(source, key.name)
    sentence = sentences.of_incident(case.incident, case.title, window.to_s)
    shared = {"key": key, "window": window, "case": case, "incident": case.incident, "facts": case.incident.facts}
    shared |= {"resources": case.resources, "journeys": source.inventory.journeys}
    shared["currency"] = source.inventory.currency
    made = {} if case.incident.facts is None else {"waterfall": _waterfall(case.incident.facts)}
    return Frame(number, sentence, parts=renderer.parts("incident", INCIDENT_PARTS, shared), charts=made)


MADE: Final = {
    Kind.OVERVIEW: _overview,
    Kind.JOURNEY: _journey,
    Kind.INVENTORY: _inventory,
    Kind.INCIDENTS: _incidents,
    Kind.INCIDENT: _incident,
}


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
