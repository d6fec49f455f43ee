"""Egress by host without code in the application: our client instrumentors beside the official ones, on the wire."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import aiohttp
import httpx
import pytest
import requests
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from sdk.serving import Service, wsgi_server

import otel_cx
from otel_cx import Settings, semconv, trust
from otel_cx._settings import runtime
from otel_cx.instrumentors.aiohttp_client import AioHttpClientCXInstrumentor
from otel_cx.instrumentors.httpx import HTTPXCXInstrumentor
from otel_cx.instrumentors.requests import RequestsCXInstrumentor
from otel_cx.testing import TEST_KEY, Journeys, recording

Client = Callable[..., object]

checkout = otel_cx.journey("checkout")
OURS = (RequestsCXInstrumentor, HTTPXCXInstrumentor, AioHttpClientCXInstrumentor)
OFFICIAL = (RequestsInstrumentor, HTTPXClientInstrumentor, AioHttpClientInstrumentor)


def with_requests(url: str, headers: dict[str, str] | None = None, proxy: str | None = None) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.get(url, timeout=10, headers=headers, proxies={"http": proxy} if proxy else None)


def with_prepared_requests(url: str, headers: dict[str, str] | None = None, proxy: str | None = None) -> None:
    with requests.Session() as session:
        prepared = requests.Request("POST", url, headers=headers, data=b"x").prepare()
        session.send(prepared, timeout=10, proxies={"http": proxy} if proxy else {})


def with_httpx(url: str, headers: dict[str, str] | None = None, proxy: str | None = None) -> None:
    with httpx.Client(follow_redirects=True, proxy=proxy, trust_env=False) as client:
        client.get(url, headers=headers)


def with_async_httpx(url: str, headers: dict[str, str] | None = None, proxy: str | None = None) -> None:
    async def get() -> None:
        async with httpx.AsyncClient(follow_redirects=True, proxy=proxy, trust_env=False) as client:
            await client.get(url, headers=headers)

    asyncio.run(get())


def with_aiohttp(url: str, headers: dict[str, str] | None = None, proxy: str | None = None) -> None:
    async def get() -> None:
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers, proxy=proxy) as answer:
            await answer.read()

    asyncio.run(get())


CLIENTS = [with_requests, with_prepared_requests, with_httpx, with_async_httpx, with_aiohttp]

SETTINGS = Settings(keys=TEST_KEY, egress_hosts=("127.0.0.1", "billing", "*.internal", "xn--bcher-kva.example", "::1"))
"""localhost, which is the same machine, is not on the list."""


@contextmanager
def instrumented(*kinds: Any, settings: Settings = SETTINGS, **told: Any) -> Iterator[Journeys]:
    """Instruments the libraries in this order, and takes it off in the same, so that each is once below the other."""
    with recording(settings) as recorded, ExitStack() as stack:
        for kind in kinds:
            instrumentor = kind()
            instrumentor.instrument(tracer_provider=recorded.provider, **(told if kind in OFFICIAL else {}))
            stack.callback(instrumentor.uninstrument)
        yield recorded


@pytest.fixture(params=[(*OURS, *OFFICIAL), (*OFFICIAL, *OURS)], ids=["ours first", "ours last"])
def both(request: pytest.FixtureRequest) -> Iterator[Journeys]:
    with instrumented(*request.param) as recorded:
        yield recorded


def call(recorded: Journeys, client: Client, url: str, **options: Any) -> None:
    with recorded.provider.get_tracer("x").start_as_current_span("server"):
        otel_cx.identify(customer="user-42")
        with checkout.attempt("cart-42"), checkout.step("payment"):
            client(url, **options)


def elsewhere(url: str) -> str:
    return url.replace("127.0.0.1", "localhost")


@pytest.mark.parametrize("client", CLIENTS)
def test_an_allowed_host_is_sent_the_customers_context(both: Journeys, client: Client) -> None:
    service = Service()
    with wsgi_server(service) as url:
        call(both, client, url)
    [header] = service.baggage
    assert header is not None
    members = dict(member.split("=") for member in header.split(","))
    assert members[semconv.JOURNEY_ATTEMPT] == "cart-42"
    assert members[semconv.CUSTOMER_ID] == TEST_KEY.pseudonym("user-42")
    assert TEST_KEY.verify({n: v for n, v in members.items() if n != semconv.SIGNATURE}, members[semconv.SIGNATURE])
    assert otel_cx.diagnostics() == {}


@pytest.mark.parametrize("client", CLIENTS)
def test_any_other_host_is_sent_nothing_and_that_is_counted(both: Journeys, client: Client) -> None:
    service = Service()
    with wsgi_server(service) as url:
        call(both, client, elsewhere(url))
    assert service.told == [False]
    assert otel_cx.diagnostics() == {"egress_denied": 1}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_redirect_to_another_host_carries_nothing_there(both: Journeys, client: Client) -> None:
    foreign = Service()
    with wsgi_server(foreign) as there, wsgi_server(Service(elsewhere(there))) as url:
        call(both, client, f"{url}/there")
    assert foreign.told == [False]
    assert otel_cx.diagnostics()["egress_denied"] > 0


@pytest.mark.parametrize("client", CLIENTS)
def test_a_redirect_to_an_allowed_host_carries_the_context_on(both: Journeys, client: Client) -> None:
    inside = Service()
    with wsgi_server(inside) as there, wsgi_server(Service(there)) as url:
        call(both, client, f"{url}/there")
    assert inside.told == [True]
    assert otel_cx.diagnostics() == {}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_redirect_that_comes_back_from_another_host_took_nothing_there(both: Journeys, client: Client) -> None:
    with wsgi_server(Service()) as home:
        foreign = Service(home)
        with wsgi_server(foreign) as there, wsgi_server(Service(f"{elsewhere(there)}/there")) as url:
            call(both, client, f"{url}/there")
    assert foreign.told == [False]


@pytest.mark.parametrize("client", CLIENTS)
def test_by_default_nothing_leaves(client: Client) -> None:
    service = Service()
    with instrumented(*OURS, *OFFICIAL, settings=Settings(keys=TEST_KEY)) as recorded, wsgi_server(service) as url:
        call(recorded, client, url)
        assert otel_cx.diagnostics() == {"egress_denied": 1}
    assert service.told == [False]


@pytest.mark.parametrize("client", CLIENTS)
def test_with_ours_alone_nothing_leaves_because_nothing_injects(client: Client) -> None:
    service = Service()
    with instrumented(*OURS) as recorded, wsgi_server(service) as url:
        call(recorded, client, url)
        assert otel_cx.diagnostics() == {}
    assert service.baggage == [None]


@pytest.mark.parametrize("client", CLIENTS)
def test_what_the_application_hands_on_itself_does_not_reach_another_host(both: Journeys, client: Client) -> None:
    """A gateway that copies the headers of the request it serves."""
    service = Service()
    headers = {"Baggage": "userId=alice,otelcx.segment=enterprise"}
    with wsgi_server(service) as url:
        client(elsewhere(url), headers=headers)
    assert [line and line.split(",")[0] for line in service.baggage] == ["userId=alice"]
    assert service.told == [False]
    assert headers == {"Baggage": "userId=alice,otelcx.segment=enterprise"}, "the application's own is not touched"


@contextmanager
def network() -> Iterator[tuple[str, list[bool]]]:
    """A proxy that stands for every host there is: (its URL, of each request whether it carried anything of ours)."""
    told: list[bool] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.append(semconv.PREFIX in ",".join(self.headers.get_all("baggage") or ()))
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the server's name for it

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://billing/", True),
        ("http://BILLING:8080/pay", True),
        ("http://billing./", True),
        ("http://a.b.Internal/x?y=z#w", True),
        ("http://user:pw@billing/", True),
        ("http://[::1]:8080/", True),
        ("http://[0:0:0:0:0:0:0:1]/", True),
        ("http://127.0.0.1:9/", True),
        ("http://bücher.example/", True),
        ("http://xn--bcher-kva.example/", True),
        ("http://pay.shop.svc/", True),
        ("http://partner.example/", False),
        ("http://billing.partner.example/", False),
        ("http://billing@partner.example/", False),
        ("http://billing:x@partner.example:80/", False),
        ("http://partner.example/http://billing/", False),
        ("http://partner.example?.internal", False),
        ("http://partner.example#.internal", False),
        ("http://internal/", False),
        ("http://xbilling/", False),
        ("http://127.0.0.2/", False),
        ("http://[::2]/", False),
        ("http://[::ffff:127.0.0.1]/", False),
        ("http://büchér.example/", False),
        ("http://bucher.example/", False),
    ],
)
def test_the_destination_decides_however_it_is_written_and_not_the_proxy_on_the_way(
    both: Journeys, url: str, allowed: bool
) -> None:
    """The proxy is on the list when the host is not, and the other way round."""
    with network() as (proxy, told):
        for client in CLIENTS:
            call(both, client, url, proxy=elsewhere(proxy) if allowed else proxy)
    assert told == [allowed] * len(CLIENTS)


def test_a_base_url_is_part_of_the_destination(both: Journeys) -> None:
    service = Service()

    def httpx_below(base: str) -> None:
        with httpx.Client(base_url=base) as client:
            client.get("/pay")

    def aiohttp_below(base: str) -> None:
        async def get() -> None:
            async with aiohttp.ClientSession(base) as session, session.get("/pay") as answer:
                await answer.read()

        asyncio.run(get())

    with wsgi_server(service) as url:
        for below in (httpx_below, aiohttp_below):
            call(both, below, url)
            call(both, below, elsewhere(url))
    assert service.told == [True, False, True, False]


def test_a_redirect_that_the_official_instrumentation_was_told_to_leave_out_carries_nothing_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It injects at the first hop, and at the second, which is excluded, it would not even ask."""
    monkeypatch.setenv("OTEL_PYTHON_HTTPX_EXCLUDED_URLS", "localhost")
    foreign = Service()
    with (
        instrumented(*OURS, *OFFICIAL) as recorded,
        wsgi_server(foreign) as there,
        wsgi_server(Service(elsewhere(there))) as url,
    ):
        call(recorded, with_httpx, f"{url}/there")
    assert foreign.told == [False]


def test_aiohttp_with_a_filter_that_hides_the_host_cannot_send_anything_to_another(both: Journeys) -> None:
    foreign = Service()
    AioHttpClientInstrumentor().uninstrument()
    AioHttpClientInstrumentor().instrument(tracer_provider=both.provider, url_filter=lambda _: "http://127.0.0.1/")
    with wsgi_server(foreign) as url:
        call(both, with_aiohttp, elsewhere(url))
    assert foreign.told == [False]
    assert otel_cx.diagnostics() == {"egress_denied": 1}


def test_an_adapter_of_another_kind_is_redirected_without_the_context(both: Journeys) -> None:
    class Recording(BaseAdapter):
        """Answers the first request with a redirect; keeps the headers of both."""

        def __init__(self) -> None:
            super().__init__()
            self.baggage: list[str | None] = []

        def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
            self.baggage.append(request.headers.get("baggage"))
            answer = requests.Response()
            answer.status_code = 302 if len(self.baggage) == 1 else 200
            answer.headers = CaseInsensitiveDict({"location": "http://partner.example/"})
            answer.request, answer.url = request, str(request.url)
            answer._content = b""
            return answer

        def close(self) -> None:
            pass

    adapter = Recording()
    with requests.Session() as session:
        session.mount("http://", adapter)
        call(both, session.get, "http://billing/")
    assert [line is not None for line in adapter.baggage] == [True, False]


def test_several_baggage_lines_are_all_looked_at(both: Journeys) -> None:
    service = Service()

    async def get(url: str) -> None:
        lines = [("baggage", "a=1"), ("baggage", "otelcx.segment=enterprise"), ("baggage", "b=2")]
        async with aiohttp.ClientSession() as session, session.get(url, headers=lines) as answer:
            await answer.read()

    def httpx_get(url: str) -> None:
        httpx.get(url, headers=[("baggage", "a=1"), ("baggage", "otelcx.segment=enterprise"), ("baggage", "b=2")])

    with wsgi_server(service) as url:
        asyncio.run(get(elsewhere(url)))
        httpx_get(elsewhere(url))
    assert [(line or "").replace(" ", "") for line in service.baggage] == ["a=1,b=2", "a=1,b=2"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_header_that_only_the_guard_could_find_is_kept_back_however_long_it_is(client: Client) -> None:
    service = Service()
    filler = ",".join(f"k{number}={'v' * 90}" for number in range(100))
    with instrumented(*OURS), wsgi_server(service) as url:
        client(elsewhere(url), headers={"baggage": f"{filler},otelcx.segment=enterprise"})
    assert service.baggage == [filler]


def test_bytes_are_looked_at_as_text() -> None:
    headers = {"baggage": b"userId=alice,otelcx.segment=enterprise"}
    trust.check_hop("http://partner.example/", headers)
    assert headers["baggage"] == "userId=alice"  # type: ignore[comparison-overlap]  # replaced by text


@pytest.mark.parametrize("client", CLIENTS)
def test_settings_that_cannot_be_read_keep_everything_back_and_the_call_goes_through(client: Client) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    service = Service()
    with instrumented(*OURS), wsgi_server(service) as url:
        runtime.settings = Broken()  # type: ignore[assignment]  # the fault under test; `recording` puts it back
        client(url, headers={"baggage": "userId=alice,otelcx.segment=enterprise"})
        assert otel_cx.diagnostics() == {"internal": 1, "egress_denied": 1}
    assert service.baggage == ["userId=alice"]


@pytest.mark.parametrize("headers", [None, {}, {"baggage": 5}, {"baggage": None}, 7, "baggage"])
def test_headers_that_cannot_be_read_are_left_alone(recorded: Journeys, headers: Any) -> None:
    trust.check_hop("http://partner.example/", headers)
    trust.check_hop(object(), headers)


@pytest.mark.parametrize("order", [(*OURS, *OFFICIAL), (*OFFICIAL, *OURS)])
def test_taking_ours_off_leaves_the_official_one_on_and_the_other_way_round(order: tuple[Any, ...]) -> None:
    service = Service()
    with instrumented(*order) as recorded, wsgi_server(service) as url:
        for kind in OFFICIAL:
            kind().uninstrument()
        for client in CLIENTS:
            client(elsewhere(url), headers={"baggage": "otelcx.segment=enterprise"})
        assert service.baggage == [None] * len(CLIENTS), "ours is still there"
        for kind in OURS:
            kind().uninstrument()
        for kind in OFFICIAL:
            kind().instrument(tracer_provider=recorded.provider)
        service.baggage.clear()
        recorded.clear()
        for client in CLIENTS:
            call(recorded, client, url)
        assert len([span for span in recorded.spans if span.name in {"GET", "POST"}]) == len(CLIENTS)
    httpx_alone = [client in {with_httpx, with_async_httpx} for client in CLIENTS]
    assert service.told == httpx_alone, "without ours, only where every hop is a span of its own"
