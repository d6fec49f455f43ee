"""What people do to incidents through the API: who may, what a body must be, what a status allows, who is told."""

import json
import socket
from typing import Any

import httpx
import pytest
from browsing import Serve
from fakes_source import HOSTILE, FakeSource
from listening import listening, news

from otel_cx_collector.api.incidents import MAX_BODY, MAX_DRAINED
from otel_cx_collector.incidents.machine import MAX_TEXT, MAX_WHO

ID = "checkout-20261124T095000Z"
ANA = {"who": "Ana", "text": "on it"}


def post(url: str, act: str, body: Any = None, incident: str = ID, **headers: str) -> httpx.Response:
    return httpx.post(f"{url}/api/v1/incidents/{incident}/{act}", json=ANA if body is None else body, headers=headers)


def test_an_incident_goes_from_open_to_resolved_and_back_and_every_act_is_kept(serve: Serve) -> None:
    url = serve()
    for act, status in (
        ("acknowledge", "acknowledged"), ("annotate", "acknowledged"), ("mitigate", "mitigated"), ("reopen", "open"),
        ("resolve", "resolved"), ("annotate", "resolved"), ("reopen", "open"),
    ):  # fmt: skip
        answer = post(url, act)
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == status
        assert (answer.json()["history"][-1]["who"], answer.json()["history"][-1]["text"]) == ("Ana", "on it")
    assert httpx.get(f"{url}/api/v1/incidents/{ID}").json()["history"] == answer.json()["history"]


def test_the_openapi_document_describes_every_act_and_its_body(url: str) -> None:
    paths = httpx.get(f"{url}/api/v1/openapi.json").json()["paths"]
    for act in ("acknowledge", "mitigate", "resolve", "reopen", "annotate"):
        said = paths[f"/incidents/{{incident_id}}/{act}"]["post"]
        assert set(said["responses"]) == {"200", "404", "408", "409", "413", "415", "422", "503"}
        schema = said["requestBody"]["content"]["application/json"]["schema"]
        assert set(schema["properties"]) == {"who", "text"}


def test_what_the_status_does_not_allow_is_409_with_what_is_possible(serve: Serve) -> None:
    url = serve()
    answer = post(url, "reopen")
    problem = answer.json()
    assert answer.status_code == problem["status"] == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "urn:otel-cx:problem:not-possible"
    assert problem["possible"] == ["acknowledge", "mitigate", "resolve", "annotate"]
    assert problem["cure"] == "Possible now: acknowledge, mitigate, resolve, annotate."
    assert post(url, "annotate", {"who": "Ana"}).status_code == 409, "a note must say something"


def test_an_incident_there_is_not_is_404(url: str) -> None:
    answer = post(url, "acknowledge", incident="nope")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:otel-cx:problem:unknown-incident"
    assert post(url, "celebrate").status_code == 404


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_that_is_not_json_is_415_so_that_no_form_of_another_site_can_send_it(url: str, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = httpx.post(f"{url}/api/v1/incidents/{ID}/acknowledge", content=json.dumps(ANA), headers=headers)
    assert answer.status_code == 415
    assert answer.json()["cure"] == "Send it as application/json."


def test_a_body_over_the_limit_is_413(url: str) -> None:
    answer = post(url, "annotate", {"who": "Ana", "text": "x" * MAX_BODY})
    assert answer.status_code == 413
    assert answer.json()["cure"] == "Send a name and a short note."


def test_a_body_that_never_ends_is_cut(url: str) -> None:
    endless = (b"1000\r\n" + b"x" * 4096 + b"\r\n") * (20 * MAX_DRAINED // 4096)
    with writing(url, b"Transfer-Encoding: chunked") as client, pytest.raises(ConnectionError):
        client.sendall(endless)


def test_a_body_that_does_not_come_is_408_and_the_connection_closed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_cx_collector.api.incidents.BODY_S", 0.2)
    with writing(url, b"Content-Length: 100") as client:
        said = b"".join(iter(lambda: client.recv(65536), b""))
    assert said.startswith(b"HTTP/1.1 408")


def writing(url: str, length: bytes) -> socket.socket:
    """A connection on which the head of a write was sent, and none of its body."""
    head = f"POST /api/v1/incidents/{ID}/annotate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    client = socket.create_connection(("localhost", int(url.rpartition(":")[2])), 30)
    client.sendall(head.encode() + length + b"\r\n\r\n")
    return client


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "who: Field required"),
        ({"who": ""}, "who is ''"),
        ({"who": "   "}, "who is '   '"),
        ({"who": 7}, "who is '7'"),
        ({"who": "Ana", "text": None}, "text is 'None'"),
        ({"who": "Ana", "note": "x"}, "note is 'x'"),
        ({"who": "a" * (MAX_WHO + 1)}, f"at most {MAX_WHO}"),
        ({"who": "Ana", "text": "a" * (MAX_TEXT + 1)}, f"at most {MAX_TEXT}"),
        ([], "the body is '[]'"),
    ],
)
def test_a_body_that_cannot_be_used_is_422_with_what_to_send(url: str, body: Any, says: str) -> None:
    answer = post(url, "annotate", body)
    assert answer.status_code == 422
    assert says in answer.json()["detail"]
    assert '{"who": "your name", "text": "a note"}' in answer.json()["cure"]
    assert len(answer.content) < 1000


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"who": "\\ud800"}', b"[" * 9000])
def test_what_is_no_json_is_422_and_nothing_breaks(url: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = httpx.post(f"{url}/api/v1/incidents/{ID}/annotate", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:otel-cx:problem:bad-body"


def test_hostile_texts_come_back_as_they_were_sent_but_for_what_no_line_can_hold(serve: Serve) -> None:
    url = serve()
    for text in HOSTILE:
        answer = post(url, "annotate", {"who": "Ana", "text": text})
        assert answer.status_code == 200
    assert answer.json()["history"][-1]["text"] == HOSTILE[-1]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_address_may_not_write_not_even_of_another_port(url: str, headers: dict[str, str]) -> None:
    answer = post(url, "acknowledge", None, ID, **headers)
    assert answer.status_code == 403
    assert httpx.get(f"{url}/api/v1/incidents/{ID}").json()["status"] == "open"


def test_our_own_pages_and_clients_that_are_no_page_may_write(serve: Serve) -> None:
    url = serve()
    own = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
    assert post(url, "annotate", None, ID, **own).status_code == 200
    assert post(url, "annotate", None, ID, **{"Sec-Fetch-Site": "none"}).status_code == 200
    assert post(url, "annotate").status_code == 200


def test_a_page_behind_a_proxy_with_tls_may_write(serve: Serve) -> None:
    url = serve(hosts=("cx.example.org",))
    behind = {"Host": "cx.example.org", "Origin": "https://cx.example.org"}
    assert post(url, "annotate", None, ID, **behind).status_code == 200


def test_reading_is_never_a_write(url: str) -> None:
    answer = httpx.get(f"{url}/api/v1/incidents/{ID}/acknowledge")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_a_store_that_is_down_is_503_with_when_to_come_back(serve: Serve, source: FakeSource) -> None:
    url = serve()
    source.down = "the working state cannot be written"
    answer = post(url, "acknowledge")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


def test_a_page_shows_what_was_done_even_while_nothing_is_evaluated(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_cx_collector.web.live.LATE_S", 0.0)
    url = serve(heartbeat_s=0.3)
    with listening(url, f"page=incident&name={ID}&seen=0") as told:
        next(each for each in told if each[0] == "trouble")
        post(url, "acknowledge")
        _, changed = next(each for each in told if each[0] == "patch" and "lead" in each[1]["parts"])
        assert "acknowledged" in changed["parts"]["lead"]
        assert news(told)[0] == "trouble", "and still says that it is old"


def test_every_open_page_is_told_before_the_next_round_and_a_page_opened_after_it_is_not_told_again(
    serve: Serve, source: FakeSource
) -> None:
    url = serve(heartbeat_s=0.3)
    with listening(url, f"page=incident&name={ID}&seen=0") as first, listening(url, "page=overview&seen=0") as second:
        news(first)
        news(second)
        assert post(url, "acknowledge").status_code == 200
        _, changed = news(first)
        assert {"lead", "act", "timeline"} <= set(changed["parts"])
        assert "acknowledged" in changed["parts"]["lead"]
        _, changed = news(second)
        assert "acknowledged" in changed["parts"]["incidents"]
    assert source.rounds == 1
    page = httpx.get(f"{url}/incidents/{ID}").text
    seen = page.partition("seen=")[2].partition('"')[0]
    with listening(url, f"page=incident&name={ID}&seen={seen}") as told:
        assert next(told) == ("beat", {})
