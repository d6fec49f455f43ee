"""``/v1/facts`` at the door: what is taken there and what is answered. Real servers; what lines mean is elsewhere."""

import gzip
from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest
from otlp import FakeSink, Reply, ServedHttp, Taken, http_server, post

from otel_cx_collector.decode.facts import RefusedLine
from otel_cx_collector.errors import Unavailable
from otel_cx_collector.receive import Answer, Encoding, ReceiveLimits, Signal
from otel_cx_collector.receive.answers import REFUSED_LISTED

LINES = "application/x-ndjson"
BAD = RefusedLine(2, "o-1", "kind is wrong; write another")
ANSWER = Answer(rejected=1, message="one line", accepted=3, refused=(BAD,))


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink(script={b"some": ANSWER, b"none": replace(ANSWER, accepted=0), b"full": Unavailable("full", 2)})


@pytest.fixture
def server(sink: FakeSink) -> Iterator[ServedHttp]:
    with http_server(sink, ReceiveLimits(wire_bytes=1 << 16, body_bytes=1 << 17)) as served:
        yield served


def facts(server: ServedHttp, body: bytes, content_type: str | None = LINES, **headers: str) -> Reply:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return post(server.port, body, "/v1/facts", content_type=content_type, headers=sent)


@pytest.mark.parametrize(
    "content_type",
    [LINES, "application/jsonl", "application/json", "application/jsonl; charset=utf-8", "Application/JSON"],
)
def test_json_lines_are_taken_under_each_of_their_names(server: ServedHttp, sink: FakeSink, content_type: str) -> None:
    reply = facts(server, b"some", content_type)

    assert sink.taken == [Taken(Signal.FACTS, Encoding.JSON, b"some")]
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert orjson.loads(reply.body) == {"accepted": 3, "refused": [BAD._asdict()]}


@pytest.mark.parametrize("content_type", [None, "application/x-protobuf", "application/x-www-form-urlencoded"])
def test_any_other_content_type_is_415_and_says_which_are_taken(
    server: ServedHttp, sink: FakeSink, content_type: str | None
) -> None:
    reply = facts(server, b"some", content_type)

    assert (reply.status, sink.taken) == (415, [])
    assert reply.headers["accept"] == "application/x-ndjson, application/jsonl, application/json"
    assert "send application/x-ndjson or application/jsonl or application/json" in orjson.loads(reply.body)["message"]


def test_otlp_is_not_sent_as_json_lines(server: ServedHttp) -> None:
    assert post(server.port, b"{}", content_type=LINES).status == 415


def test_compressed_lines_are_inflated(server: ServedHttp, sink: FakeSink) -> None:
    assert facts(server, gzip.compress(b"some"), Content_Encoding="gzip").status == 200
    assert sink.taken[0].body == b"some"


def test_a_request_without_one_good_line_is_400_and_says_why_of_each(server: ServedHttp) -> None:
    reply = facts(server, b"none")

    assert reply.status == 400
    answer = orjson.loads(reply.body)
    assert (answer["code"], answer["accepted"], answer["refused"]) == (3, 0, [BAD._asdict()])
    assert answer["message"].endswith("line 2: kind is wrong; write another")


def test_a_request_without_lines_is_taken(server: ServedHttp) -> None:
    reply = facts(server, b"")

    assert (reply.status, orjson.loads(reply.body)) == (200, {"accepted": 0, "refused": []})


def test_of_many_refused_lines_the_first_are_listed_and_the_others_counted(server: ServedHttp, sink: FakeSink) -> None:
    refused = tuple(RefusedLine(number, "", "bad") for number in range(REFUSED_LISTED + 5))
    sink.script[b"many"] = Answer(accepted=1, refused=refused)
    answer = orjson.loads(facts(server, b"many").body)

    assert [each["line"] for each in answer["refused"]] == list(range(REFUSED_LISTED))
    assert answer["refused_more"] == 5


def test_facts_that_cannot_be_made_durable_now_are_asked_for_again(server: ServedHttp) -> None:
    reply = facts(server, b"full")

    assert (reply.status, reply.headers["retry-after"]) == (503, "2")


def test_limits_of_size_hold_for_facts_too(server: ServedHttp, sink: FakeSink) -> None:
    assert facts(server, b" " * (1 << 17)).status == 413
    assert facts(server, gzip.compress(b" " * (1 << 18)), Content_Encoding="gzip").status == 413
    assert sink.taken == []
