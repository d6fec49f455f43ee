"""One figure, one query: what a page says is what the API says, for every figure that both have."""

import html
import re
from typing import Any

import httpx
import pytest

from otel_cx_collector.views import words

INCIDENT = "checkout-20261124T095000Z"


def ask(url: str, path: str) -> Any:
    answer = httpx.get(f"{url}/api/v1{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def part(url: str, path: str, name: str) -> str:
    """One part of a page, up to the end of its section, as text with the exact values that stand on the hover."""
    page = httpx.get(url + path).text
    found = re.search(rf'<(\w+) id="{name}".*?</\1>', page, re.DOTALL)
    assert found, name
    return html.unescape(found[0])


def exact(value: float | None) -> str:
    """As the hover has it, from the API's six decimals."""
    return "" if value is None else f'title="{value:,.6f}'.rstrip("0").rstrip(".") + '"'


def test_every_row_of_the_overview(url: str) -> None:
    rows = ask(url, "/journeys")["journeys"]
    page = httpx.get(f"{url}/").text
    assert [row["name"] for row in rows] == re.findall(r'<tr id="row-([a-z-]+)"', page)
    for row in rows:
        html = page.partition(f'<tr id="row-{row["name"]}"')[2].partition("</tr>")[0]
        assert words.percent(row["success"]) in html
        assert words.score(row["live"]["score"]) in html
        assert words.milliseconds(row["p95_ms"]) in html
        assert row["budget"] is None or words.rough(row["budget"]["remaining"]) in html
        assert row["customers"]["active"] == 0 or words.count(row["customers"]["affected"]) in html


def test_the_open_incidents_of_the_overview(url: str) -> None:
    said = part(url, "/", "incidents")
    found = ask(url, "/incidents?open=true")
    assert ask(url, "/journeys")["incidents"] == [one["id"] for one in found]
    assert re.findall(r'href="/incidents/([^"]+)"', said) == [one["id"] for one in found]
    for one in found:
        assert one["current"] in said
        assert words.count(one["reach"]["affected"]) in said
        assert one["trigger"]["sentence"] in said


def test_small_incidents_and_customers_hurt_again(url: str) -> None:
    page = html.unescape(httpx.get(url).text)
    for cut in ask(url, "/paper-cuts"):
        assert cut["cause"] in page
        assert words.outage_minutes(cut["harm_minutes"]) in page
        assert words.rough(cut["budget_share"]) in page
        assert words.count(cut["customers"]) in page
    for one in ask(url, "/hurt-again?limit=5"):
        assert one["customer"] in page
        assert f'<data value="{one["attempts"]}"' in page


def test_error_budgets_by_journey_segment_and_account(url: str) -> None:
    said, accounts = part(url, "/journeys/checkout", "budgets"), part(url, "/journeys/checkout", "accounts")
    found = ask(url, "/journeys/checkout/budgets")
    for budget in found["journey"]:
        assert words.rough(budget["spent"]) in said
        assert words.rough(budget["remaining"]) in said
        assert words.times(budget["pace"]) in said
        assert budget["remaining"] <= 0 or words.span(budget["exhausted_in_s"]) in said
    for budgets in found["segments"].values():
        for budget in budgets:
            assert words.rough(budget["remaining"]) in said
    for account in found["accounts"]:
        assert (account["name"] or account["account"]) in accounts
        assert words.rough(min(each["remaining"] for each in account["budgets"])) in accounts
        assert words.count(account["failed"]) in accounts


def test_burn_alerts(url: str) -> None:
    said = part(url, "/journeys/checkout", "alerts")
    found = ask(url, "/journeys/checkout/alerts")
    assert [alert["resolved_at"] is None for alert in found] == [True, False]
    for alert in found:
        assert alert["policy"] in said
        assert words.significant(alert["factor"]) in said
        assert alert["fired_at"] in said


@pytest.mark.parametrize("name", ["checkout", "dns-change", "signup"])
def test_the_decision_and_its_tree(url: str, name: str) -> None:
    said = part(url, f"/journeys/{name}", "decision")
    found = ask(url, f"/journeys/{name}/decision")
    assert found["sentence"] in said

    def check(node: dict[str, Any]) -> None:
        if node["finding"]:
            for text in (node["finding"]["predicate"], node["finding"]["clause"], node["finding"]["missing"] or ""):
                assert text in said
            assert exact(node["finding"]["value"]) in said
        assert (node["progress"] or "") in said
        for each in node["parts"]:
            check(each)

    for branch in found["tree"]:
        assert branch["rule"] in said
        assert branch["then"] in said
        check(branch["node"])
    assert said.count("tag-decides") == sum(branch["decides"] for branch in found["tree"])


def test_errors_by_class(url: str) -> None:
    said = part(url, "/journeys/checkout", "errors")
    for one in ask(url, "/journeys/checkout/errors"):
        for text in (one["class"], one["step"], one["consequence"] or "", words.count(one["count"])):
            assert text.replace("\u0000", "\ufffd") in said.replace("\u0000", "\ufffd")
        assert words.significant(one["per_thousand"]) in said
        assert words.rough(one["recovered"]) in said
        assert words.count(one["customers"]) in said


def test_changes_of_verdict(url: str) -> None:
    said = part(url, "/journeys/checkout", "records")
    for record in ask(url, "/journeys/checkout/records"):
        assert record["at"] in said
        assert record["sentence"] in said


def test_how_full_the_resources_are(url: str) -> None:
    said = part(url, "/inventory", "resources")
    for one in ask(url, "/saturation"):
        assert one["name"] in said
        assert "not reported" in said if one["share"] is None else words.rough(one["share"]) in said


def test_an_incident_whole(url: str) -> None:
    page = html.unescape(httpx.get(f"{url}/incidents/{INCIDENT}").text)
    one = ask(url, f"/incidents/{INCIDENT}")
    for text in (one["id"], one["title"], one["current"], one["vector"], one["status_line"], one["group"]):
        assert text in page
    assert words.score(one["score"]) in page
    assert words.outage_minutes(one["harm_minutes"]) in page
    assert words.interval(one["reach"]["low"], one["reach"]["high"]) in page
    for name, reach in [*one["segments"].items(), *one["regions"].items()]:
        assert f'<th scope="row">{name}</th>' in page
        assert f'title="{reach["affected"]} of {reach["active"]} customers' in page
    for moment in (one["started_at"], one["opened_at"], *(each["at"] for each in one["changes"])):
        assert moment in page
    for text in [each["do"] for each in one["advice"]] + [each["what"] for each in one["changes"]]:
        assert text in page
    for entry in one["history"]:
        assert entry["at"] in page
        assert entry["who"] in page
        assert entry["text"] in page
    assert re.findall(r'type="submit" value="([a-z]+)"', page) == sorted(
        one["possible"], key=["annotate", "acknowledge", "mitigate", "resolve", "reopen"].index
    )
    for each in ask(url, f"/deliveries?incident={INCIDENT}"):
        assert each["channel"] in page
        assert each["error"] in page
        assert f"delivery-{each['state']}" in page


def test_the_list_of_incidents(url: str) -> None:
    said = part(url, "/incidents", "list")
    found = ask(url, "/incidents")
    assert re.findall(r'href="/incidents/([^"]+)"', said) == [one["id"] for one in found]
    for one in found:
        assert one["status"] in said
        assert words.score(one["score"]) in said
