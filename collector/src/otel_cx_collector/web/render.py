"""Jinja2 over ``templates/``: all is escaped, what is undefined is a mistake. Words for numbers come from views."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from otel_cx_collector.events import NS
from otel_cx_collector.incidents.machine import MAX_TEXT, MAX_WHO
from otel_cx_collector.incidents.record import before_start, recommended
from otel_cx_collector.measure.figures import Reach, Series
from otel_cx_collector.views import budgets, charts, incident, sentences, state, status, words
from otel_cx_collector.views.windows import IN_WORDS, Range
from otel_cx_collector.web.keys import PageKey
from otel_cx_collector.web.settings import WebSettings

TEMPLATES: Final = Path(__file__).with_name("templates")


class Renderer:
    """The templates, compiled; safe to use from any thread."""

    def __init__(self, settings: WebSettings) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= FILTERS
        self._environment.tests["is_open"] = incident.is_open
        self._environment.globals |= GLOBALS | {"settings": settings}
        self._environment.globals["ui"] = self._environment.get_template("ui.html").module

    def page(self, template: str, context: dict[str, Any]) -> str:
        """A whole document."""
        return encodable(self._environment.get_template(template).render(context))

    def part(self, page: str, name: str, context: dict[str, Any]) -> str:
        """One part of a page: a single element."""
        return encodable(self._environment.get_template(f"{page}/{name}.html").render(context).strip())

    def parts(self, page: str, names: tuple[str, ...], context: dict[str, Any]) -> dict[str, str]:
        """Several parts, by name."""
        return {name: self.part(page, name, context) for name in names}


def encodable(text: str) -> str:
    """``text`` with what UTF-8 cannot carry (half a surrogate pair, out of a JSON escape) replaced."""
    return text.encode("utf-8", "replace").decode()


def moment(seconds: float) -> str:
    """``24 Nov 12:31:20``, in UTC; the browser puts the viewer's own time before it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%-d %b %H:%M:%S}"


def iso(seconds: float) -> str:
    """RFC 3339 in UTC, for ``<time datetime>``."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def exact(value: float | None) -> str:
    """The exact value for the hover: whole, or at most 6 decimals."""
    return "none" if value is None else f"{value:,.6f}".rstrip("0").rstrip(".")


def duration(nanoseconds: int) -> str:
    """A setting's duration: ``1.5 s``, ``30 min``."""
    seconds = nanoseconds / NS
    return words.milliseconds(seconds * 1000) if seconds < 60 else words.span(seconds)


def heat(share: float | None) -> int:
    """Shade of a matrix cell, 0 to 5, by the share of customers affected."""
    return (
        0 if not share else next((level for level, most in enumerate((0.02, 0.05, 0.15, 0.35), 1) if share <= most), 5)
    )


def safe_link(link: str | None) -> str | None:
    """A link that may be followed: http or https, nothing that runs."""
    return link if link and link.startswith(("https://", "http://")) else None


def polylines(values: list[float | None], top: float = 1.0) -> list[str]:
    """Polylines of a sparkline on a canvas of 120 by 28."""
    return charts.sparkline(values, 120, 28, top)


def hardest(reaches: dict[str, Reach]) -> list[tuple[str, Reach]]:
    """Values of a dimension, the hardest hit first."""
    return sorted(reaches.items(), key=lambda item: (-item[1].affected / max(1, item[1].active), item[0]))


def shares(series: Series) -> list[float | None]:
    """Share of attempts harmed, by settled step; None where nothing was measured, or nothing came in all the time."""
    came = any(series.active)
    steps = zip(series.harmed, series.active, series.measured, series.provisional, strict=True)
    return [part / max(1, whole) if seen and came else None for part, whole, seen, early in steps if not early]


FILTERS: Final = {
    "count": words.count,
    "percent": words.percent,
    "rough": words.rough,
    "target": words.target,
    "ms": words.milliseconds,
    "span": words.span,
    "outage": words.outage_minutes,
    "significant": words.significant,
    "score": words.score,
    "size": words.data_size,
    "moment": moment,
    "iso": iso,
    "exact": exact,
    "duration": duration,
    "heat": heat,
    "safe_link": safe_link,
    "times": words.times,
    "url_of": PageKey.url,
}

GLOBALS: Final[dict[str, Any]] = {
    "ranges": list(Range),
    "range_words": IN_WORDS,
    "state_words": state.IN_WORDS,
    "interval": words.interval,
    "plural": words.plural,
    "share_measured": state.share_measured,
    "is_measured": state.is_measured,
    "polylines": polylines,
    "hardest": hardest,
    "shares": shares,
    "factor_rows": charts.factor_rows,
    "where": sentences.where,
    "of_change": sentences.of_change,
    "apart": sentences.apart,
    "runs_out": sentences.of_budget,
    "before_start": before_start,
    "recommended": recommended,
    "of_severity": state.OF_SEVERITY,
    "thinnest": budgets.thinnest,
    "matching": budgets.matching,
    "money": words.money,
    "renews_soon": budgets.renews_soon,
    "is_open": incident.is_open,
    "max_who": MAX_WHO,
    "max_text": MAX_TEXT,
    "refusals": status.REFUSALS,
    "NS": NS,
    "Markup": Markup,
}
