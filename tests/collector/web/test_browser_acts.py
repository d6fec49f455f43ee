"""Acting on an incident in a real Chromium: with the keyboard alone, errors in place, every viewer up to date."""

from typing import Final

import httpx
import pytest
from browsing import Browser, Serve
from fakes_source import HOSTILE, FakeSource

pytestmark = pytest.mark.browser

ID: Final = "checkout-20261124T095000Z"
SAID: Final = "return document.getElementById('act-said').textContent.startsWith(arguments[0])"
STATUS: Final = "return document.querySelector('#lead .tag').textContent === arguments[0]"
LIVE: Final = "return document.documentElement.dataset.connection === 'live'"


def opened(chromium: Browser, serve: Serve) -> str:
    """The incident's page, live; answers the server's address."""
    url = serve()
    chromium.open(f"{url}/incidents/{ID}")
    chromium.until(LIVE)
    return url


def write(chromium: Browser, name: str, text: str) -> None:
    chromium.run("document.querySelector(`#act [name=${arguments[0]}]`).value = arguments[1]", name, text)


def press(chromium: Browser, act: str) -> None:
    """A button of the form, with the keyboard."""
    chromium.run("document.querySelector(`#act button[value=${arguments[0]}]`).focus()", act)
    chromium.press("Enter", 13)


def test_an_incident_is_acknowledged_with_the_keyboard_and_the_page_follows_by_itself(
    chromium: Browser, serve: Serve, source: FakeSource
) -> None:
    url = opened(chromium, serve)
    chromium.run("document.querySelector('#act [name=who]').focus()")
    for letter in "Ana":
        chromium.command("Input.insertText", text=letter)
    chromium.press("Enter", 13)
    chromium.press("Tab", 9)
    chromium.command("Input.insertText", text="on it")
    for _ in range(2):
        chromium.press("Tab", 9)
    assert chromium.run("return document.activeElement.value") == "acknowledge"
    chromium.press("Enter", 13)
    chromium.until(SAID, "Acknowledged.")
    chromium.until(STATUS, "acknowledged")
    chromium.until("return document.querySelector('#act [value=acknowledge]') === null")
    assert chromium.run("return document.activeElement.id") == "act-said"
    assert chromium.run("return document.querySelector('#act [name=text]').value") == ""
    assert "on it" in chromium.text("#timeline li")
    assert "Ana is working on it: on it" in chromium.text("#paste")
    assert source.rounds == 1
    assert httpx.get(f"{url}/api/v1/incidents/{ID}").json()["history"][-1]["who"] == "Ana"
    assert chromium.complaints() == []
    assert chromium.findings() == []


def test_what_another_person_does_is_seen_and_a_half_written_note_stays(
    chromium: Browser, serve: Serve, source: FakeSource
) -> None:
    url = opened(chromium, serve)
    write(chromium, "text", "half a note")
    chromium.run("document.querySelector('#act [name=text]').focus()")
    httpx.post(f"{url}/api/v1/incidents/{ID}/mitigate", json={"who": "Bo", "text": ""})
    chromium.until(STATUS, "mitigated")
    source.turn()
    chromium.until("return document.querySelector('#tiles').textContent.includes('10:00:10')")
    assert chromium.run("return document.activeElement.name") == "text"
    assert chromium.run("return document.activeElement.value") == "half a note"


def test_a_name_is_asked_for_and_then_remembered(chromium: Browser, serve: Serve) -> None:
    url = opened(chromium, serve)
    press(chromium, "acknowledge")
    chromium.until(SAID, "Say who you are.")
    assert chromium.run("return document.activeElement.name") == "who"
    write(chromium, "who", "Ana")
    press(chromium, "annotate")
    chromium.until(SAID, "Write the note.")
    write(chromium, "text", "looked at the gateway")
    press(chromium, "annotate")
    chromium.until(SAID, "Noted.")
    chromium.until("return document.querySelector('#timeline').textContent.includes('looked at the gateway')")
    chromium.open(f"{url}/incidents/{ID}")
    chromium.until("return document.querySelector('#act [name=who]').value === 'Ana'")


def test_a_refusal_is_said_in_place_and_nothing_typed_is_lost(
    chromium: Browser, serve: Serve, source: FakeSource
) -> None:
    opened(chromium, serve)
    source.refuse = True
    write(chromium, "who", "Ana")
    write(chromium, "text", "on it")
    press(chromium, "acknowledge")
    chromium.until(SAID, "Not done: the history is full; keep further notes elsewhere. Possible now: acknowledge,")
    assert chromium.run("return document.getElementById('act-said').className") == "act-said failed"
    assert chromium.run("return document.querySelector('#act [name=text]').value") == "on it"
    source.refuse = False
    source.down = "the working state cannot be written"
    press(chromium, "acknowledge")
    chromium.until(SAID, "Not done: the working state cannot be written. Try again")
    source.down = ""
    press(chromium, "acknowledge")
    chromium.until(SAID, "Acknowledged.")


def test_hostile_notes_stay_text(chromium: Browser, serve: Serve) -> None:
    url = opened(chromium, serve)
    for text in HOSTILE[:5]:
        httpx.post(f"{url}/api/v1/incidents/{ID}/annotate", json={"who": text[:90], "text": text})
        chromium.until("return document.querySelector('#timeline li').textContent.includes(arguments[0])", text)
    assert chromium.run("return document.querySelectorAll('main img, main script:not([type]), main b').length") == 0
    assert chromium.complaints() == []


def test_an_incident_that_opens_comes_onto_the_overview_by_itself(
    chromium: Browser, serve: Serve, source: FakeSource
) -> None:
    source.outage = 0
    chromium.open(serve())
    chromium.until(LIVE)
    assert chromium.run("return document.getElementById('incidents').hidden")
    source.turn(lambda s: setattr(s, "outage", 1.0))
    chromium.until("return document.querySelector('#incidents a[href^=\"/incidents/\"]')?.textContent === 'Checkout'")
    assert chromium.text("h1").startswith("2 incidents, the worst: P1 Checkout")
    assert chromium.complaints() == []


def test_nothing_that_one_viewer_chose_is_left_for_the_next(chromium: Browser, url: str) -> None:
    for _ in range(2):
        chromium.open(url)
        chromium.until("return document.getElementById('theme').ariaLabel === 'Theme: system'")
        chromium.run("localStorage.setItem('who', 'Ana'); document.getElementById('theme').click()")
        chromium.reset()
    chromium.open(url)
    assert chromium.run("return Object.keys(localStorage)") == []
