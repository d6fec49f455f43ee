"""What people read: customers and money, one subject line, and nothing that a stranger wrote as more than text."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notify_targets import NOW, body, notice

from otel_cx_collector.notify import compose
from otel_cx_collector.notify.story import MAX_SENTENCE, MAX_SUBJECT, NAMED, Story, headline, story_of

HOSTILE = "</td><script>alert(1)</script>\r\nBcc: x@y.example\x00\u202egnp.exe" + "x" * 10_000


def told(what: str = "opened", **values: Any) -> Story:
    return story_of(notice(what=what, body=body(**values)))


def line(story: Story, label: str) -> str:
    return dict(story.lines).get(label, "")


def test_the_subject_says_who_is_hurt_how_many_and_since_when() -> None:
    assert told().subject == "P1 Checkout: 1,240 of 3,100 customers cannot complete, since 09:02 UTC"


@pytest.mark.parametrize(
    ("what", "values", "subject"),
    [
        ("raised", {}, "P1 Checkout, raised: 1,240 of 3,100 customers cannot complete, since 09:02 UTC"),
        ("opened", {"errors": []}, "P1 Checkout: 1,240 of 3,100 customers are affected, since 09:02 UTC"),
        (
            "opened",
            {"reach": {"affected": 1, "active": 9}, "errors": None},
            "P1 Checkout: 1 of 9 customers is affected, since 09:02 UTC",
        ),
        ("opened", {"reach": None}, "P1 Checkout: impact, since 09:02 UTC"),
        ("opened", {"reach": None, "trigger": None}, "P1 Checkout: needs a look, since 09:02 UTC"),
        (
            "opened",
            {"started_at": "2026-01-04T23:58:00Z"},
            "P1 Checkout: 1,240 of 3,100 customers cannot complete, since 4 January 2026 23:58 UTC",
        ),
        (
            "lowered",
            {"current": "P3"},
            "P3 Checkout, lowered: 1,240 of 3,100 customers cannot complete, since 09:02 UTC",
        ),
        (
            "resolved",
            {"closed_at": "2026-01-05T09:40:00Z"},
            "Resolved: Checkout: 1,240 of 3,100 customers were affected, 09:02 to 09:40 UTC",
        ),
    ],
)
def test_the_subject_fits_what_happened(what: str, values: dict[str, Any], subject: str) -> None:
    assert told(what, **values).subject == subject


def test_a_message_holds_what_a_commander_asks_first() -> None:
    story = told()

    assert story.lines == (
        ("Customers", "1,240 of 3,100 affected (38 to 42 % with 90 % confidence)"),
        ("Segments", "trial 1,200 of 3,040; enterprise 40 of 60"),
        ("Regions", "eu 1,240 of 2,000"),
        ("Money", "EUR 48,000 a year from 1 key account hurt"),
        ("Since", "5 January 2026 09:02 UTC"),
        ("Changed before", "deploy billing 1.8.2 (08:58 UTC)"),
        ("What fails", "declined at payment: 1,200 customers, lost order"),
        ("Key accounts", "Acme: 9 of 10 attempts failed, renewal 2026-02-01"),
        ("Why", "impact above 4: 49.0"),
        ("Status", "open"),
        ("Owner", "payments-sre"),
    )
    assert (story.advice, story.runbook) == ("roll back", "https://runbooks.example/checkout#rollback")
    assert story.link == "https://cx.example/incidents/checkout-20260105T091200Z"


def test_no_message_shows_a_vector() -> None:
    story = told()
    assert "CXI" not in compose.text((story,)) + compose.html((story,)) + story.subject


def test_a_change_after_the_start_is_no_cause_and_advice_that_does_not_hold_is_not_given() -> None:
    late = [{"kind": "deploy", "what": "repair", "at": "2026-01-05T09:10:00Z"}]
    story = told(changes=late, advice=[{"do": "nothing", "link": None, "holds": False}])

    assert line(story, "Changed before") == ""
    assert story.advice == ""


def test_who_did_something_is_named() -> None:
    history = [{"what": "acknowledged", "who": "Ana", "text": "looking", "severity": "P1"}]
    assert line(told("acknowledged", history=history), "News") == "acknowledged by Ana: looking"


def test_long_lists_are_cut_and_say_so() -> None:
    segments = {f"s{number}": {"affected": number, "active": 100} for number in range(1, 12)}
    assert line(told(segments=segments), "Segments").endswith(f"; s7 7 of 100, and {11 - NAMED} more")


def test_what_is_over_asks_nobody_to_do_anything() -> None:
    story = told("resolved")
    assert (story.over, story.advice, story.ended_s) == (True, "", NOW)


@pytest.mark.parametrize(
    ("what", "subject"),
    [
        ("unmeasured", "P2 otel-cx, checkout: not measured, since 5 January 2026 09:12 UTC"),
        ("store-down", "P2 otel-cx, checkout: the store does not answer, since 5 January 2026 09:12 UTC"),
        ("log-half-full", "P2 otel-cx, checkout: the log is over half full, since 5 January 2026 09:12 UTC"),
        ("control-late", "P2 otel-cx, checkout: judging is late, since 5 January 2026 09:12 UTC"),
        ("recovered", "otel-cx, checkout: works again, 5 January 2026 09:12 to 5 January 2026 09:22 UTC"),
    ],
)
def test_our_own_health_is_told_in_words(what: str, subject: str) -> None:
    own = {
        "subject": "checkout",
        "sentence": "no heartbeat of pod-7",
        "since_s": NOW - 600,
        "url": "https://cx.example",
    }
    story = story_of(notice(incident="watch", what=what, severity="P2", body=own))

    assert story.subject == subject
    assert line(story, "What") == "no heartbeat of pod-7"
    assert (story.id, story.over) == ("watch:checkout", what == "recovered")


def test_several_incidents_have_one_headline() -> None:
    stories = (told(), told(journey_title="Search", current="P2"))
    assert headline(stories) == "P1 2 journeys, likely one cause: Checkout, Search"
    assert all(story.subject in compose.text(stories) for story in stories)


def test_text_and_html_say_the_same() -> None:
    story = told()
    text, html = compose.text((story,)), compose.html((story,))

    assert text.startswith(f"{story.subject}\n\nDo first: roll back https://runbooks.example/checkout#rollback\n")
    for label, said in story.lines:
        assert f"{label}: {said}\n" in text
        assert said in html
    assert text.endswith("https://cx.example/incidents/checkout-20260105T091200Z\n")
    assert 'href="https://runbooks.example/checkout#rollback"' in html


def test_what_strangers_write_stays_text() -> None:
    story = told(
        journey_title=HOSTILE, owner=HOSTILE, status=HOSTILE, currency=HOSTILE, current=HOSTILE,
        segments={HOSTILE: {"affected": 1, "active": 2}}, errors=[{"class": HOSTILE, "customers": 1}],
        changes=[{"kind": HOSTILE, "what": HOSTILE, "at": "2026-01-05T09:00:00Z"}],
        advice=[{"do": HOSTILE, "link": "javascript:alert(1)", "holds": True}],
        accounts=[{"name": HOSTILE, "attempts": 1, "failed": 1, "arr": "1"}],
        trigger={"rule": HOSTILE, "sentence": HOSTILE}, history=[{"who": HOSTILE, "text": HOSTILE}],
    )  # fmt: skip
    html, text = compose.html((story,)), compose.text((story,))

    assert story.subject.isprintable()
    assert len(story.subject) <= MAX_SUBJECT
    assert all(said.isprintable() for pair in story.lines for said in pair)
    assert all(len(said) <= NAMED * (3 * MAX_SENTENCE) for _, said in story.lines)
    assert "<script" not in html
    assert "javascript:" not in html + text
    assert "\u202e" not in html + text
    assert "\nBcc:" not in text


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", "https://a.example/ b", 'https://a.example/"><b>', "data:x", 7, "https://" + "a" * 2000],
)
def test_a_link_that_is_none_is_left_out(link: object) -> None:
    assert told(advice=[{"do": "roll back", "link": link, "holds": True}]).runbook == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(body())), JSON), st.sampled_from(["opened", "resolved", "raised"]))
def test_a_body_of_any_shape_is_told_somehow(values: dict[str, Any], what: str) -> None:
    story = told(what, **values)

    assert story.subject
    assert story.subject.isprintable()
    compose.html((story,))
    compose.text((story,))


def test_a_body_that_holds_nothing_is_told_all_the_same() -> None:
    story = story_of(notice(body={}))
    assert story.subject == "P1 a journey: needs a look, since 09:22 UTC"
    assert story.link == ""
