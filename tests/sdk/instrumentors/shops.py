"""The same small shop in every framework, served by a real server. Not assertions.

Each answers `POST /pay` with 200 `paid`, `POST /fail` by raising, and `GET /stream` in three parts; `inside` is called
in the handler of /pay.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from sdk.serving import asgi_server, wsgi_server

Inside = Callable[[], None]
PARTS = [b"one", b"two", b"three"]


@contextmanager
def flask_shop(inside: Inside) -> Iterator[str]:
    import flask

    app = flask.Flask("shop")

    @app.post("/pay")
    def pay() -> str:
        inside()
        return "paid"

    @app.post("/fail")
    def fail() -> str:
        raise LookupError

    @app.get("/stream")
    def stream() -> Any:
        return flask.Response(iter(PARTS))

    with wsgi_server(app) as url:
        yield url


@contextmanager
def starlette_shop(inside: Inside) -> Iterator[str]:
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Route

    async def pay(_: Any) -> Any:
        inside()
        return PlainTextResponse("paid")

    async def fail(_: Any) -> Any:
        raise LookupError

    async def stream(_: Any) -> Any:
        return StreamingResponse(iter(PARTS))

    routes = [
        Route("/pay", pay, methods=["POST"]),
        Route("/fail", fail, methods=["POST"]),
        Route("/stream", stream),
    ]
    # by its module, where the official instrumentation puts its own class
    app = import_module("starlette.applications").Starlette(routes=routes)
    with asgi_server(app) as url:
        yield url


@contextmanager
def fastapi_shop(inside: Inside) -> Iterator[str]:
    import fastapi
    from fastapi.responses import PlainTextResponse, StreamingResponse

    app = fastapi.FastAPI()

    @app.post("/pay")
    def pay() -> Any:
        inside()
        return PlainTextResponse("paid")

    @app.post("/fail")
    def fail() -> Any:
        raise LookupError

    @app.get("/stream")
    def stream() -> Any:
        return StreamingResponse(iter(PARTS))

    with asgi_server(app) as url:
        yield url


def _django_urls(inside: Inside, parts: Callable[[], Any]) -> None:
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import clear_url_caches, path

    def pay(_: Any) -> Any:
        inside()
        return HttpResponse("paid", content_type="text/plain")

    def fail(_: Any) -> Any:
        raise LookupError

    def stream(_: Any) -> Any:
        return StreamingHttpResponse(parts())

    settings = import_module("sdk.instrumentors.django_settings")
    settings.urlpatterns[:] = [path("pay", pay), path("fail", fail), path("stream", stream)]
    clear_url_caches()


@contextmanager
def django_wsgi_shop(inside: Inside) -> Iterator[str]:
    from django.core.handlers.wsgi import WSGIHandler

    _django_urls(inside, lambda: iter(PARTS))
    with wsgi_server(WSGIHandler()) as url:
        yield url


@contextmanager
def django_asgi_shop(inside: Inside) -> Iterator[str]:
    from django.core.handlers.asgi import ASGIHandler

    async def parts() -> AsyncIterator[bytes]:
        for part in PARTS:
            yield part

    _django_urls(inside, parts)
    with asgi_server(ASGIHandler()) as url:
        yield url


@contextmanager
def falcon_wsgi_shop(inside: Inside) -> Iterator[str]:
    import falcon

    class Pay:
        def on_post(self, _: Any, response: Any) -> None:
            inside()
            response.text, response.content_type = "paid", "text/plain"

    class Fail:
        def on_post(self, _: Any, __: Any) -> None:
            raise LookupError

    class Stream:
        def on_get(self, _: Any, response: Any) -> None:
            response.stream = iter(PARTS)

    app = falcon.App()
    app.add_route("/pay", Pay())
    app.add_route("/fail", Fail())
    app.add_route("/stream", Stream())
    with wsgi_server(app) as url:
        yield url


@contextmanager
def aiohttp_shop(inside: Inside) -> Iterator[str]:
    from aiohttp import web

    async def pay(_: web.Request) -> web.Response:
        inside()
        return web.Response(text="paid")

    async def fail(_: web.Request) -> web.Response:
        raise LookupError

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for part in PARTS:
            await response.write(part)
        return response

    app = web.Application()
    app.router.add_post("/pay", pay)
    app.router.add_post("/fail", fail)
    app.router.add_get("/stream", stream)
    with _aiohttp_server(app) as url:
        yield url


@contextmanager
def _aiohttp_server(app: Any) -> Iterator[str]:
    from aiohttp import web

    ready, loop = threading.Event(), asyncio.new_event_loop()
    ports: list[int] = []
    stop = asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ports.append(runner.addresses[0][1])
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(20)
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
