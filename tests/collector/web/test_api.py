"""The JSON API: its shapes as OpenAPI describes them, rounding, problem answers, and that it says what pages say."""

import json
import re
from typing import Any

import httpx
import pytest
from browsing import Serve
from fakes_source import NOW_S, FakeSource
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from otel_cx_collector.api.plain import rounded, to_json
from otel_cx_collector.inventory import Observed

INCIDENT = "checkout-20261124T095000Z"

PATHS = (
    ("/journeys", "/journeys"),
    ("/journeys?range=30d", "/journeys"),
    ("/journeys/checkout", "/journeys/{name}"),
    ("/journeys/support?range=15m", "/journeys/{name}"),
    ("/journeys/deployment", "/journeys/{name}"),
    ("/journeys/checkout/series?range=6h", "/journeys/{name}/series"),
    ("/journeys/checkout/exemplars?limit=5", "/journeys/{name}/exemplars"),
    ("/journeys/checkout/budgets", "/journeys/{name}/budgets"),
    ("/journeys/support/budgets", "/journeys/{name}/budgets"),
    ("/journeys/checkout/alerts?range=24h", "/journeys/{name}/alerts"),
    ("/journeys/checkout/decision", "/journeys/{name}/decision"),
    ("/journeys/dns-change/decision", "/journeys/{name}/decision"),
    ("/journeys/checkout/records?limit=3", "/journeys/{name}/records"),
    ("/journeys/checkout/errors", "/journeys/{name}/errors"),
    ("/incidents?open=true&journey=checkout&limit=5", "/incidents"),
    (f"/incidents/{INCIDENT}", "/incidents/{incident_id}"),
    ("/incidents/dns-change-20261123T085000Z", "/incidents/{incident_id}"),
    ("/paper-cuts?days=90", "/paper-cuts"),
    ("/hurt-again?limit=3", "/hurt-again"),
    ("/changes?range=6h", "/changes"),
    ("/saturation", "/saturation"),
    (f"/deliveries?incident={INCIDENT}&limit=3", "/deliveries"),
    ("/deliveries", "/deliveries"),
    ("/inventory", "/inventory"),
    ("/traffic", "/traffic"),
    ("/intake", "/intake"),
)


def ask(url: str, path: str) -> Any:
    answer = httpx.get(f"{url}/api/v1{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def described(url: str, path: str, status: str = "200", kind: str = "application/json") -> Draft202012Validator:
    document = httpx.get(f"{url}/api/v1/openapi.json").json()
    schema = document["paths"][path]["get"]["responses"][status]["content"][kind]["schema"]
    return Draft202012Validator({**schema, "components": document["components"]})


@pytest.mark.parametrize(("path", "route"), PATHS)
def test_every_answer_is_as_the_openapi_document_describes_it(url: str, path: str, route: str) -> None:
    described(url, route).validate(ask(url, path))


@pytest.mark.parametrize(("path", "_route"), PATHS)
def test_keys_are_sorted_and_numbers_rounded(url: str, path: str, _route: str) -> None:
    body = httpx.get(f"{url}/api/v1{path}").content
    value = json.loads(body)
    assert body == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert not re.search(rb"\d\.\d{7,}", body)
    assert not re.search(rb'_ms":\d+\.\d{4,}', body)


def test_a_journey_has_figures_live_score_factors_reach_coverage_and_episodes(url: str) -> None:
    answer = ask(url, "/journeys/checkout")
    assert answer["state"] == "severe"
    assert answer["reach"] == {"active": 1030, "affected": 412, "high": 0.42, "low": 0.38}
    assert answer["coverage"]["measured"] == answer["coverage"]["expected"] == 360
    assert {"ok", "failed", "rejected", "cancelled", "slow", "p50_ms", "p95_ms", "p99_ms"} == set(
        answer["steps"]["cart"]
    )
    assert answer["as_of"] == answer["live"]["at"] == "2026-11-24T10:00:00Z"
    assert (answer["range"], answer["from"], answer["to"]) == ("1h", "2026-11-24T09:00:00Z", "2026-11-24T10:00:00Z")


def test_the_score_can_be_recomputed_from_the_vector_and_the_factors(url: str) -> None:
    answer = ask(url, "/journeys/checkout")
    episode = answer["episodes"][-1]
    said = dict(part.split(":") for part in episode["vector"].split("/")[1:])
    for factors in ({key: float(value) for key, value in said.items() if key != "J"}, episode["factors"]):
        product = factors["C"] * factors["G"] * factors["V"] * factors["M"] * factors["A"] / factors["N"]
        harm = max(0.0, product + factors["X"] - factors["B"])
        assert harm == pytest.approx(episode["harm_minutes"], rel=1e-3)
        assert 100 * harm / (harm + 5) == pytest.approx(episode["score"], rel=1e-3)
    live = answer["live"]
    now = live["h60"] + 15 * live["rho"]
    assert live["score"] == pytest.approx(100 * now / (now + 5), rel=1e-5)
    assert live["factors"] == episode["factors"]


def test_an_unmeasured_journey_has_no_score_and_says_why(url: str) -> None:
    answer = ask(url, "/journeys/deployment")
    assert answer["state"] == "unmeasured"
    assert answer["live"]["score"] is None
    assert "down or refusing" in answer["reason"]


def test_observed_traffic_can_be_read_back(serve: Serve, source: FakeSource) -> None:
    assert [Observed.from_json(each) for each in ask(serve(), "/traffic")] == source.traffic()


def test_the_inventory_in_force_is_told_without_where_notices_go(url: str) -> None:
    answer = ask(url, "/inventory")
    assert answer["journeys"]["checkout"]["steps"][1]["slow_after_ns"] == 1_500_000_000
    assert "notify" not in answer


@pytest.mark.parametrize(
    ("path", "status", "kind", "says"),
    [
        ("/journeys/chekout", 404, "unknown-journey", "did you mean checkout"),
        ("/journeys?range=1y", 422, "bad-parameter", "15m"),
        ("/journeys/checkout/exemplars?limit=0", 422, "bad-parameter", "limit is '0'"),
        ("/journeys/checkout/exemplars?limit=100000", 422, "bad-parameter", "200"),
        ("/nothing", 404, "not-served", "Not Found"),
        ("/incidents/nope", 404, "unknown-incident", "there is no incident 'nope'"),
        ("/incidents?limit=201", 422, "bad-parameter", "200"),
        ("/incidents?open=perhaps", 422, "bad-parameter", "open is 'perhaps'"),
        ("/incidents?journey=chekout", 404, "unknown-journey", "did you mean checkout"),
        (f"/incidents/{'x' * 2000}", 422, "bad-parameter", "100"),
        ("/paper-cuts?days=0", 422, "bad-parameter", "days is '0'"),
        ("/paper-cuts?days=93", 422, "bad-parameter", "92"),
        ("/journeys/chekout/budgets", 404, "unknown-journey", "did you mean checkout"),
        ("/journeys/chekout/decision", 404, "unknown-journey", "did you mean checkout"),
        (f"/journeys/{'x' * 2000}", 422, "bad-parameter", "64"),
    ],
)
def test_a_mistake_is_answered_as_a_problem_that_says_what_to_do(
    url: str, path: str, status: int, kind: str, says: str
) -> None:
    answer = httpx.get(f"{url}/api/v1{path}")
    problem = answer.json()
    assert answer.status_code == problem["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"urn:otel-cx:problem:{kind}"
    assert says in problem["detail"]
    assert problem["cure"].endswith(".")
    assert len(answer.content) < 1000


def test_problems_are_as_the_openapi_document_describes_them(url: str) -> None:
    problem = httpx.get(f"{url}/api/v1/journeys/nope").json()
    described(url, "/journeys/{name}", "404", "application/problem+json").validate(problem)


def test_writing_is_refused_with_what_is_allowed(url: str) -> None:
    answer = httpx.post(f"{url}/api/v1/journeys", json={})
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]
    assert answer.json()["cure"]


def test_a_store_that_does_not_answer_is_503_with_when_to_come_back(serve: Serve, source: FakeSource) -> None:
    source.down = "the store has not answered for 12 s"
    answer = httpx.get(f"{serve()}/api/v1/journeys")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["detail"] == "the store has not answered for 12 s"


def test_an_unforeseen_failure_tells_no_details_to_the_asker(serve: Serve, source: FakeSource) -> None:
    source.at_s = "secret"  # type: ignore[assignment] # a defect of ours
    answer = httpx.get(f"{serve()}/api/v1/journeys")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "Content-Security-Policy" in answer.headers


@given(st.recursive(st.none() | st.booleans() | st.floats(-1e9, 1e9) | st.text(), st.lists))
def test_rounding_is_idempotent_and_moves_no_number_by_more_than_half_a_millionth(value: Any) -> None:
    once = rounded(value)
    assert rounded(once) == once
    assert to_json(value) == to_json(once)
    if isinstance(value, float):
        assert abs(once - value) <= 5.1e-7


def test_milliseconds_keep_three_decimals() -> None:
    assert to_json({"p95_ms": 12.34567, "share": 0.1234567, "b": 2.0}) == b'{"b":2,"p95_ms":12.346,"share":0.123457}'


def test_the_last_judged_moment_is_the_sources(serve: Serve, source: FakeSource) -> None:
    url = serve()
    source.turn()
    assert source.at_s == NOW_S + 10
    assert ask(url, "/journeys")["as_of"] == "2026-11-24T10:00:10Z"
