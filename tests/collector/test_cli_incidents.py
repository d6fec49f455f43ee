"""``incidents`` against a real web server over the fake source: the installed command, its exit codes and its words."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from commands import command
from fakes_source import FakeSource

from otel_cx_collector.cli import asking, incident_text
from otel_cx_collector.cli.asking import Collector
from otel_cx_collector.cli.incidents import Verb
from otel_cx_collector.cli.options import safe
from otel_cx_collector.errors import UserError
from otel_cx_collector.incidents.words import Act, Happening, Status
from otel_cx_collector.web import WebServer, WebSettings

CHECKOUT = "checkout-20261124T095000Z"


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
def url(source: FakeSource) -> Iterator[str]:
    server = WebServer(source, WebSettings(port=0))
    yield f"http://127.0.0.1:{server.start()}"
    server.stop()


def test_the_list_shows_severity_journey_since_customers_and_status_the_open_ones_first(url: str) -> None:
    done = command("incidents", "--collector", url)
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["severity", "journey", "since", "customers", "status", "id"]
    assert [row.split()[0:2] for row in rows] == [["P1", "checkout"], ["P3", "login"], ["P3", "dns-change"]]
    assert rows[0].split()[2:] == ["2026-11-24T09:48:00Z", "412", "of", "1,030", "open", CHECKOUT]
    assert "resolved 2026-11-23T09:15:00Z" in rows[2]
    assert (done.returncode, done.stderr) == (0, "")


def test_the_open_ones_alone_are_listed_as_the_api_answers_them(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    _main("incidents", "list", "--open", "--format", "json", "--collector", url)
    found = json.loads(capsys.readouterr().out)
    assert found == Collector(url).get("/incidents", open=True)
    assert {one["status"] for one in found} == {"open", "acknowledged"}


def test_none_are_said_to_be_none() -> None:
    assert incident_text.listed([]) == "no incidents\n"


def test_one_incident_is_shown_whole_and_no_text_of_a_span_reaches_the_terminal_s_controls(url: str) -> None:
    done = command("incidents", "show", CHECKOUT, "--collector", url)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("P1 Checkout: 412 of 1,030 customers affected (40 %) since 24 November 2026 09:48 UTC")
    assert f"{CHECKOUT}: P1, open" in lines
    assert "  by rule impact: P1: checkout's impact score was 41 against 4" in lines
    for title in ("by segment", "errors", "key accounts", "changes", "saturated", "traces", "action plan", "history"):
        assert title in lines
    assert lines[-1] == "possible: acknowledge, mitigate, resolve, annotate"
    assert all(char.isprintable() or char == "\n" for char in done.stdout)


def test_an_act_is_done_with_name_and_note_and_its_answer_says_so(source: FakeSource, url: str) -> None:
    done = command("incidents", "acknowledge", CHECKOUT, "--text", "on it", "--collector", url, USER="ana")
    assert done.stdout.startswith(f"{CHECKOUT} is acknowledged; acknowledged by ana at 2026-11-24T10:00:17Z: on it")
    assert source.incident(CHECKOUT).status is Status.ACKNOWLEDGED
    _main("incidents", "annotate", CHECKOUT, "--who", "Ben", "--text", "more", "--collector", url)
    last = source.incident(CHECKOUT).history[-1]
    assert (last.who, last.text, last.what) == ("Ben", "more", Happening.ANNOTATED)


def test_what_the_status_does_not_allow_ends_with_2_and_says_what_is_possible(url: str) -> None:
    done = command("incidents", "reopen", CHECKOUT, "--who", "Ana", "--collector", url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"incident {CHECKOUT} is open: reopen is not possible; possible now: acknowledge, mitigate, resolve, annotate\n"
    )


@pytest.mark.parametrize("incident", ["nope", "../journeys", "a/b?c#d", "x" * 101])
def test_an_incident_that_is_not_there_is_told_whatever_its_id(url: str, incident: str) -> None:
    with pytest.raises(UserError, match=r"incident|served|incident_id"):
        _main("incidents", "show", incident, "--collector", url)


def _main(*words: str) -> None:
    """The command line in this process."""
    from otel_cx_collector.cli import cli

    cli(list(words), standalone_mode=False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("list", CHECKOUT), f"write show {CHECKOUT}"),
        (("show",), "show needs an incident; `otel-cx-collector incidents list` prints their ids"),
        (("resolve", CHECKOUT, "--who", ""), "nobody is named who wants to resolve it; say your name with --who"),
        (("list", "--collector", "localhost:8080"), "is no address; write it like http://127.0.0.1:8080"),
        (("list", "--collector", "http://127.0.0.1:1"), "start `otel-cx-collector run`, or say where it listens"),
        (("list", "--collector", "http://[::1"), "did not answer"),
    ],
)
def test_what_cannot_be_asked_is_told_with_the_cure(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError) as caught:
        _main("incidents", *words)
    assert told in str(caught.value)


def test_there_is_a_verb_for_every_act_and_none_besides() -> None:
    assert [verb.value for verb in Verb][2:] == [act.value for act in Act]


@pytest.fixture
def stranger() -> Iterator[Callable[[int, bytes], str]]:
    """Starts a server that gives one answer to every request; answers its address."""
    servers: list[HTTPServer] = []

    def start(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (404, b"<html>nginx</html>", "answered 404; is it a collector's page?"),
        (302, b"", "answered 302; is it a collector's page?"),
        (200, b"hello", "is not JSON; is it a collector's page?"),
        (200, b"", "is not JSON; is it a collector's page?"),
        (421, b"This collector does not answer to the host 'x'; open it as http://localhost.\n", "open it as http"),
        (503, b'{"detail": "the store is away", "cure": "Try again later."}', "the store is away. Try again later."),
        (409, b'{"detail": "it is open; possible now: resolve", "cure": "Possible now: resolve."}', "now: resolve"),
        (409, b'{"detail": "\\u001b[31mred\\n"}', "�[31mred�"),
    ],
)
def test_every_other_answer_becomes_one_sentence(
    stranger: Callable[[int, bytes], str], status: int, body: bytes, told: str
) -> None:
    with pytest.raises(UserError) as caught:
        Collector(stranger(status, body)).get("/incidents")
    assert told in str(caught.value)
    assert all(char.isprintable() for char in str(caught.value))


def test_an_answer_without_end_is_cut(stranger: Callable[[int, bytes], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ASK_MAX_BYTES", 1000)
    assert Collector(stranger(200, b"[" + b" " * 998 + b"]")).get("/incidents") == []
    with pytest.raises(UserError, match="its answer is longer than"):
        Collector(stranger(200, b"[" + b" " * 999 + b"]")).get("/incidents")


def test_texts_of_an_answer_are_one_line_each_and_numbers_stay() -> None:
    assert safe({"a\n": ["b\x1b", 1, None, True]}) == {"a�": ["b�", 1, None, True]}
