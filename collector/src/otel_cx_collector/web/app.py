"""Routes: the pages and their error answers, /events, /static, and the API beside them. Not what they show."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread
import orjson
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from otel_cx_collector.api import create_api
from otel_cx_collector.api.app import PREFIX
from otel_cx_collector.errors import CollectorError, Unavailable
from otel_cx_collector.version import VERSION
from otel_cx_collector.views.source import BadQuestion, NotFound, Source
from otel_cx_collector.web.compose import Frame, compose
from otel_cx_collector.web.guard import Guard
from otel_cx_collector.web.keys import Kind, PageKey, key_of
from otel_cx_collector.web.live import EventStream, Live, mark
from otel_cx_collector.web.render import Renderer
from otel_cx_collector.web.static import Static

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request

    from otel_cx_collector.web.settings import WebSettings

OURS: Final = "The collector failed to make this page; its log has the details."

LEAST_COMPRESSED: Final = 1024
"""Smaller answers do not gain by it."""


def create_app(source: Source, settings: WebSettings) -> Starlette:
    """Pages, /events, /static and /api/v1 over one source. Raises UserError when the static files were never built."""
    pages = Pages(source, settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = settings.threads
        app.state.live = pages.live = pages.broadcaster()
        broadcaster = asyncio.create_task(pages.live.run())
        try:
            yield
        finally:
            pages.live.close()
            broadcaster.cancel()
            await asyncio.gather(broadcaster, return_exceptions=True)

    return Starlette(
        routes=[
            Route("/", pages.serve(Kind.OVERVIEW)),
            Route("/journeys/{name}", pages.serve(Kind.JOURNEY)),
            Route("/incidents", pages.serve(Kind.INCIDENTS)),
            Route("/incidents/{name}", pages.serve(Kind.INCIDENT)),
            Route("/inventory", pages.serve(Kind.INVENTORY)),
            Route("/events", pages.events),
            Mount("/static", pages.static),
            Mount(PREFIX, create_api(source, pages.acted)),
        ],
        middleware=[
            Middleware(Guard, allowed=settings.allowed),
            Middleware(GZipMiddleware, minimum_size=LEAST_COMPRESSED, compresslevel=6),
        ],
        exception_handlers={HTTPException: pages.not_served},
        lifespan=lifespan,
    )


class Pages:
    """The page handlers, with what they share."""

    def __init__(self, source: Source, settings: WebSettings) -> None:
        self._source = source
        self._settings = settings
        self._renderer = Renderer(settings)
        self._boot = secrets.token_hex(4)
        self._acts = 0
        self.static = Static()
        self.live: Live

    def broadcaster(self) -> Live:
        """A new one; it belongs to the event loop that runs."""
        settings = self._settings
        return Live(
            self._source, self.frame, lambda: self._acts, self._boot, settings.live_clients, settings.heartbeat_s
        )

    def acted(self) -> None:
        """A person did something: live pages are composed anew before the next round. On the event loop alone."""
        self._acts += 1

    def frame(self, key: PageKey) -> Frame:
        """The page of this key now."""
        acts = self._acts  # before the source is asked: what is done meanwhile is told again
        return replace(compose(self._source, self._renderer, key), acts=acts)

    def serve(self, kind: Kind) -> Callable[[Request], Response]:
        """Handler of one kind of page; called in a worker thread."""

        def page(request: Request) -> Response:
            try:
                key = key_of(kind, request.path_params.get("name", ""), request.query_params)
                return self._document(key, self.frame(key))
            except CollectorError as error:
                return self._trouble(kind, error)
            except Exception:  # noqa: BLE001 - the viewer gets a page whatever happens, the log the trace
                structlog.get_logger().exception("web.page", path=request.url.path[:200])
                return self._trouble(kind, CollectorError(OURS))

        return page

    def _document(self, key: PageKey, frame: Frame) -> Response:
        options = {name: {"option": chart.option, "label": chart.label} for name, chart in frame.charts.items()}
        template = "empty.html" if frame.empty else f"{key.kind}.html"
        events = key.events_url(mark(self._boot, frame)) if key.range is None or frame.empty else ""
        return self._html(
            template, kind=key.kind.value, key=key, frame=frame, options=_script_safe(options), events=events
        )

    def _html(self, template: str, code: int = 200, headers: dict[str, str] | None = None, **context: Any) -> Response:
        shared = {"static": self.static.url, "version": VERSION}
        return HTMLResponse(self._renderer.page(template, shared | context), code, headers)

    def _trouble(self, kind: Kind, error: CollectorError) -> Response:
        match error:
            case NotFound():
                what = "incident" if kind is Kind.INCIDENT else "journey"
                return self._error(kind, 404, f"There is no such {what}", str(error))
            case BadQuestion():
                return self._error(kind, 400, "That cannot be asked", str(error))
            case Unavailable():
                return self._error(kind, 503, "The store does not answer", str(error), error.retry_after_s)
            case _:
                return self._error(kind, 500, "The collector failed", str(error))

    def _error(self, kind: Kind, status: int, title: str, detail: str, retry_after_s: int = 0) -> Response:
        headers = {"Retry-After": str(retry_after_s)} if retry_after_s else None
        key = PageKey(Kind.OVERVIEW)
        said = {"kind": kind.value, "key": key, "title": title, "detail": detail, "status": status, "events": ""}
        return self._html("error.html", status, headers, **said)

    async def not_served(self, _: Request, error: Exception) -> Response:
        """404 and 405 of paths that are no page."""
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
        if error.status_code == 404:
            return self._error(
                Kind.OVERVIEW, 404, "There is no such page", "The address leads nowhere; start from the overview."
            )
        return PlainTextResponse(f"{error.detail}: pages are read with GET.\n", error.status_code, error.headers)

    async def events(self, request: Request) -> EventStream | PlainTextResponse:
        """The changes of one page, as server-sent events."""
        query = request.query_params
        try:
            key = key_of(Kind(query.get("page", "")), query.get("name", ""), query)
        except (ValueError, BadQuestion):
            return PlainTextResponse("There is no such page to follow; open /events as the pages do.\n", 400)
        seen = request.headers.get("last-event-id") or query.get("seen", "")
        return EventStream(self.live, key, seen)


def _script_safe(value: Any) -> str:
    """JSON that can stand in a script element: no ``</script>``, no comment, no entity."""
    text = orjson.dumps(value).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
