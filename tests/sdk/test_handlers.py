"""Handlers that are methods of classes, in each framework's manner: decorated, they are served as before, as steps."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import falcon
import falcon.asgi
import falcon.testing
import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient as AioHttpClient
from aiohttp.test_utils import TestServer as AioHttpServer
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from flask import Flask, Response
from flask.views import MethodView
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import otel_cx
from otel_cx.testing import Journeys

checkout = otel_cx.journey("checkout")


class Order(BaseModel):
    amount: int


def ask(app: Any, method: str, path: str, amount: object = None) -> httpx.Response:
    """Sends one request to an ASGI application, in the test's process."""

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            return await client.request(method, path, json={"amount": amount})

    return asyncio.run(main())


def steps(recorded: Journeys) -> list[str]:
    return [step.step for step in recorded.steps()]


def test_flask_method_views_decorated_by_method_or_as_a_whole(recorded: Journeys) -> None:
    class Pay(MethodView):
        @checkout.step("payment")
        def post(self, number: int) -> str:
            return f"paid {number}"

    class Confirm(MethodView):
        decorators = [checkout.step("confirm")]  # noqa: RUF012 - Flask's own way

        async def post(self) -> str:
            return "confirmed"

    app = Flask("shop")
    app.add_url_rule("/pay/<int:number>", view_func=Pay.as_view("pay"))
    app.add_url_rule("/confirm", view_func=Confirm.as_view("confirm"))
    client = app.test_client()
    assert client.post("/pay/42").text == "paid 42"
    assert client.post("/confirm").text == "confirmed"
    assert steps(recorded) == ["payment", "confirm"]


def test_flask_a_streamed_answer_is_a_step_until_its_last_chunk(recorded: Journeys) -> None:
    @checkout.step("export")
    def rows() -> Iterator[str]:
        yield "a"
        assert not recorded.steps()
        yield "b"

    app = Flask("shop")

    @app.get("/export")
    def export() -> Response:
        with checkout.attempt("cart-42"):
            return Response(rows())

    assert app.test_client().get("/export").text == "ab"
    assert [(step.step, step.attempt) for step in recorded.steps()] == [("export", "cart-42")]


def test_starlette_endpoints_sync_and_async(recorded: Journeys) -> None:
    class Pay(HTTPEndpoint):
        @checkout.step("show")
        def get(self, request: Request) -> PlainTextResponse:
            return PlainTextResponse(f"shown {request.url.path}")

        @checkout.step("payment")
        async def post(self, request: Request) -> PlainTextResponse:
            return PlainTextResponse(str((await request.json())["amount"]))

    app = Starlette(routes=[Route("/pay", Pay)])
    assert ask(app, "GET", "/pay").text == "shown /pay"
    assert ask(app, "POST", "/pay", 42).text == "42"
    assert steps(recorded) == ["show", "payment"]


def test_fastapi_reads_signatures_through_and_dependencies_may_be_steps(recorded: Journeys) -> None:
    class Shop:
        @checkout.step("basket")
        async def basket(self, number: int) -> AsyncIterator[str]:
            yield f"basket {number}"

        @checkout.step("payment")
        def pay(self, order: Order, basket: str) -> dict[str, object]:
            return {"amount": order.amount, "basket": basket}

    app = FastAPI()
    shop = Shop()

    @app.post("/pay/{number}")  # noqa: FAST003 - the dependency takes it
    @checkout.step("handler")
    def handler(order: Order, basket: Annotated[str, Depends(shop.basket)]) -> dict[str, object]:
        return shop.pay(order, basket)

    @app.get("/export")
    async def export() -> StreamingResponse:
        @checkout.step("export")
        async def rows() -> AsyncIterator[str]:
            for letter in "abc":
                await asyncio.sleep(0)
                yield letter

        with checkout.attempt("cart-42"):
            return StreamingResponse(rows())

    assert ask(app, "POST", "/pay/7", 42).json() == {"amount": 42, "basket": "basket 7"}
    assert ask(app, "POST", "/pay/7", "many").status_code == 422
    assert ask(app, "GET", "/export").text == "abc"
    assert steps(recorded)[:3] == ["payment", "handler", "basket"]
    assert [step.attempt for step in recorded.steps() if step.step == "export"] == ["cart-42"]


def test_aiohttp_views(recorded: Journeys) -> None:
    class Pay(web.View):
        @checkout.step("payment")
        async def post(self) -> web.Response:
            return web.Response(text=(await self.request.text()).upper())

    async def main() -> str:
        app = web.Application()
        app.router.add_view("/pay", Pay)
        async with AioHttpClient(AioHttpServer(app)) as client, client.post("/pay", data=b"paid") as answer:
            return await answer.text()

    assert asyncio.run(main()) == "PAID"
    assert steps(recorded) == ["payment"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_falcon_resources(recorded: Journeys, asynchronous: bool) -> None:
    class Pay:
        @checkout.step("payment")
        def on_post(self, request: falcon.Request, response: falcon.Response, number: str) -> None:
            response.text = f"{request.method} {number}"

    class AsyncPay:
        @checkout.step("payment")
        async def on_post(self, request: falcon.asgi.Request, response: falcon.asgi.Response, number: str) -> None:
            response.text = f"{request.method} {number}"

    app: Any = falcon.asgi.App() if asynchronous else falcon.App()
    app.add_route("/pay/{number}", AsyncPay() if asynchronous else Pay())
    assert falcon.testing.TestClient(app).simulate_post("/pay/42").text == "POST 42"
    assert steps(recorded) == ["payment"]


DJANGO = """
import asyncio, json
from django.conf import settings
settings.configure()
from django.http import HttpResponse
from django.test import RequestFactory, AsyncRequestFactory
from django.utils.decorators import method_decorator
from django.views import View
import otel_cx
from otel_cx.testing import recording

checkout = otel_cx.journey("checkout")

class Pay(View):
    @checkout.step("payment")
    def post(self, request, number):
        return HttpResponse(f"paid {number}")

@method_decorator(checkout.step("confirm"), name="post")
class Confirm(View):
    def post(self, request):
        return HttpResponse("confirmed")

class AsyncPay(View):
    @checkout.step("apayment")
    async def post(self, request):
        await asyncio.sleep(0)
        return HttpResponse("paid")

class Plain(View):
    async def post(self, request):
        await asyncio.sleep(0)
        return HttpResponse("shown")

asked, later = RequestFactory().post("/"), AsyncRequestFactory().post("/")
with recording() as recorded:
    texts = [Pay.as_view()(asked, number=42), Confirm.as_view()(asked)]
    texts.append(asyncio.run(AsyncPay.as_view()(later)))
    whole = checkout.step("whole")(Plain.as_view())  # as in a URL pattern
    answer = whole(later)
    assert not [step for step in recorded.steps() if step.step == "whole"], "it is open until it was awaited"
    texts.append(asyncio.run(answer))
    steps = [step.step for step in recorded.steps()]
print(json.dumps([[text.content.decode() for text in texts], steps, otel_cx.diagnostics()]))
"""


def test_django_views_by_method_by_class_and_whole() -> None:
    # A process of its own: Django is configured once in each.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DJANGO], capture_output=True, text=True, check=False, timeout=60
    )
    assert not done.stderr
    texts, recorded, diagnostics = json.loads(done.stdout)
    assert texts == ["paid 42", "confirmed", "paid", "shown"]
    assert recorded == ["payment", "confirm", "apayment", "whole"]
    assert diagnostics == {}


def test_handlers_found_by_name_on_a_class_of_any_make(recorded: Journeys) -> None:
    class Handler:
        async def prepare(self) -> None:
            self.user = "user-42"

        @checkout.step("payment")
        async def post(self, number: str) -> str:
            return f"{self.user} paid {number}"

    async def serve(handler: type[Handler], method: str, *arguments: str) -> str:
        instance = handler()
        await instance.prepare()
        answer: str = await getattr(instance, method.lower())(*arguments)
        return answer

    class Child(Handler):
        pass

    assert asyncio.run(serve(Child, "POST", "42")) == "user-42 paid 42"
    assert steps(recorded) == ["payment"]


@pytest.mark.parametrize("decorate", [checkout, checkout.attempt("a"), checkout.step("payment")])
def test_a_class_is_refused_and_told_what_to_decorate(decorate: Callable[[Any], Any]) -> None:
    class PayView: ...

    with pytest.raises(otel_cx.ConfigurationError, match=r"PayView cannot be decorated.*such as get, post or __call__"):
        decorate(PayView)
