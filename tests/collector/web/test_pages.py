"""Pages as HTML: what they say in each state, escaping, headers, who is answered, how much is sent."""

import gzip
import html
import re
from dataclasses import replace
from html.parser import HTMLParser

import httpx
import pytest
from browsing import Serve
from fakes_source import HOSTILE, FakeSource

from otel_cx_collector.errors import UserError
from otel_cx_collector.inventory import Observed, parse
from otel_cx_collector.web import WebSettings
from otel_cx_collector.web.guard import CSP
from otel_cx_collector.web.static import Static

INCIDENT = "/incidents/checkout-20261124T095000Z"
PAGES = (
    *("/", "/journeys/checkout", "/journeys/deployment", "/journeys/support", "/inventory"),
    *("/incidents", "/incidents?show=open&journey=login", INCIDENT, "/incidents/dns-change-20261123T085000Z"),
)


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


ERRORS = (
    "/nope",
    "/journeys/nope",
    "/?range=1y",
    "/journeys/checkout?by=a,b",
    "/journeys/checkout?episode=x",
    "/events?page=x",
    "/incidents/nope",
    "/incidents?show=closed",
    "/incidents?journey=nope",
)


@pytest.mark.parametrize("path", [*PAGES, *ERRORS, "/api/v1/journeys", "/api/v1/journeys/nope", "/static/nope.js"])
def test_every_answer_carries_the_policy_and_the_other_guards(url: str, path: str) -> None:
    headers = httpx.get(url + path).headers
    assert headers["Content-Security-Policy"] == CSP
    assert CSP.startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    )
    assert "frame-ancestors 'none'" in CSP
    assert "unsafe" not in CSP
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert "server" not in headers


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_an_inline_style_handler_or_script(url: str, path: str) -> None:
    page = Elements()
    page.feed(httpx.get(url + path).text)
    assert "style" not in {tag for tag, _ in page.seen}
    assert not [name for _, names in page.seen for name in names if name == "style" or name.startswith("on")]
    scripts = [names for tag, names in page.seen if tag == "script"]
    assert all("src" in names or names.get("type") == "application/json" for names in scripts)


@pytest.mark.parametrize("path", ["/journeys/checkout", "/inventory", INCIDENT])
def test_texts_out_of_spans_stand_on_the_page_as_text(url: str, path: str) -> None:
    page = httpx.get(url + path).text
    for text in HOSTILE:
        assert html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page
    for text in HOSTILE[:2]:
        assert text not in page


def test_half_a_surrogate_pair_out_of_a_json_escape_breaks_neither_page_nor_answer(
    serve: Serve, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "traffic", lambda: [Observed(service="half \ud800", kind="server", spans=1)])
    url = serve()
    assert "half ?" in httpx.get(url + "/inventory").text
    assert httpx.get(url + "/api/v1/traffic").json()[0]["service"] == "half ?"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_address_is_answered_with_text(url: str, text: str) -> None:
    for params in ({"range": text}, {"episode": text}, {"by": text}):
        answer = httpx.get(url + "/journeys/checkout", params=params)
        assert answer.status_code == 400
        assert text not in answer.text or "<" not in text
    answer = httpx.get(f"{url}/journeys/{httpx.QueryParams({'': text}).__str__()[1:].replace('+', '%20')}")
    assert answer.status_code == 404
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:80", "[::1]:8080", "LOCALHOST.", "cx.example.org:8443"])
def test_a_page_is_answered_under_names_that_are_ours(serve: Serve, host: str) -> None:
    assert httpx.get(serve(hosts=("cx.example.org",)), headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.2", "", "[::1", "user@localhost@evil"]
)
def test_a_name_bound_to_our_address_by_another_site_is_refused_with_the_cure(url: str, host: str) -> None:
    for path in ("/", "/api/v1/journeys", "/events?page=overview"):
        answer = httpx.get(url + path, headers={"Host": host})
        assert answer.status_code in {400, 421}
        assert "journeys" not in answer.text
        if answer.status_code == 421:
            assert "web.hosts" in answer.text


def test_the_address_listened_on_is_ours_unless_it_stands_for_all() -> None:
    assert "10.1.2.3" in WebSettings(host="10.1.2.3").allowed
    assert "0.0.0.0" not in WebSettings(host="0.0.0.0").allowed


def test_pages_of_other_sites_may_not_ask(url: str) -> None:
    assert httpx.get(url + "/api/v1/journeys", headers={"Origin": "https://evil.example"}).status_code == 403
    assert httpx.get(url + "/events?page=overview", headers={"Origin": "null"}).status_code == 403
    assert httpx.get(url + "/api/v1/journeys", headers={"Origin": url}).status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_read_and_never_written_to(url: str, path: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = httpx.request(method, url + path)
        assert answer.status_code == 405
        assert "GET" in answer.headers["Allow"]
    assert httpx.head(url + path).status_code == 200


def test_without_journeys_the_page_shows_the_three_lines_that_are_enough(source: FakeSource, serve: Serve) -> None:
    empty = parse("journeys:\n  a:\n    steps: [b]\n")
    empty.journeys.clear()
    source.inventory = empty
    page = httpx.get(serve()).text
    assert "No journeys yet" in page
    assert "steps: [cart, payment, confirm]" in page


def test_before_the_first_evaluation_the_page_says_that_it_starts(source: FakeSource, serve: Serve) -> None:
    source.rounds = 0
    assert "The first evaluation has not finished" in httpx.get(serve()).text


def test_a_journey_without_traffic_shows_how_to_send_it(serve: Serve) -> None:
    page = httpx.get(serve(otlp=("10.0.0.1:4317",)) + "/journeys/support").text
    assert "No traffic yet" in page
    assert "10.0.0.1:4317" in page
    assert "otel_cx.journey(&#34;support&#34;)" in page or 'otel_cx.journey("support")' in page


def test_unmeasured_is_grey_and_says_why(url: str) -> None:
    row = re.search(r'<tr id="row-deployment".*?</tr>', httpx.get(url).text, re.DOTALL)
    assert row
    assert "row-unmeasured" in row[0]
    assert "the collector was down or refusing for 200 s" in row[0]
    assert "Healthy" not in row[0]


def test_a_store_that_is_down_has_a_page_of_its_own(source: FakeSource, serve: Serve) -> None:
    source.down = "the store has not answered for 12 s"
    answer = httpx.get(serve())
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "The store has not answered for 12 s" in answer.text


def test_a_defect_of_ours_has_a_page_too_and_tells_no_details(source: FakeSource, serve: Serve) -> None:
    source.at_s = "secret"  # type: ignore[assignment] # a defect of ours
    answer = httpx.get(serve())
    assert answer.status_code == 500
    assert "The collector failed" in answer.text
    assert "secret" not in answer.text


def test_old_figures_are_said_to_be_old(source: FakeSource, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeSource, "now_s", lambda self: self.at_s + 600)
    assert "The last evaluation is 10\u00a0min old" in httpx.get(serve()).text


def test_the_state_of_a_page_is_in_its_address(url: str) -> None:
    page = httpx.get(f"{url}/journeys/checkout?range=24h&by=plan,market&episode=1795505360").text
    assert "data-events" not in page
    for link in ("/journeys/checkout?range=6h&amp;by=plan,market&amp;episode=1795505360", "/?range=24h"):
        assert f'href="{link}"' in page
    assert 'href="/journeys/checkout?by=plan,market&amp;episode=1795505360"' in page
    assert "Who: plan by market" in page


def test_a_live_page_follows_what_comes_after_the_round_it_shows(serve: Serve, source: FakeSource) -> None:
    source.rounds = 41
    page = httpx.get(serve() + "/journeys/checkout?by=plan,region").text
    address = r'data-events="/events\?page=journey&amp;name=checkout&amp;by=plan,region&amp;seen=[0-9a-f]{8}-41\.0"'
    assert re.search(address, page)


def test_an_incident_begins_with_severity_since_when_who_and_what_to_do(url: str) -> None:
    page = httpx.get(url + INCIDENT).text
    order = [
        "<title>P1 Checkout",
        "severity-p1",
        "Began ",
        'id="tiles"',
        'id="first"',
        'id="act"',
        'id="changes"',
        'id="who"',
    ]
    places = [page.index(part) for part in order]
    assert places == sorted(places)
    assert "recommended</span>" in page.partition('id="first"')[2].partition("</section>")[0]


def test_an_incident_shows_what_was_found_when_it_opened_and_what_the_rules_say_now(url: str) -> None:
    said = httpx.get(url + INCIDENT).text.partition('<section id="decision"')[2].partition("</section>")[0]
    frozen, _, now = said.partition("<h3>Now</h3>")
    assert "impact score was 41 against 4" in frozen
    assert "about 430 more sessions, 9 min at this rate" in now
    assert "impact score was 50.6 against 4" in now


def test_only_what_the_status_allows_is_offered(url: str) -> None:
    offered = {
        path: re.findall(r'type="submit" value="([a-z]+)"', httpx.get(url + path).text)
        for path in (INCIDENT, "/incidents/dns-change-20261123T085000Z")
    }
    assert offered[INCIDENT] == ["annotate", "acknowledge", "mitigate", "resolve"]
    assert offered["/incidents/dns-change-20261123T085000Z"] == ["annotate", "reopen"]


def test_a_link_that_would_run_a_script_is_not_a_link(url: str) -> None:
    for path in PAGES:
        assert 'href="javascript' not in httpx.get(url + path).text


def test_an_unknown_incident_is_called_one(url: str) -> None:
    answer = httpx.get(url + "/incidents/nope")
    assert answer.status_code == 404
    assert "There is no such incident" in answer.text


def test_the_filter_of_the_list_is_in_its_address(url: str) -> None:
    page = httpx.get(url + "/incidents?show=open&journey=login").text
    assert "Portal login</a>" in page
    assert "Checkout</a>" not in page
    assert 'href="/incidents?journey=login"' in page
    assert 'data-events="/events?page=incidents&amp;show=open&amp;journey=login&amp;seen=' in page


def test_without_incidents_each_page_says_so(serve: Serve, source: FakeSource) -> None:
    source.outage = 0
    source.inventory.journeys.pop("dns-change")
    url = serve()
    assert "No incident yet." in httpx.get(url + "/incidents").text
    assert "No incident is open of Checkout." in httpx.get(url + "/incidents?show=open&journey=checkout").text
    assert 'id="incidents" hidden' in httpx.get(url).text
    page = httpx.get(url + "/journeys/signup").text
    for said in ("No account has spent its share", "None in this range: no budget", "Nothing failed and nothing was"):
        assert said in page


def test_an_incident_of_a_journey_that_is_no_longer_listed_still_has_a_page(serve: Serve, source: FakeSource) -> None:
    kept = source.incident(INCIDENT.rpartition("/")[2])
    del source.inventory.journeys["checkout"]
    source._incidents = lambda: [replace(kept, facts=None)]  # type: ignore[method-assign] # what was stored before
    page = httpx.get(serve() + INCIDENT).text
    assert "Its journey is no longer in the inventory" in page
    assert "not counted yet" in page


def test_unmeasured_resources_are_said_to_be_unreported(url: str) -> None:
    resources = httpx.get(url + "/inventory").text.partition('<section id="resources"')[2].partition("</section>")[0]
    assert "not reported" in resources
    assert "needed by no journey: name it under <code>depends_on</code>" in resources


def test_each_chart_has_a_role_a_sentence_and_its_data_as_a_table(url: str) -> None:
    page = httpx.get(url + "/journeys/checkout").text
    chart = re.search(r'<div id="chart-slices"[^>]*>', page)
    assert chart
    assert 'role="img"' in chart[0]
    assert 'aria-label="Success in steps of' in chart[0]
    assert page.count("<details") == 2
    table = page.partition('<details id="slices-table"')[2].partition("</details>")[0]
    assert table.count("<tr>") == 1 + 120


def transferred(url: str, paths: list[str], encoding: str) -> int:
    with httpx.Client(headers={"Accept-Encoding": encoding}) as client:
        total = 0
        for path in paths:
            with client.stream("GET", url + path) as answer:
                assert answer.status_code == 200
                total += sum(len(part) for part in answer.iter_raw())
        return total


@pytest.mark.parametrize("encoding", ["gzip", "br, gzip"])
def test_a_first_visit_and_a_later_one_stay_within_what_views_promise(url: str, encoding: str) -> None:
    names = sorted(
        file.name for file in (Static.__init__.__globals__["FOLDER"]).glob("*.[jc]s*") if file.suffix in {".js", ".css"}
    )
    files = [f"/static/{name}" for name in names]
    assert (
        transferred(url, ["/", "/journeys/checkout", INCIDENT, "/incidents", "/inventory", *files], encoding) < 450_000
    )
    for path in PAGES:
        assert transferred(url, [path], encoding) < 60_000


def test_built_files_are_kept_for_good_and_sent_as_compressed_at_build_time(url: str) -> None:
    style = Static().url("style.css")
    plain = httpx.get(url + style, headers={"Accept-Encoding": "identity"})
    assert plain.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert plain.headers["Content-Type"] == "text/css; charset=utf-8"
    with httpx.stream("GET", url + style, headers={"Accept-Encoding": "gzip"}) as packed:
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.headers["Vary"] == "Accept-Encoding"
        assert gzip.decompress(b"".join(packed.iter_raw())) == plain.content
    assert httpx.get(url + style, headers={"Accept-Encoding": "br"}).headers["Content-Encoding"] == "br"
    assert (
        httpx.get(url + style, headers={"Accept-Encoding": "br;q=0, identity"}).headers.get("Content-Encoding") is None
    )


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/manifest.json", "/static/.stamp", "/static/"]
)
def test_nothing_but_built_files_is_served_as_static(url: str, path: str) -> None:
    assert httpx.get(url + path).status_code == 404


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"port": 70_000}, "port 70000"),
        ({"heartbeat_s": 0}, "heartbeat_s is 0"),
        ({"live_clients": 256}, "make live_clients the smaller"),
        ({"hosts": ("https://cx.example.org",)}, "write it like cx.example.org"),
        ({"hosts": ("*",)}, "not a host name"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_the_cure(settings: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        WebSettings(**settings)  # type: ignore[arg-type] # the mistake under test


def test_files_that_were_never_built_are_a_mistake_at_start(tmp_path: object) -> None:
    with pytest.raises(UserError, match=r"build them with `python collector/hatch_build\.py`"):
        Static(tmp_path)  # type: ignore[arg-type] # a Path


def test_an_address_in_use_is_said_with_the_cure(serve: Serve, source: FakeSource) -> None:
    port = int(serve().rpartition(":")[2])
    from otel_cx_collector.web import WebServer

    with pytest.raises(UserError, match=rf"127.0.0.1:{port} cannot be listened on .*set another port"):
        WebServer(source, WebSettings(port=port)).start()
