"""Server-sent events: who is told what, when, and what is left behind."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable

import httpx
import pytest
from browsing import Serve
from fakes_source import FakeSource
from listening import listening, news

from otel_cx_collector.web import WebServer, WebSettings


def mark(url: str, number: int) -> str:
    """What a page of this server's round calls itself."""
    found = re.search(r"seen=([0-9a-f]+)-", httpx.get(url).text)
    assert found
    return f"{found[1]}-{number}.0"


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end, "in vain"
        time.sleep(0.02)


def test_a_page_of_this_round_is_told_nothing_until_the_next_and_then_what_changed(
    serve: Serve, source: FakeSource
) -> None:
    url = serve(heartbeat_s=0.3)
    with listening(url, f"page=overview&seen={mark(url, 1)}") as told:
        assert next(told) == ("beat", {})
        eventually(lambda: len(source.waits) > 1)  # what the page shows is composed by then
        source.turn()
        name, data = news(told)
    assert name == "patch"
    assert data["round"] == 2
    assert "lead" in data["parts"]
    assert "lists" not in data


def test_only_rows_that_changed_are_sent_and_the_order_only_when_it_did(serve: Serve, source: FakeSource) -> None:
    with listening(serve(), "page=overview&seen=0") as told:
        _, everything = next(told)
        assert {"lead", "worst", "row-checkout", "row-signup"} <= set(everything["parts"])
        assert everything["lists"]["rows"][0] == "row-checkout"
        source.turn(lambda s: setattr(s, "idle", "signup"), seconds=0)
        _, change = next(told)
    assert set(change["parts"]) == {"row-signup", "row-support"}
    assert change["lists"]["rows"][3] == "row-signup"


def test_charts_are_told_as_the_series_that_changed(serve: Serve, source: FakeSource) -> None:
    with listening(serve(), "page=journey&name=checkout&seen=0") as told:
        _, everything = next(told)
        assert "tooltip" in everything["charts"]["slices"]["option"]
        source.turn(lambda s: setattr(s, "outage", 0.5), seconds=0)
        _, change = next(told)
    assert set(change["charts"]["slices"]["option"]) <= {"series", "yAxis"}
    assert "steps" in change["parts"]
    assert "plan" not in change["parts"]


def test_a_browser_that_comes_back_goes_on_from_the_last_event_it_saw(serve: Serve, source: FakeSource) -> None:
    source.rounds = 7
    url = serve(heartbeat_s=0.3)
    with listening(url, "page=overview&seen=0", {"Last-Event-ID": mark(url, 7)}) as told:
        for _ in range(5):
            assert next(told)[0] == "beat"
    with listening(url, "page=overview&seen=0", {"Last-Event-ID": mark(url, 6)}) as told:
        assert news(told)[0] == "patch"


def test_a_page_of_another_process_is_told_everything_though_its_round_is_the_same(serve: Serve) -> None:
    with listening(serve(), "page=overview&seen=0123abcd-1") as told:
        name, data = next(told)
    assert (name, data["round"]) == ("patch", 1)
    assert "row-signup" in data["parts"]


def test_a_store_that_goes_down_and_comes_back_is_told(serve: Serve, source: FakeSource) -> None:
    with listening(serve(), "page=overview&seen=0") as told:
        next(told)
        source.turn(lambda s: setattr(s, "down", "the store does not answer"))
        assert next(told) == ("trouble", {"message": "the store does not answer"})
        source.down = ""
        name, data = next(told)
    assert name == "patch"
    assert data["round"] == 2


def test_a_page_that_cannot_be_made_troubles_no_other(serve: Serve, source: FakeSource) -> None:
    url = serve()
    with listening(url, "page=journey&name=nope&seen=0") as lost, listening(url, "page=overview&seen=0") as told:
        assert next(lost)[0] == "trouble"
        assert next(told)[0] == "patch"
        source.turn()
        assert next(told)[0] == "patch"


def test_the_next_live_page_over_the_limit_is_told_to_come_back(serve: Serve) -> None:
    url = serve(live_clients=1)
    with listening(url, "page=overview&seen=0") as told:
        next(told)
        refused = httpx.get(f"{url}/events?page=overview")
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "10"
        assert "web.live_clients" in refused.text
    eventually(lambda: _accepted(url))


def _accepted(url: str) -> bool:
    with httpx.stream("GET", f"{url}/events?page=overview") as answer:
        return answer.status_code == 200


@pytest.mark.parametrize("query", ["", "page=admin", "page=journey&name=a&episode=-1"])
def test_events_of_no_page_are_refused(url: str, query: str) -> None:
    assert httpx.get(f"{url}/events?{query}").status_code == 400


def test_many_pages_cost_one_waiting_thread_and_leave_nothing_behind(serve: Serve, source: FakeSource) -> None:
    url = serve(live_clients=40, heartbeat_s=0.2)
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        told = [stack.enter_context(listening(url, "page=overview&seen=0")) for _ in range(30)]
        for each in told:
            assert news(each)[0] == "patch"
        source.turn()
        for each in told:
            assert news(each)[1]["round"] == 2
        assert threading.active_count() <= before + 1
    assert source.threads == {"otel-cx-live_0"}
    asked = len(source.waits)
    time.sleep(1.5)
    assert len(source.waits) <= asked + 2, "nobody listens, and still the source is asked"


def test_a_client_that_does_not_read_holds_up_no_other(serve: Serve, source: FakeSource) -> None:
    url = serve()
    with socket.create_connection(("localhost", int(url.rpartition(":")[2]))) as silent:
        silent.sendall(b"GET /events?page=journey&name=checkout&seen=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with listening(url, "page=overview&seen=0") as told:
            for number in range(1, 20):
                assert next(told)[1]["round"] == number
                source.turn()


def test_stopping_ends_live_pages_at_once_and_the_threads_with_them(source: FakeSource) -> None:
    before = threading.active_count()
    server = WebServer(source, WebSettings(port=0, grace_s=20))
    url = f"http://localhost:{server.start()}"
    with listening(url, "page=overview&seen=0") as told:
        next(told)
        started = time.monotonic()
        server.stop()
        assert [each for each in told if each[0] == "patch"] == []
    assert time.monotonic() - started < 10
    eventually(lambda: threading.active_count() <= before)


def test_a_source_that_stops_waiting_does_not_spin_the_server(serve: Serve, source: FakeSource) -> None:
    source.stopped = True
    with listening(serve(heartbeat_s=0.2), "page=overview&seen=0") as told:
        news(told)
        asked = len(source.waits)
        for _ in range(4):
            assert next(told)[0] == "beat"
    assert len(source.waits) - asked <= 3
