"""``replay --expect``: entries of lists are matched by what they are, and a difference is a line that can be read."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from otel_cx_collector.cli.expectation import IDENTITY, differences

REPORT: dict[str, Any] = {
    "alerts": [
        {"journey": "checkout", "sli": "availability", "step": None, "policy": "1h/5m", "fired_at": "09:15",
         "resolved_at": None},
        {"journey": "checkout", "sli": "latency", "step": "payment", "policy": "1h/5m", "fired_at": "09:16",
         "resolved_at": None},
    ],
    "decisions": [
        {"journey": "checkout", "rule": "impact", "at": "09:00", "verdict": "false", "severity": None,
         "because": [{"predicate": "impact score above 4", "value": 0}]},
        {"journey": "checkout", "rule": "impact", "at": "09:13", "verdict": "true", "severity": "P1",
         "because": [{"predicate": "impact score above 4", "value": 45.5}]},
    ],
    "incidents": [
        {"journey": "checkout", "opened_at": "09:13", "severity": "P1"},
        {"journey": "login", "opened_at": "09:14", "severity": "P2"},
        {"journey": "checkout", "opened_at": "10:40", "severity": "P3"},
    ],
}  # fmt: skip


def changed(**lists: Any) -> dict[str, Any]:
    return copy.deepcopy(REPORT) | lists


def test_the_same_report_is_as_expected() -> None:
    assert list(differences(REPORT, REPORT)) == []


def test_an_incident_too_few_or_too_many_is_named_and_its_neighbours_are_still_compared() -> None:
    first, login, last = copy.deepcopy(REPORT["incidents"])
    assert list(differences(REPORT, changed(incidents=[first, login | {"severity": "P3"}]))) == [
        "$.incidents[login, 09:14].severity: expected 'P2', found 'P3'",
        "$.incidents: expected checkout, 10:40, the report has none",
    ]
    assert list(differences(changed(incidents=[login, last]), REPORT)) == [
        "$.incidents: found checkout, 09:13, which is not expected"
    ]


def test_an_incident_that_opens_at_another_time_is_the_same_one_at_another_time() -> None:
    first, login, last = copy.deepcopy(REPORT["incidents"])
    moved = changed(incidents=[login, last, first | {"opened_at": "09:14"}])
    assert list(differences(REPORT, moved)) == [
        "$.incidents[checkout, 09:13].opened_at: expected '09:13', found '09:14'"
    ]


def test_a_decision_is_found_by_its_rule_and_time_whatever_comes_between() -> None:
    more = {"journey": "checkout", "rule": "slow", "at": "09:00", "verdict": "unknown", "because": []}
    assert list(differences(REPORT, changed(decisions=[more, *copy.deepcopy(REPORT["decisions"])]))) == [
        "$.decisions: found checkout, slow, 09:00, which is not expected"
    ]


def test_what_a_predicate_measured_is_named_by_the_predicate() -> None:
    found = changed()
    found["decisions"][1]["because"][0]["value"] = 44.0
    assert list(differences(REPORT, found)) == [
        "$.decisions[checkout, impact, 09:13].because[impact score above 4].value: expected 45.5, found 44.0"
    ]


def test_an_alert_is_found_by_sli_step_and_policy() -> None:
    found = changed(alerts=REPORT["alerts"][::-1])
    assert list(differences(REPORT, found)) == []
    assert list(differences(REPORT, changed(alerts=REPORT["alerts"][1:]))) == [
        "$.alerts: expected checkout, availability, 1h/5m, 09:15, the report has none"
    ]


def test_only_what_is_named_is_compared_in_entries_too() -> None:
    expected = {"incidents": [{"journey": "login"}, {"journey": "checkout", "severity": "P1"}, {"severity": "P3"}]}
    assert list(differences(expected, REPORT)) == []
    assert list(differences({"incidents": [{"journey": "login"}]}, REPORT)) == [
        "$.incidents: found checkout, 09:13, which is not expected",
        "$.incidents: found checkout, 10:40, which is not expected",
    ]


def test_other_lists_are_compared_by_place() -> None:
    assert list(differences({"traces": ["a", "b"]}, {"traces": ["a", "c", "d"]})) == [
        "$.traces[1]: expected 'b', found 'c'",
        "$.traces: found 'd', which is not expected",
    ]


def test_a_key_that_is_missing_and_a_value_of_another_kind_are_told() -> None:
    assert list(differences({"a": {"b": 1}, "c": [1]}, {"a": {}, "c": 1})) == [
        "$.a.b: expected 1, the report has no such key",
        "$.c: expected [1], found 1",
    ]


entries = st.lists(
    st.fixed_dictionaries(
        {"journey": st.sampled_from("ab"), "opened_at": st.sampled_from("123")},
        optional={"severity": st.sampled_from(["P1", "P2"])},
    ),
    max_size=4,
    unique_by=lambda entry: (entry["journey"], entry["opened_at"]),
)


@given(entries, st.randoms())
def test_the_order_of_incidents_is_no_difference(one: list[Any], random: Any) -> None:
    other = random.sample(one, len(one))
    assert list(differences({"incidents": one}, {"incidents": other})) == []


@given(entries, entries)
def test_there_is_a_difference_exactly_when_something_expected_is_not_so(one: list[Any], other: list[Any]) -> None:
    def found_in(entry: dict[str, Any]) -> bool:
        return any(entry.items() <= each.items() for each in other)

    same = len(one) == len(other) and all(map(found_in, one))
    assert (not list(differences({"incidents": one}, {"incidents": other}))) == same


def test_the_names_of_an_entry_s_identity_are_keys_of_the_report() -> None:
    for name in ("alerts", "decisions", "incidents"):
        assert set(IDENTITY[name]) <= set(REPORT[name][0])
